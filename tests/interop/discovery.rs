//! Endpoints that the server names itself (RFC 8414).

use serde_json::json;
use tower_reauth::{EndpointClient, RefreshTokenGrant, Session};

use crate::{
    provider::{Listening, Provider},
    site::Site,
    support::{
        begin, builder_over, endpoint_client, get, holding, send, stack, stack_over, unanswered,
        userinfo,
    },
    tls::Version,
};

const METADATA: &str = "/.well-known/oauth-authorization-server";

fn discovered(issuer: &str) -> RefreshTokenGrant<EndpointClient> {
    RefreshTokenGrant::discover_insecure(issuer, "pub", endpoint_client()).unwrap()
}

#[tokio::test]
async fn an_issuer_is_enough_to_refresh_and_to_revoke() {
    let provider = Provider::new().await;
    let tokens = provider.stale_login("pub").await;
    let session =
        holding(builder_over(discovered(&provider.issuer), &provider).tokens(tokens)).await;
    let client = stack(&session);
    for _ in 0..3 {
        assert_eq!(send(&client, userinfo(&provider)).await.unwrap().status(), 200);
        provider.forget(&session.peek().unwrap()).await;
    }
    session.logout().await.unwrap();

    let stats = provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×3"]);
    assert_eq!(stats.path(METADATA, "200"), 1, "once is enough");
    assert_eq!(stats.path("/token/revocation", "200"), 1);
}

#[tokio::test]
async fn an_issuer_that_is_called_otherwise_gets_no_token() {
    let listening = Listening::new(json!({})).await;
    let asked = format!("http://127.0.0.1:{}", listening.port);
    let provider = listening.start(&asked.replace("127.0.0.1", "localhost"), json!({})).await;
    let session = Session::builder(discovered(&asked))
        .insecure_origin(&asked)
        .tokens(provider.stale_login("pub").await)
        .build()
        .unwrap();
    let error = unanswered(&send(&stack(&session), get(&format!("{asked}/me"))).await.unwrap());
    assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
    let stats = provider.stats().await;
    assert!(stats.grants.is_empty(), "{stats:?}");
    assert_eq!(stats.paths[METADATA].len(), 1);
}

#[tokio::test]
async fn an_issuer_behind_tls_names_its_endpoints_as_they_are_reached() {
    let site = Site::new().await;
    let http = site.endpoint_client();
    let grant = RefreshTokenGrant::discover(&site.provider.issuer, "pub", http).unwrap();
    let session = Session::builder(grant)
        .origin(&site.provider.issuer)
        .tokens(site.provider.stale_login("pub").await)
        .build()
        .unwrap();
    let client = stack_over(&session, site.authority.client(Version::Http2));
    assert_eq!(send(&client, userinfo(&site.provider)).await.unwrap().status(), 200);
    assert_eq!(site.provider.stats().await.token_requests(), ["refresh_token 200"]);
}

/// What the session of explicit endpoints does not ask for.
#[tokio::test]
async fn endpoints_that_were_named_are_not_looked_up() {
    let provider = Provider::new().await;
    let session = begin(&provider, provider.stale_login("pub").await).await;
    assert_eq!(send(&stack(&session), userinfo(&provider)).await.unwrap().status(), 200);
    let stats = provider.stats().await;
    assert!(!stats.paths.keys().any(|path| path.contains("well-known")), "{stats:?}");
}
