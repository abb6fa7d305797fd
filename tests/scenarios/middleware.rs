//! Other people's layers above, between and beneath ours.

use std::{
    error::Error,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::join};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::{LoadShedLayer, error::Overloaded},
    service_fn,
    timeout::{TimeoutLayer, error::Elapsed},
    util::BoxCloneSyncService,
};
use tower_reauth::{
    AuthLayer, BoxError, NoAuth, RefreshError, RefreshLayer, ReplayBody, Session, map_body,
    testing::ResponseBody,
};
use tower_test::mock;

use crate::support::{Client, ORIGIN, World, get, post, send, stack};

/// One type all the way down, so that any layer can stand anywhere.
type Body = UnsyncBoxBody<Bytes, BoxError>;
type Erased = BoxCloneSyncService<Request<Body>, Response<ResponseBody>, BoxError>;

#[derive(Clone, Copy, Debug)]
enum Other {
    ConcurrencyLimit,
    Buffer,
    Timeout,
    LoadShed,
    RateLimit,
}
use Other::{Buffer, ConcurrencyLimit, LoadShed, RateLimit, Timeout};

impl Other {
    fn over(self, inner: Erased) -> Erased {
        match self {
            ConcurrencyLimit => Erased::new(ConcurrencyLimitLayer::new(1).layer(inner)),
            Buffer => Erased::new(BufferLayer::new(4).layer(inner)),
            Timeout => Erased::new(TimeoutLayer::new(Duration::from_secs(30)).layer(inner)),
            LoadShed => Erased::new(LoadShedLayer::new().layer(inner)),
            // It is not `Clone`, so it stands under a buffer.
            RateLimit => {
                let layer = RateLimitLayer::new(1, Duration::from_secs(1));
                Erased::new(BufferLayer::new(4).layer(layer.layer(inner)))
            }
        }
    }
}

fn refresh(session: &Session, inner: Erased) -> Erased {
    let inner = map_body(BodyExt::boxed_unsync).layer(inner);
    Erased::new(RefreshLayer::new(session.clone()).layer(inner))
}

fn auth(session: &Session, inner: Erased) -> Erased {
    Erased::new(AuthLayer::new(session.clone()).layer(inner))
}

fn get_any(path: &str) -> Request<Body> {
    get(path).map(any)
}

fn any(body: Full<Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}

/// A session whose token is good for a minute, and loaded.
async fn minute(world: &World) -> Session {
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    session.token().await.unwrap();
    session
}

#[tokio::test(start_paused = true)]
async fn every_layer_can_stand_above_between_and_beneath() {
    for other in [ConcurrencyLimit, Buffer, Timeout, LoadShed, RateLimit] {
        for place in ["above", "between", "beneath"] {
            for is_revoked in [true, false] {
                let world = World::new();
                let session = minute(&world).await;
                let api = Erased::new(world.api.clone());
                let client = match place {
                    "above" => other.over(refresh(&session, auth(&session, api))),
                    "between" => refresh(&session, other.over(auth(&session, api))),
                    _ => refresh(&session, auth(&session, other.over(api))),
                };
                if is_revoked {
                    world.authorization.revoke_access_tokens();
                } else {
                    tokio::time::sleep(Duration::from_secs(61)).await;
                }
                let caller = |body: &'static str| {
                    let request = post("/orders", body).map(any);
                    tokio::time::timeout(Duration::from_secs(300), send(&client, request))
                };
                let (first, second) = join(caller("one"), caller("two")).await;
                for (answer, body) in [(first, "one"), (second, "two")] {
                    let answer = answer.expect("a deadlock").unwrap();
                    assert_eq!(answer.status(), 200, "{other:?} {place}");
                    assert_eq!(answer.into_body(), body);
                }
                let refused = if is_revoked { 1..=2 } else { 0..=0 };
                assert!(refused.contains(&world.api.unauthorized()), "{other:?} {place}");
                assert_eq!(world.authorization.token_requests(), 1, "{other:?} {place}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_token_holds_no_permit_that_another_needs() {
    let world = World::new();
    let session = minute(&world).await;
    let api = ConcurrencyLimit.over(Erased::new(world.api.clone()));
    let client = refresh(&session, auth(&session, api));
    tokio::time::sleep(Duration::from_secs(61)).await;
    let hold = world.authorization.hold();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get_any("/orders")).await.unwrap().status() }
    });
    hold.until_held(1).await;

    let mut passing = get_any("/public");
    passing.extensions_mut().insert(NoAuth);
    let passed = tokio::time::timeout(Duration::from_secs(5), send(&client, passing)).await;
    assert_eq!(passed.expect("the permit is taken").unwrap().status(), 401);
    assert!(!waiting.is_finished());
    hold.release();
    assert_eq!(waiting.await.unwrap(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_challenged_request_holds_no_permit_while_the_refresh_runs() {
    let world = World::new();
    let session = minute(&world).await;
    let api = ConcurrencyLimit.over(Erased::new(world.api.clone()));
    let client = refresh(&session, auth(&session, api));
    world.authorization.revoke_access_tokens();
    let hold = world.authorization.hold();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get_any("/orders")).await.unwrap().status() }
    });
    hold.until_held(1).await;

    let mut passing = get_any("/public");
    passing.extensions_mut().insert(NoAuth);
    let passed = tokio::time::timeout(Duration::from_secs(5), send(&client, passing)).await;
    assert_eq!(passed.expect("the permit is taken").unwrap().status(), 401);
    assert!(!waiting.is_finished());
    hold.release();
    assert_eq!(waiting.await.unwrap(), 200);
}

/// An error of somebody else's, around whatever comes from beneath.
#[derive(Debug)]
struct Wrapped(BoxError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed beneath")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ran_out_in_a_queue_is_no_answer_and_the_request_is_admitted_again() {
    for is_wrapped in [false, true] {
        let world = World::new();
        let session = minute(&world).await;
        let queue =
            Buffer.over(ConcurrencyLimit.over(auth(&session, Erased::new(world.api.clone()))));
        let queue = match is_wrapped {
            true => Erased::new(queue.map_err(|error| Wrapped(error).into())),
            false => queue,
        };
        let client = refresh(&session, queue);

        // The first is answered late; the second waits behind it until its token is no more.
        let hold = world.api.hold();
        let call = |body: &'static str| {
            let client = client.clone();
            let request = post("/orders", body).map(any);
            tokio::spawn(async move { send(&client, request).await.unwrap() })
        };
        let first = call("first");
        hold.until_held(1).await;
        let second = call("second");
        tokio::time::sleep(Duration::from_secs(61)).await;
        hold.release();

        assert_eq!(first.await.unwrap().status(), 200);
        let second = second.await.unwrap();
        assert_eq!(second.status(), 200);
        assert_eq!(second.into_body(), "second");
        assert_eq!((world.api.requests(), world.api.unauthorized()), (2, 0));
        assert_eq!(world.authorization.token_requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_outlasts_every_token_ends_in_a_typed_error() {
    let world = World::new();
    let session = minute(&world).await;
    let below = auth(&session, Erased::new(world.api.clone()));
    let passed = Arc::new(AtomicUsize::new(0));
    let slow = service_fn({
        let passed = passed.clone();
        move |request: Request<Body>| {
            passed.fetch_add(1, Ordering::Relaxed);
            let below = below.clone();
            // No `async` block: of a boxed error within one rustc does not see that it is `'static`.
            tokio::time::sleep(Duration::from_secs(61)).then(move |()| below.oneshot(request))
        }
    });
    let client = refresh(&session, Erased::new(slow));

    let answer = tokio::time::timeout(Duration::from_secs(3600), send(&client, get_any("/orders")));
    let error = answer.await.expect("it goes round for ever").unwrap_err();

    assert!(error.is::<RefreshError>());
    assert!((2..=5).contains(&passed.load(Ordering::Relaxed)));
    assert_eq!(world.api.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_above_ends_the_wait_and_not_the_refresh() {
    let world = World::new();
    let session = minute(&world).await;
    let layers = ServiceBuilder::new()
        .timeout(Duration::from_secs(2))
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()));
    let client: Client = BoxCloneSyncService::new(layers.service(world.api.clone()));
    tokio::time::sleep(Duration::from_secs(61)).await;
    world.authorization.delay(Duration::from_secs(5));

    assert!(send(&client, get("/orders")).await.unwrap_err().is::<Elapsed>());
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1, 1));
    assert_eq!(world.authorization.reused(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_beneath_bounds_each_send_and_not_the_wait_between_them() {
    let world = World::new();
    let session = minute(&world).await;
    let client = refresh(&session, auth(&session, Timeout.over(Erased::new(world.api.clone()))));
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_secs(9));
    world.api.delay(Duration::from_secs(25));
    assert_eq!(send(&client, get_any("/orders")).await.unwrap().status(), 200);

    world.api.delay(Duration::from_secs(31));
    assert!(send(&client, get_any("/orders")).await.unwrap_err().is::<Elapsed>());
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_is_shed_fails_with_that() {
    let world = World::new();
    let session = minute(&world).await;
    let limited = LoadShed.over(ConcurrencyLimit.over(Erased::new(world.api.clone())));
    let client = refresh(&session, auth(&session, limited));
    world.authorization.revoke_access_tokens();
    let tokens = world.authorization.hold();
    let challenged = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get_any("/orders")).await }
    });
    tokens.until_held(1).await;
    // Somebody else takes the only place meanwhile.
    let answers = world.api.hold();
    let mut passing = get_any("/public");
    passing.extensions_mut().insert(NoAuth);
    let passing = tokio::spawn({
        let client = client.clone();
        async move { send(&client, passing).await.unwrap().status() }
    });
    answers.until_held(1).await;
    tokens.release();

    assert!(challenged.await.unwrap().unwrap_err().is::<Overloaded>());
    answers.release();
    assert_eq!(passing.await.unwrap(), 401);
}

#[tokio::test(start_paused = true)]
async fn our_error_is_found_through_the_layers_above() {
    let world = World::new();
    let session = Session::builder(world.grant()).origin(ORIGIN).build().unwrap();
    let ours = refresh(&session, auth(&session, Erased::new(world.api.clone())));
    let client = [Timeout, LoadShed, RateLimit, Buffer, ConcurrencyLimit]
        .into_iter()
        .fold(ours, |inner, other| other.over(inner));

    let error = send(&client, get_any("/orders")).await.unwrap_err();
    assert!(error.downcast_ref::<RefreshError>().unwrap().needs_login());
}

/// Keeps to the contract of `Service`, and panics if its caller does not: each instance wants to be
/// found ready before each call, and takes two polls for it.
struct Strict<S> {
    inner: S,
    polls: usize,
}

impl<S: Clone> Clone for Strict<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), polls: 0 }
    }
}

impl<S: Service<R>, R> Service<R> for Strict<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.polls += 1;
        if self.polls < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        assert!(self.polls >= 2, "called before it was ready");
        self.polls = 0;
        self.inner.call(request)
    }
}

#[tokio::test(start_paused = true)]
async fn every_send_is_made_by_an_instance_that_was_found_ready() {
    let world = World::new();
    let session = minute(&world).await;
    let client: Client = stack(&session, Strict { inner: world.api.clone(), polls: 0 });

    // On a good token, on the replay after a challenge, after a wait for a token, and left alone.
    assert_eq!(send(&client, get("/a")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/b")).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(send(&client, get("/c")).await.unwrap().status(), 200);
    let mut passing = get("/d");
    passing.extensions_mut().insert(NoAuth);
    assert_eq!(send(&client, passing).await.unwrap().status(), 401);

    // One instance used again and again, as `ready` gives it.
    let mut service = client.clone();
    for _ in 0..2 {
        world.authorization.revoke_access_tokens();
        let response = service.ready().await.unwrap().call(get("/e")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert_eq!(world.api.requests(), 1 + 2 + 1 + 1 + 2 * 2);
}

type Sent = Request<ReplayBody<Full<Bytes>>>;
type Answer = Response<Full<Bytes>>;

fn unauthorized() -> Answer {
    let mut response = Answer::default();
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    response
}

#[tokio::test(start_paused = true)]
async fn the_replay_waits_until_the_inner_service_is_ready_for_it() {
    let world = World::new();
    let session = minute(&world).await;
    let (inner, mut handle) = mock::pair::<Sent, Answer>();
    let mut client = mock::Spawn::new(stack(&session, inner));
    handle.allow(1);
    assert_ready!(client.poll_ready()).unwrap();
    let mut answer = task::spawn(client.call(get("/orders")));
    assert_pending!(answer.poll());
    let (first, reply) = assert_ready!(task::spawn(handle.next_request()).poll()).unwrap();
    reply.send_response(unauthorized());
    let tokens = world.authorization.hold();
    assert_pending!(answer.poll());
    tokens.release();
    session.refresh_after(&session.peek().unwrap()).await.unwrap();

    assert_pending!(answer.poll());
    assert_pending!(task::spawn(handle.next_request()).poll());
    handle.allow(1);
    assert!(answer.is_woken());
    assert_pending!(answer.poll());
    let (second, reply) = assert_ready!(task::spawn(handle.next_request()).poll()).unwrap();
    assert_ne!(first.headers()[header::AUTHORIZATION], second.headers()[header::AUTHORIZATION]);
    reply.send_response(Answer::default());
    assert_eq!(assert_ready!(answer.poll()).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_breaks_before_the_replay_fails_the_request_with_its_error() {
    let world = World::new();
    let session = minute(&world).await;
    let (inner, mut handle) = mock::pair::<Sent, Answer>();
    let mut client = mock::Spawn::new(stack(&session, inner));
    handle.allow(1);
    assert_ready!(client.poll_ready()).unwrap();
    let mut answer = task::spawn(client.call(get("/orders")));
    assert_pending!(answer.poll());
    let (_, reply) = assert_ready!(task::spawn(handle.next_request()).poll()).unwrap();
    reply.send_response(unauthorized());
    handle.send_error("the pool is closed");
    let tokens = world.authorization.hold();
    assert_pending!(answer.poll());
    tokens.release();
    session.refresh_after(&session.peek().unwrap()).await.unwrap();

    let error = assert_ready_err!(answer.poll());
    assert_eq!(error.to_string(), "the pool is closed");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_only_its_own_body_gets_that_on_both_sends() {
    type Own = UnsyncBoxBody<Bytes, BoxError>;
    let world = World::new();
    let session = minute(&world).await;
    let own = service_fn({
        let api = world.api.clone();
        move |request: Request<Own>| api.clone().oneshot(request)
    });
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session))
        .layer(map_body(|body: ReplayBody<Full<Bytes>>| body.boxed_unsync()));
    let client: Client = BoxCloneSyncService::new(layers.service(own));
    world.authorization.revoke_access_tokens();

    let response = send(&client, post("/orders", "a body")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), "a body");
    assert_eq!(world.api.received()[0].body, "a body");
}
