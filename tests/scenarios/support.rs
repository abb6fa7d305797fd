//! A session over the kit's two servers, in memory: what most scenarios begin with.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinHandle,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, Entry, Event, Events, MemoryStore, RefreshError, RefreshLayer,
    RefreshTokenGrant, ReplayBody, Session, SessionBuilder, TokenSet, TokenSource, TokenStore,
    testing::{AuthorizationServer, ManualClock, ResourceServer, ResponseBody},
};

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// Strangers: another host, another port and another scheme than home.
pub(crate) const ABROAD: [&str; 4] = [
    "https://elsewhere.example.net/",
    "https://api.example.com.elsewhere.example.net/",
    "https://api.example.com:8443/",
    "http://api.example.com/",
];

pub(crate) type Body = Full<Bytes>;
pub(crate) type Client = BoxCloneSyncService<Request<Body>, Response<ResponseBody>, BoxError>;

/// Both servers, and a session that begins with a login.
pub(crate) struct World {
    pub(crate) authorization: AuthorizationServer,
    pub(crate) api: ResourceServer,
}

impl World {
    pub(crate) fn new() -> Self {
        let authorization = AuthorizationServer::new();
        let api = ResourceServer::new(&authorization);
        Self { authorization, api }
    }

    /// Both servers, by this clock.
    pub(crate) fn by(clock: &ManualClock) -> Self {
        let authorization = AuthorizationServer::with_clock(clock.clock());
        let api = ResourceServer::new(&authorization);
        Self { authorization, api }
    }

    /// A grant at this world's token endpoint.
    pub(crate) fn grant(&self) -> RefreshTokenGrant<AuthorizationServer> {
        let endpoint = self.authorization.token_endpoint().to_string();
        RefreshTokenGrant::new(&endpoint, "app", self.authorization.clone()).unwrap()
    }

    /// A session with a first pair as its seed, for scenarios that change more of its set-up.
    pub(crate) fn builder(&self) -> SessionBuilder {
        self.builder_over(self.grant())
    }

    /// The same over another source.
    pub(crate) fn builder_over(&self, source: impl TokenSource) -> SessionBuilder {
        Session::builder(source).tokens(self.authorization.login()).origin(ORIGIN)
    }

    pub(crate) fn session(&self) -> Session {
        self.builder().build().unwrap()
    }

    /// The usual stack over the resource server.
    pub(crate) fn client(&self, session: &Session) -> Client {
        stack(session, self.api.clone())
    }
}

/// The usual stack over any inner service.
pub(crate) fn stack<S, B, R>(
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

pub(crate) fn get(path: &str) -> Request<Body> {
    Request::get(format!("{ORIGIN}{path}")).body(Full::default()).unwrap()
}

pub(crate) fn post(path: &str, body: impl Into<Bytes>) -> Request<Body> {
    Request::post(format!("{ORIGIN}{path}")).body(Full::new(body.into())).unwrap()
}

/// Send one request, and read its answer whole.
pub(crate) async fn send<B, R>(
    client: &BoxCloneSyncService<Request<B>, Response<R>, BoxError>,
    request: Request<B>,
) -> Result<Response<Bytes>, BoxError>
where
    R: http_body::Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<BoxError>,
{
    let (head, body) = client.clone().oneshot(request).await?.into_parts();
    Ok(Response::from_parts(head, body.collect().await.map_err(Into::into)?.to_bytes()))
}

/// Let every task go as far as it can. Time must be paused.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// The events that are there by now.
pub(crate) fn told(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next().now_or_never().flatten()).collect()
}

/// The session's error, where nothing was sent.
pub(crate) fn unsent<T: std::fmt::Debug>(result: Result<T, BoxError>) -> RefreshError {
    *result.expect_err("nothing is sent").downcast().expect("the session's error")
}

/// The session's error beside a challenge that could not be answered.
pub(crate) fn unanswered<T>(response: &Response<T>) -> RefreshError {
    response.extensions().get::<RefreshError>().expect("the session's error").clone()
}

/// Send so many requests at once, each from a task of its own.
pub(crate) fn send_all(
    client: &Client,
    requests: impl IntoIterator<Item = Request<Body>>,
) -> Vec<JoinHandle<Result<Response<Bytes>, BoxError>>> {
    let send_one = |request| {
        let client = client.clone();
        tokio::spawn(async move { send(&client, request).await })
    };
    requests.into_iter().map(send_one).collect()
}

/// The tokens in a store. `None`: no record, or a tombstone.
pub(crate) async fn stored(store: &MemoryStore) -> Option<TokenSet> {
    match store.load().await.unwrap()?.entry {
        Entry::Live(record) => Some(record.tokens().clone()),
        Entry::Tombstone => None,
    }
}

/// A runtime whose time is paused, for scenarios that need more than one or end it.
pub(crate) fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// A request that tells whether anything still holds it.
pub(crate) fn traced(mut request: Request<Body>) -> (Request<Body>, Weak<()>) {
    let trace = Arc::new(());
    let weak = Arc::downgrade(&trace);
    request.extensions_mut().insert(trace);
    (request, weak)
}
