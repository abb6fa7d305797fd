//! One wave: so many requests at once, and each answer compared with what was sent.

use std::iter;

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::task::JoinSet;
use tower::{Service, ServiceExt};
use tower_reauth::BoxError;

use crate::{
    report::{Fate, Outcome, Report},
    stack::{Body, Stack, Stacks},
    trip::{Trip, now},
    trouble::Trouble,
};

/// Send `requests` at once and wait for all answers. In the middle of it there may be trouble.
pub(crate) async fn roll(
    requests: usize,
    stacks: &Stacks,
    trouble: &mut Trouble,
    report: &mut Report,
    progress: impl Fn(&Report),
) {
    let mut wave = JoinSet::new();
    for number in 0..requests {
        let stack = if number % 2 == 0 { &stacks.http1 } else { &stacks.http2 };
        let order = Order::new(&stacks.origin, number / 2);
        wave.spawn(send(stack.clone(), order));
    }
    let mut answered = 0;
    while let Some(outcome) = wave.join_next().await {
        report.count(outcome.unwrap_or_else(|panic| Outcome::failed(panic.to_string())));
        answered += 1;
        trouble.watch();
        if answered == requests.div_ceil(2) {
            trouble.strike();
        }
        if answered % 100 == 0 {
            progress(report);
        }
    }
    progress(report);
}

/// A request, and what the echo must say.
struct Order {
    method: Method,
    uri: String,
    path: String,
    frames: Vec<Bytes>,
}

impl Order {
    /// Every second one has a body; of those, half are one frame and half a stream of several.
    fn new(origin: &str, number: usize) -> Self {
        let path = format!("/orders/{number}");
        let frames = match number % 4 {
            1 => 1,
            3 => fastrand::usize(2..8),
            _ => 0,
        };
        Self {
            method: if frames == 0 { Method::GET } else { Method::POST },
            uri: format!("{origin}{path}"),
            path,
            frames: iter::repeat_with(frame).take(frames).collect(),
        }
    }

    fn request(&self, trip: &Trip) -> Result<Request<Body>, http::Error> {
        let body = match &self.frames[..] {
            [] => Full::default().boxed(),
            [frame] => Full::new(frame.clone()).boxed(),
            frames => {
                let frames = frames.iter().cloned().map(|frame| Ok(Frame::data(frame)));
                StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed()
            }
        };
        let request = Request::builder().method(&self.method).uri(&self.uri);
        request.extension(trip.clone()).body(body)
    }
}

fn frame() -> Bytes {
    iter::repeat_with(|| fastrand::u8(..)).take(fastrand::usize(1..4096)).collect()
}

async fn send(stack: Stack, order: Order) -> Outcome {
    let begin = now();
    let trip = Trip::begin();
    let mut at_once = false;
    let fate = match exchange(stack, &order, &trip, &mut at_once).await {
        Ok(fate) => fate,
        Err(error) => Fate::Failed(reason(&*error)),
    };
    let way = trip.way();
    Outcome { fate, at_once, sends: way.sends, waited: way.waited, took: begin.elapsed() }
}

async fn exchange(
    mut stack: Stack,
    order: &Order,
    trip: &Trip,
    at_once: &mut bool,
) -> Result<Fate, BoxError> {
    let ready = stack.ready().await?;
    trip.turn_came();
    let answer = ready.call(order.request(trip)?);
    // With a valid token there is nothing to wait for: it was sent within the call.
    *at_once = trip.way().sends > 0;
    let (head, body) = answer.await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(match head.status {
        StatusCode::OK if body != order.frames.concat() => Fate::failed("another body came back"),
        StatusCode::OK if head.headers["echo-method"] != order.method.as_str() => {
            Fate::failed("another method arrived")
        }
        StatusCode::OK if head.headers["echo-path"] != order.path.as_str() => {
            Fate::failed("another path arrived")
        }
        StatusCode::OK => Fate::Ok,
        StatusCode::UNAUTHORIZED => Fate::Unauthorized,
        status => Fate::Failed(status.to_string()),
    })
}

/// The error and what caused it, in one line.
fn reason(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
