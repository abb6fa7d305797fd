//! What the crate promises, shown over its two test servers: one scenario family a file.
//!
//! "P1" to "P16", "Section 5" and "Case 12" are the numbers that promises and known failures of comparable
//! clients have in the design of the crate.

// A test measures how long something took, in paused time.
#![allow(clippy::disallowed_methods)]

mod ambiguous;
mod attach;
#[cfg(feature = "cookies")]
mod back_end;
mod bodies;
mod brake;
mod cancellation;
#[cfg(feature = "tracing")]
mod capture;
mod classification;
mod clocks;
mod closing;
mod coalescing;
#[cfg(feature = "cookies")]
mod cookies;
#[cfg(feature = "metrics")]
mod counts;
mod device;
mod discovery;
mod dropped_calls;
mod dropped_requests;
mod early;
mod early_401;
mod ending;
#[cfg(feature = "endpoint-client")]
mod endpoint_client;
mod events;
mod expiry;
mod faulty_store;
mod file_store;
mod first_start;
mod first_step;
mod generations;
mod grants;
mod interplay;
mod issuer;
#[cfg(feature = "jwt")]
mod jwt;
mod lapsed_leases;
mod late_payments;
mod limits;
mod logouts;
mod look_ups;
mod middleware;
mod neighbours;
mod no_runtime;
#[cfg(feature = "redirect")]
mod orders;
mod origins;
mod outages;
mod panics;
mod patience;
#[cfg(feature = "redirect")]
mod redirect;
mod reentrancy;
mod replay;
mod revocation;
mod runtimes;
mod scripted;
mod status_stream;
mod store_calls;
mod store_contract;
mod stores;
mod support;
mod token_endpoint;
#[cfg(feature = "tracing")]
mod traces;
mod unruly;
#[cfg(feature = "redirect")]
mod web;
