//! Refresh the access token when a resource server challenges it, then send the request again.
//!
//! However many requests are challenged at once, one refresh runs and all of them wait for it. A request
//! is sent again only if its body was kept; otherwise the caller gets the challenge as it came, marked
//! by [`NotReplayed`](crate::NotReplayed) in its extensions, and the token is refreshed for the next.
//!
//! A request that has no valid token to begin with waits for one before it is sent. Near the token's end
//! requests go out at once, and a refresh runs beside them.
//!
//! What is beneath gets a [`ReplayBody`]: clients that are generic over their body, hyper's among them, take
//! it as it is; for others there is [`map_body`](crate::map_body). In a struct of yours the stack is a
//! `Refresh<Auth<C>>`; its clones share the session, and whatever the client's clones share.
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

mod attempt;
mod drain;
mod future;
mod layer;
mod outgoing;

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use self::{
    attempt::Attempt,
    layer::Limits,
    outgoing::{Head, Outgoing},
};
pub use self::{future::ResponseFuture, layer::RefreshLayer};
use crate::{
    BearerClassifier, BoxError, Classify, NoReplay, ReplayBody, SelectSession, Session,
    replay::keep,
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
    /// How many bytes of a stream are kept.
    cap: usize,
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

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let concerned = self.select.select(&request).filter(|session| session.guards(&request));
        let Some(session) = concerned else { return self.pass(request) };
        let Some((seen, now)) = session.calm() else { return self.ask(session.clone(), request) };
        if request.extensions().get::<NoReplay>().is_some() {
            if Head::has_credentials(&request) {
                return self.pass(request);
            }
            let outgoing = Outgoing::unkept(request.uri().clone());
            let session = session.clone();
            let sent = session.at(now, || self.inner.call(request.map(ReplayBody::once)));
            let attempt = Attempt::new(
                None,
                session,
                self.classify.clone(),
                self.limits,
                outgoing,
                Some(seen),
            );
            return ResponseFuture::sending(sent, attempt);
        }
        let Some(head) = Head::of(&request) else { return self.pass(request) };
        let session = session.clone();
        let uri = request.uri().clone();
        // For a replay: what `poll_ready` bought is spent on the first send.
        let service = Some(self.inner.clone());
        let mut kept = None;
        let keep = |body| {
            let (keeper, body) = keep(body, self.cap);
            kept = Some(keeper);
            body
        };
        let sent = session.at(now, || self.inner.call(request.map(keep)));
        let outgoing = Outgoing::kept(uri, head, kept);
        let attempt = Attempt::new(
            service,
            session,
            self.classify.clone(),
            self.limits,
            outgoing,
            Some(seen),
        );
        ResponseFuture::sending(sent, attempt)
    }
}

impl<S, L, C: Clone> Refresh<S, L, C> {
    /// The request is none of the session's business.
    #[inline]
    fn pass<B, R>(&mut self, request: Request<B>) -> ResponseFuture<S, B, R, C>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        ResponseFuture::passing(self.inner.call(request.map(ReplayBody::once)))
    }

    /// The snapshot does not say that the request may go out; the session may.
    #[cold]
    fn ask<B, R>(&mut self, session: Session, request: Request<B>) -> ResponseFuture<S, B, R, C>
    where
        S: Service<Request<ReplayBody<B>>> + Clone,
        B: Body + 'static,
        B::Error: Into<BoxError>,
    {
        let Some(head) = Head::of(&request) else { return self.pass(request) };
        let uri = request.uri().clone();
        let (parts, body) = request.into_parts();
        let (outgoing, body) = match parts.extensions.get::<NoReplay>() {
            None => {
                let (kept, body) = keep(body, self.cap);
                (Outgoing::kept(uri, head, Some(kept)), body)
            }
            Some(NoReplay) => (Outgoing::unkept(uri), ReplayBody::once(body)),
        };
        let request = Request::from_parts(parts, body);
        let waiting = session.waiting();
        let service = self.inner.clone();
        // Without a token there is nothing to ask for yet.
        let is_admitted = session.newest().is_some() && waiting.is_admitted();
        // Just before it is sent, and after what was asked is published.
        let seen = session.newest();
        let attempt = |service, seen| {
            let classify = self.classify.clone();
            Attempt::new(Some(service), session, classify, self.limits, outgoing, seen)
        };
        if is_admitted {
            let attempt = attempt(service, seen);
            return ResponseFuture::sending(self.inner.call(request), attempt);
        }
        let attempt = attempt(service.clone(), None);
        // A permit held by a waiter is a permit that nobody can use.
        self.inner = service;
        ResponseFuture::admitting(waiting, request, attempt)
    }
}

impl<S: fmt::Debug, L, C> fmt::Debug for Refresh<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refresh").field("inner", &self.inner).finish_non_exhaustive()
    }
}
