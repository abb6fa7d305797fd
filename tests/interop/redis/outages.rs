//! Redis is down, comes back, stands still, or refuses: a typed error in time, and no harm done.

use std::time::Duration;

use futures::FutureExt;
use tower_reauth::{Expected, RedisStore, StoreError, TokenStore};

use super::{cutter::Cutter, done, record, server::Redis, stored};
use crate::support::soon;

const LIMIT: Duration = Duration::from_millis(300);

/// Every call, and what it ends with.
async fn every_call(store: &RedisStore) -> [StoreError; 4] {
    soon(async {
        [
            store.load().await.expect_err("it cannot be read"),
            store.lease().await.expect_err("nobody can say who has it"),
            store.compare_and_store(Expected::Any, record("2")).await.expect_err("no save"),
            store.compare_and_bury(Expected::Any).await.expect_err("no burial"),
        ]
    })
    .await
}

async fn is_down(store: &RedisStore) {
    for error in every_call(store).await {
        assert!(error.is_unavailable(), "{error}");
    }
}

async fn is_up(store: &RedisStore) {
    drop(soon(store.lease()).await.unwrap());
    done(soon(store.compare_and_store(Expected::Any, record("1"))).await.unwrap());
    assert_eq!(stored(store).await.as_deref(), Some("access-1"));
}

#[tokio::test]
async fn a_redis_that_is_not_there_yet_is_found_when_it_is() {
    let mut redis = Redis::stopped(&[]);
    let store = redis.store("alice");
    is_down(&store).await;
    redis.run().await;
    is_up(&store).await;
}

#[tokio::test]
async fn a_redis_that_went_away_is_found_when_it_comes_back() {
    let mut redis = Redis::start().await;
    let store = redis.store("alice");
    is_up(&store).await;
    redis.kill().await;
    is_down(&store).await;
    redis.run().await;
    assert!(store.load().await.unwrap().is_none(), "it lost the record, and says so");
    is_up(&store).await;
}

#[tokio::test]
async fn a_redis_that_stands_still_is_not_waited_for() {
    let redis = Redis::start().await;
    let known = redis.store("alice").time_limit(LIMIT);
    is_up(&known).await;
    let new = redis.store("alice").time_limit(LIMIT);
    redis.freeze().await;
    is_down(&known).await;
    is_down(&new).await;
    redis.thaw().await;
    is_up(&known).await;
    is_up(&new).await;
}

/// What is listened to is not asked whether it still lives.
#[tokio::test]
async fn a_waiter_notices_that_redis_went_away() {
    let mut redis = Redis::start().await;
    let held = redis.store("alice").lease().await.unwrap();
    let store = redis.store("alice").poll_interval(Duration::from_millis(50));
    let waiter = tokio::spawn(async move { store.lease().await });
    redis.says(&["CLIENT", "LIST", "TYPE", "pubsub"], |list: String| !list.is_empty()).await;
    redis.kill().await;
    assert!(soon(waiter).await.unwrap().unwrap_err().is_unavailable());
    drop(held);
}

#[tokio::test]
async fn calls_that_are_given_up_on_a_still_redis_leave_no_connections() {
    let redis = Redis::start().await;
    let store = redis.store("alice").time_limit(LIMIT);
    is_up(&store).await;
    redis.freeze().await;
    let calls = (0..200).map(|_| store.load());
    for answer in soon(futures::future::join_all(calls)).await {
        assert!(answer.unwrap_err().is_unavailable());
    }
    redis.thaw().await;
    is_up(&store).await;
    soon(async {
        while redis.connections().await > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// An idle connection is cut by servers, balancers and address translation.
#[tokio::test]
async fn a_connection_that_was_cut_is_made_again_unnoticed() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let cut = async || {
        let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
    };
    is_up(&store).await;
    cut().await;
    assert_eq!(stored(&store).await.as_deref(), Some("access-1"));
    cut().await;
    done(store.compare_and_store(Expected::Any, record("2")).await.unwrap());
    cut().await;
    drop(store.lease().await.unwrap());
    cut().await;
    done(store.compare_and_bury(Expected::Any).await.unwrap());
}

#[tokio::test]
async fn scripts_that_redis_forgot_are_loaded_again() {
    let redis = Redis::start().await;
    let store = redis.store("alice").lease_duration(Duration::from_millis(150));
    is_up(&store).await;
    let lease = store.lease().await.unwrap();
    for _ in 0..3 {
        let () = redis.ask(&["SCRIPT", "FLUSH"]).await;
        done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
        let () = redis.ask(&["SCRIPT", "FLUSH"]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let () = redis.ask(&["SCRIPT", "FLUSH"]).await;
    drop(lease);
    is_up(&store).await;
}

#[tokio::test]
async fn a_full_redis_is_read_and_written_to_again_when_it_has_room() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    is_up(&store).await;
    let () = redis.ask(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(stored(&store).await.as_deref(), Some("access-1"));
    assert!(store.lease().await.unwrap_err().is_unavailable());
    let saved = store.compare_and_store(Expected::Any, record("2")).await;
    assert!(saved.unwrap_err().is_unavailable());
    assert_eq!(stored(&store).await.as_deref(), Some("access-1"));
    let () = redis.ask(&["CONFIG", "SET", "maxmemory", "0"]).await;
    is_up(&store).await;
}

#[tokio::test]
async fn a_replica_takes_no_writes_until_it_is_promoted() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    is_up(&store).await;
    // Its master is nowhere.
    let () = redis.ask(&["REPLICAOF", "127.0.0.1", "1"]).await;
    assert!(store.lease().await.unwrap_err().is_unavailable());
    let saved = store.compare_and_store(Expected::Any, record("2")).await;
    assert!(saved.unwrap_err().is_unavailable());
    let () = redis.ask(&["REPLICAOF", "NO", "ONE"]).await;
    is_up(&store).await;
}

/// One that gives up in the middle leaves a lease that was granted to nobody for no longer than a moment.
#[tokio::test]
async fn a_lease_whose_grant_got_lost_is_given_back() {
    let redis = Redis::start().await;
    let store = redis.store("alice").time_limit(LIMIT).lease_duration(Duration::from_secs(3600));
    is_up(&store).await;
    redis.freeze().await;
    let asked = store.lease();
    assert!(soon(asked).await.unwrap_err().is_unavailable());
    redis.thaw().await;
    drop(soon(redis.store("alice").lease()).await.unwrap());
}

/// A program may end after that, and nobody should have to wait for what it had asked for.
#[tokio::test]
async fn a_store_is_settled_once_a_lease_that_nobody_waits_for_is_given_back() {
    let redis = Redis::start().await;
    let store = redis.store("alice").lease_duration(Duration::from_secs(3600));
    let store = store.time_limit(Duration::from_secs(60));
    is_up(&store).await;
    store.settle().await;
    redis.freeze().await;
    let mut asked = Box::pin(store.lease());
    assert!(asked.as_mut().now_or_never().is_none());
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(asked);
    let mut settled = Box::pin(store.settle());
    assert!(settled.as_mut().now_or_never().is_none());
    redis.thaw().await;
    soon(settled).await;
    let left: i64 = redis.ask(&["EXISTS", "tower-reauth:{alice}:lease"]).await;
    assert_eq!(left, 0);
}

/// Redis did it, and nobody heard: it is asked again, and says the same.
#[tokio::test]
async fn what_was_done_and_not_heard_of_is_done_once() {
    let redis = Redis::start().await;
    let cutter = Cutter::before(redis.socket()).await;
    let store = RedisStore::open(&cutter.url(), "alice").unwrap();
    let store = store.lease_duration(Duration::from_secs(3600)).poll_interval(LIMIT);
    is_up(&store).await;

    let version = store.load().await.unwrap().unwrap().version;
    cutter.lose_an_answer();
    let saved = store.compare_and_store(Expected::Version(version), record("2")).await;
    assert!(cutter.has_lost_it());
    let saved = done(saved.unwrap());
    assert_eq!(store.load().await.unwrap().unwrap().version, saved);
    assert_eq!(stored(&store).await.as_deref(), Some("access-2"));

    cutter.lose_an_answer();
    let lease = soon(store.lease()).await.unwrap();
    assert!(cutter.has_lost_it());
    cutter.lose_an_answer();
    drop(lease);
    drop(soon(redis.store("alice").lease()).await.unwrap());
    assert!(cutter.has_lost_it());
}
