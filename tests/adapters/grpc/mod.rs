//! tonic's client through the layers, to tonic's server.

mod calls;
mod chat;
mod failures;
mod origins;
mod raw;
mod storm;
mod streams;
mod trailers;
mod words;
mod world;
