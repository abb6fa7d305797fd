//! The two layers in a client of `reqwest-middleware`.
use std::{
    mem,
    task::{Context, Poll},
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use http::Extensions;
use reqwest::{Body, Request, Response, Url};
use reqwest_middleware::{Error, Middleware, Next, Result};
use tower::{Layer, Service, ServiceExt};

use crate::{
    AuthLayer, BoxError, Classify, Credential, RefreshError, RefreshLayer, SelectSession,
    reqwest::{into_http, mark},
    sync::{Arc, Mutex, lock},
};

#[async_trait]
impl<L, C> Middleware for RefreshLayer<L, C>
where
    L: SelectSession + Send + Sync + 'static,
    C: Classify + Clone + Send + Sync + 'static,
{
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        through(self, request, extensions, next).await
    }
}

#[async_trait]
impl<C> Middleware for AuthLayer<C>
where
    C: Credential + Clone + Send + Sync + 'static,
{
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let url = request.url().clone();
        let mut response = through(self, request, extensions, next).await?;
        mark(&mut response, &url);
        Ok(response)
    }
}

/// Send the request through this layer, with the rest of the chain as its inner service.
async fn through<'a, L>(
    layer: &L,
    request: Request,
    extensions: &mut Extensions,
    next: Next<'a>,
) -> Result<Response>
where
    L: Layer<Rest<'a>>,
    L::Service: Service<http::Request<Body>, Response = http::Response<Body>, Error = BoxError>,
{
    let url = request.url().clone();
    let mut request = http::Request::<Body>::try_from(request)?;
    // What the program says about one request is there: `NoAuth`, `NoReplay`, the key of a session.
    let own = mem::replace(request.extensions_mut(), extensions.clone());
    let shared = Arc::new(Mutex::new(extensions.clone()));
    let rest = Rest { next, url, own, extensions: shared.clone() };
    let answer = layer.layer(rest).oneshot(request).await;
    *extensions = mem::take(&mut *lock(&shared));
    answer.map(Response::from).map_err(error)
}

/// An error of the chain is passed on as it is. The layers' own is a [`RefreshError`].
fn error(error: BoxError) -> Error {
    match error.downcast() {
        Ok(error) => *error,
        Err(error) => Error::middleware(match error.downcast() {
            Ok(error) => *error,
            Err(error) => RefreshError::transient().with_source(error),
        }),
    }
}

/// The rest of a chain, for one request.
#[derive(Clone)]
struct Rest<'a> {
    next: Next<'a>,
    url: Url,
    /// Of reqwest's request: its timeout.
    own: Extensions,
    /// One send has them at a time; the next one finds what those before left there.
    extensions: Arc<Mutex<Extensions>>,
}

impl<'a, B: Into<Body>> Service<http::Request<B>> for Rest<'a> {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'a, Result<http::Response<Body>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let Self { next, url, own, extensions: shared } = self.clone();
        *request.extensions_mut() = own;
        let request = Request::try_from(request);
        Box::pin(async move {
            let mut request = request?;
            // A URI has no fragment.
            *request.url_mut() = url;
            let mut extensions = mem::take(&mut *lock(&shared));
            let answer = next.run(request, &mut extensions).await;
            *lock(&shared) = extensions;
            answer.map(into_http)
        })
    }
}
