//! Turn the replayed body into the body of a client that takes only its own.

use std::{
    fmt,
    task::{Context, Poll},
};

use http::Request;
use tower::{Layer, Service};

use super::ReplayBody;

/// A layer that gives the requests of the refresh layer the body type of the client beneath it.
///
/// Only clients that take one body type need it (tonic, kube); their own type boxes anyway, and that is
/// the one box. Put it between the client and the layers of this crate.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
/// use tower::{BoxError, ServiceBuilder, service_fn};
/// use tower_reauth::{ReplayBody, map_body};
///
/// type ClientBody = UnsyncBoxBody<Bytes, BoxError>;
/// # type Never = std::convert::Infallible;
/// let client = service_fn(async |request: Request<ClientBody>| {
///     // …
/// #   Ok::<_, Never>(Response::new(request.into_body()))
/// });
///
/// let client = ServiceBuilder::new()
///     // RefreshLayer and AuthLayer stand here.
///     .layer(map_body(|body: ReplayBody<Full<Bytes>>| body.boxed_unsync()))
///     .service(client);
/// # fn takes<S: tower::Service<Request<ReplayBody<Full<Bytes>>>>>(_: S) {}
/// # takes(client);
/// ```
pub fn map_body<F, B, B2>(map: F) -> MapBodyLayer<F>
where
    F: FnMut(ReplayBody<B>) -> B2,
{
    MapBodyLayer { map }
}

/// The layer made by [`map_body`].
#[derive(Clone, Copy)]
pub struct MapBodyLayer<F> {
    map: F,
}

impl<S, F: Clone> Layer<S> for MapBodyLayer<F> {
    type Service = MapBody<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        MapBody { inner, map: self.map.clone() }
    }
}

impl<F> fmt::Debug for MapBodyLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBodyLayer").finish_non_exhaustive()
    }
}

/// The service of [`MapBodyLayer`].
#[derive(Clone, Copy)]
pub struct MapBody<S, F> {
    inner: S,
    map: F,
}

impl<S, F, B, B2> Service<Request<ReplayBody<B>>> for MapBody<S, F>
where
    S: Service<Request<B2>>,
    F: FnMut(ReplayBody<B>) -> B2,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReplayBody<B>>) -> Self::Future {
        self.inner.call(request.map(&mut self.map))
    }
}

impl<S: fmt::Debug, F> fmt::Debug for MapBody<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBody").field("inner", &self.inner).finish_non_exhaustive()
    }
}
