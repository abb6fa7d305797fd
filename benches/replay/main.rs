//! What it costs to keep a request for its replay while the token is valid, and to replay it, beside a
//! constant header and the clients that people write.
//!
//! ```console
//! $ cargo bench --bench replay
//! ```
//!
//! Criterion's report is at `target/criterion/report/index.html`. `cargo bench -- --test` runs each case
//! once. How many instructions it is, which does not depend on what else the machine does, is counted by
//! `benches/instructions`.

mod challenged;
#[path = "../support/frames.rs"]
mod frames;
mod kept;
mod streamed;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, StatusCode};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder};
use tower_reauth::{Auth, AuthLayer, BoxError, Refresh, RefreshLayer, Session};

use crate::support::Fresh;

type Body = Full<Bytes>;

const TOKEN: usize = 900;

fn accept(_: &HeaderMap) -> StatusCode {
    StatusCode::OK
}

async fn no_other() -> Result<Fresh, BoxError> {
    Err("there is no other token".into())
}

/// The two layers over `inner`.
fn stack<S>(session: &Session, inner: S) -> Refresh<Auth<S>> {
    ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .service(AuthLayer::new(session.clone()).layer(inner))
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = benches;
    config = short();
    targets = kept::in_memory, kept::over_loopback, streamed::in_memory, challenged::in_memory
}
criterion_main!(benches);
