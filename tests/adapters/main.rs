//! Stores and adapters, each against a counterpart in this process: one of them a file or a folder.

#[cfg(feature = "tonic")]
mod grpc;
#[cfg(feature = "sealed")]
mod sealed;
