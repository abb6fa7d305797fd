//! Clients that act for themselves: the client credentials grant.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use tower_reauth::{ClientAuthentication, ClientCredentials, EndpointClient, Session};

use crate::{
    provider::{Provider, SECRET},
    support::{builder_over, endpoint_client, get, send, stack, unsent},
};

fn service(provider: &Provider, secret: &str) -> ClientCredentials<EndpointClient> {
    let me = ClientAuthentication::basic("svc", secret);
    ClientCredentials::new_insecure(&provider.uri("/token"), me, endpoint_client())
        .unwrap()
        .scope("api:read")
        .resource("urn:api")
}

fn session(provider: &Provider, secret: &str) -> Session {
    builder_over(service(provider, secret), provider).build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_begins_with_nothing_and_fetches_one_token_for_everyone() {
    let provider = Provider::new().await;
    let session = session(&provider, SECRET);
    let client = stack(&session);
    let api = || get(&provider.uri("/api"));

    for answer in join_all((0..100).map(|_| send(&client, api()))).await {
        assert_eq!(answer.unwrap().body(), r#"{"sub":"svc"}"#);
    }
    assert_eq!(provider.stats().await.token_requests(), ["client_credentials 200"]);

    // There is no refresh token: the next token is fetched as the first was.
    provider.advance(Duration::from_secs(3601)).await;
    for answer in join_all((0..100).map(|_| send(&client, api()))).await {
        assert_eq!(answer.unwrap().status(), 200);
    }
    assert_eq!(provider.stats().await.token_requests(), ["client_credentials 200 ×2"]);
}

#[tokio::test]
async fn a_service_with_a_wrong_secret_is_a_matter_of_configuration() {
    let provider = Provider::new().await;
    let session = session(&provider, "wrong");
    let client = stack(&session);
    for _ in 0..5 {
        let error = unsent(send(&client, get(&provider.uri("/api"))).await);
        assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
        assert_eq!(error.oauth_code(), Some("invalid_client"));
    }
    let requests = provider.stats().await.token_requests();
    assert!(matches!(&requests[..], [one] if one.ends_with(" 401")), "{requests:?}");
}

#[tokio::test]
async fn an_answer_that_a_service_lost_is_asked_for_again() {
    let provider = Provider::new().await;
    provider.fault(json!({ "when": "after", "drop": true })).await;
    let session = session(&provider, SECRET);
    let answer = send(&stack(&session), get(&provider.uri("/api"))).await.unwrap();
    assert_eq!(answer.status(), 200);
    let requests = provider.stats().await.token_requests();
    assert_eq!(requests, ["client_credentials 200", "client_credentials 200 lost"]);
}

#[tokio::test]
async fn a_service_that_signs_does_so_anew_for_each_attempt() {
    let provider = Provider::new().await;
    // The server has seen the first assertion, and takes each only once.
    provider.fault(json!({ "when": "after", "drop": true })).await;
    let me = ClientAuthentication::private_key_jwt("svc-pkjwt", provider.signing_key());
    let source = ClientCredentials::new_insecure(&provider.uri("/token"), me, endpoint_client());
    let source = source.unwrap().scope("api:read").resource("urn:api");
    let session = builder_over(source, &provider).build().unwrap();
    let answer = send(&stack(&session), get(&provider.uri("/api"))).await.unwrap();
    assert_eq!(answer.body(), r#"{"sub":"svc-pkjwt"}"#);
    let requests = provider.stats().await.token_requests();
    assert_eq!(requests, ["client_credentials 200", "client_credentials 200 lost"]);
}
