//! What the crate promises, shown over its two test servers: one scenario family a file.

mod attach;
mod bodies;
mod classification;
mod coalescing;
mod early_401;
mod middleware;
mod orders;
mod origins;
mod redirect;
mod replay;
mod support;
mod token_endpoint;
mod web;
