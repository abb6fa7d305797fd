//! What the crate promises, shown over its two test servers: one scenario family a file.

mod ambiguous;
mod clocks;
mod coalescing;
mod early;
mod ending;
mod expiry;
mod faulty_store;
mod scripted;
mod stores;
mod support;
