//! Stores and adapters, each against a counterpart in this process: one of them a file or a folder.

#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "reqwest")]
mod reqwest;
#[cfg(feature = "sealed")]
mod sealed;
