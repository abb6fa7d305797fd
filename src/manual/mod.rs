//! The manual: what the items' own pages have no room for.
//!
//! - [`layer_order`]: what goes above what, and why.
//! - [`authorization_servers`]: Auth0, Okta, Keycloak, Entra ID, Google, GitHub: three lines for each.
//! - [`observability`]: spans, events, metrics and the status, and what is in them.
//! - [`processes`]: one session, many processes: which store when, and what no client can promise.
//! - [`replay`]: when a request can be sent again.
//! - [`threats`]: what can go wrong with tokens, and what is done about it.
//! - [`defaults`]: every default, and its reason.
//! - [`dependencies`]: what each feature brings with it, crate by crate.

pub mod authorization_servers;
pub mod defaults;
pub mod dependencies;
pub mod layer_order;
pub mod observability;
pub mod processes;
pub mod replay;
pub mod threats;
