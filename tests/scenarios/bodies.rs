//! Which request bodies can be sent again, through the whole stack.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use tower::{ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, NotReplayed, RefreshLayer, ReplayBody, testing::ResponseBody,
};

use crate::support::{ORIGIN, World, send, stack};

type Client<B> = BoxCloneSyncService<Request<B>, Response<ResponseBody>, BoxError>;

/// A stack that keeps so many bytes of a stream.
fn keeping<B>(world: &World, bytes: usize) -> Client<B>
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let session = world.session();
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).keep_bytes(bytes))
        .layer(AuthLayer::new(session));
    BoxCloneSyncService::new(layers.service(world.api.clone()))
}

fn put<B>(body: B) -> Request<B> {
    Request::put(format!("{ORIGIN}/file")).body(body).unwrap()
}

/// A stream of these frames, of no known size.
fn frames(
    frames: impl IntoIterator<Item = Bytes, IntoIter: Send + 'static>,
) -> UnsyncBoxBody<Bytes, io::Error> {
    let frames = frames.into_iter().map(|data| Ok(Frame::data(data)));
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

/// Memory that counts itself while anyone holds it.
struct Counted {
    data: Vec<u8>,
    alive: Arc<AtomicUsize>,
}

impl Counted {
    fn bytes(len: usize, alive: &Arc<AtomicUsize>) -> Bytes {
        alive.fetch_add(len, Ordering::Relaxed);
        Bytes::from_owner(Self { data: vec![7; len], alive: alive.clone() })
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(self.data.len(), Ordering::Relaxed);
    }
}

/// Case 50.
#[tokio::test(start_paused = true)]
async fn a_stream_beyond_the_cap_is_sent_whole_and_its_challenge_comes_back_marked() {
    const CAP: usize = 64 * 1024;
    const CHUNK: usize = 16 * 1024;
    const CHUNKS: usize = 10 * 1024 * 1024 / CHUNK;
    let world = World::new();
    let client = keeping(&world, CAP);
    world.authorization.revoke_access_tokens();

    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let chunks = (0..CHUNKS).map({
        let (alive, most) = (alive.clone(), most.clone());
        move |_| {
            let chunk = Counted::bytes(CHUNK, &alive);
            most.fetch_max(alive.load(Ordering::Relaxed), Ordering::Relaxed);
            chunk
        }
    });
    let response = send(&client, put(frames(chunks))).await.unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Body));
    assert_eq!(response.into_body(), "401 Unauthorized\n");
    let received = world.api.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].complete);
    assert_eq!(received[0].body.len(), CHUNK * CHUNKS);
    let most = most.load(Ordering::Relaxed);
    assert!(most <= CAP + CHUNK, "{most} bytes were held");
    assert_eq!(alive.load(Ordering::Relaxed), 0);

    // The next request finds a new token.
    let response = send(&client, put(frames([Bytes::from("short")]))).await.unwrap();
    assert_eq!((response.status().as_u16(), world.authorization.token_requests()), (200, 1));
    assert_eq!(world.api.unauthorized(), 1);
}

/// Case 51. A kept frame costs 64 bytes beside its own.
#[tokio::test(start_paused = true)]
async fn a_stream_of_exactly_the_cap_is_replayed_and_one_byte_more_is_not() {
    const COST: usize = 3 * (1000 + 64);
    for (cap, expected) in [(COST, 200), (COST - 1, 401), (0, 401), (usize::MAX, 200)] {
        let world = World::new();
        let client = keeping(&world, cap);
        world.authorization.revoke_access_tokens();

        let body = (0..3).map(|at| Bytes::from(vec![at; 1000]));
        let response = send(&client, put(frames(body))).await.unwrap();

        assert_eq!(response.status(), expected, "{cap}");
        let received = world.api.received();
        assert_eq!(received.len(), if expected == 200 { 2 } else { 1 });
        for request in &received {
            assert!(request.complete);
            assert_eq!(request.body, [[0; 1000], [1; 1000], [2; 1000]].concat());
        }
    }
}

/// Case 51.
#[tokio::test(start_paused = true)]
async fn frames_of_one_byte_and_of_none_are_replayed() {
    let world = World::new();
    let client = keeping(&world, 1024 * 1024);
    world.authorization.revoke_access_tokens();

    let bytes = (0..100_000u32).map(|at| at as u8).collect::<Vec<_>>();
    let body = Bytes::from(bytes.clone());
    let one_by_one = (0..bytes.len()).flat_map(move |at| [body.slice(at..=at), Bytes::new()]);
    let response = send(&client, put(frames(one_by_one))).await.unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), bytes);
    assert_eq!(world.api.received()[0].body, bytes);
}

/// Case 51.
#[tokio::test(start_paused = true)]
async fn one_ready_frame_is_replayed_whatever_its_size() {
    let world = World::new();
    let (whole, streamed) = (keeping(&world, 0), keeping(&world, 0));
    world.authorization.revoke_access_tokens();
    let large = Bytes::from(vec![7; 4 * 1024 * 1024]);

    let response = send(&whole, put(Full::new(large.clone()))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), large);

    let response = send(&streamed, put(frames([large.clone()]))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), large);
    assert_eq!(world.api.requests(), 4);
}

/// What a client asks of a body before it reads, once for each send.
type Asked = Arc<Mutex<Vec<(bool, SizeHint)>>>;

fn asking<B>(world: &World) -> (Client<B>, Asked)
where
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    let asked = Asked::default();
    let inner = service_fn({
        let (api, asked) = (world.api.clone(), asked.clone());
        move |request: Request<ReplayBody<B>>| {
            let body = request.body();
            asked.lock().unwrap().push((body.is_end_stream(), body.size_hint()));
            api.clone().oneshot(request)
        }
    });
    (stack(&world.session(), inner), asked)
}

/// Case 54.
#[tokio::test(start_paused = true)]
async fn an_empty_body_is_empty_on_both_sends() {
    let world = World::new();
    let (client, asked) = asking(&world);
    world.authorization.revoke_access_tokens();

    assert_eq!(send(&client, put(Empty::<Bytes>::new())).await.unwrap().status(), 200);

    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 2);
    for (is_end, hint) in &*asked {
        assert!(is_end);
        assert_eq!(hint.exact(), Some(0));
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "abc".parse().unwrap());
    trailers
}

/// Case 54.
#[tokio::test(start_paused = true)]
async fn trailers_are_replayed_with_and_without_data() {
    for data in ["", "some data"] {
        let world = World::new();
        let (client, asked) = asking(&world);
        world.authorization.revoke_access_tokens();

        let data_frame = Some(Ok(Frame::data(Bytes::from(data)))).filter(|_| !data.is_empty());
        let sent = data_frame.into_iter().chain([Ok::<_, io::Error>(Frame::trailers(trailers()))]);
        let response = send(&client, put(StreamBody::new(stream::iter(sent)))).await.unwrap();

        assert_eq!(response.status(), 200);
        let received = world.api.received();
        assert_eq!(received.len(), 2);
        for request in &received {
            assert_eq!(request.body, data);
            assert_eq!(request.trailers.as_ref(), Some(&trailers()));
        }
        for (is_end, hint) in &*asked.lock().unwrap() {
            assert!(!is_end, "the trailers are still to come");
            // An exact size would become a Content-Length, and cost the trailers on HTTP/1.1.
            assert_eq!(hint.exact(), None);
            assert!(hint.lower() <= data.len() as u64);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_size_that_was_known_is_known_on_the_replay() {
    let world = World::new();
    let (client, asked) = asking(&world);
    world.authorization.revoke_access_tokens();

    let pieces = ["one", "two", "three"].map(|piece| Bytes::from(piece).slice(..));
    let body = Sized(pieces.into_iter().collect());
    assert_eq!(send(&client, put(body)).await.unwrap().into_body(), "onetwothree");

    let exact: Vec<_> = asked.lock().unwrap().iter().map(|(_, hint)| hint.exact()).collect();
    assert_eq!(exact, [Some(11), Some(11)]);
}

/// Frames whose sum is known.
struct Sized(std::collections::VecDeque<Bytes>);

impl Body for Sized {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|data| data.len() as u64).sum())
    }
}

fn failing() -> impl Body<Data = Bytes, Error = io::Error> + Send + 'static {
    let frames = ["one", "two", "three"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
    let error = Err(io::Error::other("the disk is gone"));
    StreamBody::new(stream::iter(frames.into_iter().chain([error])))
}

/// Case 55.
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_half_way_fails_the_request_and_is_not_replayed() {
    let world = World::new();
    let (client, _) = asking(&world);
    world.authorization.revoke_access_tokens();

    let error = send(&client, put(failing())).await.unwrap_err();

    assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "the disk is gone");
    let received = world.api.received();
    assert_eq!(received.len(), 1);
    assert!(!received[0].complete);
    assert_eq!(world.authorization.token_requests(), 0);
}

/// Case 55.
#[tokio::test(start_paused = true)]
async fn a_body_that_failed_before_the_challenge_came_is_not_replayed() {
    let world = World::new();
    let session = world.session();
    // A client that answers all the same, as a connection does whose peer answered early.
    let sends = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let sends = sends.clone();
        move |request: Request<ReplayBody<_>>| {
            sends.fetch_add(1, Ordering::Relaxed);
            async move {
                assert!(request.into_body().collect().await.is_err());
                Response::builder().status(401).body(Full::new(Bytes::from_static(b"the reason")))
            }
        }
    });
    let client = stack(&session, inner);

    let response = send(&client, put(failing())).await.unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Body));
    assert_eq!(response.into_body(), "the reason");
    assert_eq!(sends.load(Ordering::Relaxed), 1);
}

/// Case 55.
#[tokio::test(start_paused = true)]
async fn a_body_that_fails_on_the_replay_is_no_complete_body_there_either() {
    let world = World::new();
    let (client, _) = asking(&world);
    world.authorization.revoke_access_tokens();
    world.api.read_before_refusal(4);

    let error = send(&client, put(failing())).await.unwrap_err();

    assert_eq!(error.downcast_ref::<io::Error>().unwrap().to_string(), "the disk is gone");
    let received = world.api.received();
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|request| !request.complete));
    assert_eq!(world.api.accepted(), 0);
}
