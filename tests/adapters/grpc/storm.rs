//! A thousand calls in flight.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::try_join_all;
use tokio::sync::Semaphore;
use tonic_health::pb::HealthCheckRequest;

use super::world::{World, soon};

const CALLS: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_in_flight_when_the_token_is_revoked_share_a_refresh_and_all_succeed() {
    let world = World::new();
    let session = world.session();
    let client = world.health(&session);

    // The server holds each call until all are there, then revokes the token that they all carry.
    let arrived = Arc::new(AtomicUsize::new(0));
    let all_there = Arc::new(Semaphore::new(0));
    world.door.hold({
        let (arrived, authorization) = (arrived.clone(), world.authorization.clone());
        move || {
            let nth = arrived.fetch_add(1, Ordering::AcqRel) + 1;
            if nth == CALLS {
                authorization.revoke_access_tokens();
                all_there.close();
            }
            let all_there = all_there.clone();
            // An error says that it was closed.
            async move { drop(all_there.acquire().await) }
        }
    });

    let calls = (0..CALLS).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move { client.check(HealthCheckRequest::default()).await })
    });
    for answer in soon(try_join_all(calls.collect::<Vec<_>>())).await.unwrap() {
        assert_eq!(answer.unwrap().get_ref().status, 1);
    }
    assert_eq!(world.door.requests(), 2 * CALLS);
    assert_eq!((world.authorization.token_requests(), world.authorization.reused()), (1, 0));
}
