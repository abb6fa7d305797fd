//! The authorization server behind nginx with TLS, which limits it, and asks it who may in.

use http::{Method, Request};
use http_body_util::Full;
use tower::{Layer, util::BoxCloneSyncService};
use tower_http::follow_redirect::{
    FollowRedirectLayer,
    policy::{PolicyExt, clone_body_fn},
};
use tower_reauth::{BoxError, EndpointClient, RedirectPolicy, RefreshTokenGrant, Session};

use crate::{
    site::Site,
    support::{Body, Stack, get, send, soon, stack_over, unanswered},
    tls::{Authority, Version},
};

fn stack(site: &Site, session: &Session, version: Version) -> Stack {
    stack_over(session, site.authority.client(version))
}

async fn a_refresh_is_for_both(version: Version) {
    let site = Site::new().await;
    let session = site.session().await;
    let client = stack(&site, &session, version);

    for path in ["/files", "/me", "/files"] {
        assert_eq!(send(&client, get(&site.nginx.uri(0, path))).await.unwrap().status(), 200);
        site.provider.forget(&session.peek().unwrap()).await;
    }
    let stats = site.provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200 ×3"]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn nginx_asks_for_a_token_by_auth_request_over_http1() {
    a_refresh_is_for_both(Version::Http1).await;
}

#[tokio::test]
async fn nginx_asks_for_a_token_by_auth_request_over_http2() {
    a_refresh_is_for_both(Version::Http2).await;
}

#[tokio::test]
async fn a_rate_limit_at_the_token_endpoint_is_waited_out() {
    let site = Site::new().await;
    let session = site.builder_at("/token-limited").await.build().unwrap();
    let client = stack(&site, &session, Version::Http1);
    let me = || get(&site.nginx.uri(0, "/me"));

    let mut refreshes = 0;
    // A slow machine may take longer from one refresh to the next than the limit asks for.
    soon(async {
        while !site.nginx.log(0).await.iter().any(|line| line.contains(" /token-limited 429 ")) {
            assert_eq!(send(&client, me()).await.unwrap().status(), 200);
            site.provider.forget(&session.peek().unwrap()).await;
            refreshes += 1;
        }
    })
    .await;
    assert!(refreshes > 1);
    let stats = site.provider.stats().await;
    assert_eq!(stats.token_requests(), [format!("refresh_token 200 ×{refreshes}")]);
    assert_eq!(stats.revoked, 0);
}

#[tokio::test]
async fn a_server_that_a_stranger_vouches_for_is_sent_nothing() {
    let site = Site::new().await;
    let client = EndpointClient::builder().authority(Authority::new().pem()).build().unwrap();
    let grant = RefreshTokenGrant::new(&site.provider.uri("/token"), "pub", client).unwrap();
    let session = Session::builder(grant)
        .origin(&site.provider.issuer)
        .tokens(site.provider.stale_login("pub").await)
        .build()
        .unwrap();
    let client = stack(&site, &session, Version::Http1);

    let challenge = send(&client, get(&site.nginx.uri(0, "/me"))).await.unwrap();
    let error = unanswered(&challenge);
    assert!(!error.was_ambiguous() && !error.needs_login(), "{error:?}");
    let log = site.nginx.log(1).await;
    assert!(log.iter().all(|line| line.contains(" /me 401 ")), "{log:?}");
}

#[tokio::test]
async fn a_redirect_to_another_port_carries_no_token() {
    let site = Site::new().await;
    let session = site.session().await;
    let policy = RedirectPolicy::new(&session)
        .hops(5)
        .and::<_, Body, BoxError>(clone_body_fn(|body: &Body| Some(body.clone())));
    let client =
        FollowRedirectLayer::with_policy(policy).layer(stack(&site, &session, Version::Http1));
    let client = BoxCloneSyncService::new(client);

    for method in [Method::GET, Method::POST] {
        let request = Request::builder().method(method).uri(site.nginx.uri(0, "/moved"));
        let request = request.body(Full::from("what is sent")).unwrap();
        assert_eq!(send(&client, request).await.unwrap().body(), "elsewhere");
    }
    let token = session.peek().unwrap();
    let authorized = format!("Bearer {}", token.expose_secret());
    assert_eq!(
        site.nginx.log(4).await,
        [
            format!("0 GET /moved 307 HTTP/1.1 {authorized}"),
            "1 GET /moved 200 HTTP/1.1 -".to_owned(),
            format!("0 POST /moved 307 HTTP/1.1 {authorized}"),
            "1 POST /moved 200 HTTP/1.1 -".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_token_endpoint_that_redirects_is_not_followed() {
    let site = Site::new().await;
    let session = site.builder_at("/token-moved").await.build().unwrap();
    let client = stack(&site, &session, Version::Http1);

    let challenge = send(&client, get(&site.nginx.uri(0, "/me"))).await.unwrap();
    let error = unanswered(&challenge);
    assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
    let log = site.nginx.log(2).await;
    assert!(log.iter().all(|line| line.starts_with("0 ")), "{log:?}");
    assert!(log.iter().any(|line| line.contains("/token-moved 307")), "{log:?}");
}
