//! What is in Redis: names, lives, and what somebody else put there.

use std::time::Duration;

use tower_reauth::{Expected, RedisStore, Swap, TokenStore, Version};

use super::{done, record, server::Redis, stored};
use crate::support::soon;

const KEYS: [&str; 3] =
    ["tower-reauth:{alice}:record", "tower-reauth:{alice}:lease", "tower-reauth:{alice}:fence"];

#[tokio::test]
async fn the_keys_are_those_of_the_documentation() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    let lease = store.lease().await.unwrap();
    let mut keys: Vec<String> = redis.ask(&["KEYS", "*"]).await;
    keys.sort();
    let mut documented = KEYS;
    documented.sort();
    assert_eq!(keys, documented);
    let text: String = redis.ask(&["GET", KEYS[0]]).await;
    assert!(text.starts_with(r#"{"format":"tower-reauth record""#));
    assert_eq!(redis.ask::<String>(&["GET", KEYS[2]]).await, "1");
    drop(lease);
    redis.says(&["EXISTS", KEYS[1]], |there: i64| there == 0).await;
}

#[tokio::test]
async fn a_prefix_and_a_session_with_braces_are_names_all_the_same() {
    let redis = Redis::start().await;
    let store = redis.store("{a}").prefix("my{app}:");
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    let keys: Vec<String> = redis.ask(&["KEYS", "*"]).await;
    assert_eq!(keys, ["my%7Bapp%7D:{%7Ba%7D}:record"]);
    assert_eq!(stored(&store.session("b").session("{a}")).await.as_deref(), Some("access-1"));
    assert_eq!(stored(&store.session("b")).await, None);
}

#[tokio::test]
async fn in_a_cluster_all_keys_of_a_session_are_in_one_slot() {
    let redis = Redis::cluster().await;
    let () = redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]).await;
    redis.says(&["CLUSTER", "INFO"], |info: String| info.contains("cluster_state:ok")).await;
    let slots = async |name: &str| {
        let mut slots = Vec::new();
        for key in KEYS {
            let key = key.replace("alice", name);
            slots.push(redis.ask::<u16>(&["CLUSTER", "KEYSLOT", &key]).await);
        }
        slots.dedup();
        slots
    };
    for name in ["alice", "bob", "c:d", "%7B"] {
        assert_eq!(slots(name).await.len(), 1, "{name}");
    }
    let other = redis.store("bob");
    for store in [redis.store("alice"), other, redis.store("}{")] {
        let lease = store.lease().await.unwrap();
        let version = done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
        done(store.compare_and_bury(Expected::Version(version)).await.unwrap());
        drop(lease);
        drop(soon(store.lease()).await.unwrap());
    }
}

#[tokio::test]
async fn a_slot_that_nobody_has_is_an_outage() {
    let redis = Redis::cluster().await;
    let store = redis.store("alice");
    assert!(store.load().await.unwrap_err().is_unavailable());
    assert!(store.lease().await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn nothing_but_a_lease_ends_by_itself_unless_it_is_told_to() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let lease = store.lease().await.unwrap();
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    assert_eq!(redis.ask::<i64>(&["PTTL", KEYS[0]]).await, -1);
    assert_eq!(redis.ask::<i64>(&["PTTL", KEYS[2]]).await, -1);
    let left: i64 = redis.ask(&["PTTL", KEYS[1]]).await;
    assert!((1..=5_000).contains(&left), "{left}");
    done(store.compare_and_bury(Expected::Any).await.unwrap());
    assert_eq!(redis.ask::<i64>(&["PTTL", KEYS[0]]).await, -1);
    drop(lease);
}

#[tokio::test]
async fn records_and_tombstones_have_lives_of_their_own() {
    let redis = Redis::start().await;
    let hour = Duration::from_secs(3600);
    let store = redis.store("alice").record_ttl(hour).tombstone_ttl(2 * hour);
    let lease = store.lease().await.unwrap();
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    let within = |left: i64, hours: i64| {
        assert!((hours * 3_600_000 - 60_000..=hours * 3_600_000).contains(&left), "{left}");
    };
    within(redis.ask(&["PTTL", KEYS[0]]).await, 1);
    within(redis.ask(&["PTTL", KEYS[2]]).await, 1);
    done(store.compare_and_bury(Expected::Any).await.unwrap());
    within(redis.ask(&["PTTL", KEYS[0]]).await, 2);
    let store = store.tombstone_ttl(None).record_ttl(Duration::ZERO);
    done(store.compare_and_bury(Expected::Any).await.unwrap());
    assert_eq!(redis.ask::<i64>(&["PTTL", KEYS[0]]).await, -1);
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    redis.says(&["EXISTS", KEYS[0]], |there: i64| there == 0).await;
    let store = store.record_ttl(Duration::MAX);
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    drop(lease);
}

async fn is_left_alone(redis: &Redis, store: &RedisStore, what: &str) {
    let there: Vec<u8> = redis.ask(&["DUMP", KEYS[0]]).await;
    assert!(store.load().await.unwrap_err().is_corrupt(), "{what}");
    for expected in [Expected::Any, Expected::Absent] {
        let saved = store.compare_and_store(expected, record("1")).await;
        assert!(saved.unwrap_err().is_corrupt(), "{what}");
        assert!(store.compare_and_bury(expected).await.unwrap_err().is_corrupt(), "{what}");
    }
    assert_eq!(redis.ask::<Vec<u8>>(&["DUMP", KEYS[0]]).await, there, "{what}");
}

#[tokio::test]
async fn what_is_no_record_is_left_as_it_is() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    for text in
        ["", "a shopping list", "{}", r#"{"format":"tower-reauth record","format_version":2}"#]
    {
        let () = redis.ask(&["SET", KEYS[0], text]).await;
        is_left_alone(&redis, &store, text).await;
    }
    let () = redis.ask(&["DEL", KEYS[0]]).await;
    let _: i64 = redis.ask(&["RPUSH", KEYS[0], "eggs"]).await;
    is_left_alone(&redis, &store, "a list").await;
    let _: i64 = redis.ask(&["RPUSH", KEYS[1], "milk"]).await;
    assert!(store.lease().await.unwrap_err().is_corrupt());
    assert_eq!(redis.ask::<String>(&["TYPE", KEYS[1]]).await, "list");
}

#[tokio::test]
async fn a_damaged_record_is_mended_by_a_login_alone() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let damaged = r#"{"format":"tower-reauth record","format_version":1,"version":7}"#;
    let () = redis.ask(&["SET", KEYS[0], damaged]).await;
    assert!(store.load().await.unwrap_err().is_corrupt());
    for expected in [Expected::Absent, Expected::Version(Version::new(7))] {
        let saved = store.compare_and_store(expected, record("1")).await;
        assert!(saved.unwrap_err().is_corrupt());
        assert!(store.compare_and_bury(expected).await.unwrap_err().is_corrupt());
    }
    done(store.compare_and_store(Expected::Any, record("2")).await.unwrap());
    assert_eq!(stored(&store).await.as_deref(), Some("access-2"));
}

#[tokio::test]
async fn members_that_a_later_version_wrote_are_kept() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let version = done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    let text: String = redis.ask(&["GET", KEYS[0]]).await;
    let () = redis.ask(&["SET", KEYS[0], &text.replacen('{', r#"{"colour":"blue","#, 1)]).await;
    let expected = Expected::Version(version);
    assert!(matches!(store.compare_and_store(expected, record("2")).await, Ok(Swap::Done(_))));
    let text: String = redis.ask(&["GET", KEYS[0]]).await;
    assert!(text.contains(r#""colour":"blue""#) && text.contains("access-2"), "{text}");
}
