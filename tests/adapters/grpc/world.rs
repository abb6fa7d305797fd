//! A tonic server that asks for tokens, and sessions for it.

use std::{
    convert::Infallible,
    future::Future,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{HeaderMap, Response, header::AUTHORIZATION};
use tokio::task::JoinSet;
use tonic::{
    Status,
    body::Body,
    service::InterceptorLayer,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{pb::health_client::HealthClient, server::HealthReporter};
use tower::{Layer, Service};
use tower_reauth::{
    AccessToken, RefreshTokenGrant, Session, SessionBuilder,
    testing::AuthorizationServer,
    tonic::{Reauth, ReauthLayer},
};

use super::{chat::ChatServer, words::Chat};

/// An authorization server in memory, and a gRPC server on a socket that accepts its tokens.
pub(crate) struct World {
    pub(crate) authorization: AuthorizationServer,
    pub(crate) door: Door,
    pub(crate) chat: ChatServer,
    pub(crate) health: HealthReporter,
    pub(crate) origin: String,
    /// The server ends with it.
    _serving: JoinSet<()>,
}

impl World {
    pub(crate) fn new() -> Self {
        let authorization = AuthorizationServer::new();
        let door = Door::default();
        let chat = ChatServer::new(authorization.clone());
        let (health, health_server) = tonic_health::server::health_reporter();

        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let incoming = incoming.with_nodelay(Some(true));
        let origin = format!("http://{}", incoming.local_addr().unwrap());
        let judge = authorization.clone();
        let guard = move |request: tonic::Request<()>| {
            let token = token_in(request.metadata().as_ref());
            match token.is_some_and(|token| judge.is_valid(&token)) {
                true => Ok(request),
                false => Err(refusal()),
            }
        };
        let mut serving = JoinSet::new();
        let server = Server::builder()
            // As many as a test sends at once.
            .max_concurrent_streams(2000)
            .layer(door.clone())
            .layer(InterceptorLayer::new(guard))
            .add_service(health_server)
            .add_service(chat.clone());
        serving.spawn(async move { server.serve_with_incoming(incoming).await.unwrap() });
        Self { authorization, door, chat, health, origin, _serving: serving }
    }

    pub(crate) fn grant(&self) -> RefreshTokenGrant<AuthorizationServer> {
        let endpoint = self.authorization.token_endpoint().to_string();
        RefreshTokenGrant::new(&endpoint, "app", self.authorization.clone()).unwrap()
    }

    /// A session that begins with a login, whose token may go nowhere yet.
    pub(crate) fn builder(&self) -> SessionBuilder {
        Session::builder(self.grant()).tokens(self.authorization.login())
    }

    /// A session whose token goes where the channel does.
    pub(crate) fn session(&self) -> Session {
        self.builder().assume_insecure_origin(&self.origin).build().unwrap()
    }

    pub(crate) fn channel(&self) -> Channel {
        Channel::from_shared(self.origin.clone()).unwrap().connect_lazy()
    }

    pub(crate) fn guarded(&self, session: &Session) -> Reauth<Channel> {
        ReauthLayer::new(session.clone()).layer(self.channel())
    }

    pub(crate) fn health(&self, session: &Session) -> HealthClient<Reauth<Channel>> {
        HealthClient::new(self.guarded(session))
    }

    pub(crate) fn chat(&self, session: &Session) -> Chat<Reauth<Channel>> {
        Chat::new(self.guarded(session))
    }

    /// A session whose token is dead, and does not know it.
    pub(crate) fn stale(&self) -> Session {
        let session = self.session();
        self.authorization.revoke_access_tokens();
        session
    }
}

/// What the server says to a dead token.
pub(crate) fn refusal() -> Status {
    let mut status = Status::with_details(tonic::Code::Unauthenticated, "who?", "why"[..].into());
    status.metadata_mut().insert("x-server", "tonic".parse().unwrap());
    status
}

pub(crate) fn token_in(headers: &HeaderMap) -> Option<AccessToken> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    AccessToken::new(value.strip_prefix("Bearer ")?).ok()
}

/// What stands before the server: it notes each request, and may hold it or answer in the server's place.
#[derive(Clone, Default)]
pub(crate) struct Door(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    requests: Vec<(String, HeaderMap)>,
    hold: Option<Hold>,
    answer: Option<Response<()>>,
}

type Hold = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl Door {
    /// The paths of what came.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.0.lock().unwrap().requests.iter().map(|(path, _)| path.clone()).collect()
    }

    pub(crate) fn requests(&self) -> usize {
        self.0.lock().unwrap().requests.len()
    }

    /// The head of the request number `index`.
    pub(crate) fn head(&self, index: usize) -> HeaderMap {
        self.0.lock().unwrap().requests[index].1.clone()
    }

    /// Let every request wait for a future like this.
    pub(crate) fn hold<F>(&self, until: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.0.lock().unwrap().hold = Some(Arc::new(move || Box::pin(until())));
    }

    /// Answer the next request in the server's place.
    pub(crate) fn answer(&self, response: Response<()>) {
        self.0.lock().unwrap().answer = Some(response);
    }
}

impl<S> Layer<S> for Door {
    type Service = Doored<S>;

    fn layer(&self, inner: S) -> Doored<S> {
        Doored { inner, door: self.clone() }
    }
}

#[derive(Clone)]
pub(crate) struct Doored<S> {
    inner: S,
    door: Door,
}

impl<S, R> Service<http::Request<Body>> for Doored<S>
where
    S: Service<http::Request<Body>, Response = Response<R>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    R: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    R::Error: Into<tower_reauth::BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (hold, answer) = {
            let mut seen = self.door.0.lock().unwrap();
            seen.requests.push((request.uri().path().to_owned(), request.headers().clone()));
            (seen.hold.clone(), seen.answer.take())
        };
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        Box::pin(async move {
            if let Some(hold) = hold {
                hold().await;
            }
            match answer {
                Some(answer) => Ok(answer.map(|()| Body::empty())),
                None => Ok(inner.call(request).await?.map(Body::new)),
            }
        })
    }
}

/// A failed test in place of one that hangs.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}
