//! What the crate promises, shown over its two test servers: one scenario family a file.

mod ambiguous;
mod attach;
mod bodies;
mod classification;
mod clocks;
mod coalescing;
mod early;
mod ending;
mod expiry;
mod faulty_store;
mod orders;
mod origins;
mod redirect;
mod replay;
mod scripted;
mod support;
mod token_endpoint;
mod web;
