//! A token request that the server has dealt with, and an answer that comes late, or never.

use std::time::Duration;

use serde_json::json;
use tower_reauth::{AmbiguousPolicy, Event, Session, Status};

use crate::{
    provider::Provider,
    support::{begin, builder, holding, send, soon, stack, told, unanswered, unsent, userinfo},
};

/// A session whose first request leads to a refresh.
async fn stale(provider: &Provider) -> Session {
    begin(provider, provider.stale_login("pub").await).await
}

#[tokio::test]
async fn a_cancelled_request_leaves_its_refresh_to_the_others() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "hold": true })).await;
    let session = stale(&provider).await;
    let client = stack(&session);
    let spawn = || {
        let (client, request) = (client.clone(), userinfo(&provider));
        tokio::spawn(async move { send(&client, request).await })
    };

    let leader = spawn();
    provider.held(1).await;
    let others = [spawn(), spawn(), spawn()];
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    provider.release().await;

    for other in others {
        assert_eq!(other.await.unwrap().unwrap().status(), 200);
    }
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_refresh_that_nobody_waits_for_any_more_is_kept() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "hold": true })).await;
    let session = stale(&provider).await;
    let mut events = session.events();
    let client = stack(&session);

    let (only, request) = (client.clone(), userinfo(&provider));
    let leader = tokio::spawn(async move { send(&only, request).await });
    provider.held(1).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    provider.release().await;

    session.token().await.unwrap();
    assert!(matches!(told(&mut events)[..], [Event::Refreshed(_)]));
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    // And its refresh token is the one that the next refresh spends.
    provider.forget(&session.peek().unwrap()).await;
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×2"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn an_answer_lost_after_the_rotation_ends_the_session_at_a_strict_server() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "drop": true })).await;
    let session = stale(&provider).await;
    let mut events = session.events();
    let client = stack(&session);

    let error = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
    assert!(error.is_session_ended() && error.was_ambiguous(), "{error:?}");
    assert_eq!(session.status(), Status::Ended);
    assert!(unsent(send(&client, userinfo(&provider)).await).is_session_ended());
    assert!(matches!(told(&mut events)[..], [Event::SessionEnded(_)]));

    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 lost", "refresh_token 400"]);
    assert_eq!(stats.revoked, 1, "the prompt retry is a reuse to this server");
}

#[tokio::test]
async fn an_answer_lost_after_the_rotation_can_be_surfaced_instead() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "drop": true })).await;
    let tokens = provider.stale_login("pub").await;
    let session = holding(builder(&provider, tokens).ambiguous(AmbiguousPolicy::Surface)).await;

    let error = unanswered(&send(&stack(&session), userinfo(&provider)).await.unwrap());
    assert!(error.was_ambiguous() && !error.needs_login(), "{error:?}");
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 lost"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn an_answer_lost_by_a_server_that_keeps_refresh_tokens_is_asked_for_again() {
    let provider = Provider::with(json!({ "rotate": false })).await;
    provider.fault(json!({ "when": "after", "drop": true })).await;
    let session = stale(&provider).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200", "refresh_token 200 lost"]);
}

#[tokio::test]
async fn an_answer_that_comes_after_everyone_lost_patience_is_used() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "hold": true })).await;
    let tokens = provider.stale_login("pub").await;
    let session = holding(builder(&provider, tokens).patience(Duration::from_millis(50))).await;
    let mut events = session.events();
    let client = stack(&session);

    let error = unanswered(&send(&client, userinfo(&provider)).await.unwrap());
    assert!(error.is_timeout() && !error.needs_login(), "{error:?}");
    provider.held(1).await;
    provider.release().await;
    let event = soon(futures::StreamExt::next(&mut events)).await;
    assert!(matches!(event, Some(Event::Refreshed(_))), "{event:?}");

    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_gateway_that_gives_up_after_the_rotation_ends_the_session_at_a_strict_server() {
    let provider = Provider::new().await;
    let answer = json!({ "status": 504, "body": "<html>504 Gateway Time-out</html>" });
    provider.fault(json!({ "when": "after", "answer": answer })).await;
    let session = stale(&provider).await;

    let error = unanswered(&send(&stack(&session), userinfo(&provider)).await.unwrap());
    assert!(error.is_session_ended() && error.was_ambiguous(), "{error:?}");
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 504", "refresh_token 400"]);
}
