//! Resolve relative requests against a base URL.
//!
//! A program writes `/orders`, and the base says where that is. What comes out is beneath the base,
//! whatever went in: the same scheme and authority, and a path that begins with the base's. Requests
//! whose URI is absolute pass as they are; the session's origins judge them.
//!
//! ```
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower_reauth::BaseUrlLayer;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let client = service_fn(async |request: Request<()>| {
//! #     Ok::<_, std::io::Error>(Response::new(request.uri().to_string()))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(BaseUrlLayer::new("https://api.example.com/v2/")?)
//!     // RefreshLayer and AuthLayer stand here: they see the absolute URI.
//!     .service(client);
//!
//! let response = client.oneshot(Request::get("/orders?open=1").body(())?).await?;
//! assert_eq!(response.into_body(), "https://api.example.com/v2/orders?open=1");
//! # Ok(()) }
//! ```
//!
//! # How it is joined
//!
//! The path of the request is put behind that of the base, with one slash between them; the query stays.
//! This is not RFC 3986 §5.2, by which `/orders` would replace the base's path: a base is a place to stay
//! beneath. With the base `https://api.example.com/v2/`:
//!
//! | request | becomes |
//! |---|---|
//! | `/orders`, `/orders?open=1` | `…/v2/orders`, `…/v2/orders?open=1` |
//! | `/` | `…/v2/` |
//! | `?open=1` (by `uri::Builder`) | `…/v2/?open=1` |
//! | `https://files.example.com/a` | itself |
//! | `CONNECT proxy.example.com:443` | itself |
//! | `//evil.test/x`, which names another authority (RFC 3986 §4.2) | [`UnresolvedUri`] |
//! | `/a/../../b`, `/%2e%2E/b`, `/a%2f..%5Cb`, `/..;/b`: `..` in any spelling, wherever it leads | [`UnresolvedUri`] |
//! | `/\evil.test`: a backslash, which some take for a slash | [`UnresolvedUri`] |
//! | `orders`, which names a host | [`UnresolvedUri`] |
//! | `*` | [`UnresolvedUri`] |
//!
//! Percent-encoding is decoded once to find these, and passes as it was written. Fragments are gone
//! before: `http::Uri` has none.
//!
//! # Where it stands
//!
//! Outside of [`RefreshLayer`](crate::RefreshLayer), and of a redirect layer, so that both see the absolute
//! URI: the session judges origins, and a `Location` is resolved against what was requested. Further
//! inside it is safe and of little use, since a relative URI has no origin. Between the two layers of this
//! crate only [`AuthLayer`](crate::AuthLayer) knows where the request goes: it attaches the token that is
//! there, and nobody waits for one or refreshes it. Beneath both the request goes out without a token.
//! There it takes a session that was told [`assume_origin`](crate::SessionBuilder::assume_origin).
//!
//! The `Host` header is left alone; clients derive it from the URI.

mod future;
mod join;

use std::{
    error, fmt,
    task::{Context, Poll},
};

use http::{Method, Request, Response};
use tower::{Layer, Service};

use self::join::Base;
pub use self::{future::ResponseFuture, join::UnresolvedUri};
use crate::BoxError;

/// Applies [`BaseUrl`]; see the [module's page](self).
#[derive(Clone)]
pub struct BaseUrlLayer {
    base: Base,
}

impl BaseUrlLayer {
    /// Resolve against this URL, such as `https://api.example.com/v2/`. Whether its path ends in a slash
    /// does not matter.
    ///
    /// # Errors
    ///
    /// [`InvalidBaseUrl`] if it is not an absolute `http` or `https` URL, or has user information, a query,
    /// a fragment, or a path that a request could not have.
    pub fn new(base: &str) -> Result<Self, InvalidBaseUrl> {
        Ok(Self { base: Base::parse(base)? })
    }
}

impl<S> Layer<S> for BaseUrlLayer {
    type Service = BaseUrl<S>;

    fn layer(&self, inner: S) -> BaseUrl<S> {
        BaseUrl { inner, base: self.base.clone() }
    }
}

impl fmt::Debug for BaseUrlLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseUrlLayer").field("base", &format_args!("{}", self.base)).finish()
    }
}

/// Resolves relative requests against a base URL; see the [module's page](self).
#[derive(Clone)]
pub struct BaseUrl<S> {
    inner: S,
    base: Base,
}

impl<S, B, R> Service<Request<B>> for BaseUrl<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // RFC 9110 §9.3.6: the target of a CONNECT is the authority itself.
        if request.uri().scheme().is_none() && request.method() != Method::CONNECT {
            match self.base.join(request.uri()) {
                Ok(uri) => *request.uri_mut() = uri,
                Err(error) => return ResponseFuture::failed(error),
            }
        }
        ResponseFuture::sent(self.inner.call(request))
    }
}

impl<S: fmt::Debug> fmt::Debug for BaseUrl<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BaseUrl")
            .field("inner", &self.inner)
            .field("base", &format_args!("{}", self.base))
            .finish()
    }
}

/// A text that is no base URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBaseUrl(BaseFlaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BaseFlaw {
    NotAbsolute,
    Beyond,
    Path,
}

impl fmt::Display for InvalidBaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            BaseFlaw::NotAbsolute => {
                "a base URL is `http` or `https`, a host and perhaps a port and a path, as in `https://api.example.com/v2/`, without user information"
            }
            BaseFlaw::Beyond => "a base URL has no query and no fragment; every request would lose them",
            BaseFlaw::Path => "the path of a base URL has no `..`, no backslash and no empty beginning",
        })
    }
}

impl error::Error for InvalidBaseUrl {}
