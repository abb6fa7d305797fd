//! The layers, and what tonic's types ask for around them.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use ::tonic::body::Body;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::status::{unanswered, unsent};
use crate::{
    Auth, AuthLayer, BoxError, Classify, GrpcClassifier, MapBody, Refresh, RefreshError,
    RefreshLayer, ReplayBody, SelectSession, Session, map_body, refresh,
};

type ToBody = fn(ReplayBody<Body>) -> Body;
type Beneath<S, L> = Auth<MapBody<S, ToBody>, L>;

/// Applies [`Reauth`]; see the [module's page](super).
#[derive(Clone)]
pub struct ReauthLayer<L = Session, C = GrpcClassifier> {
    refresh: RefreshLayer<L, C>,
    auth: AuthLayer<L>,
}

impl<L: SelectSession> ReauthLayer<L> {
    /// Attach and refresh the tokens of this session.
    pub fn new(session: L) -> Self {
        Self {
            auth: AuthLayer::new(session.clone()),
            refresh: RefreshLayer::new(session).classifier(GrpcClassifier::default()),
        }
    }
}

impl<L, C> ReauthLayer<L, C> {
    /// What tells a challenge from other answers.
    ///
    /// Default: [`GrpcClassifier`].
    #[must_use]
    pub fn classifier<C2: Classify + Clone>(self, classifier: C2) -> ReauthLayer<L, C2> {
        ReauthLayer { refresh: self.refresh.classifier(classifier), auth: self.auth }
    }

    /// How many bytes of a stream of requests are kept for a replay; see
    /// [`RefreshLayer::keep_bytes`]. The message of a unary call is kept whatever its size.
    ///
    /// Default: 1 MiB.
    #[must_use]
    pub fn keep_bytes(mut self, limit: usize) -> Self {
        self.refresh = self.refresh.keep_bytes(limit);
        self
    }
}

impl<S, L: Clone, C: Clone> Layer<S> for ReauthLayer<L, C> {
    type Service = Reauth<S, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = map_body(Body::new as ToBody).layer(inner);
        Reauth { inner: self.refresh.layer(self.auth.layer(inner)) }
    }
}

impl<L, C> fmt::Debug for ReauthLayer<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthLayer").field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

/// Attaches the newest access token to each call, refreshes it when it is challenged, and sends the call
/// again; see the [module's page](super).
///
/// A generated client takes it as it takes a channel: `HealthClient<Reauth<Channel>>`.
#[derive(Clone)]
pub struct Reauth<S, L = Session, C = GrpcClassifier> {
    inner: Refresh<Beneath<S, L>, L, C>,
}

impl<S, L, C, R> Service<Request<Body>> for Reauth<S, L, C>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    L: SelectSession,
    C: Classify + Clone,
    R: http_body::Body,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S, R, L, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ResponseFuture { future: self.inner.call(request) }
    }
}

impl<S: fmt::Debug, L, C> fmt::Debug for Reauth<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reauth").field("inner", &self.inner).finish()
    }
}

pin_project! {
    /// The future of [`Reauth`].
    pub struct ResponseFuture<S, R, L, C>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        L: SelectSession,
    {
        #[pin]
        future: refresh::ResponseFuture<Beneath<S, L>, Body, R, C>,
    }
}

impl<S, R, L, C> Future for ResponseFuture<S, R, L, C>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    L: SelectSession,
    C: Classify,
    R: http_body::Body,
{
    type Output = Result<Response<R>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = ready!(self.project().future.poll(cx));
        Poll::Ready(match sent {
            Err(error) => Err(unsent(error)),
            // tonic reads the head alone: in an extension the reason would be lost.
            Ok(response) => match response.extensions().get::<RefreshError>() {
                Some(error) => Err(unanswered(response.headers(), error).into()),
                None => Ok(response),
            },
        })
    }
}

impl<S, R, L, C> fmt::Debug for ResponseFuture<S, R, L, C>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    L: SelectSession,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
