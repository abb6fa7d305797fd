//! A refusal that comes in trailers, told by the head.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::tonic::{Status, body::Body};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response::Parts};
use http_body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

/// Applies [`Trailers`]. Put it beneath [`ReauthLayer`](super::ReauthLayer), next to the channel.
///
/// ```
/// use tonic::transport::Channel;
/// use tonic_health::pb::health_client::HealthClient;
/// use tower::ServiceBuilder;
/// use tower_reauth::{Session, tonic::{ReauthLayer, TrailersLayer}};
///
/// # fn connect(session: Session, channel: Channel) {
/// let channel = ServiceBuilder::new()
///     .layer(ReauthLayer::new(session))
///     .layer(TrailersLayer::new())
///     .service(channel);
/// let mut health = HealthClient::new(channel);
/// # let _ = health.check(tonic_health::pb::HealthCheckRequest::default());
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TrailersLayer {
    _private: (),
}

impl TrailersLayer {
    /// For servers that send response metadata before they refuse.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S> Layer<S> for TrailersLayer {
    type Service = Trailers<S>;

    fn layer(&self, inner: S) -> Trailers<S> {
        Trailers { inner }
    }
}

/// Moves `UNAUTHENTICATED` from the trailers into the head of a response without messages, so that what
/// is above takes it for a challenge.
///
/// To see it, the response waits for its first message or its end. A unary call ends then anyway. A
/// stream of responses is handed over with its first message, so what a server sends as a sign of life,
/// headers alone, is not seen.
///
/// A call that still has requests to send is left alone: its server may wait for them, and its caller for
/// the head. So is one with [`NoReplay`](crate::NoReplay), of whose requests nobody knows whether they are
/// all there.
#[derive(Clone, Debug)]
pub struct Trailers<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Trailers<S>
where
    S: Service<Request<B>, Response = Response<Body>>,
    B: http_body::Body,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // All of it is there: a stream cannot know its size.
        let is_whole = request.body().size_hint().exact().is_some();
        let state = State::Sending { future: self.inner.call(request), is_whole };
        ResponseFuture { state }
    }
}

pin_project! {
    /// The future of [`Trailers`].
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Sending { #[pin] future: F, is_whole: bool },
        Looking { head: Option<Parts>, body: Body },
    }
}

impl<F, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<Body>, E>>,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Sending { future, is_whole } => {
                    let response = ready!(future.poll(cx))?;
                    if !*is_whole || !is_open(&response) {
                        return Poll::Ready(Ok(response));
                    }
                    let (head, body) = response.into_parts();
                    this.state.set(State::Looking { head: Some(head), body });
                }
                StateProj::Looking { head, body } => {
                    let first = ready!(http_body::Body::poll_frame(Pin::new(body), cx));
                    // Polled again after that, the future stays pending, as futures may.
                    let Some(head) = head.take() else { return Poll::Pending };
                    return Poll::Ready(Ok(looked_at(head, first, mem::take(body))));
                }
            }
        }
    }
}

/// Whether the head leaves the status to the trailers.
fn is_open(response: &Response<Body>) -> bool {
    response.status() == StatusCode::OK && !response.headers().contains_key("grpc-status")
}

fn looked_at(
    mut head: Parts,
    first: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
) -> Response<Body> {
    let refusal = match &first {
        Some(Ok(frame)) => frame.trailers_ref().filter(|trailers| is_refusal(trailers)),
        _ => None,
    };
    if let Some(trailers) = refusal {
        head.headers.extend(trailers.clone());
        return Response::from_parts(head, Body::empty());
    }
    Response::from_parts(head, Body::new(LookedAt { first, rest }))
}

fn is_refusal(trailers: &HeaderMap) -> bool {
    trailers.get("grpc-status").is_some_and(|status| status == "16")
}

/// The first frame, and the rest.
struct LookedAt {
    first: Option<Result<Frame<Bytes>, Status>>,
    rest: Body,
}

impl http_body::Body for LookedAt {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let first = match &self.first {
            Some(Ok(frame)) => frame.data_ref().map_or(0, |data| data.len() as u64),
            _ => 0,
        };
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(first));
        }
        hint.set_lower(rest.lower().saturating_add(first));
        hint
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
