//! What hyper and h2 trace beneath the layers, on real connections.

use std::{io, sync::mpsc, thread};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::oneshot;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, ReplayBody, Session, TokenSet,
    testing::{AuthorizationServer, ResourceServer},
};
use tracing::subscriber::with_default;

use crate::printed::Traces;

/// Both servers, on a thread of their own: what they trace is a server's business.
struct Servers {
    authorization: AuthorizationServer,
    token_endpoint: String,
    revocation_endpoint: String,
    api: String,
    _stop: oneshot::Sender<()>,
}

fn servers() -> Servers {
    let authorization = AuthorizationServer::new();
    let api = ResourceServer::new(&authorization);
    let (tell, told) = mpsc::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = authorization.clone();
    thread::spawn(move || {
        block_on(async {
            let (authorization, api) = (serving.serve().await?, api.serve().await?);
            tell.send((authorization.origin(), api.origin())).map_err(io::Error::other)?;
            let _ = stopped.await;
            Ok::<_, io::Error>(())
        })
    });
    let (issuer, api) = told.recv().unwrap();
    Servers {
        authorization,
        token_endpoint: format!("{issuer}/token"),
        revocation_endpoint: format!("{issuer}/revoke"),
        api,
        _stop: stop,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn client<B>(http2: bool) -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

/// A refused token, its refresh, the replay and a logout. Returns every token there was.
async fn run(servers: &Servers, http2: bool) -> Result<Vec<TokenSet>, BoxError> {
    let first = servers.authorization.login();
    let grant = RefreshTokenGrant::new_insecure(
        &servers.token_endpoint,
        "app",
        client::<Full<Bytes>>(http2),
    )?
    .revocation_endpoint(&servers.revocation_endpoint)?;
    let session =
        Session::builder(grant).tokens(first.clone()).insecure_origin(&servers.api).build()?;
    let stack = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(client::<ReplayBody<Full<Bytes>>>(http2));
    servers.authorization.revoke_access_tokens();
    let request = Request::post(format!("{}/orders", servers.api)).body(Full::from("tea"))?;
    let response = stack.oneshot(request).await?;
    assert_eq!(response.status(), StatusCode::OK);
    response.into_body().collect().await?;
    let second = TokenSet::new(session.token().await?);
    session.logout().await?;
    Ok(vec![first, second])
}

/// Case 67.
#[test]
fn no_connection_traces_a_part_of_a_token() {
    let servers = servers();
    for http2 in [false, true] {
        let traces = Traces::default();
        let tokens = with_default(traces.subscriber(), || block_on(run(&servers, http2))).unwrap();
        let text = traces.text();
        assert!(text.contains("hyper_util::client"), "nothing was traced");
        assert_eq!(text.contains("h2::"), http2);
        let mut secrets = Vec::new();
        for tokens in &tokens {
            secrets.push(tokens.access().expose_secret());
            secrets.extend(tokens.refresh().map(|token| token.expose_secret()));
        }
        let spent = servers.authorization.last_token_request().unwrap();
        secrets.extend(spent.parameter("refresh_token"));
        assert!(secrets.len() >= 4);
        for secret in secrets {
            for part in secret.as_bytes().windows(16) {
                let part = str::from_utf8(part).unwrap();
                assert!(!text.contains(part), "a part of a token was traced");
            }
        }
    }
}
