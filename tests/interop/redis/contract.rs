//! The suite that every store passes, over connections of each kind.

use std::sync::atomic::{AtomicU32, Ordering};

use tower_reauth::{RedisStore, Sealed, SealingKey, testing::store_contract};

use super::server::Redis;
use crate::support::soon;

fn names() -> impl Fn() -> String {
    let number = AtomicU32::new(0);
    move || format!("session {}", number.fetch_add(1, Ordering::Relaxed))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_keeps_the_contract() {
    let (redis, name) = (Redis::start().await, names());
    let fresh = || async {
        let name = name();
        (redis.store(&name), redis.store(&name))
    };
    soon(store_contract(fresh)).await;
}

#[tokio::test]
async fn handles_over_one_connection_keep_the_contract() {
    let (redis, name) = (Redis::start().await, names());
    let first = redis.store("first");
    let fresh = || async {
        let store = first.session(&name());
        (store.clone(), store)
    };
    soon(store_contract(fresh)).await;
    assert!(redis.connections().await <= 2, "one, and one that listens");
}

/// Neither may a message be sent, nor is one heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_without_publish_and_subscribe() {
    let (redis, name) = (Redis::start().await, names());
    let rights = ["on", ">secret", "~*", "+@all", "resetchannels"];
    let () = redis.ask(&[&["ACL", "SETUSER", "mute"], &rights[..]].concat()).await;
    let url = redis.url_of("mute", "secret");
    let fresh = || async {
        let name = name();
        let open = || {
            let store = RedisStore::open(&url, &name).unwrap();
            store.poll_interval(std::time::Duration::from_millis(20))
        };
        (open(), open())
    };
    soon(store_contract(fresh)).await;
}

/// Rights as the documentation lists them.
#[tokio::test]
async fn a_user_with_the_documented_rights_keeps_the_contract() {
    let (redis, name) = (Redis::start().await, names());
    let rights = "on >secret ~tower-reauth:* resetchannels &tower-reauth:* -@all +get +set +del +incr \
                  +pttl +pexpire +evalsha +script|load +publish +subscribe";
    let words: Vec<_> =
        ["ACL", "SETUSER", "narrow"].into_iter().chain(rights.split_whitespace()).collect();
    let () = redis.ask(&words).await;
    let url = redis.url_of("narrow", "secret");
    let fresh = || async {
        let name = name();
        (RedisStore::open(&url, &name).unwrap(), RedisStore::open(&url, &name).unwrap())
    };
    soon(store_contract(fresh)).await;
}

#[tokio::test]
async fn a_client_of_the_third_protocol_keeps_the_contract() {
    let (redis, name) = (Redis::start().await, names());
    let url = format!("{}?protocol=resp3", redis.url());
    let fresh = || async {
        let name = name();
        (RedisStore::open(&url, &name).unwrap(), RedisStore::open(&url, &name).unwrap())
    };
    soon(store_contract(fresh)).await;
}

#[tokio::test]
async fn what_is_encrypted_keeps_the_contract() {
    let (redis, name) = (Redis::start().await, names());
    let fresh = || async {
        let name = name();
        let open = || {
            let key = SealingKey::from_bytes("key", [7; 32]).unwrap();
            Sealed::new(redis.store(&name), key, &*name)
        };
        (open(), open())
    };
    soon(store_contract(fresh)).await;
}
