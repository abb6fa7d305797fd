//! Refreshing at a server that rotates refresh tokens, revokes the family of one that comes twice, or
//! keeps them.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tower_reauth::{Entry, Event, MemoryStore, Status, TokenStore};

use crate::{
    provider::Provider,
    support::{
        begin, builder, get, send, soon, stack, status_of, told, unanswered, unsent, userinfo,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_token_costs_256_callers_one_token_request() {
    let provider = Provider::new().await;
    let session = begin(&provider, provider.stale_login("pub").await).await;
    let client = stack(&session);

    let callers = (0..256).map(|_| {
        let (client, request) = (client.clone(), userinfo(&provider));
        tokio::spawn(async move { send(&client, request).await })
    });
    for answer in join_all(callers).await {
        assert_eq!(answer.unwrap().unwrap().body(), r#"{"sub":"alice"}"#);
    }
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
    assert_eq!(stats.path("/me", "200"), 256);
}

#[tokio::test]
async fn a_rotated_refresh_token_is_kept_for_the_next_start_and_used() {
    let provider = Provider::new().await;
    let seed = provider.stale_login("pub").await;
    let store = MemoryStore::new();
    for starts in 1..=3 {
        // The seed is spent after the first start: only the store has what the next one needs.
        let session = builder(&provider, seed.clone()).store(store.clone()).build().unwrap();
        assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
        provider.forget(&session.peek().unwrap()).await;
        assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
        session.close().await.unwrap();
        provider.forget(&session.peek().unwrap()).await;

        let refreshed = provider.stats().await;
        assert_eq!(refreshed.token_requests(), [format!("refresh_token 200 ×{}", 2 * starts)]);
        assert_eq!(refreshed.revoked, 0);
    }
}

#[tokio::test]
async fn a_refresh_token_that_was_used_elsewhere_ends_the_session_once() {
    let provider = Provider::new().await;
    let tokens = provider.stale_login("pub").await;
    let thief = begin(&provider, tokens.clone()).await;
    assert_eq!(send(&stack(&thief), userinfo(&provider)).await.unwrap().status(), 200);

    let session = begin(&provider, tokens).await;
    let mut events = session.events();
    let client = stack(&session);
    let answers = join_all((0..50).map(|_| send(&client, userinfo(&provider)))).await;
    for answer in answers {
        let error = match answer {
            Ok(challenge) => {
                assert_eq!(challenge.status(), 401);
                unanswered(&challenge)
            }
            unsent_request => unsent(unsent_request),
        };
        assert!(error.is_session_ended() && !error.was_ambiguous(), "{error:?}");
        assert_eq!(error.oauth_code(), Some("invalid_grant"));
    }
    assert!(unsent(send(&client, userinfo(&provider)).await).is_session_ended());
    assert_eq!(session.status(), Status::Ended);
    assert!(matches!(told(&mut events)[..], [Event::SessionEnded(_)]));

    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200", "refresh_token 400"]);
    assert_eq!(stats.revoked, 1);

    // A login is all it takes.
    session.login(provider.login("pub").await).await.unwrap();
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_refresh_token_that_stays_the_same_is_spent_again_and_again() {
    let provider = Provider::with(json!({ "rotate": false })).await;
    let session = begin(&provider, provider.stale_login("pub").await).await;
    let client = stack(&session);
    for _ in 0..3 {
        assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
        provider.forget(&session.peek().unwrap()).await;
    }
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×3"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn an_expired_token_is_answered_by_a_challenge_that_leads_to_a_refresh() {
    let provider = Provider::new().await;
    let tokens = provider.login("pub").await;
    let old = tokens.access().clone();
    let session = begin(&provider, tokens).await;
    let client = stack(&session);
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    assert!(provider.stats().await.grants.is_empty());

    provider.advance(Duration::from_secs(3601)).await;
    assert_eq!(status_of(&provider, old.expose_secret()).await, 401);
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    assert_eq!(provider.stats().await.token_requests(), ["refresh_token 200"]);
}

#[tokio::test]
async fn an_access_token_that_is_a_jwt_is_refreshed_as_an_opaque_one_is() {
    let provider = Provider::new().await;
    let tokens = provider.login_for("pub", Some("urn:api")).await;
    let session = begin(&provider, tokens).await;
    let client = stack(&session);
    let api = || get(&provider.uri("/api"));

    // The opaque token of the login is nothing to this API.
    assert_eq!(send(&client, api()).await.unwrap().status(), 200);
    let first = session.peek().unwrap();
    assert_eq!(first.expose_secret().split('.').count(), 3);

    provider.advance(Duration::from_secs(3601)).await;
    assert_eq!(send(&client, api()).await.unwrap().body(), r#"{"sub":"alice"}"#);
    assert_ne!(session.peek().unwrap(), first);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×2"]);
    assert_eq!(stats.path("/api", "401"), 2);
}

#[tokio::test]
async fn a_token_of_two_seconds_fails_no_caller() {
    let provider = Provider::with(json!({ "rotate": true, "accessTtl": 2 })).await;
    let session = begin(&provider, provider.stale_login("pub").await).await;
    let client = stack(&session);
    let mut tokens = vec![session.token().await.unwrap()];
    soon(async {
        while tokens.len() < 4 {
            // The server sets the pace.
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
            let token = session.peek().unwrap();
            if token != tokens[tokens.len() - 1] {
                tokens.push(token);
            }
        }
    })
    .await;
    // The server counts in whole seconds, so a token may die a second before its time: one challenge each
    // at most.
    let stats = provider.stats().await;
    assert!(stats.path("/me", "401") <= 4, "{stats:?}");
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×3"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_logout_makes_both_tokens_useless() {
    let provider = Provider::new().await;
    let store = MemoryStore::new();
    let seed = provider.stale_login("pub").await;
    let session = builder(&provider, seed).store(store.clone()).build().unwrap();
    let client = stack(&session);
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    let Entry::Live(record) = store.load().await.unwrap().unwrap().entry else {
        panic!("a tombstone")
    };
    let access = session.peek().unwrap();
    let access = access.expose_secret();
    assert_eq!(status_of(&provider, access).await, 200);

    session.logout().await.unwrap();
    assert!(unsent(send(&client, userinfo(&provider)).await).is_logged_out());
    assert_eq!(status_of(&provider, access).await, 401);
    // Whoever has the refresh token is told so as well.
    let holder = begin(&provider, record.tokens().clone()).await;
    assert!(unanswered(&send(&stack(&holder), userinfo(&provider)).await.unwrap()).needs_login());

    let stats = provider.stats().await;
    assert_eq!(stats.path("/token/revocation", "200"), 1);
    assert_eq!(stats.token_requests(), ["refresh_token 200", "refresh_token 400"]);
}
