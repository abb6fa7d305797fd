//! What one request went through beneath the layers, told by a mark that travels in its extensions.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{TryFutureExt, future::BoxFuture};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// One request's way: a replay carries the same extensions, and so the same trip.
#[derive(Clone)]
pub(crate) struct Trip(Arc<Mutex<Way>>);

#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// How often it was sent.
    pub(crate) sends: u32,
    /// How long it waited for a token, and then for another turn.
    pub(crate) waited: Duration,
    waits_since: Option<Instant>,
}

impl Trip {
    pub(crate) fn begin() -> Self {
        Self(Arc::new(Mutex::new(Way { sends: 0, waited: Duration::ZERO, waits_since: None })))
    }

    /// The request got its turn: from here on it waits for nothing but a token.
    pub(crate) fn turn_came(&self) {
        self.update(|way| way.waits_since = Some(now()));
    }

    pub(crate) fn way(&self) -> Way {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update(&self, change: impl FnOnce(&mut Way)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn sent(&self) {
        self.update(|way| {
            way.sends += 1;
            way.waited += way.waits_since.take().map_or(Duration::ZERO, |since| since.elapsed());
        });
    }

    fn refused(&self) {
        self.update(|way| way.waits_since = Some(now()));
    }
}

/// Applies [`Track`].
#[derive(Clone, Copy)]
pub(crate) struct TrackLayer;

/// Notes in each request's [`Trip`] that it is sent, and whether it was refused.
#[derive(Clone)]
pub(crate) struct Track<S>(S);

impl<S> Layer<S> for TrackLayer {
    type Service = Track<S>;

    fn layer(&self, inner: S) -> Track<S> {
        Track(inner)
    }
}

impl<S, B, R> Service<Request<B>> for Track<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<R>, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let trip = request.extensions().get::<Trip>().cloned();
        trip.iter().for_each(Trip::sent);
        Box::pin(self.0.call(request).inspect_ok(move |response| {
            if response.status() == StatusCode::UNAUTHORIZED {
                trip.iter().for_each(Trip::refused);
            }
        }))
    }
}
