//! tonic's client through the layers, to servers of gRPC that are not tonic's.

mod c_core;
mod envoy;
mod gateway;
#[path = "../../adapters/grpc/words.rs"]
mod words;
