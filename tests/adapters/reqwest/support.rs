//! Both servers, the API on a socket, and a session that begins with a login.

use std::time::Duration;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedSender, unbounded};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use reqwest::{Body, Client, ClientBuilder};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, ReqwestService, Session, SessionBuilder,
    reqwest::redirect_policy,
    testing::{AuthorizationServer, Loopback, ResourceServer},
};

pub(crate) struct World {
    pub(crate) authorization: AuthorizationServer,
    pub(crate) api: ResourceServer,
    pub(crate) socket: Loopback,
    pub(crate) session: Session,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    pub(crate) async fn with(set_up: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        Self::at(AuthorizationServer::new(), set_up).await
    }

    pub(crate) async fn at(
        authorization: AuthorizationServer,
        set_up: impl FnOnce(SessionBuilder) -> SessionBuilder,
    ) -> Self {
        let api = ResourceServer::new(&authorization);
        let socket = api.serve().await.unwrap();
        let endpoint = authorization.token_endpoint().to_string();
        let grant = RefreshTokenGrant::new(&endpoint, "app", authorization.clone()).unwrap();
        let builder =
            Session::builder(grant).tokens(authorization.login()).insecure_origin(socket.origin());
        let session = set_up(builder).build().unwrap();
        Self { authorization, api, socket, session }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        self.socket.uri(path).to_string()
    }

    /// How many `Authorization` headers the API saw on each request.
    pub(crate) fn authorizations(&self) -> Vec<usize> {
        self.api.received().iter().map(|received| received.authorizations()).collect()
    }

    /// Every request was refused: a server of HTTP/2 takes so many at once, and then some more.
    pub(crate) async fn until_refused(&self, requests: usize) {
        soon(async {
            while self.api.unauthorized() < requests {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }

    /// The bodies that the API read to their end.
    pub(crate) fn bodies(&self) -> Vec<Bytes> {
        let received = self.api.received().into_iter();
        received.filter(|received| received.complete).map(|received| received.body).collect()
    }
}

/// The two versions of HTTP that the servers speak.
pub(crate) const VERSIONS: [fn() -> Client; 2] = [http1, http2];

pub(crate) fn http1() -> Client {
    build(Client::builder())
}

pub(crate) fn http2() -> Client {
    build(Client::builder().http2_prior_knowledge())
}

fn build(builder: ClientBuilder) -> Client {
    builder.redirect(redirect_policy()).build().unwrap()
}

pub(crate) type Stack = BoxCloneSyncService<Request<Body>, Response<Body>, BoxError>;

/// The usual stack over this client.
pub(crate) fn stack(session: &Session, client: Client) -> Stack {
    let service = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(ReqwestService::new(client));
    BoxCloneSyncService::new(service)
}

/// Send by the stack; the answer is a response of reqwest again.
pub(crate) async fn send(
    stack: &Stack,
    request: Request<Body>,
) -> Result<reqwest::Response, BoxError> {
    soon(stack.clone().oneshot(request)).await.map(reqwest::Response::from)
}

pub(crate) fn get(url: impl AsRef<str>) -> Request<Body> {
    Request::get(url.as_ref()).body(Body::default()).unwrap()
}

pub(crate) fn post(url: impl AsRef<str>, body: impl Into<Body>) -> Request<Body> {
    Request::post(url.as_ref()).body(body.into()).unwrap()
}

pub(crate) type Frames = UnboundedSender<Result<Frame<Bytes>, std::io::Error>>;

/// A body that is written while it is sent.
pub(crate) fn streamed() -> (Frames, Body) {
    let (frames, stream) = unbounded();
    (frames, Body::wrap(StreamBody::new(stream)))
}

pub(crate) fn data(frames: &Frames, bytes: impl Into<Bytes>) {
    frames.unbounded_send(Ok(Frame::data(bytes.into()))).unwrap();
}

/// What takes longer has come to a stop.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("it comes to an end")
}
