//! What the crate promises, shown over its two test servers: one scenario family a file.

mod brake;
mod cancellation;
mod coalescing;
mod dropped_calls;
mod generations;
mod panics;
mod patience;
mod reentrancy;
mod runtimes;
mod support;
mod unruly;
