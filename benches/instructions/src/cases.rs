//! What is measured: a stack, and the request that goes through it again and again.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::auth::{AddAuthorization, AddAuthorizationLayer};
use tower_reauth::{
    AccessToken, Auth, AuthLayer, Held, NoReplay, Refresh, RefreshError, RefreshLayer, Session,
    TokenSet, source_fn,
};

use crate::frames::Frames;

const LONG: usize = 900;
const SHORT: usize = 40;

/// How many frames the two streams have.
pub const FRAMES: (usize, usize) = (4, 20);
/// The bytes of each of them.
pub const FRAME: usize = 1024;

/// Runs a case so many times.
pub type Run = fn(u64);

/// The cases by name.
pub const CASES: &[(&str, Run)] = &[
    ("b", |times| drive(b(LONG, Api), times, empty)),
    ("b_40", |times| drive(b(SHORT, Api), times, empty)),
    ("b_1k", |times| drive(b(LONG, Api), times, || sized(1024))),
    ("b_64k", |times| drive(b(LONG, Api), times, || sized(64 * 1024))),
    ("b_no_replay", |times| drive(b(LONG, Api), times, no_replay)),
    ("b_few_frames", |times| stream(b(LONG, Reading), times, FRAMES.0)),
    ("b_many_frames", |times| stream(b(LONG, Reading), times, FRAMES.1)),
    ("auth", |times| drive(auth(LONG), times, empty)),
    ("auth_40", |times| drive(auth(SHORT), times, empty)),
    ("refresh", |times| drive(refresh(Api), times, empty)),
    ("refresh_1k", |times| drive(refresh(Api), times, || sized(1024))),
    ("refresh_64k", |times| drive(refresh(Api), times, || sized(64 * 1024))),
    ("no_replay", |times| drive(refresh(Api), times, no_replay)),
    ("few_frames", |times| stream(refresh(Reading), times, FRAMES.0)),
    ("many_frames", |times| stream(refresh(Reading), times, FRAMES.1)),
];

/// Run one case, as told on the command line.
pub fn run(case: &str, times: &str) -> Result<(), String> {
    let (_, run) = CASES.iter().find(|(name, _)| *name == case).ok_or("no such case")?;
    run(times.parse().map_err(|_| "that is no number of times")?);
    Ok(())
}

fn drive<S, B>(mut service: S, times: u64, request: impl Fn() -> Request<B>)
where
    S: Service<Request<B>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..times {
        assert!(service.poll_ready(cx).is_ready());
        let answer = pin!(service.call(request())).poll(cx);
        assert!(matches!(answer, Poll::Ready(Ok(_))));
    }
}

fn stream<S>(service: S, times: u64, frames: usize)
where
    S: Service<Request<Frames>>,
{
    let frame = Bytes::from(vec![7; FRAME]);
    drive(service, times, || request(Frames { frame: frame.clone(), left: frames }));
}

fn b<S>(length: usize, inner: S) -> AddAuthorization<S> {
    AddAuthorizationLayer::bearer(token(length).expose_secret()).layer(inner)
}

fn auth(length: usize) -> Auth<Api> {
    AuthLayer::new(session(length)).layer(Api)
}

fn refresh<S>(inner: S) -> Refresh<Auth<S>> {
    let session = session(LONG);
    ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session))
        .service(inner)
}

fn token(length: usize) -> AccessToken {
    AccessToken::new("t".repeat(length)).expect("letters make a token")
}

fn session(length: usize) -> Session {
    let source = source_fn(|_: Held| async { Err(RefreshError::transient()) });
    let tokens = TokenSet::new(token(length)).expires_in(Duration::from_secs(3600));
    let session = Session::builder(source)
        .tokens(tokens)
        .origin("https://api.example.com")
        .build()
        .expect("the origin is one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime starts").block_on(session.token()).expect("the seed is valid");
    session
}

fn request<B>(body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::from_static("https://api.example.com/v1/orders");
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    request
}

fn empty() -> Request<Full<Bytes>> {
    request(Full::default())
}

/// With a body of its own for each request, as programs have; its making costs both sides the same.
fn sized(size: usize) -> Request<Full<Bytes>> {
    request(Full::new(Bytes::from(vec![7; size])))
}

fn no_replay() -> Request<Full<Bytes>> {
    let mut request = empty();
    request.extensions_mut().insert(NoReplay);
    request
}

/// Answers at once, and drops the request.
#[derive(Clone)]
struct Api;

impl<B> Service<Request<B>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Full::default())))
    }
}

/// Reads the request's body to its end first.
#[derive(Clone)]
struct Reading;

impl<B: Body> Service<Request<B>> for Reading {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let cx = &mut Context::from_waker(Waker::noop());
        let mut body = pin!(request.into_body());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(cx) {
            assert!(black_box(frame).is_ok());
        }
        Api.call(Request::new(()))
    }
}
