//! Stores and adapters, each against a counterpart in this process: one of them a file.

#[cfg(feature = "sealed")]
mod sealed;
