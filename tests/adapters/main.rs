//! Stores and adapters, each against a counterpart in this process: one of them a file or a folder.

#[cfg(feature = "base-url")]
mod base_url;
#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "inspect-body")]
mod inspect;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "sealed")]
mod sealed;
