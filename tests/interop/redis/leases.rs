//! The lease: one that is renewed is kept, one whose holder vanished passes.

use std::time::Duration;

use tower_reauth::{Lease, RedisStore, TokenStore};

use super::server::Redis;
use crate::support::soon;

const LEASE: &str = "tower-reauth:{alice}:lease";
const FENCE: &str = "tower-reauth:{alice}:fence";

const SHORT: Duration = Duration::from_millis(300);

/// A lease that nobody renews and nobody gives back: that of a process that was killed.
fn vanished(store: &RedisStore) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lease = runtime.block_on(store.lease()).unwrap();
    drop(runtime);
    drop(lease);
}

async fn is_withheld(store: &RedisStore, watched: Duration) {
    let granted: Result<Result<Lease, _>, _> = tokio::time::timeout(watched, store.lease()).await;
    assert!(granted.is_err(), "a second lease was granted");
}

#[tokio::test]
async fn the_lease_of_a_killed_holder_passes_after_its_duration() {
    let redis = Redis::start().await;
    let killed = redis.store("alice").lease_duration(SHORT);
    std::thread::scope(|scope| scope.spawn(|| vanished(&killed)).join().unwrap());
    let others = redis.store("alice").poll_interval(Duration::from_secs(3600));
    drop(soon(others.lease()).await.unwrap());
    assert_eq!(redis.ask::<String>(&["GET", FENCE]).await, "2");
}

/// P1: as in each process of a program that seeds it when it starts.
#[tokio::test]
async fn who_draws_the_same_random_numbers_is_not_taken_for_the_holder() {
    let redis = Redis::start().await;
    fastrand::seed(7);
    let lease = redis.store("alice").lease().await.unwrap();
    fastrand::seed(7);
    is_withheld(&redis.store("alice").poll_interval(SHORT / 10), SHORT).await;
    drop(lease);
}

#[tokio::test]
async fn a_slow_holder_keeps_its_lease() {
    let redis = Redis::start().await;
    let slow = redis.store("alice").lease_duration(SHORT);
    let lease = slow.lease().await.unwrap();
    let owner: String = redis.ask(&["GET", LEASE]).await;
    is_withheld(&redis.store("alice").poll_interval(SHORT / 10), 4 * SHORT).await;
    assert_eq!(redis.ask::<String>(&["GET", LEASE]).await, owner);
    drop(lease);
    drop(soon(redis.store("alice").lease()).await.unwrap());
}

#[tokio::test]
async fn a_slow_holder_keeps_its_lease_though_redis_lost_everything() {
    let mut redis = Redis::start().await;
    let slow = redis.store("alice").lease_duration(SHORT);
    drop(slow.lease().await.unwrap());
    let lease = soon(slow.lease()).await.unwrap();
    let owner: String = redis.ask(&["GET", LEASE]).await;
    redis.restart_empty().await;
    redis.says(&["GET", LEASE], |holder: Option<String>| holder.as_ref() == Some(&owner)).await;
    assert_eq!(redis.ask::<String>(&["GET", FENCE]).await, "2");
    is_withheld(&redis.store("alice").poll_interval(SHORT / 10), 2 * SHORT).await;
    drop(lease);
    redis.says(&["EXISTS", LEASE], |there: i64| there == 0).await;
}

/// It neither takes the lease from the one who was granted it, nor gives it back in their place.
#[tokio::test]
async fn a_holder_that_was_overtaken_takes_nothing() {
    let redis = Redis::start().await;
    let late = redis.store("alice").lease_duration(SHORT);
    let lease = late.lease().await.unwrap();
    let () = redis.ask(&["DEL", LEASE]).await;
    let theirs = soon(redis.store("alice").lease()).await.unwrap();
    let owner: String = redis.ask(&["GET", LEASE]).await;
    tokio::time::sleep(2 * SHORT).await;
    drop(lease);
    tokio::time::sleep(SHORT).await;
    assert_eq!(redis.ask::<String>(&["GET", LEASE]).await, owner);
    drop(theirs);
}

/// A later lease came and went: who had the earlier one does not take it up again.
#[tokio::test]
async fn a_lease_that_lapsed_is_not_taken_up_again_after_another() {
    let redis = Redis::start().await;
    let late = redis.store("alice").lease_duration(SHORT);
    let lease = late.lease().await.unwrap();
    let () = redis.ask(&["DEL", LEASE]).await;
    drop(soon(redis.store("alice").lease()).await.unwrap());
    tokio::time::sleep(2 * SHORT).await;
    assert_eq!(redis.ask::<i64>(&["EXISTS", LEASE]).await, 0);
    drop(lease);
}

#[tokio::test]
async fn a_lease_is_given_back_wherever_it_is_dropped() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let lease = store.lease().await.unwrap();
    std::thread::spawn(move || drop(lease)).join().unwrap();
    drop(soon(redis.store("alice").lease()).await.unwrap());
}

#[tokio::test]
async fn a_runtime_that_ends_takes_its_connection_along_and_the_next_makes_another() {
    let redis = Redis::start().await;
    let store = redis.store("alice").lease_duration(SHORT);
    std::thread::scope(|scope| scope.spawn(|| vanished(&store)).join().unwrap());
    assert!(store.load().await.unwrap().is_none());
    drop(soon(store.lease()).await.unwrap());
}

#[test]
fn without_a_runtime_it_is_unavailable() {
    let store = RedisStore::open("unix:///nowhere", "alice").unwrap();
    for _ in 0..2 {
        let loaded = futures::executor::block_on(store.load());
        assert!(loaded.unwrap_err().is_unavailable());
        assert!(futures::executor::block_on(store.lease()).unwrap_err().is_unavailable());
    }
}
