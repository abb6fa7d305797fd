//! reqwest's own client, on loopback sockets: beneath the tower stack, and beneath the middlewares.

#[cfg(feature = "reqwest-middleware")]
mod middleware;
mod redirects;
mod service;
mod support;
