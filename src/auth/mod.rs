//! Attach the newest access token to each request.
//!
//! The token is read from a snapshot, without a lock, and goes to the allowed origins only. This layer
//! never waits, loads or refreshes: where there is no valid token the request fails, unsent. Put
//! [`RefreshLayer`](crate::RefreshLayer) above it, or call [`Session::token`] first.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{AccessToken, AuthLayer, Origins};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let client = tower::service_fn(|request: Request<String>| async move {
//! #     assert_eq!(request.headers()["authorization"], "Bearer opaque");
//! #     Ok::<_, std::io::Error>(Response::new(String::new()))
//! # });
//! let origins = Origins::new("https://api.example.com")?;
//! let token = AccessToken::new("opaque")?;
//!
//! let client = ServiceBuilder::new()
//!     .layer(AuthLayer::from_fn(origins, move || Some(token.clone())))
//!     .service(client);
//!
//! let request = Request::get("https://api.example.com/me").body(String::new())?;
//! let response = client.oneshot(request).await?;
//! # assert!(response.status().is_success());
//! # Ok(()) }
//! ```

mod credential;
mod future;
mod scheme;

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use tower::{Layer, Service};

pub(crate) use self::{
    credential::{Attached, may_carry},
    scheme::bearer,
};
pub use self::{
    credential::{Credential, TokenFn},
    future::ResponseFuture,
};
use crate::{AccessToken, BoxError, Origins, Session};

/// Applies [`Auth`]; see the [module's page](self).
#[derive(Clone)]
pub struct AuthLayer<C = Session> {
    credential: C,
}

impl<C: Credential> AuthLayer<C> {
    /// Attach the newest access token of this session.
    pub fn new(session: C) -> Self {
        Self { credential: session }
    }
}

impl<F> AuthLayer<TokenFn<F>>
where
    F: Fn() -> Option<AccessToken>,
{
    /// Attach what this closure returns, to requests for these origins. `None` fails the request, with a
    /// [`RefreshError`](crate::RefreshError).
    ///
    /// It is called for every request, so it should be cheap, and it must not block.
    pub fn from_fn(origins: Origins, token: F) -> Self {
        Self { credential: TokenFn::new(origins, token) }
    }
}

impl<S, C: Clone> Layer<S> for AuthLayer<C> {
    type Service = Auth<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Auth { inner, credential: self.credential.clone() }
    }
}

impl<C> fmt::Debug for AuthLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer").finish_non_exhaustive()
    }
}

/// Attaches the newest access token to each request; see the [module's page](self).
///
/// A request is left as it is where it goes to another origin, carries an `Authorization` of its own, is
/// a `CONNECT`, or has the extension [`NoAuth`](crate::NoAuth).
#[derive(Clone)]
pub struct Auth<S, C = Session> {
    inner: S,
    credential: C,
}

impl<S, C, B, R> Service<Request<B>> for Auth<S, C>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    C: Credential,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.credential.attach(&mut request) {
            Attached::Yes => ResponseFuture::attached(self.inner.call(request)),
            Attached::No(session) => ResponseFuture::unattached(self.inner.call(request), session),
            Attached::Missing(error) => ResponseFuture::failed(error),
        }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Auth<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("inner", &self.inner).finish_non_exhaustive()
    }
}
