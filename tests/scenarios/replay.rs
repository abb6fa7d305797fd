//! A challenged request is sent again exactly as it was, or not at all.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, channel::mpsc, stream};
use http::{Method, Request, Response, StatusCode, Version, header, request::Parts};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody, combinators::UnsyncBoxBody};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, NoReplay, NotReplayed, RefreshError, RefreshLayer, ReplayBody,
    testing::{Fault, ManualClock},
};

use crate::support::{Body, Client, ORIGIN, World, get, post, send, stack};

/// Case 49.
#[tokio::test(start_paused = true)]
async fn a_challenged_post_is_sent_again_with_the_same_body_and_one_new_token() {
    let world = World::new();
    let client = world.client(&world.session());
    world.authorization.revoke_access_tokens();

    let response = send(&client, post("/orders", "two of the blue ones")).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), "two of the blue ones");
    let received = world.api.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        assert_eq!(request.method, Method::POST);
        assert_eq!(request.body, "two of the blue ones");
        assert!(request.complete);
        assert_eq!(request.authorizations(), 1);
    }
    assert_ne!(received[0].bearer(), received[1].bearer());
    assert_eq!(world.authorization.token_requests(), 1);
}

#[derive(Clone, Debug, PartialEq)]
struct Tag(&'static str);

/// Case 57.
#[tokio::test(start_paused = true)]
async fn method_uri_version_headers_and_extensions_are_the_same_on_the_replay() {
    let world = World::new();
    let heads = Arc::new(Mutex::new(Vec::<Parts>::new()));
    let inner = service_fn({
        let (api, heads) = (world.api.clone(), heads.clone());
        move |request: Request<ReplayBody<Body>>| {
            let (head, body) = request.into_parts();
            heads.lock().unwrap().push(head.clone());
            api.clone().oneshot(Request::from_parts(head, body))
        }
    });
    let client: Client = stack(&world.session(), inner);
    world.authorization.revoke_access_tokens();

    let request = Request::builder()
        .method("PROPFIND")
        .uri(format!("{ORIGIN}/a%20b?c=d&c=e"))
        .version(Version::HTTP_2)
        .header("x-twice", "one")
        .header("x-twice", "two")
        .header("content-type", "text/plain")
        .extension(Tag("caller's"))
        .body(Body::from("a body"))
        .unwrap();
    let (expected, _) = request.into_parts();
    let request = Request::from_parts(expected.clone(), Body::from("a body"));
    assert_eq!(send(&client, request).await.unwrap().status(), 200);

    let mut heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    let tokens: Vec<_> =
        heads.iter_mut().map(|head| head.headers.remove(header::AUTHORIZATION).unwrap()).collect();
    assert_ne!(tokens[0], tokens[1]);
    for head in &*heads {
        assert_eq!(head.method, expected.method);
        assert_eq!(head.uri, expected.uri);
        assert_eq!(head.version, expected.version);
        assert_eq!(head.headers, expected.headers);
        assert_eq!(head.extensions.get(), Some(&Tag("caller's")));
    }
}

/// Case 53.
#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_kept_goes_out_on_a_valid_token() {
    let world = World::new();
    let session = world.session();
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).keep_bytes(0))
        .layer(AuthLayer::new(session));
    let client = BoxCloneSyncService::new(layers.service(world.api.clone()));

    let frames = (0..8).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[7; 4096]))));
    let request =
        Request::put(format!("{ORIGIN}/file")).body(StreamBody::new(stream::iter(frames))).unwrap();
    let response = send(&client, request).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), vec![7; 8 * 4096]);
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1, 0));
}

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;
type AnyClient = BoxCloneSyncService<Request<Body>, Response<AnyBody>, BoxError>;

/// Case 56.
#[tokio::test(start_paused = true)]
async fn the_response_handed_back_is_the_replays_and_reaches_the_caller_before_it_ends() {
    let world = World::new();
    let (frames, body) = mpsc::unbounded();
    let body = Arc::new(Mutex::new(Some(body)));
    let sends = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let sends = sends.clone();
        move |_: Request<ReplayBody<Body>>| {
            let mut response = Response::new(AnyBody::default());
            if sends.fetch_add(1, Ordering::Relaxed) == 0 {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                response.headers_mut().insert("x-answer", 1.into());
            } else {
                let body = body.lock().unwrap().take().unwrap().map(Frame::data).map(Ok);
                *response.body_mut() = AnyBody::new(StreamBody::new(body));
                response.headers_mut().insert("x-answer", 2.into());
            }
            std::future::ready(Ok::<_, Infallible>(response))
        }
    });
    let client: AnyClient = stack(&world.session(), inner);

    let response = client.oneshot(get("/stream")).await.unwrap();

    assert_eq!((response.status(), sends.load(Ordering::Relaxed)), (StatusCode::OK, 2));
    assert_eq!(response.headers()["x-answer"], "2");
    assert!(response.extensions().get::<RefreshError>().is_none());
    let mut body = response.into_body();
    for sent in ["first", "second"] {
        frames.unbounded_send(Bytes::from(sent)).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), sent);
    }
    drop(frames);
    assert!(body.frame().await.is_none());
}

/// Case 58.
#[tokio::test(start_paused = true)]
async fn a_challenge_whose_refresh_fails_comes_back_with_its_body_and_the_error() {
    for fault in [
        Fault::Json(StatusCode::BAD_REQUEST, r#"{"error":"invalid_grant"}"#.into()),
        Fault::Status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Reset,
    ] {
        let world = World::new();
        let client = world.client(&world.session());
        world.authorization.revoke_access_tokens();
        world.authorization.fail_next(usize::MAX, fault);

        let response = send(&client, post("/orders", "a body")).await.unwrap();

        assert_eq!(response.status(), 401);
        assert!(response.headers().contains_key(header::WWW_AUTHENTICATE));
        assert!(response.extensions().get::<RefreshError>().is_some());
        assert_eq!(response.into_body(), "401 Unauthorized\n");
        assert_eq!(world.api.requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn the_error_instead_of_the_challenge_is_for_those_who_ask_for_it() {
    let world = World::new();
    let session = world.session();
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).error_instead_of_challenge())
        .layer(AuthLayer::new(session));
    let client = BoxCloneSyncService::new(layers.service(world.api.clone()));
    world.authorization.revoke_all();

    let error = send(&client, get("/")).await.unwrap_err();

    assert!(error.downcast_ref::<RefreshError>().unwrap().is_session_ended());
    assert_eq!(world.api.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_asks_for_no_replay_gets_its_challenge_and_the_next_a_new_token() {
    let world = World::new();
    let client = world.client(&world.session());
    world.authorization.revoke_access_tokens();

    let mut request = post("/orders", "once");
    request.extensions_mut().insert(NoReplay);
    let response = send(&client, request).await.unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Asked));
    assert_eq!(response.into_body(), "401 Unauthorized\n");
    assert_eq!(world.api.requests(), 1);

    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.unauthorized(), 1);
}

fn limited(world: &World, refreshed: u8, in_all: u8) -> Client {
    let session = world.session();
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).replays(refreshed, in_all))
        .layer(AuthLayer::new(session));
    BoxCloneSyncService::new(layers.service(world.api.clone()))
}

#[tokio::test(start_paused = true)]
async fn a_request_refused_on_its_replay_is_answered_by_that() {
    let world = World::new();
    let client = world.client(&world.session());
    world.api.always_401("/closed");

    let response = send(&client, get("/closed")).await.unwrap();

    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<RefreshError>().unwrap().is_braked());
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (2, 1));
    // The token is not to blame.
    assert_eq!(send(&client, get("/open")).await.unwrap().status(), 200);
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn without_replays_a_challenge_is_marked_and_the_next_request_has_a_new_token() {
    for (refreshed, in_all) in [(1, 0), (0, 2), (0, 0)] {
        let world = World::new();
        let client = limited(&world, refreshed, in_all);
        world.authorization.revoke_access_tokens();

        let response = send(&client, post("/orders", "once")).await.unwrap();

        assert_eq!(response.status(), 401, "{refreshed}, {in_all}");
        assert_eq!(response.extensions().get(), Some(&NotReplayed::Exhausted));
        assert_eq!(response.into_body(), "401 Unauthorized\n");
        assert_eq!(world.api.requests(), 1);
        assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_replay_that_needed_no_refresh_leaves_the_one_that_does() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    // Three answers for one request: refused on T1, refused on T2, which came meanwhile, accepted on T3.
    world.authorization.revoke_access_tokens();
    let hold = world.api.hold();
    let first = tokio::spawn({
        let client = client.clone();
        async move { send(&client, post("/orders", "thrice")).await.unwrap() }
    });
    hold.until_held(1).await;
    let stale = session.peek().unwrap();
    session.refresh_after(&stale).await.unwrap();
    world.authorization.revoke_access_tokens();
    hold.release();

    let response = first.await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), "thrice");
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1 + 3, 2));
}

/// A body whose frames are counted as they are read.
struct Counting<B>(B, Arc<AtomicUsize>);

impl<B: http_body::Body<Data = Bytes> + Unpin> http_body::Body for Counting<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        self.1.fetch_add(1, Ordering::Relaxed);
        frame
    }
}

/// Answers the first request 401 with `refusal` for its body, and the next 200.
fn refusing_once(world: &World, refusal: AnyBody) -> AnyClient {
    let refusal = Arc::new(Mutex::new(Some(refusal)));
    let inner = service_fn(move |_: Request<ReplayBody<Body>>| {
        let mut response = Response::new(AnyBody::default());
        if let Some(refusal) = refusal.lock().unwrap().take() {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            *response.body_mut() = refusal;
        }
        std::future::ready(Ok::<_, Infallible>(response))
    });
    stack(&world.session(), inner)
}

#[tokio::test(start_paused = true)]
async fn a_long_refusal_is_read_up_to_64_kib_before_the_replay() {
    for (length, most) in [(1000, 66), (1, 65_536), (0, 65_536)] {
        let world = World::new();
        let read = Arc::new(AtomicUsize::new(0));
        let chunk = move || Ok::<_, BoxError>(Frame::data(Bytes::from(vec![7; length])));
        let long = StreamBody::new(stream::repeat_with(chunk).take(100_000));
        let client = refusing_once(&world, AnyBody::new(Counting(long, read.clone())));

        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        let read = read.load(Ordering::Relaxed);
        assert!((1..=most).contains(&read), "{read} frames of {length} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_stalls_holds_the_replay_up_for_50_ms_at_most() {
    let world = World::new();
    let clock = ManualClock::new();
    let stalled = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>());
    let client = refusing_once(&world, AnyBody::new(stalled));

    let start = clock.wall();
    let answer = tokio::time::timeout(Duration::from_secs(60), send(&client, get("/"))).await;
    assert_eq!(answer.expect("it waits for ever").unwrap().status(), 200);
    let waited = clock.wall().duration_since(start).unwrap();
    assert!(waited <= Duration::from_millis(55), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_whose_body_fails_does_not_fail_the_replay() {
    let world = World::new();
    let broken = stream::iter([Err::<Frame<Bytes>, BoxError>("cut".into())]);
    let client = refusing_once(&world, AnyBody::new(StreamBody::new(broken)));
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_replay_reaches_the_caller_as_it_is() {
    let world = World::new();
    let sends = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let sends = sends.clone();
        move |_: Request<ReplayBody<Body>>| {
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            std::future::ready(match sends.fetch_add(1, Ordering::Relaxed) {
                0 => Ok(response),
                _ => Err(std::io::Error::other("the connection is gone")),
            })
        }
    });
    let client = stack(&world.session(), inner);

    let error = send(&client, get("/")).await.unwrap_err();
    assert_eq!(
        error.downcast_ref::<std::io::Error>().unwrap().to_string(),
        "the connection is gone"
    );
    assert_eq!(sends.load(Ordering::Relaxed), 2);
}

/// Section 3: a handshake is a request without a body like any other.
#[tokio::test(start_paused = true)]
async fn a_challenged_upgrade_is_asked_for_again() {
    let world = World::new();
    let client = world.client(&world.session());
    world.authorization.revoke_access_tokens();
    let mut handshake = get("/socket");
    let fields =
        [("connection", "Upgrade"), ("upgrade", "websocket"), ("sec-websocket-version", "13")];
    for (name, value) in fields {
        handshake.headers_mut().insert(name, value.parse().unwrap());
    }

    assert_eq!(send(&client, handshake).await.unwrap().status(), 200);

    let received = world.api.received();
    assert_eq!(received.len(), 2);
    for request in &received {
        for (name, value) in fields {
            assert_eq!(request.headers[name], value);
        }
    }
}
