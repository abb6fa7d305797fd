//! The back end of one test: Django in a process of its own, behind nginx with TLS.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::Full;
use serde_json::json;
use tower_reauth::{CookieGrant, Cookies, Csrf, EndpointClient, Session, SessionBuilder, TokenSet};

use crate::{
    link::Link,
    nginx::Nginx,
    python::python,
    support::{Body, Stack, soon, stack_over},
    tls::{Authority, Version},
};

/// A running back end. It ends when this is dropped, and when this process is killed.
pub(crate) struct Django {
    pub(crate) authority: Authority,
    pub(crate) nginx: Nginx,
    link: Link,
}

impl Django {
    pub(crate) async fn new() -> Self {
        let link = Link::to(python("django_app.py"), "Django");
        let port: u16 = link.ask(json!({ "do": "port" })).await;
        let authority = Authority::new();
        let home = format!("location / {{ proxy_pass http://127.0.0.1:{port}; }}");
        let nginx = Nginx::new(&authority, "", &[home]).await;
        Self { authority, nginx, link }
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        self.nginx.uri(0, path)
    }

    /// What the login of a user sets.
    pub(crate) async fn log_in(&self) -> Cookies {
        let login: Request<Body> =
            Request::post(self.uri("/auth/login")).body(Full::default()).unwrap();
        let client = self.authority.client(Version::Http1);
        let answer = soon(client.request(login)).await.unwrap();
        assert_eq!(answer.status(), 204);
        Cookies::new(&self.uri("/auth/login")).unwrap().received(answer.headers())
    }

    /// Refuse all access tokens of up to now.
    pub(crate) async fn expire(&self) {
        self.link.ask::<()>(json!({ "do": "expire" })).await;
    }

    /// How often a view was reached, as in `POST /auth/refresh`; what the CSRF protection refused is not
    /// among it, but goes by the reason that it gave.
    pub(crate) async fn reached(&self, line: &str) -> u64 {
        let counts: BTreeMap<String, u64> = self.link.ask(json!({ "do": "counts" })).await;
        counts.get(line).copied().unwrap_or(0)
    }

    pub(crate) fn endpoint_client(&self) -> EndpointClient {
        let builder = EndpointClient::builder().no_public_authorities();
        builder.authority(self.authority.pem()).build().unwrap()
    }

    /// A grant that satisfies Django but for what it is still told to leave out.
    pub(crate) fn grant(&self) -> CookieGrant<EndpointClient> {
        self.bare_grant().csrf(Csrf::django()).unwrap().page(&self.uri("/account")).unwrap()
    }

    pub(crate) fn bare_grant(&self) -> CookieGrant<EndpointClient> {
        CookieGrant::new(&self.uri("/auth/refresh"), self.endpoint_client())
            .unwrap()
            .access_token("/data/accessToken")
            .expires_in("/data/expiresIn")
            .logout("/auth/logout")
            .unwrap()
    }

    pub(crate) fn builder(
        &self,
        grant: CookieGrant<EndpointClient>,
        tokens: TokenSet,
    ) -> SessionBuilder {
        Session::builder(grant).tokens(tokens).origin(self.nginx.origin(0))
    }

    pub(crate) fn stack(&self, session: &Session) -> Stack {
        stack_over(session, self.authority.client(Version::Http1))
    }
}
