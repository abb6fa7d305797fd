//! Silent token refresh for any tower- or hyper-based HTTP client.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod replay;
mod sync;
mod token;

pub use clock::Clock;
pub use replay::{MapBody, MapBodyLayer, ReplayBody, map_body};
pub use token::{AccessToken, InvalidToken, RefreshToken, TokenSet};

/// The error of a layer: whatever the inner service failed with, or one of this crate's own errors.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
