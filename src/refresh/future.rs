//! One request on its way: admitted, sent, classified, and perhaps sent again.
//!
//! ```text
//!             ┌──────────────── Waiting ───────────────┐
//!  call ──┬──▶│ Admitting ─▶ Readying ◀─ Draining      │
//!         │   │                 │           ▲          │
//!         │   │                 │       Renewing ──────┼─▶ the caller, with the challenge
//!         │   └─────────────────┼───────────▲──────────┘
//!         │                     ▼           │ challenge
//!         └────────────────▶ Sending ───────┴────────────▶ the caller
//! ```
//!
//! First send and replay take the same path, so the replay cannot forget readiness. Dropped in any
//! state, the future leaves the wait-list, and a frozen upload ends in an error.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use super::attempt::{Attempt, Next, Wait};
use crate::{BoxError, Classify, ReplayBody, session::Waiting};

pin_project! {
    /// The future of [`Refresh`](super::Refresh).
    pub struct ResponseFuture<S, B, R, C>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S::Future, Wait<B, R>>,
        role: Role<Attempt<S, B, C>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, W> {
        Sending { #[pin] future: F },
        /// Boxed, since a request whose token is valid never comes here.
        Waiting { wait: Box<W> },
    }
}

/// What the layer has to do with the request.
enum Role<A> {
    /// It is none of the session's business.
    Passing,
    Attempting(A),
    /// Polled again after it ended, a future stays pending, as futures may.
    Over,
}

impl<S, B, R, C> ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>>,
{
    #[inline]
    pub(super) fn passing(future: S::Future) -> Self {
        Self { state: State::Sending { future }, role: Role::Passing }
    }

    #[inline(always)]
    pub(super) fn sending(future: S::Future, attempt: Attempt<S, B, C>) -> Self {
        Self { state: State::Sending { future }, role: Role::Attempting(attempt) }
    }

    pub(super) fn admitting(
        waiting: Waiting,
        request: Request<ReplayBody<B>>,
        attempt: Attempt<S, B, C>,
    ) -> Self {
        let wait = Box::new(Wait::Admitting { waiting, request });
        Self { state: State::Waiting { wait }, role: Role::Attempting(attempt) }
    }
}

impl<S, B, R, C> ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Classify,
    R: Body,
{
    /// From a send that was not answered, or from a wait.
    #[cold]
    fn poll_on(
        self: Pin<&mut Self>,
        mut sent: Option<Result<Response<R>, BoxError>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<R>, BoxError>> {
        let mut this = self.project();
        let Role::Attempting(attempt) = this.role else { return Poll::Pending };
        loop {
            let next = match (sent.take(), this.state.as_mut().project()) {
                (Some(sent), _) => attempt.unanswered(sent),
                (None, StateProj::Waiting { wait }) => ready!(attempt.poll_wait(wait, cx)),
                (None, StateProj::Sending { future }) => {
                    match ready!(future.poll(cx)).map_err(Into::into) {
                        Ok(response) if attempt.is_answered(&response) => Next::Return(response),
                        other => attempt.unanswered(other),
                    }
                }
            };
            let output = match next {
                Next::Send(future) => {
                    this.state.set(State::Sending { future });
                    continue;
                }
                Next::Wait(wait) => {
                    this.state.set(State::Waiting { wait });
                    continue;
                }
                Next::Return(response) => Ok(response),
                Next::Fail(error) => Err(error),
            };
            *this.role = Role::Over;
            return Poll::Ready(output);
        }
    }
}

impl<S, B, R, C> Future for ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Classify,
    R: Body,
{
    type Output = Result<Response<R>, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let StateProj::Sending { future } = this.state.project() else {
            return self.poll_on(None, cx);
        };
        let attempt = match this.role {
            Role::Attempting(attempt) => attempt,
            Role::Passing => return future.poll(cx).map_err(Into::into),
            Role::Over => return Poll::Pending,
        };
        let sent = ready!(future.poll(cx)).map_err(Into::into);
        if !sent.as_ref().is_ok_and(|response| attempt.is_answered(response)) {
            return self.poll_on(Some(sent), cx);
        }
        // What was kept is not needed any more; an upload that still runs goes on.
        *this.role = Role::Over;
        Poll::Ready(sent)
    }
}

impl<S, B, R, C> fmt::Debug for ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
