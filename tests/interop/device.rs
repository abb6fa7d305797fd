//! A login on another device (RFC 8628), from nothing to an API call.

use serde_json::json;
use tower_reauth::{DeviceAuthorization, RefreshTokenGrant, Status};

use crate::{
    provider::Provider,
    support::{builder_over, endpoint_client, send, soon, stack, unsent, userinfo},
};

/// The server names no interval, so the first question comes after five seconds and the second after
/// five more.
#[tokio::test]
async fn a_login_on_another_device_ends_in_a_session() {
    let provider = Provider::with(json!({ "rotate": true })).await;
    let issuer = &provider.issuer;
    let http = endpoint_client();
    let grant = RefreshTokenGrant::discover_insecure(issuer, "pub", http.clone()).unwrap();
    let session = builder_over(grant, &provider).build().unwrap();
    let client = stack(&session);
    assert!(unsent(send(&client, userinfo(&provider)).await).needs_login());

    let device = DeviceAuthorization::discover_insecure(issuer, "pub", http).unwrap();
    let mut login = device.scope("openid offline_access").start().await.unwrap();
    assert_eq!(login.verification_uri(), provider.uri("/device"));
    let user_code = login.user_code().to_owned();
    let waiting = tokio::spawn(async move { login.tokens().await });
    // The user takes a while.
    soon(async {
        while provider.stats().await.token_requests() != ["device_code 400"] {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    })
    .await;
    provider.approve(&user_code).await;
    let tokens = soon(waiting).await.unwrap().unwrap();
    assert_eq!(tokens.granted_scope(), Some("openid offline_access"));
    session.login(tokens).await.unwrap();
    assert!(matches!(session.status(), Status::Active { expires_at: Some(_) }));

    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    // And the refresh token that came with it serves.
    provider.forget(&session.peek().unwrap()).await;
    assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200", "device_code 200", "device_code 400"]);
    assert_eq!(stats.revoked, 0);
}
