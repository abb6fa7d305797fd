//! Waiting for a lease: woken by a message, by the clock otherwise, and gone without a trace.

use std::time::Duration;

use futures::future::join_all;
use tower_reauth::{Lease, RedisStore, StoreError, TokenStore};

use super::server::Redis;
use crate::support::soon;

const CHANNEL: &str = "tower-reauth:{alice}:released";
const HOUR: Duration = Duration::from_secs(3600);

/// One who waits, and who will not ask again by themselves.
fn waiting(store: &RedisStore) -> tokio::task::JoinHandle<Result<Lease, StoreError>> {
    let store = store.clone().poll_interval(HOUR);
    tokio::spawn(async move { store.lease().await })
}

async fn listeners(redis: &Redis, number: i64) {
    let heard = |(_, listeners): (String, i64)| listeners == number;
    redis.says(&["PUBSUB", "NUMSUB", CHANNEL], heard).await;
}

#[tokio::test]
async fn a_waiter_is_woken_when_the_lease_is_given_back() {
    let redis = Redis::start().await;
    let held = redis.store("alice").lease_duration(HOUR).lease().await.unwrap();
    let waiter = waiting(&redis.store("alice"));
    listeners(&redis, 1).await;
    drop(held);
    drop(soon(waiter).await.unwrap().unwrap());
    listeners(&redis, 0).await;
}

#[tokio::test]
async fn a_waiter_that_is_to_be_woken_alone_waits() {
    let redis = Redis::start().await;
    let held = redis.store("alice").lease_duration(HOUR).lease().await.unwrap();
    let store = redis.store("alice").poll_interval(Duration::MAX);
    let waiter = tokio::spawn(async move { store.lease().await });
    listeners(&redis, 1).await;
    drop(held);
    drop(soon(waiter).await.unwrap().unwrap());
}

/// Whatever the moment is: before it asks, before it listens, after that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_given_back_at_any_moment_wakes_the_waiter() {
    let redis = Redis::start().await;
    let (one, other) = (redis.store("alice").lease_duration(HOUR), redis.store("alice"));
    for step in 0..60 {
        let held = soon(one.lease()).await.unwrap();
        let waiter = waiting(&other.clone().lease_duration(HOUR));
        tokio::time::sleep(Duration::from_micros(100 * step)).await;
        drop(held);
        drop(soon(waiter).await.unwrap().unwrap());
    }
}

#[tokio::test]
async fn waiters_of_one_process_all_have_their_turn() {
    let redis = Redis::start().await;
    let store = redis.store("alice").lease_duration(HOUR);
    let held = store.lease().await.unwrap();
    let waiters: Vec<_> = (0..16).map(|_| waiting(&store)).collect();
    listeners(&redis, 1).await;
    drop(held);
    let turns = waiters.into_iter().map(async |waiter| drop(waiter.await.unwrap().unwrap()));
    soon(join_all(turns)).await;
    listeners(&redis, 0).await;
}

#[tokio::test]
async fn a_waiter_that_lost_its_ear_asks_again() {
    let redis = Redis::start().await;
    let held = redis.store("alice").lease_duration(HOUR).lease().await.unwrap();
    let store = redis.store("alice").poll_interval(Duration::from_millis(50));
    let waiter = tokio::spawn(async move { store.lease().await });
    listeners(&redis, 1).await;
    let () = redis.ask(&["ACL", "SETUSER", "default", "resetchannels"]).await;
    let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    drop(held);
    drop(soon(waiter).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_waiter_that_lost_its_ear_listens_again() {
    let redis = Redis::start().await;
    let held = redis.store("alice").lease_duration(HOUR).lease().await.unwrap();
    let waiter = waiting(&redis.store("alice"));
    listeners(&redis, 1).await;
    let _: i64 = redis.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]).await;
    drop(held);
    drop(soon(waiter).await.unwrap().unwrap());
}

#[tokio::test]
async fn a_waiter_that_leaves_leaves_nothing_behind() {
    let redis = Redis::start().await;
    let held = redis.store("alice").lease_duration(HOUR).lease().await.unwrap();
    let store = redis.store("alice");
    let (first, second) = (waiting(&store), waiting(&store));
    listeners(&redis, 1).await;
    let before = redis.connections().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    tokio::time::sleep(Duration::from_millis(50)).await;
    listeners(&redis, 1).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    listeners(&redis, 0).await;
    soon(async {
        while redis.connections().await >= before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    drop(held);
    drop(soon(redis.store("alice").lease()).await.unwrap());
}

#[tokio::test]
async fn however_many_wait_there_are_two_connections() {
    let redis = Redis::start().await;
    let holder = redis.store("none").lease_duration(HOUR);
    let store = redis.store("none");
    let mut held = Vec::new();
    let mut waiters = Vec::new();
    for number in 0..64 {
        let name = format!("session {number}");
        held.push(holder.session(&name).lease().await.unwrap());
        waiters.push(waiting(&store.session(&name)));
    }
    redis.says(&["PUBSUB", "CHANNELS"], |channels: Vec<String>| channels.len() == 64).await;
    assert_eq!(redis.connections().await, 3, "the holder's, the waiters', and one that listens");
    drop(held);
    for waiter in waiters {
        drop(soon(waiter).await.unwrap().unwrap());
    }
    redis.says(&["PUBSUB", "CHANNELS"], |channels: Vec<String>| channels.is_empty()).await;
}

/// That nobody may be told is no failure of the connection.
#[tokio::test]
async fn a_release_that_nobody_may_be_told_of_goes_over_the_same_connection() {
    let redis = Redis::start().await;
    let rights = ["ACL", "SETUSER", "mute", "on", ">secret", "~*", "+@all", "resetchannels"];
    let () = redis.ask(&rights).await;
    let store = RedisStore::open(&redis.url_of("mute", "secret"), "alice").unwrap();
    let connection = async || {
        let all: String = redis.ask(&["CLIENT", "LIST"]).await;
        let mute = all.lines().find(|line| line.contains("user=mute")).expect("it is connected");
        mute.split(' ').next().unwrap().to_owned()
    };
    drop(store.lease().await.unwrap());
    store.settle().await;
    let first = connection().await;
    drop(store.lease().await.unwrap());
    store.settle().await;
    assert!(store.load().await.unwrap().is_none());
    assert_eq!(connection().await, first);
}
