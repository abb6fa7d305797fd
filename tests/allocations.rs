//! A valid token costs no allocation of its own: counted by the allocator, against a constant header.

#[path = "../benches/support/frames.rs"]
mod frames;

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use http_body_util::{Empty, Full};
use tower::{Layer, Service, ServiceBuilder};
use tower_http::auth::AddAuthorizationLayer;
use tower_reauth::{
    AccessToken, Auth, AuthLayer, Held, NoReplay, Origins, Refresh, RefreshError, RefreshLayer,
    Session, TokenSet, source_fn,
};

use self::frames::Frames;

const TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl";

/// Counts what the thread that asks allocates; tests run beside each other.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<usize> = const { Cell::new(0) };
}

fn count() {
    // The thread may be ending, and its counter be gone.
    let _ = ALLOCATED.try_with(|allocated| allocated.set(allocated.get() + 1));
}

// SAFETY: every call is handed to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers at once, and sees that a token came.
#[derive(Clone)]
struct Api;

impl<B> Service<Request<B>> for Api {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        assert!(request.headers().contains_key(header::AUTHORIZATION));
        ready(Ok(Response::new(Empty::new())))
    }
}

fn session() -> Session {
    let source = source_fn(|_: Held| async { Err(RefreshError::transient()) });
    let token = AccessToken::new(TOKEN).unwrap();
    let session = Session::builder(source)
        .tokens(TokenSet::new(token).expires_in(Duration::from_secs(3600)))
        .origin("https://api.example.com")
        .build()
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(session.token()).unwrap();
    session
}

/// How many allocations one request makes: its call and its answer, not its making. There is no
/// runtime, so no timer and no task either.
fn allocations<S, B>(mut service: S, request: impl Fn() -> Request<B>) -> usize
where
    S: Service<Request<B>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    let mut once = || {
        let request = request();
        let before = ALLOCATED.get();
        assert!(service.poll_ready(cx).is_ready());
        let answer = pin!(service.call(request)).poll(cx);
        assert!(matches!(answer, Poll::Ready(Ok(_))));
        drop(answer);
        ALLOCATED.get() - before
    };
    // The first request of a thread sets up what later ones find.
    let _ = once();
    let counts: [usize; 8] = std::array::from_fn(|_| once());
    assert_eq!(counts, [counts[0]; 8], "it depends on the request before");
    counts[0]
}

fn bare() -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = Uri::from_static("https://api.example.com/orders");
    request
}

/// A request that has other headers, so that one more finds room.
fn usual() -> Request<Full<Bytes>> {
    let mut request = bare();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("test/1"));
    request
}

#[test]
fn a_valid_token_is_attached_without_an_allocation() {
    assert_eq!(allocations(AuthLayer::new(session()).layer(Api), usual), 0);
}

#[test]
fn a_valid_token_allocates_no_more_than_a_constant_header() {
    for request in [bare, usual] {
        let constant = allocations(AddAuthorizationLayer::bearer(TOKEN).layer(Api), request);
        let attached = allocations(AuthLayer::new(session()).layer(Api), request);
        assert_eq!(attached, constant);
    }
}

#[test]
fn a_token_far_from_its_expiry_and_one_of_unknown_lifetime_cost_the_same() {
    let source = source_fn(|_: Held| async {
        Ok(TokenSet::new(AccessToken::new(TOKEN).map_err(|_| RefreshError::misconfigured())?))
    });
    let session =
        Session::builder(source.from_nothing()).origin("https://api.example.com").build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(session.token()).unwrap();
    assert_eq!(allocations(AuthLayer::new(session).layer(Api), usual), 0);
}

#[test]
fn a_closures_token_is_written_into_one_header() {
    let token = AccessToken::new(TOKEN).unwrap();
    let origins = Origins::new("https://api.example.com").unwrap();
    let layer = AuthLayer::from_fn(origins, move || Some(token.clone()));
    let written = allocations(layer.layer(Api), usual);
    assert!(written <= WRITTEN, "{written} allocations");
}

/// The text of the header's value, and what shares it.
const WRITTEN: usize = 2;

fn stack<S>(inner: S) -> Refresh<Auth<S>> {
    let session = session();
    ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session))
        .service(inner)
}

#[test]
fn keeping_a_request_for_its_replay_has_a_bound() {
    let kept = allocations(stack(Api), usual);
    assert!(kept <= KEPT, "{kept} allocations");
}

#[test]
fn keeping_a_sized_body_costs_one_more_whatever_its_size() {
    for size in [1024, 64 * 1024] {
        let sized = || usual().map(|_| Full::new(Bytes::from(vec![7; size])));
        let kept = allocations(stack(Api), sized);
        assert!(kept <= KEPT + 1, "{kept} allocations");
    }
}

#[test]
fn a_request_that_is_not_kept_allocates_nothing() {
    let unkept = || {
        let mut request = usual();
        request.extensions_mut().insert(NoReplay);
        request
    };
    assert_eq!(allocations(stack(Api), unkept), 0);
}

#[cfg(feature = "inspect-body")]
#[test]
fn a_body_that_is_not_suspicious_is_inspected_without_an_allocation() {
    use tower_reauth::{GraphQlErrors, InspectLayer};

    let inspect = InspectLayer::new(GraphQlErrors::new());
    assert_eq!(allocations(inspect.layer(AuthLayer::new(session()).layer(Api)), usual), 0);
    let beneath = allocations(stack(inspect.layer(Api)), usual);
    assert_eq!(beneath, allocations(stack(Api), usual));
}

#[cfg(feature = "base-url")]
#[test]
fn an_absolute_request_passes_a_base_url_without_an_allocation() {
    let base = tower_reauth::BaseUrlLayer::new("https://api.example.com/v2/").unwrap();
    assert_eq!(allocations(base.layer(AuthLayer::new(session()).layer(Api)), usual), 0);
}

#[test]
fn each_kept_frame_of_a_stream_costs_one_at_most() {
    let frame = Bytes::from(vec![7; 1024]);
    let read = |frames: usize| {
        let stream = || usual().map(|_| Frames { frame: frame.clone(), left: frames });
        allocations(stack(Reading), stream)
    };
    let (few, many) = (read(4), read(20));
    assert!(many - few <= 16, "{few} and {many} allocations");
}

/// Reads a request to its end, then answers as [`Api`] does.
#[derive(Clone)]
struct Reading;

impl<B: Body> Service<Request<B>> for Reading {
    type Response = Response<Empty<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let cx = &mut Context::from_waker(Waker::noop());
        let mut body = pin!(body);
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(cx) {
            assert!(frame.is_ok());
        }
        Api.call(Request::from_parts(head, ()))
    }
}

/// The copy of the header's fields; an empty body costs nothing.
const KEPT: usize = 1;
