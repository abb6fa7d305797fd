//! Who goes through the storm: a request of each is one task.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::sync::Notify;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{Auth, AuthLayer, BoxError, Held, Refresh, RefreshLayer, Session, source_fn};

use crate::tokens::{self, Issuer, REFRESH};

/// One way to live with tokens that run out.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// One request, from its making to its last byte. Whether it went well.
    fn task(&self) -> impl Future<Output = bool> + Send + 'static;
}

/// A `GET` with two header fields and no body.
pub(crate) fn request(uri: Uri) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    request
}

/// A client that sees to tokens by itself: all its tasks do is send.
#[derive(Clone)]
pub(crate) struct Stack<S> {
    pub(crate) service: S,
    pub(crate) uri: Uri,
}

impl<S, R> Contender for Stack<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    R: Body + Send,
    R::Data: Send,
    R::Error: Send,
{
    fn task(&self) -> impl Future<Output = bool> + Send + 'static {
        let Self { service, uri } = self.clone();
        async move {
            let answer = service.oneshot(request(uri)).await;
            read(answer).await == Some(StatusCode::OK)
        }
    }
}

/// The status, once the response has been read to its end.
async fn read<R: Body, E: Into<BoxError>>(answer: Result<Response<R>, E>) -> Option<StatusCode> {
    match answer {
        Ok(response) if response.body().is_end_stream() => Some(response.status()),
        Ok(response) => {
            let status = response.status();
            response.into_body().collect().await.is_ok().then_some(status)
        }
        Err(error) => {
            eprintln!("a request failed: {}", error.into());
            None
        }
    }
}

/// What is measured here: `RefreshLayer` over `AuthLayer`.
pub(crate) type Ours<S> = Stack<Refresh<Auth<S>>>;

/// A session whose refreshes run at `issuer`, with the old token in memory.
pub(crate) async fn session(issuer: &Issuer, origin: &str) -> Session {
    let tokens = issuer.login();
    let issuer = issuer.clone();
    let source = source_fn(move |held: Held| {
        let issuer = issuer.clone();
        async move {
            let spent = held.refresh_token().map(|token| token.expose_secret());
            Ok(issuer.refresh(spent).await)
        }
    });
    let builder = Session::builder(source).tokens(tokens);
    let builder = if origin.starts_with("https") {
        builder.origin(origin)
    } else {
        builder.insecure_origin(origin)
    };
    let session = builder.build().expect("the origin is one");
    session.token().await.expect("the first token is valid");
    session
}

/// A session that has no token yet, and a source that starts from nothing.
pub(crate) fn cold_session(issuer: &Issuer, origin: &str) -> Session {
    let issuer = issuer.clone();
    let source = source_fn(move |_: Held| {
        let issuer = issuer.clone();
        async move { Ok(issuer.refresh(None).await) }
    });
    let builder = Session::builder(source.from_nothing()).origin(origin);
    builder.build().expect("the origin is one")
}

pub(crate) fn ours<S>(session: Session, service: S, uri: Uri) -> Ours<S> {
    let service = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session))
        .service(service);
    Stack { service, uri }
}

/// Each task knows both tokens beforehand, and does only its two sends and one shared wait: the least
/// that any client could do.
#[derive(Clone)]
pub(crate) struct Ideal<S> {
    service: S,
    uri: Uri,
    shared: Arc<Known>,
}

struct Known {
    old: HeaderValue,
    new: HeaderValue,
    issuer: Issuer,
    renewal: Renewal,
}

/// The one shared wait. The first who needs it begins the refresh.
#[derive(Default)]
struct Renewal {
    begun: AtomicBool,
    over: AtomicBool,
    ended: Notify,
}

impl<S> Ideal<S> {
    pub(crate) fn new(issuer: &Issuer, service: S, uri: Uri) -> Self {
        let (old, new) = (tokens::header(&tokens::old()), tokens::header(&tokens::new()));
        let issuer = issuer.clone();
        let shared = Arc::new(Known { old, new, issuer, renewal: Renewal::default() });
        Self { service, uri, shared }
    }
}

impl Known {
    async fn wait(self: &Arc<Self>) {
        // Made before the look: if that is too early, this hears of the end.
        let ended = self.renewal.ended.notified();
        if !self.renewal.over.load(Ordering::Acquire) {
            self.begin();
            ended.await;
        }
    }

    /// The clock runs from here on, even if the task that waits for it has its turn later.
    fn begin(self: &Arc<Self>) {
        let begun = &self.renewal.begun;
        if begun.load(Ordering::Relaxed) || begun.swap(true, Ordering::Relaxed) {
            return;
        }
        let known = self.clone();
        let timer = tokio::time::sleep(REFRESH);
        tokio::spawn(async move {
            timer.await;
            known.issuer.count();
            known.renewal.over.store(true, Ordering::Release);
            known.renewal.ended.notify_waiters();
        });
    }
}

impl<S, R> Contender for Ideal<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    R: Body + Send,
    R::Data: Send,
    R::Error: Send,
{
    fn task(&self) -> impl Future<Output = bool> + Send + 'static {
        let Self { service, uri, shared } = self.clone();
        async move {
            let mut first = request(uri.clone());
            first.headers_mut().insert(header::AUTHORIZATION, shared.old.clone());
            let rejected = read(service.clone().oneshot(first).await).await;
            if rejected != Some(StatusCode::UNAUTHORIZED) {
                return false;
            }
            shared.wait().await;
            let mut second = request(uri);
            second.headers_mut().insert(header::AUTHORIZATION, shared.new.clone());
            read(service.oneshot(second).await).await == Some(StatusCode::OK)
        }
    }
}

/// The ideal of a cold start: one shared wait, then one send.
#[derive(Clone)]
pub(crate) struct ColdIdeal<S>(pub(crate) Ideal<S>);

impl<S, R> Contender for ColdIdeal<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError> + Send,
    S::Future: Send,
    R: Body + Send,
    R::Data: Send,
    R::Error: Send,
{
    fn task(&self) -> impl Future<Output = bool> + Send + 'static {
        let Self(Ideal { service, uri, shared }) = self.clone();
        async move {
            shared.wait().await;
            let mut request = request(uri);
            request.headers_mut().insert(header::AUTHORIZATION, shared.new.clone());
            read(service.oneshot(request).await).await == Some(StatusCode::OK)
        }
    }
}
