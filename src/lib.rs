//! Silent token refresh for any tower- or hyper-based HTTP client.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
mod challenge;
mod classify;
mod clock;
mod error;
mod extension;
#[cfg(feature = "jwt")]
mod jwt;
mod lifecycle;
mod origin;
pub mod refresh;
mod replay;
mod session;
mod source;
mod store;
mod sync;
#[cfg(feature = "test-util")] // tokio has no sockets under loom
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod token;

pub use auth::{Auth, AuthLayer, Credential, TokenFn};
pub use challenge::Challenge;
pub use classify::{
    BearerClassifier, Classify, ClassifyFn, GrpcClassifier, ResponseHead, Verdict, classify_fn,
};
pub use clock::Clock;
pub use error::RefreshError;
pub use extension::{NoAuth, NoReplay, NotReplayed};
pub use origin::{InvalidOrigin, Origins};
pub use refresh::{Refresh, RefreshLayer};
pub use replay::{MapBody, MapBodyLayer, ReplayBody, map_body};
pub use session::{
    AmbiguousPolicy, BuildError, Event, Events, SelectSession, Session, SessionBuilder, Status,
    Unsaved,
};
pub use source::{Held, InvalidEndpoint, RefreshTokenGrant, SourceFn, TokenSource, source_fn};
pub use store::{
    Entry, Expected, Lease, MemoryStore, Record, StoreError, Stored, Swap, TokenStore, Version,
};
pub use token::{AccessToken, InvalidToken, RefreshToken, TokenSet};

/// The error of a layer: whatever the inner service failed with, or one of this crate's own errors.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
