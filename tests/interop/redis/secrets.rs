//! The password in the address, and whatever Redis says, are printed nowhere.

use std::error::Error;

use tower_reauth::{Expected, RedisStore, StoreError, TokenStore};

use super::{done, record, server::Redis, stored};

fn printed(error: &StoreError) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text} {error} {error:?} {error:#?}");
        source = error.source();
    }
    text
}

fn assert_clean(text: &str) {
    assert!(!text.to_lowercase().contains("canary"), "{text}");
}

async fn every_error(store: &RedisStore) -> Vec<StoreError> {
    let saved = store.compare_and_store(Expected::Any, record("canary")).await;
    let buried = store.compare_and_bury(Expected::Any).await;
    [store.load().await.err(), store.lease().await.err(), saved.err(), buried.err()]
        .into_iter()
        .flatten()
        .collect()
}

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_is_an_outage_without_a_word_of_it() {
    let redis = Redis::with(&["--requirepass", "good-canary"]).await;
    let open = |url: &str| RedisStore::open(url, "canary").unwrap();
    let right = open(&redis.url_of("default", "good-canary"));
    done(right.compare_and_store(Expected::Any, record("1")).await.unwrap());
    assert_eq!(stored(&right).await.as_deref(), Some("access-1"));
    for url in [redis.url_of("default", "bad-canary"), redis.url(), redis.url_of("canary", "x")] {
        let store = open(&url);
        let errors = every_error(&store).await;
        assert_eq!(errors.len(), 4);
        for error in errors {
            assert!(error.is_unavailable());
            assert_clean(&printed(&error));
            assert!(printed(&error).contains("password"), "{}", printed(&error));
        }
        assert_clean(&format!("{store:?} {store:#?}"));
    }
}

/// The password may be changed while programs run: a store with a `Client` of its own asks for no restart
/// of Redis, and goes on when the old one is good again.
#[tokio::test]
async fn a_password_that_is_no_longer_good_is_an_outage() {
    let redis = Redis::start().await;
    let () = redis.ask(&["ACL", "SETUSER", "app", "on", ">canary-1", "~*", "&*", "+@all"]).await;
    let store = RedisStore::open(&redis.url_of("app", "canary-1"), "alice").unwrap();
    done(store.compare_and_store(Expected::Any, record("1")).await.unwrap());
    let () = redis.ask(&["ACL", "SETUSER", "app", "<canary-1"]).await;
    let _: i64 = redis.ask(&["CLIENT", "KILL", "USER", "app"]).await;
    for error in every_error(&store).await {
        assert!(error.is_unavailable());
        assert_clean(&printed(&error));
    }
    let () = redis.ask(&["ACL", "SETUSER", "app", ">canary-1"]).await;
    assert_eq!(stored(&store).await.as_deref(), Some("access-1"));
}

#[tokio::test]
async fn an_address_that_is_none_is_an_error_without_a_word_of_it() {
    let addresses = [
        "",
        "canary",
        "https://user:canary@redis.example.com",
        "redis://user:canary@redis.example.com/canary",
        "redis://user:canary@redis.example.com:canary",
        "redis://",
        // Without a feature for TLS nothing goes out in the clear instead.
        "rediss://user:canary@127.0.0.1:1",
    ];
    for address in addresses {
        let errors = match RedisStore::open(address, "canary") {
            Err(error) => vec![error],
            Ok(store) => every_error(&store).await,
        };
        assert!(!errors.is_empty(), "{address}");
        for error in errors {
            assert!(error.is_unavailable(), "{address}");
            assert_clean(&printed(&error));
        }
    }
}

#[tokio::test]
async fn nothing_of_what_redis_holds_is_printed() {
    let redis = Redis::start().await;
    let store = redis.store("alice");
    let key = "tower-reauth:{alice}:record";
    for text in
        ["canary", r#"{"format":"canary"}"#, r#"{"format":"tower-reauth record","canary":1}"#]
    {
        let () = redis.ask(&["SET", key, text]).await;
        for error in every_error(&store).await {
            assert!(error.is_corrupt());
            assert_clean(&printed(&error));
        }
    }
}
