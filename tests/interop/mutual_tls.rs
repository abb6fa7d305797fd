//! A client that its certificate speaks for (RFC 8705), at a server that binds its tokens to it.

use serde_json::json;
use tower_reauth::{ClientAuthentication, EndpointClient, RefreshTokenGrant, Session};

use crate::{
    provider::{Listening, Provider},
    support::{Body, send, stack_over, unanswered, userinfo},
    tls::{Authority, Identity, Secure, Version::Http1},
};

struct World {
    authority: Authority,
    provider: Provider,
    identity: Identity,
}

impl World {
    async fn new() -> Self {
        let authority = Authority::new();
        let server = authority.server();
        let tls = json!({ "key": server.key, "cert": server.certificate });
        let listening = Listening::new(json!({ "tls": tls })).await;
        let identity = Identity::self_signed();
        let options = json!({ "rotate": true, "clientCertificate": identity.certificate });
        let issuer = format!("https://127.0.0.1:{}", listening.port);
        let provider = listening.start(&issuer, options).await;
        Self { authority, provider, identity }
    }

    /// A session whose token requests show this certificate, or none.
    async fn session(&self, identity: Option<&Identity>) -> Session {
        let http =
            EndpointClient::builder().no_public_authorities().authority(self.authority.pem());
        let http = match identity {
            Some(identity) => http.client_certificate(&identity.certificate, &identity.key),
            None => http,
        };
        let client = ClientAuthentication::mtls("mtls");
        let grant =
            RefreshTokenGrant::new(&self.provider.uri("/token"), client, http.build().unwrap());
        Session::builder(grant.unwrap())
            .origin(&self.provider.issuer)
            .tokens(self.provider.stale_login("mtls").await)
            .build()
            .unwrap()
    }

    fn api(&self, identity: Option<&Identity>) -> Secure<tower_reauth::ReplayBody<Body>> {
        self.authority.client_as(Http1, identity)
    }
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_is_fetched_and_used_with_it() {
    let world = World::new().await;
    let me = Some(&world.identity);
    let session = world.session(me).await;

    let client = stack_over(&session, world.api(me));
    assert_eq!(send(&client, userinfo(&world.provider)).await.unwrap().status(), 200);
    assert_eq!(world.provider.stats().await.token_requests(), ["refresh_token 200"]);

    // Without the certificate the same token is refused, and so is a fresh one: the endpoint's word.
    let bare = stack_over(&session, world.api(None));
    let refused = send(&bare, userinfo(&world.provider)).await.unwrap();
    assert_eq!(refused.status(), 401);
    assert_eq!(world.provider.stats().await.token_requests(), ["refresh_token 200 ×2"]);
    assert_eq!(send(&client, userinfo(&world.provider)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_client_that_shows_no_certificate_or_another_keeps_its_refresh_token() {
    let world = World::new().await;
    for identity in [None, Some(&Identity::self_signed())] {
        let session = world.session(identity).await;
        let client = stack_over(&session, world.api(Some(&world.identity)));
        let error = unanswered(&send(&client, userinfo(&world.provider)).await.unwrap());
        assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
        assert_eq!(error.oauth_code(), Some("invalid_client"));
    }
    assert_eq!(world.provider.stats().await.revoked, 0);
}
