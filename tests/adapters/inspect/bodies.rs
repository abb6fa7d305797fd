//! What is read ahead of a body, and that it is handed on as it came.

use std::{
    convert::Infallible,
    future::{Future, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_reauth::{
    ClassifyBody, GraphQlErrors, InspectLayer, InspectedBody, ResponseHead, Verdict,
};

use super::script::{Author, Script, Step};

type Inspected<R> = Result<Response<InspectedBody<R>>, Infallible>;

/// Suspects every status but 200, calls `expired` a challenge, and counts the bodies that it judged.
#[derive(Clone, Default)]
struct Expired {
    judged: Arc<AtomicUsize>,
}

impl Expired {
    fn judged(&self) -> usize {
        self.judged.load(Ordering::Relaxed)
    }
}

impl ClassifyBody for Expired {
    fn suspects(&self, head: &ResponseHead<'_>) -> bool {
        head.status() != StatusCode::OK
    }

    fn classify(&self, _: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict> {
        self.judged.fetch_add(1, Ordering::Relaxed);
        (body == b"expired").then_some(Verdict::Challenge)
    }
}

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("checksum".parse().unwrap(), "7".parse().unwrap())])
}

fn forbidden<R>(body: R) -> Response<R> {
    Response::builder().status(403).body(body).unwrap()
}

/// One request whose answer is `response`.
fn request<R: Body, C: ClassifyBody>(
    layer: &InspectLayer<C>,
    method: Method,
    response: Response<R>,
) -> impl Future<Output = Inspected<R>> + use<R, C> {
    let response = Mutex::new(Some(response));
    let inner = service_fn(move |_: Request<()>| {
        ready(Ok::<_, Infallible>(response.lock().unwrap().take().unwrap()))
    });
    let request = Request::builder().method(method).uri("https://api.example.com/");
    layer.layer(inner).oneshot(request.body(()).unwrap())
}

fn inspect<R: Body, C: ClassifyBody>(
    layer: &InspectLayer<C>,
    response: Response<R>,
) -> task::Spawn<impl Future<Output = Inspected<R>> + use<R, C>> {
    task::spawn(request(layer, Method::POST, response))
}

/// What of a body there is so far: its data joined, its trailers, and how it ended, if it did.
#[derive(Debug, Default, PartialEq)]
struct Received {
    data: Vec<u8>,
    trailers: Option<HeaderMap>,
    end: Option<Result<(), String>>,
}

fn receive<R>(body: &mut InspectedBody<R>) -> Received
where
    R: Body<Error: ToString>,
    InspectedBody<R>: Unpin,
{
    let mut received = Received::default();
    let cx = &mut Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut *body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => received.data.extend_from_slice(&data),
                Err(frame) => received.trailers = frame.into_trailers().ok(),
            },
            Poll::Ready(Some(Err(error))) => {
                received.end = Some(Err(error.to_string()));
                return received;
            }
            Poll::Ready(None) => {
                received.end = Some(Ok(()));
                return received;
            }
            Poll::Pending => return received,
        }
    }
}

fn mark<R>(response: &Response<R>) -> Option<&Verdict> {
    response.extensions().get::<Verdict>()
}

/// `InspectedBody` is `Unpin` if its body is; this one is not.
type Boxed = Pin<Box<Script>>;

fn boxed(author: &Author) -> Boxed {
    Box::pin(author.body())
}

#[test]
fn a_body_that_is_not_suspicious_is_handed_on_before_it_is_polled() {
    let expired = Expired::default();
    let layer = InspectLayer::new(expired.clone());
    let author = Author::new([data("expired"), Step::End]).exact(7);
    let mut answer = inspect(&layer, Response::new(boxed(&author)));

    let mut response = assert_ready!(answer.poll()).unwrap();

    assert_eq!((author.polls(), expired.judged(), mark(&response)), (0, 0, None));
    assert_eq!(response.body().size_hint().exact(), Some(7));
    assert_eq!(receive(response.body_mut()).data, b"expired");
}

#[test]
fn a_whole_body_is_judged_and_marked_and_handed_on() {
    for (steps, is_challenge) in [
        (vec![data("expired"), Step::End], true),
        (vec![data("exp"), data(""), data("ire"), data("d"), Step::End], true),
        (vec![data("other"), Step::End], false),
        (vec![data("expired "), Step::End], false),
        (vec![Step::End], false),
    ] {
        let expected: Vec<u8> = steps.iter().fold(Vec::new(), |mut all, step| {
            if let Step::Data(data) = step {
                all.extend_from_slice(data);
            }
            all
        });
        let expired = Expired::default();
        let author = Author::new(steps);
        let mut answer = inspect(&InspectLayer::new(expired.clone()), forbidden(boxed(&author)));
        let mut response = assert_ready!(answer.poll()).unwrap();
        assert_eq!(mark(&response).is_some(), is_challenge);
        assert_eq!((response.status().as_u16(), expired.judged()), (403, 1));
        let received = receive(response.body_mut());
        assert_eq!((received.data, received.end), (expected, Some(Ok(()))));
    }
}

#[test]
fn trailers_are_handed_on_behind_the_data() {
    let author = Author::new([data("expi"), data("red"), Step::Trailers(trailers()), Step::End]);
    let mut answer = inspect(&InspectLayer::new(Expired::default()), forbidden(boxed(&author)));
    let mut response = assert_ready!(answer.poll()).unwrap();
    assert_eq!(mark(&response), Some(&Verdict::Challenge));
    assert!(!response.body().is_end_stream());
    let received = receive(response.body_mut());
    assert_eq!(received.data, b"expired");
    assert_eq!((received.trailers, received.end), (Some(trailers()), Some(Ok(()))));
}

#[test]
fn a_body_of_exactly_the_limit_is_judged_and_one_byte_more_is_not() {
    for (limit, is_judged) in [(7, true), (6, false), (0, false), (usize::MAX, true)] {
        for frames in [vec!["expired"], vec!["expire", "d"], vec!["", "e", "xpired"]] {
            let empty = frames.iter().filter(|frame| frame.is_empty()).count();
            let expired = Expired::default();
            let layer = InspectLayer::new(expired.clone()).limit(limit.saturating_add(empty));
            let author = Author::new(frames.iter().copied().map(data).chain([Step::End]));
            let mut response =
                assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
            assert_eq!(expired.judged(), usize::from(is_judged), "{limit} {frames:?}");
            let received = receive(response.body_mut());
            assert_eq!(received.data, b"expired", "{limit} {frames:?}");
            assert_eq!(received.end, Some(Ok(())));
        }
    }
}

#[test]
fn a_frame_beyond_the_limit_ends_the_reading_and_the_rest_streams() {
    let expired = Expired::default();
    let layer = InspectLayer::new(expired.clone()).limit(4);
    let author = Author::new([data("ab"), data("cdefgh")]);
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();

    assert_eq!((expired.judged(), author.polls()), (0, 2));
    assert_eq!(receive(response.body_mut()).data, b"abcdefgh");
    author.add(data("ij"));
    author.add(Step::Trailers(trailers()));
    author.add(Step::End);
    let received = receive(response.body_mut());
    assert_eq!((received.data.as_slice(), received.trailers), (&b"ij"[..], Some(trailers())));
    assert_eq!(received.end, Some(Ok(())));
}

#[test]
fn a_flood_of_empty_frames_has_an_end() {
    let expired = Expired::default();
    let layer = InspectLayer::new(expired.clone()).limit(8);
    let author = Author::new((0..100).map(|_| data("")).chain([data("expired"), Step::End]));
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    assert_eq!((author.polls(), expired.judged()), (9, 0));
    assert_eq!(receive(response.body_mut()).data, b"expired");
}

#[test]
fn what_declares_more_than_the_limit_is_not_read() {
    for (hint, length) in [(Some(8), None), (None, Some("8")), (Some(8), Some("8"))] {
        let layer = InspectLayer::new(Expired::default()).limit(7);
        let mut author = Author::new([data("too long"), Step::End]);
        if let Some(hint) = hint {
            author = author.exact(hint);
        }
        let mut response = forbidden(boxed(&author));
        if let Some(length) = length {
            response.headers_mut().insert("content-length", length.parse().unwrap());
        }
        let response = assert_ready!(inspect(&layer, response).poll()).unwrap();
        assert_eq!((author.polls(), response.body().size_hint().exact()), (0, hint));
    }
}

#[test]
fn an_error_is_handed_on_behind_what_came_before_it_and_nothing_is_judged() {
    for (steps, expected) in [
        (vec![data("expired"), Step::Error], &b"expired"[..]),
        (vec![data("exp"), data("ired"), Step::Error], b"expired"),
        (vec![Step::Error], b""),
    ] {
        let expired = Expired::default();
        let author = Author::new(steps);
        let layer = InspectLayer::new(expired.clone());
        let mut response =
            assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
        assert_eq!((expired.judged(), mark(&response)), (0, None));
        assert!(!response.body().is_end_stream());
        let received = receive(response.body_mut());
        assert_eq!((received.data.as_slice(), received.end), (expected, Some(Err("cut".into()))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_waited_for_no_longer_than_the_patience() {
    let expired = Expired::default();
    let layer = InspectLayer::new(expired.clone()).patience(Duration::from_secs(3));
    let author = Author::new([data("expi")]);
    let mut answer = inspect(&layer, forbidden(boxed(&author)));
    assert_pending!(answer.poll());

    tokio::time::advance(Duration::from_millis(2990)).await;
    assert_pending!(answer.poll());
    tokio::time::advance(Duration::from_millis(20)).await;
    assert!(answer.is_woken());
    let mut response = assert_ready!(answer.poll()).unwrap();

    assert_eq!((expired.judged(), mark(&response)), (0, None));
    assert_eq!(
        receive(response.body_mut()),
        Received { data: b"expi".into(), ..Received::default() }
    );
    author.add(data("red"));
    author.add(Step::End);
    assert_eq!(receive(response.body_mut()).data, b"red");
}

#[tokio::test(start_paused = true)]
async fn frames_that_come_one_by_one_wake_the_response_and_share_one_patience() {
    let layer = InspectLayer::new(Expired::default());
    let author = Author::new([]);
    let mut answer = inspect(&layer, forbidden(boxed(&author)));
    assert_pending!(answer.poll());
    for step in ["exp", "ire", "d"] {
        tokio::time::advance(Duration::from_millis(1500)).await;
        author.add(data(step));
        assert!(answer.is_woken());
        assert_pending!(answer.poll());
    }
    author.add(Step::End);
    assert!(answer.is_woken());
    let response = assert_ready!(answer.poll()).unwrap();
    assert_eq!(mark(&response), Some(&Verdict::Challenge));

    // A drip that never ends.
    let author = Author::new([]);
    let mut answer = inspect(&layer, forbidden(boxed(&author)));
    assert_pending!(answer.poll());
    for _ in 0..4 {
        tokio::time::advance(Duration::from_millis(1200)).await;
        author.add(data("."));
        assert_pending!(answer.poll());
    }
    tokio::time::advance(Duration::from_millis(1200)).await;
    assert!(mark(&assert_ready!(answer.poll()).unwrap()).is_none());
}

#[test]
fn outside_of_tokio_a_body_that_must_be_waited_for_passes_unjudged() {
    let expired = Expired::default();
    let author = Author::new([data("expi")]);
    let layer = InspectLayer::new(expired.clone());
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    assert_eq!(expired.judged(), 0);
    assert_eq!(receive(response.body_mut()).data, b"expi");
}

#[test]
fn a_response_that_moves_to_another_runtime_passes_unjudged() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let layer = InspectLayer::new(Expired::default());
    let author = Author::new([data("expi")]);
    let mut answer = inspect(&layer, forbidden(boxed(&author)));
    let first = runtime();
    first.block_on(async { assert_pending!(answer.poll()) });
    drop(first);
    let mut response = runtime().block_on(async { assert_ready!(answer.poll()).unwrap() });
    assert_eq!(receive(response.body_mut()).data, b"expi");
}

#[tokio::test(start_paused = true)]
async fn dropped_while_it_reads_the_response_drops_the_body() {
    let author = Author::new([data("expi")]);
    let mut answer = inspect(&InspectLayer::new(Expired::default()), forbidden(author.body()));
    assert_pending!(answer.poll());
    assert!(author.is_held());
    drop(answer);
    assert!(!author.is_held());

    // And half-way through what was read.
    let author = Author::new([data("expi"), data("red"), Step::Trailers(trailers())]);
    let mut answer = inspect(&InspectLayer::new(Expired::default()), forbidden(author.body()));
    let mut body = Box::pin(assert_ready!(answer.poll()).unwrap().into_body());
    assert!(body.frame().await.unwrap().unwrap().is_data());
    drop(body);
    assert!(!author.is_held());
}

#[test]
fn the_end_and_the_size_are_told_as_they_are() {
    // Known all along.
    let author = Author::new([data("exp"), data("ired"), Step::End]).exact(7).tells_end();
    let layer = InspectLayer::new(Expired::default());
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    assert_eq!(author.polls(), 2);
    assert_eq!(response.body().size_hint().exact(), Some(7));
    assert!(!response.body().is_end_stream());
    let frame = Pin::new(response.body_mut()).poll_frame(&mut Context::from_waker(Waker::noop()));
    assert!(
        matches!(frame, Poll::Ready(Some(Ok(frame))) if frame.data_ref().unwrap() == "expired")
    );
    assert!(response.body().is_end_stream());
    assert_eq!(response.body().size_hint().exact(), Some(0));

    // Known once it is over.
    let author = Author::new([data("expired"), Step::End]);
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(7));
    receive(response.body_mut());
    assert!(response.body().is_end_stream());

    // Known, and not read to its end.
    let layer = layer.limit(4);
    let author = Author::new([data("ab"), data("cdefgh"), data("ij")]);
    let response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    let hint = response.body().size_hint();
    assert_eq!((hint.lower(), hint.upper()), (8, None));

    // Cut: what is missing is still promised.
    let layer = layer.limit(64);
    let author = Author::new([data("ab"), Step::Error]).exact(10);
    let mut response = assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(10));
    receive(response.body_mut());
    assert_eq!(response.body().size_hint().exact(), Some(8));
}

#[test]
fn what_was_read_beside_the_data_is_no_end_until_it_is_taken() {
    let layer = InspectLayer::new(Expired::default()).limit(4);
    for (steps, frames) in [
        (vec![data("ab"), Step::Trailers(trailers()), Step::End], 2),
        (vec![data("too long"), Step::End], 1),
        (vec![data("ab"), data("too long"), Step::End], 2),
    ] {
        let author = Author::new(steps).tells_end();
        let mut response =
            assert_ready!(inspect(&layer, forbidden(boxed(&author))).poll()).unwrap();
        let cx = &mut Context::from_waker(Waker::noop());
        for _ in 0..frames {
            assert!(!response.body().is_end_stream());
            assert!(Pin::new(response.body_mut()).poll_frame(cx).is_ready());
        }
        assert!(response.body().is_end_stream());
    }
}

proptest! {
    /// Any frames, cut anywhere, with and without trailers or an error, whatever the limit.
    #[test]
    fn whatever_is_read_is_handed_on(
        sizes in prop::collection::vec(0_usize..6, 0..12),
        limit in 0_usize..40,
        end in 0..3,
        tells_end in any::<bool>(),
    ) {
        let mut whole = Vec::new();
        let mut steps = Vec::new();
        for (at, size) in sizes.iter().enumerate() {
            let frame = vec![b'a' + at as u8; *size];
            whole.extend_from_slice(&frame);
            steps.push(Step::Data(frame.into()));
        }
        match end {
            0 => {}
            1 => steps.push(Step::Trailers(trailers())),
            _ => steps.push(Step::Error),
        }
        steps.push(Step::End);
        let cost: usize = sizes.iter().map(|size| (*size).max(1)).sum();
        let author = Author::new(steps).exact(whole.len() as u64);
        let author = if tells_end { author.tells_end() } else { author };
        let expired = Expired::default();
        let layer = InspectLayer::new(expired.clone()).limit(limit);

        let answer = inspect(&layer, forbidden(boxed(&author))).poll();
        let mut response = match answer {
            Poll::Ready(response) => response.unwrap(),
            Poll::Pending => return Err(TestCaseError::fail("nothing stalls")),
        };

        let is_judged = author.polls() > 0 && end != 2 && cost <= limit;
        prop_assert!(expired.judged() == usize::from(is_judged) || whole.is_empty());
        prop_assert_eq!(response.body().size_hint().exact(), Some(whole.len() as u64));
        let received = receive(response.body_mut());
        prop_assert_eq!(received.data, whole);
        prop_assert_eq!(received.trailers, (end == 1).then(trailers));
        let expected = if end == 2 { Err("cut".to_owned()) } else { Ok(()) };
        prop_assert_eq!(received.end, Some(expected));
    }
}

#[test]
fn no_body_is_read_where_there_is_none_or_where_it_never_ends() {
    let layer = InspectLayer::new(Expired::default());
    let answers = [
        (Method::HEAD, 403, None),
        (Method::CONNECT, 403, None),
        (Method::GET, 204, None),
        (Method::GET, 304, None),
        (Method::GET, 206, None),
        (Method::GET, 101, None),
        (Method::POST, 403, Some(("content-type", "text/event-stream"))),
        (Method::POST, 403, Some(("content-type", "multipart/mixed; boundary=-"))),
        (Method::POST, 403, Some(("content-encoding", "gzip"))),
    ];
    for (method, status, header) in answers {
        let author = Author::new([data("expired"), Step::End]);
        let mut response = Response::builder().status(status);
        if let Some((name, value)) = header {
            response = response.header(name, value);
        }
        let answer = request(&layer, method.clone(), response.body(boxed(&author)).unwrap());
        let response = assert_ready!(task::spawn(answer).poll()).unwrap();
        assert_eq!((author.polls(), mark(&response)), (0, None), "{method} {status} {header:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn graphql_data_passes_as_soon_as_it_is_seen() {
    let author = Author::new([data(r#"{"data":"#), data(r#"{"me":{"id"#)]);
    let response = Response::builder().header("content-type", "application/json");
    let response = response.body(boxed(&author)).unwrap();
    let layer = InspectLayer::new(GraphQlErrors::new());
    let mut response = assert_ready!(inspect(&layer, response).poll()).unwrap();
    assert_eq!(receive(response.body_mut()).data, br#"{"data":{"me":{"id"#);
    author.add(data(r#"":1}}}"#));
    author.add(Step::End);
    assert_eq!(receive(response.body_mut()).data, br#"":1}}}"#);
}

#[test]
fn of_two_layers_the_inner_one_has_the_first_word() {
    let veto =
        tower_reauth::classify_body_fn(|_: &_| true, |_: &_, _: &[u8]| Some(Verdict::Answer));
    let expired = Expired::default();
    let inner = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(forbidden(Full::new(Bytes::from("expired")))))
    });
    let both = InspectLayer::new(expired.clone()).layer(InspectLayer::new(veto).layer(inner));
    let mut answer = task::spawn(both.oneshot(Request::new(())));
    let response = assert_ready!(answer.poll()).unwrap();
    assert_eq!((mark(&response), expired.judged()), (Some(&Verdict::Answer), 0));
}

#[test]
fn data_of_any_kind_are_joined() {
    let chained = || Full::new(Buf::chain(&b"exp"[..], &b"ired"[..]));
    let layer = InspectLayer::new(Expired::default());
    for (response, is_challenge) in
        [(forbidden(chained()), true), (Response::new(chained()), false)]
    {
        let mut answer = inspect(&layer, response);
        let mut response = assert_ready!(answer.poll()).unwrap();
        assert_eq!(mark(&response).is_some(), is_challenge);
        assert_eq!(receive(response.body_mut()).data, b"expired");
    }
}

#[test]
fn a_classifier_that_panics_leaves_nothing_behind() {
    let panics =
        tower_reauth::classify_body_fn(|_: &_| true, |_: &_, _: &[u8]| panic!("as the test says"));
    let author = Author::new([data("expired"), Step::End]);
    let layer = InspectLayer::new(panics);
    let answer = request(&layer, Method::GET, forbidden(author.body()));
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let mut answer = pin!(answer);
        answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }));
    assert!(polled.is_err());
    assert!(!author.is_held());
}
