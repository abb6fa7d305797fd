//! What most of these tests begin with: a client, a session and a stack over sockets.

use std::{env, path::PathBuf, process::Stdio, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use tokio::process::Command;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, ClientAuthentication, EndpointClient, Event, Events, RefreshError,
    RefreshLayer, RefreshTokenGrant, ReplayBody, Session, SessionBuilder, TokenSet, TokenSource,
};

use crate::provider::Provider;

pub(crate) type Body = Full<Bytes>;
pub(crate) type Plain<B> = Client<HttpConnector, B>;
pub(crate) type Stack = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// A client for plain HTTP/1.1.
pub(crate) fn plain<B>() -> Plain<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector)
}

/// The client for token requests to servers of these tests.
pub(crate) fn endpoint_client() -> EndpointClient {
    EndpointClient::builder().allow_loopback_http().build().unwrap()
}

/// The grant of a client of the server, revocation included.
pub(crate) fn grant(
    provider: &Provider,
    client: impl Into<ClientAuthentication>,
) -> RefreshTokenGrant<EndpointClient> {
    RefreshTokenGrant::new_insecure(&provider.uri("/token"), client, endpoint_client())
        .unwrap()
        .revocation_endpoint(&provider.uri("/token/revocation"))
        .unwrap()
}

/// A session of the public client, for tests that change more of its set-up.
pub(crate) fn builder(provider: &Provider, tokens: TokenSet) -> SessionBuilder {
    builder_over(grant(provider, "pub"), provider).tokens(tokens)
}

/// A session over any source, whose access token goes to the server's own resources.
pub(crate) fn builder_over(source: impl TokenSource, provider: &Provider) -> SessionBuilder {
    Session::builder(source).insecure_origin(&provider.issuer)
}

/// A session of the public client that holds these tokens already.
pub(crate) async fn begin(provider: &Provider, tokens: TokenSet) -> Session {
    holding(builder(provider, tokens)).await
}

/// A session that has read its store, which is an event of its own.
pub(crate) async fn holding(builder: SessionBuilder) -> Session {
    let session = builder.build().unwrap();
    session.token().await.unwrap();
    session
}

/// The usual stack over a client of its own.
pub(crate) fn stack(session: &Session) -> Stack {
    stack_over(session, plain())
}

pub(crate) fn stack_over<S, B, R>(
    session: &Session,
    inner: S,
) -> BoxCloneSyncService<Request<B>, Response<R>, BoxError>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: http_body::Body + Send + 'static,
    B::Error: Into<BoxError>,
    R: http_body::Body + Send + 'static,
{
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .into_inner();
    BoxCloneSyncService::new(layers.layer(inner))
}

/// A request for the user's claims, at the server's own endpoint for them.
pub(crate) fn userinfo(provider: &Provider) -> Request<Body> {
    get(&provider.uri("/me"))
}

pub(crate) fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Full::default()).unwrap()
}

/// Send one request, and read its answer whole.
pub(crate) async fn send<B>(
    client: &BoxCloneSyncService<Request<B>, Response<Incoming>, BoxError>,
    request: Request<B>,
) -> Result<Response<Bytes>, BoxError> {
    let exchange = async {
        let (head, body) = client.clone().oneshot(request).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    soon(exchange).await
}

/// What the server says to an access token, without a session in between.
pub(crate) async fn status_of(provider: &Provider, token: &str) -> u16 {
    let mut request = userinfo(provider);
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    plain().request(request).await.unwrap().status().as_u16()
}

/// The session's error beside a challenge that could not be answered.
pub(crate) fn unanswered<T>(response: &Response<T>) -> RefreshError {
    response.extensions().get::<RefreshError>().expect("the session's error").clone()
}

/// The session's error, where nothing was sent.
pub(crate) fn unsent<T: std::fmt::Debug>(result: Result<T, BoxError>) -> RefreshError {
    *result.expect_err("nothing is sent").downcast().expect("the session's error")
}

/// The events that are there by now.
pub(crate) fn told(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

/// A failed test in place of one that hangs.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

/// A program of this machine.
pub(crate) fn program(name: &str) -> Command {
    // Where Debian keeps servers, outside the path of ordinary users.
    let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).chain(usual).map(|dir| dir.join(name));
    Command::new(found.find(|file| file.is_file()).unwrap_or_else(|| {
        panic!("`{name}` is missing: `tests/run interop` installs it where apt-get is at hand")
    }))
}

/// The same, and a shell that ends it when its own standard input ends: when its owner is gone.
pub(crate) fn guarded(program: &Command) -> Command {
    let program = program.as_std();
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(r#""$@" & program=$!; cat > /dev/null; kill "$program"; wait"#)
        .arg("sh")
        .arg(program.get_program())
        .args(program.get_args())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}
