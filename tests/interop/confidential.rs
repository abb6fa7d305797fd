//! Clients that prove who they are: by a secret, in either place, or by a signature.

use rcgen::KeyPair;
use serde_json::json;
use tower_reauth::{
    ClientAuthentication, Entry, MemoryStore, SignedAssertion, SigningAlgorithm, SigningKey,
    TokenStore,
};

use crate::{
    provider::{Provider, SECRET},
    support::{builder_over, grant, holding, send, stack, unanswered, userinfo},
};

/// Refresh twice, as this client of a server that rotates.
async fn is_accepted(client: impl Fn(&Provider) -> ClientAuthentication) {
    let provider = Provider::new().await;
    let client = client(&provider);
    let tokens = provider.stale_login(client.client_id()).await;
    let session = holding(builder_over(grant(&provider, client), &provider).tokens(tokens)).await;
    let client = stack(&session);
    for _ in 0..2 {
        assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
        provider.forget(&session.peek().unwrap()).await;
    }
    session.logout().await.unwrap();
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×2"]);
    assert_eq!(stats.path("/token/revocation", "200"), 1);
}

#[tokio::test]
async fn a_secret_of_odd_characters_is_accepted_in_the_header() {
    is_accepted(|_| ClientAuthentication::basic("basic", SECRET)).await;
}

#[tokio::test]
async fn a_secret_of_odd_characters_is_accepted_in_the_body() {
    is_accepted(|_| ClientAuthentication::post("post", SECRET)).await;
}

#[tokio::test]
async fn a_signature_is_accepted() {
    let signing = |provider: &Provider| {
        ClientAuthentication::private_key_jwt("pkjwt", provider.signing_key())
    };
    is_accepted(signing).await;
}

#[tokio::test]
async fn a_signature_that_names_the_token_endpoint_is_accepted() {
    let signing = |provider: &Provider| {
        let assertion = SignedAssertion::of_client("pkjwt", provider.signing_key());
        ClientAuthentication::assertion("pkjwt", assertion.audience_token_endpoint())
    };
    is_accepted(signing).await;
}

/// The server takes each assertion once, and has seen the first.
#[tokio::test]
async fn a_second_attempt_is_signed_anew() {
    for lost in [json!({ "drop": true }), json!({ "answer": { "status": 503 } })] {
        let provider = Provider::with(json!({ "rotate": false })).await;
        let mut fault = lost;
        fault["when"] = "after".into();
        provider.fault(fault).await;
        let client = ClientAuthentication::private_key_jwt("pkjwt", provider.signing_key());
        let tokens = provider.stale_login("pkjwt").await;
        let session =
            holding(builder_over(grant(&provider, client), &provider).tokens(tokens)).await;
        assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
        let requests = provider.stats().await.token_requests();
        assert!(matches!(&requests[..], [one, _] if one == "refresh_token 200"), "{requests:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_not_accepted_keeps_its_refresh_token() {
    let provider = Provider::new().await;
    let tokens = provider.stale_login("basic").await;
    let foreign = KeyPair::generate().unwrap().serialize_pem();
    let foreign = SigningKey::from_pem(SigningAlgorithm::Es256, &foreign).unwrap();
    for (client, code) in [
        (ClientAuthentication::private_key_jwt("pkjwt", foreign), "invalid_client"),
        ("nobody".into(), "invalid_client"),
        (ClientAuthentication::basic("basic", "wrong"), "invalid_client"),
        (ClientAuthentication::post("basic", "wrong"), "invalid_client"),
        // The percent sign begins nothing.
        (ClientAuthentication::basic_raw("basic", SECRET), "invalid_request"),
    ] {
        let grant = grant(&provider, client);
        let session = holding(builder_over(grant, &provider).tokens(tokens.clone())).await;
        let error = unanswered(&send(&stack(&session), userinfo(&provider)).await.unwrap());
        assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
        assert_eq!(error.oauth_code(), Some(code));
    }
    let right = grant(&provider, ClientAuthentication::basic("basic", SECRET));
    let session = holding(builder_over(right, &provider).tokens(tokens)).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    assert_eq!(provider.stats().await.revoked, 0);
}

/// The server's own policy rotates what a public client has, and lets a confidential client keep its
/// refresh token for most of its life: the answer names the same one again.
#[tokio::test]
async fn a_refresh_token_that_comes_back_is_the_one_that_is_spent_next() {
    let provider = Provider::with(json!({})).await;
    for client in [ClientAuthentication::basic("basic", SECRET), "pub".into()] {
        let is_public = client.client_id() == "pub";
        let tokens = provider.stale_login(client.client_id()).await;
        let store = MemoryStore::new();
        let builder = builder_over(grant(&provider, client), &provider).store(store.clone());
        let session = holding(builder.tokens(tokens.clone())).await;
        let client = stack(&session);
        for _ in 0..3 {
            assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
            provider.forget(&session.peek().unwrap()).await;
        }
        let Entry::Live(record) = store.load().await.unwrap().unwrap().entry else {
            panic!("a tombstone")
        };
        assert_eq!(record.tokens().refresh() == tokens.refresh(), !is_public);
    }
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×6"]);
    assert_eq!(stats.revoked, 0);
}
