//! An authorization server and an API, both behind nginx.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tower_reauth::{EndpointClient, RefreshTokenGrant, Session, SessionBuilder};

use crate::{
    nginx::Nginx,
    provider::{Listening, Provider},
    tls::Authority,
};

/// The server number 0 is the authorization server's front, and the API: `/files` takes whatever the
/// authorization server's userinfo endpoint takes, `/moved` and `/token-moved` are redirects to the
/// same path of server number 1. That one says yes to everything.
pub(crate) struct Site {
    pub(crate) authority: Authority,
    pub(crate) nginx: Nginx,
    pub(crate) provider: Provider,
    pub(crate) uploads: Uploads,
}

impl Site {
    pub(crate) async fn new() -> Self {
        let authority = Authority::new();
        let listening = Listening::new(json!({})).await;
        let uploads = Uploads::new().await;
        let servers = [home(listening.port, uploads.port), "return 200 'elsewhere';".to_owned()];
        let http = "limit_req_zone $binary_remote_addr zone=token:1m rate=1r/s;";
        let nginx = Nginx::new(&authority, http, &servers).await;
        let provider = listening.start(&nginx.origin(0), json!({ "rotate": true })).await;
        Self { authority, nginx, provider, uploads }
    }

    /// A client for token requests, which trusts this site's authority alone.
    pub(crate) fn endpoint_client(&self) -> EndpointClient {
        let builder = EndpointClient::builder().no_public_authorities();
        builder.authority(self.authority.pem()).build().unwrap()
    }

    pub(crate) fn grant_at(&self, path: &str) -> RefreshTokenGrant<EndpointClient> {
        let client = self.endpoint_client();
        RefreshTokenGrant::new(&self.provider.uri(path), "pub", client).unwrap()
    }

    /// A session whose token goes home, and is dead there.
    pub(crate) async fn builder_at(&self, token_path: &str) -> SessionBuilder {
        Session::builder(self.grant_at(token_path))
            .origin(&self.provider.issuer)
            .tokens(self.provider.stale_login("pub").await)
    }

    pub(crate) async fn session(&self) -> Session {
        self.builder_at("/token").await.build().unwrap()
    }
}

fn home(authorization: u16, uploads: u16) -> String {
    format!(
        r#"
        location / {{ proxy_pass http://127.0.0.1:{authorization}; }}

        location = /token-limited {{
            limit_req zone=token;
            limit_req_status 429;
            error_page 429 = @busy;
            proxy_pass http://127.0.0.1:{authorization}/token;
        }}
        location @busy {{
            add_header Retry-After 1 always;
            return 429 "slow down";
        }}

        location = /files {{
            auth_request /allowed;
            proxy_pass http://127.0.0.1:{uploads};
        }}
        location = /allowed {{
            internal;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_pass http://127.0.0.1:{authorization}/me;
        }}

        location = /moved {{ return 307 https://127.0.0.1:{{port 1}}/moved; }}
        location = /token-moved {{ return 307 https://127.0.0.1:{{port 1}}/token; }}
        "#
    )
}

/// Takes uploads, and hands them to the test.
pub(crate) struct Uploads {
    port: u16,
    arrivals: mpsc::UnboundedReceiver<Bytes>,
    _accepting: JoinSet<()>,
}

impl Uploads {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, arrived));
        Self { port, arrivals, _accepting: accepting }
    }

    /// What arrived whole since the last time.
    pub(crate) fn arrived(&mut self) -> Vec<Bytes> {
        std::iter::from_fn(|| self.arrivals.try_recv().ok()).collect()
    }
}

async fn accept(listener: TcpListener, arrived: mpsc::UnboundedSender<Bytes>) {
    while let Ok((stream, _)) = listener.accept().await {
        let arrived = arrived.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let arrived = arrived.clone();
                async move {
                    if let Ok(body) = request.into_body().collect().await {
                        let _ = arrived.send(body.to_bytes());
                    }
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("thank you")))
                }
            });
            let connection = auto::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
