//! A token endpoint that is busy, broken, slow or gone.

use std::time::Duration;

use hyper_util::client::legacy::Error;
use serde_json::{Value, json};
use tower_reauth::{RefreshTokenGrant, Session, TokenSource};

use crate::{
    provider::Provider,
    support::{
        begin, builder, builder_over, endpoint_client, holding, plain, send, stack, unanswered,
        userinfo,
    },
};

async fn stale(provider: &Provider) -> Session {
    begin(provider, provider.stale_login("pub").await).await
}

fn too_many(retry_after: &str) -> Value {
    let headers = json!({ "retry-after": retry_after });
    json!({ "answer": { "status": 429, "headers": headers, "body": "slow down" } })
}

#[tokio::test]
async fn a_short_retry_after_is_waited_out() {
    let provider = Provider::new().await;
    provider.fault(too_many("1")).await;
    let session = stale(&provider).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["- 429", "refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_long_retry_after_is_a_pause_for_everyone() {
    let provider = Provider::new().await;
    provider.fault(too_many("600")).await;
    let session = stale(&provider).await;
    let client = stack(&session);

    let error = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
    assert!(!error.needs_login() && !error.was_ambiguous(), "{error:?}");
    for _ in 0..20 {
        let again = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
        assert_eq!(again.retry_at(), error.retry_at());
    }
    let left = error.retry_at().unwrap().elapsed();
    assert_eq!(left, Duration::ZERO, "it lies ahead");
    assert_eq!(provider.stats().await.token_requests(), ["- 429"]);

    // It is the session that pauses, not the grant that is gone.
    session.login(provider.login("pub").await).await.unwrap();
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_bad_gateway_is_asked_once_more() {
    let provider = Provider::new().await;
    let headers = json!({ "content-type": "text/html" });
    let answer = json!({ "status": 502, "headers": headers, "body": "<html>502</html>" });
    provider.fault(json!({ "answer": answer })).await;
    let session = stale(&provider).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["- 502", "refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_gateway_that_stays_bad_costs_two_token_requests_and_no_session() {
    let provider = Provider::new().await;
    let answer = json!({ "answer": { "status": 502, "body": "<html>502</html>" } });
    for _ in 0..2 {
        provider.fault(answer.clone()).await;
    }
    let tokens = provider.stale_login("pub").await;
    let cool_down = Duration::from_millis(20);
    let session = holding(builder(&provider, tokens).cool_down(cool_down, cool_down)).await;
    let client = stack(&session);

    let error = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
    assert!(error.was_ambiguous() && !error.needs_login(), "{error:?}");
    assert_eq!(provider.stats().await.token_requests(), ["- 502 ×2"]);

    tokio::time::sleep_until(error.retry_at().unwrap().into()).await;
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    assert_eq!(provider.stats().await.token_requests(), ["- 502 ×2", "refresh_token 200"]);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let provider = Provider::new().await;
    provider.fault(json!({ "delay": 300 })).await;
    let session = stale(&provider).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    assert_eq!(provider.stats().await.token_requests(), ["refresh_token 200"]);
}

#[tokio::test]
async fn a_connection_dropped_before_the_server_acted_is_tried_once_more() {
    let provider = Provider::new().await;
    provider.fault(json!({ "drop": true })).await;
    let session = stale(&provider).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["- lost", "refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_server_that_is_not_there_ends_no_session() {
    // Nobody listens on this port.
    let nowhere = "http://127.0.0.1:9/token";
    not_there(RefreshTokenGrant::new_insecure(nowhere, "pub", endpoint_client()).unwrap()).await;
    let bare = RefreshTokenGrant::new_insecure(nowhere, "pub", plain()).unwrap();
    not_there(bare.not_sent(|error| error.downcast_ref().is_some_and(Error::is_connect))).await;
}

async fn not_there(grant: impl TokenSource) {
    let provider = Provider::new().await;
    let tokens = provider.login("pub").await;
    let session = holding(builder_over(grant, &provider).tokens(tokens.clone())).await;
    let client = stack(&session);
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);

    provider.forget(tokens.access()).await;
    let error = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
    assert!(!error.was_ambiguous() && !error.needs_login(), "{error:?}");
    assert!(error.retry_at().is_some());
    assert!(provider.stats().await.grants.is_empty());
}
