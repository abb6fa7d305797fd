//! Silent token refresh for any tower- or hyper-based HTTP client.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod clock;
mod error;
mod origin;
mod source;
mod store;
mod sync;
#[cfg(all(feature = "test-util", not(loom)))] // tokio has no sockets under loom
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod token;

pub use clock::Clock;
pub use error::RefreshError;
pub use origin::{InvalidOrigin, Origins};
pub use source::{Held, SourceFn, TokenSource, source_fn};
pub use store::{
    Entry, Expected, Lease, MemoryStore, Record, StoreError, Stored, Swap, TokenStore, Version,
};
pub use token::{AccessToken, InvalidToken, RefreshToken, TokenSet};

/// The error of a layer: whatever the inner service failed with, or one of this crate's own errors.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
