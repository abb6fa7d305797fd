//! What a request holds while it waits for the refresh, and what it allocates.

use std::time::Duration;

use http::Uri;
use tokio::task::JoinHandle;
use tower::Layer;
use tower_http::auth::AddAuthorizationLayer;

use crate::{
    api::Api,
    contenders::{self, Contender, Ideal, Stack},
    memory::Snapshot,
    storm::{Arena, ORIGIN},
    tokens::{self, Issuer},
};

/// What parked requests hold, for each of them.
pub(crate) struct Parked {
    pub(crate) bytes: f64,
    /// The sizes of the blocks that each of them has.
    pub(crate) blocks: Vec<usize>,
}

/// What one request allocates from beginning to end.
pub(crate) struct Allocations {
    /// A request that B sends once, and that is accepted.
    pub(crate) plain: f64,
    /// Two sends and one shared wait.
    pub(crate) ideal: f64,
    pub(crate) stormed: f64,
    /// One that goes out through our layers with a valid token, and is accepted.
    pub(crate) calm: f64,
}

/// Requests in flight through B: a constant token, and an API that has not answered yet.
pub(crate) fn in_flight(n: usize) -> Parked {
    Arena::new(1).block_on(async move {
        // One more would let all of them go.
        let api = Api::new(n + 1);
        let parked = park(&plain(&tokens::old(), api.clone()), n).await;
        assert_eq!(api.sends(), n);
        parked
    })
}

/// Requests that were all rejected, by `api`, and wait for the refresh.
pub(crate) fn waiting(n: usize, api: Api) -> Parked {
    Arena::new(1).block_on(async move {
        let issuer = Issuer::stuck();
        let session = contenders::session(&issuer, ORIGIN).await;
        let parked = park(&contenders::ours(session, api.clone(), uri()), n).await;
        assert_eq!(api.sends(), n, "all were rejected, none was sent again");
        assert_eq!(issuer.refreshes(), 0);
        parked
    })
}

async fn park(contender: &impl Contender, n: usize) -> Parked {
    let mut tasks: Vec<JoinHandle<bool>> = Vec::with_capacity(n);
    let before = Snapshot::take();
    tasks.extend((0..n).map(|_| tokio::spawn(contender.task())));
    settle().await;
    let after = Snapshot::take();
    assert!(tasks.iter().all(|task| !task.is_finished()), "a request did not wait");
    let bytes = after.bytes_since(&before) as f64 / n as f64;
    tasks.iter().for_each(JoinHandle::abort);
    Parked { bytes, blocks: after.blocks_since(&before, n) }
}

/// Until every task has nothing left to do: the runtime looks at its timer only now and then while
/// tasks are ready, and the last time when none is.
async fn settle() {
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn allocations(n: usize) -> Allocations {
    let arena = Arena::new(1);
    arena.block_on(async move {
        let plain = count(&plain(&tokens::new(), Api::new(n)), n).await;
        let issuer = Issuer::default();
        let ideal = count(&Ideal::new(&issuer, Api::new(n), uri()), n).await;
        let issuer = Issuer::default();
        let session = contenders::session(&issuer, ORIGIN).await;
        let ours = contenders::ours(session, Api::new(n), uri());
        let stormed = count(&ours, n).await;
        let calm = count(&ours, n).await;
        assert_eq!(issuer.refreshes(), 1);
        Allocations { plain, ideal, stormed, calm }
    })
}

async fn count(contender: &impl Contender, n: usize) -> f64 {
    let mut tasks: Vec<JoinHandle<bool>> = Vec::with_capacity(n);
    let before = Snapshot::take();
    tasks.extend((0..n).map(|_| tokio::spawn(contender.task())));
    for task in tasks {
        assert!(task.await.unwrap_or(false), "a request failed");
    }
    Snapshot::take().allocations_since(&before) as f64 / n as f64
}

fn plain(
    token: &tower_reauth::AccessToken,
    api: Api,
) -> Stack<tower_http::auth::AddAuthorization<Api>> {
    let service = AddAuthorizationLayer::bearer(token.expose_secret()).layer(api);
    Stack { service, uri: uri() }
}

fn uri() -> Uri {
    Uri::from_static("https://api.example.com/v1/orders")
}
