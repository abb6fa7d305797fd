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

use super::{
    attempt::{Attempt, Next},
    drain::Drain,
};
use crate::{BoxError, Classify, ReplayBody, lifecycle::Endpoint, session::Waiting};

pin_project! {
    /// The future of [`Refresh`](super::Refresh).
    pub struct ResponseFuture<S, B, R, C>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S::Future, B, R>,
        role: Role<Attempt<S, B, C>>,
    }
}

pin_project! {
    // Requests are boxed: a challenged one lies here only while something else than its refresh is waited
    // for, and one with a valid token never does.
    #[project = StateProj]
    enum State<F, B, R> {
        Sending { #[pin] future: F },
        Admitting { #[pin] waiting: Waiting, request: Option<Box<Request<ReplayBody<B>>>> },
        Renewing { #[pin] waiting: Waiting, endpoint: Endpoint, response: Option<Response<R>> },
        Draining { drain: Drain<R>, request: Option<Box<Request<ReplayBody<B>>>> },
        Readying { request: Option<Box<Request<ReplayBody<B>>>> },
    }
}

/// What the layer has to do with the request.
enum Role<A> {
    /// It is none of the session's business.
    Passing,
    Attempting(A),
    /// Polled again after that, the future stays pending, as futures may.
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
        let request = Some(Box::new(request));
        Self { state: State::Admitting { waiting, request }, role: Role::Attempting(attempt) }
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
        sent: Option<Result<Response<R>, BoxError>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<R>, BoxError>> {
        let mut this = self.project();
        let Role::Attempting(attempt) = this.role else { return Poll::Pending };
        let mut next = sent.map(|sent| attempt.unanswered(sent));
        loop {
            let state = match next.take() {
                None => {
                    next = Some(ready!(poll_state(this.state.as_mut().project(), attempt, cx)));
                    continue;
                }
                Some(Next::Admit(request)) => {
                    let waiting = attempt.waiting();
                    State::Admitting { waiting, request: Some(Box::new(request)) }
                }
                Some(Next::Renew(response, endpoint)) => {
                    let waiting = attempt.waiting();
                    State::Renewing { waiting, endpoint, response: Some(response) }
                }
                Some(Next::Drain(mut drain, request, now)) => {
                    if drain.poll(cx).is_ready() {
                        next = Some(Next::Send(request, Some(now)));
                        continue;
                    }
                    this.state.set(State::Draining { drain, request: Some(Box::new(request)) });
                    return Poll::Pending;
                }
                Some(Next::Send(request, now)) => match attempt.poll_ready(cx) {
                    Poll::Ready(Ok(())) => match attempt.send(request, now) {
                        Some(future) => State::Sending { future },
                        None => return Poll::Pending,
                    },
                    Poll::Ready(Err(error)) => {
                        next = Some(Next::End(Err(error)));
                        continue;
                    }
                    Poll::Pending => {
                        this.state.set(State::Readying { request: Some(Box::new(request)) });
                        return Poll::Pending;
                    }
                },
                Some(Next::Sent(future)) => State::Sending { future },
                Some(Next::End(output)) => {
                    *this.role = Role::Over;
                    return Poll::Ready(output);
                }
            };
            this.state.set(state);
        }
    }
}

/// Until the state is over.
fn poll_state<S, B, R, C>(
    state: StateProj<'_, S::Future, B, R>,
    attempt: &mut Attempt<S, B, C>,
    cx: &mut Context<'_>,
) -> Poll<Next<S::Future, B, R>>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Classify,
    R: Body,
{
    let (request, now) = match state {
        StateProj::Sending { future } => {
            return Poll::Ready(match ready!(future.poll(cx)).map_err(Into::into) {
                Ok(response) if attempt.is_answered(&response) => Next::End(Ok(response)),
                sent => attempt.unanswered(sent),
            });
        }
        StateProj::Renewing { mut waiting, endpoint, response } => {
            let renewed = ready!(attempt.poll_renewed(waiting.as_mut(), *endpoint, cx));
            let Some(response) = response.take() else { return Poll::Pending };
            return Poll::Ready(attempt.renewed(renewed, waiting.waited(), response));
        }
        StateProj::Admitting { waiting, request } => match ready!(waiting.poll_admitted(cx)) {
            Ok(go) => (request, Some(go.now)),
            Err(error) => return Poll::Ready(Next::End(Err(error.into()))),
        },
        StateProj::Draining { drain, request } => {
            ready!(drain.poll(cx));
            (request, None)
        }
        StateProj::Readying { request } => {
            if let Err(error) = ready!(attempt.poll_ready(cx)) {
                return Poll::Ready(Next::End(Err(error)));
            }
            let sent = request.take().and_then(|request| attempt.send(*request, None));
            return sent.map_or(Poll::Pending, |future| Poll::Ready(Next::Sent(future)));
        }
    };
    match request.take() {
        Some(request) => Poll::Ready(Next::Send(*request, now)),
        None => Poll::Pending,
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
