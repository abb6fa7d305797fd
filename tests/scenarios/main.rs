//! What the crate promises, shown over its two test servers: one scenario family a file.

mod ambiguous;
mod clocks;
mod closing;
mod coalescing;
mod early;
mod ending;
mod events;
mod expiry;
mod faulty_store;
mod first_start;
mod scripted;
mod stores;
mod support;
