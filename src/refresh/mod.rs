//! Refresh the access token when a resource server challenges it, then send the request again.
//!
//! However many requests are challenged at once, one refresh runs and all of them wait for it. A request
//! is sent again only if its body was kept; otherwise the caller gets the challenge as it came, marked
//! by [`NotReplayed`](crate::NotReplayed) in its extensions, and the token is refreshed for the next.
//!
//! A request that has no valid token to begin with waits for one before it is sent. Near the token's end
//! requests go out at once, and a refresh runs beside them.
//!
//! When a refresh fails, a challenged request gets its original response, body intact, with the
//! [`RefreshError`](crate::RefreshError) in its extensions. A request that was not sent gets the error:
//!
//! ```
//! use http::{Request, Response};
//! use http_body_util::Empty;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{AuthLayer, Held, RefreshError, RefreshLayer, ReplayBody, Session, source_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let source = source_fn(|_: Held| async { Err(RefreshError::misconfigured()) }).from_nothing();
//! let session = Session::builder(source).origin("https://api.example.com").build()?;
//! # let client = tower::service_fn(|_: Request<ReplayBody<Empty<&'static [u8]>>>| async {
//! #     Ok::<_, std::io::Error>(Response::new(Empty::<&'static [u8]>::new()))
//! # });
//!
//! let client = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone()))
//!     .layer(AuthLayer::new(session))
//!     .service(client);
//!
//! let request = Request::get("https://api.example.com/me").body(Empty::<&'static [u8]>::new())?;
//! let error = client.oneshot(request).await.err().ok_or("it was sent")?;
//! let error = error.downcast_ref::<RefreshError>().ok_or("not ours")?;
//! assert!(error.is_misconfigured());
//! # Ok(()) }
//! ```

mod drain;
mod future;
mod layer;
mod outgoing;

use std::{
    fmt, mem,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use self::layer::Limits;
pub use self::{future::ResponseFuture, layer::RefreshLayer};
use crate::{
    BearerClassifier, BoxError, Classify, NoReplay, ReplayBody, SelectSession, Session,
    refresh::outgoing::Outgoing, replay::keep,
};

/// Refreshes the access token when it is challenged, and sends the request again; see the
/// [module's page](self).
///
/// The inner service is cloned for each request that may be sent again, and its readiness is bought
/// anew before each send. Nothing of it is held while a request waits for a token.
#[derive(Clone)]
pub struct Refresh<S, L = Session, C = BearerClassifier> {
    inner: S,
    select: L,
    classify: C,
    limits: Limits,
}

impl<S, L, C, B, R> Service<Request<B>> for Refresh<S, L, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    L: SelectSession,
    C: Classify + Clone,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    R: Body,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S, B, R, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Some(session) =
            self.select.select(&request).filter(|session| session.concerns(&request))
        else {
            return ResponseFuture::passing(self.inner.call(request.map(ReplayBody::once)));
        };
        let (head, body) = request.into_parts();
        let (kept, body) = match head.extensions.get::<NoReplay>() {
            None => {
                let (kept, body) = keep(body, self.limits.kept);
                (Some(kept), body)
            }
            Some(NoReplay) => (None, ReplayBody::once(body)),
        };
        let outgoing = Outgoing::new(&head, kept);
        let request = Request::from_parts(head, body);
        let clone = self.inner.clone();
        let ready = mem::replace(&mut self.inner, clone);
        let session = session.clone();
        ResponseFuture::new(
            ready,
            &self.inner,
            session,
            &self.classify,
            self.limits,
            outgoing,
            request,
        )
    }
}

impl<S: fmt::Debug, L, C> fmt::Debug for Refresh<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("inner", &self.inner).finish_non_exhaustive()
    }
}
