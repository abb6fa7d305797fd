//! The two layers as middlewares of `reqwest-middleware`.
//!
//! [`RefreshLayer`] and [`AuthLayer`] are what they are in a tower stack, in the same order and with the
//! same settings; the rest of the chain is their inner service.
//!
//! ```
//! use reqwest_middleware::ClientBuilder;
//! use tower_reauth::{
//!     AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, Session, reqwest::redirect_policy,
//! };
//! # use tower_reauth::testing::{AuthorizationServer, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! # let authorization = AuthorizationServer::new();
//! # let api = ResourceServer::new(&authorization).serve().await?;
//! # let (token_endpoint, endpoint_client) = ("https://auth.example.com/token", authorization.clone());
//! # let session = Session::builder(RefreshTokenGrant::new(token_endpoint, "my-app", endpoint_client)?)
//! #     .tokens(authorization.login())
//! #     .insecure_origin(api.origin())
//! #     .build()?;
//! # authorization.revoke_access_tokens();
//! # let url = api.uri("/orders").to_string();
//! # #[derive(serde::Serialize)] struct Order { drink: &'static str }
//! # let order = Order { drink: "tea" };
//! let client = reqwest::Client::builder().redirect(redirect_policy()).build()?;
//! let client = ClientBuilder::new(client)
//!     .with(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
//!     .with(AuthLayer::new(session.clone())) // attaches the newest access token
//!     .build();
//!
//! let response = client.post(url).json(&order).send().await?;
//! assert!(response.status().is_success()); // though the token had been revoked
//! # assert_eq!(authorization.token_requests(), 1);
//! # Ok(()) }
//! ```
//!
//! What reqwest does beneath, redirects above all, is said [there](crate::reqwest#what-reqwest-does-beneath).
//!
//! # Errors
//!
//! A request that was challenged, and could not be refreshed, has the challenge for its answer, with the
//! [`RefreshError`] in `response.extensions()`. One that was not sent has it for its error:
//!
//! ```
//! # use tower_reauth::{AuthLayer, Held, RefreshLayer, Session, source_fn};
//! use reqwest_middleware::Error;
//! use tower_reauth::RefreshError;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let source = source_fn(|_: Held| async { Err(RefreshError::misconfigured()) }).from_nothing();
//! # let session = Session::builder(source).insecure_origin("http://127.0.0.1:9").build()?;
//! # let client = reqwest_middleware::ClientBuilder::new(reqwest::Client::new())
//! #     .with(RefreshLayer::new(session.clone()))
//! #     .with(AuthLayer::new(session.clone()))
//! #     .build();
//! # let url = "http://127.0.0.1:9/";
//! let result = client.get(url).send().await;
//! if let Err(Error::Middleware(error)) = &result
//!     && let Some(error) = error.downcast_ref::<RefreshError>()
//! {
//!     println!("{error}; log in again: {}", error.needs_login());
//! #   return Ok(());
//! }
//! # Err("no error of the session".into()) }
//! ```
//!
//! An error of the middlewares beneath, or of reqwest, is passed on as it is.
//!
//! # Extensions
//!
//! `.with_extension(NoAuth)` and `.with_extension(NoReplay)` are heard, see [`NoAuth`](crate::NoAuth). The
//! middlewares beneath find the extensions of the request on each send, with what the send before left
//! there, and what they leave is there when the answer is. A request that is dropped on its way leaves
//! nothing. `.timeout(…)` holds for each send.
//!
//! # Order
//!
//! Middlewares run in the order of `with`, and so:
//!
//! * what signs or counts a whole call, or retries it (`reqwest-retry`), comes before [`RefreshLayer`].
//!   Let a retry leave 401 alone: a challenge that is handed out is not mended by another try.
//! * what looks at each send (`reqwest-tracing`) comes between the two. It does not see the token.
//! * what changes the URL comes before [`AuthLayer`], which decides by it where the token goes. An answer
//!   from another origin than the one that the token was attached for is returned as it is. So is one
//!   that a middleware beneath makes by itself (a mock, a cache), unless it says where it is from, by
//!   [`ResponseBuilderExt::url`](reqwest::ResponseBuilderExt::url).
//! * what comes after [`AuthLayer`] sees the token: a middleware there that logs headers has to leave
//!   out those that are marked sensitive.

use std::{
    future::poll_fn,
    mem,
    pin::pin,
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
    reqwest::{Requested, client_body, into_http},
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
        let mut requested = Requested::new(&request, false);
        let mut answer = pin!(through(self, request, extensions, next));
        let mut response = poll_fn(|cx| requested.poll(|| answer.as_mut().poll(cx))).await?;
        requested.mark(&mut response);
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
    answer.map(Response::from).map_err(outside)
}

/// The session's own errors stand in the open between the layers, and in `anyhow` outside. Others are
/// passed on as they are.
fn outside(error: BoxError) -> Error {
    match error.downcast() {
        Ok(error) => *error,
        Err(error) => Error::middleware(match error.downcast() {
            Ok(error) => *error,
            Err(error) => RefreshError::transient().with_source(error),
        }),
    }
}

/// [`Error`] hides what is in it: its source is the source of that.
fn inside(error: Error) -> BoxError {
    match error {
        Error::Middleware(error) => match error.downcast::<RefreshError>() {
            Ok(error) => error.into(),
            Err(error) => Error::Middleware(error).into(),
        },
        error => error.into(),
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

impl<'a, B> Service<http::Request<B>> for Rest<'a>
where
    B: http_body::Body + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'a, std::result::Result<http::Response<Body>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::result::Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: http::Request<B>) -> Self::Future {
        let Self { next, url, own, extensions: shared } = self.clone();
        *request.extensions_mut() = own;
        let request = Request::try_from(request.map(client_body));
        Box::pin(async move {
            let mut request = request.map_err(Error::from)?;
            // A URI has no fragment.
            *request.url_mut() = url;
            let mut extensions = mem::take(&mut *lock(&shared));
            let answer = next.run(request, &mut extensions).await;
            *lock(&shared) = extensions;
            answer.map(into_http).map_err(inside)
        })
    }
}
