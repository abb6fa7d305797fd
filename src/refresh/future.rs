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
    error::Error,
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::Service;

use super::{drain::Drain, layer::Limits, outgoing::Outgoing};
use crate::{
    BoxError, Classify, Event, NotReplayed, RefreshError, ReplayBody, ResponseHead, Session,
    Verdict,
    error::Kind,
    extension::Unattached,
    session::{Seen, Waiting, poll_once},
};

/// How often a request is admitted again because its token ran out between the layers.
const ADMISSIONS: u8 = 3;

pin_project! {
    /// The future of [`Refresh`](super::Refresh).
    pub struct ResponseFuture<S, B, R, C>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S::Future, Wait<B, R>>,
        attempt: Option<Attempt<S, B, C>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, W> {
        Sending { #[pin] future: F },
        /// Boxed, since a request whose token is valid never comes here.
        Waiting { wait: Box<W> },
        Done,
    }
}

enum Wait<B, R> {
    /// For a token to go out with.
    Admitting { waiting: Waiting, request: Request<ReplayBody<B>> },
    /// For the inner service's readiness.
    Readying { request: Request<ReplayBody<B>> },
    /// For another token, with the challenge in hand: it may be the answer.
    Renewing { waiting: Waiting, response: Response<R> },
    /// For the challenge to be emptied before the replay.
    Draining { drain: Drain<R>, request: Request<ReplayBody<B>> },
    /// Between two of these.
    Moving,
}

/// What outlives the states. `None` in the future: the request is none of the session's business.
struct Attempt<S, B, C> {
    service: S,
    session: Session,
    classify: C,
    limits: Limits,
    outgoing: Outgoing<B>,
    /// The token that was newest just before the request was sent.
    seen: Option<Seen>,
    admissions: u8,
    refreshed_replays: u8,
    replays: u8,
}

/// What a response, or the end of a wait, leads to.
enum Next<F, B, R> {
    Return(Response<R>),
    Fail(BoxError),
    Send(F),
    Wait(Box<Wait<B, R>>),
}

/// A first state, the service for what comes after it, and the token that the request goes out with.
type Asked<F, S, B, R> = (State<F, Wait<B, R>>, S, Option<Seen>);

impl<S, B, R, C> ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Clone,
{
    #[inline]
    pub(super) fn passing(future: S::Future) -> Self {
        Self { state: State::Sending { future }, attempt: None }
    }

    /// `ready` is what `poll_ready` bought, `clone` one that is not ready.
    #[inline(always)]
    pub(super) fn new(
        mut ready: S,
        clone: &S,
        session: Session,
        classify: &C,
        limits: Limits,
        outgoing: Outgoing<B>,
        request: Request<ReplayBody<B>>,
    ) -> Self {
        let calm = session.calm();
        let (state, service, seen) = match calm {
            Some(_) => (State::Sending { future: ready.call(request) }, ready, calm),
            None => Self::ask(ready, clone, &session, request),
        };
        let attempt = Attempt {
            service,
            session,
            classify: classify.clone(),
            limits,
            outgoing,
            seen,
            admissions: 1,
            refreshed_replays: 0,
            replays: 0,
        };
        Self { state, attempt: Some(attempt) }
    }

    /// The snapshot does not say that the request may go out; the session may.
    #[cold]
    fn ask(
        mut ready: S,
        clone: &S,
        session: &Session,
        request: Request<ReplayBody<B>>,
    ) -> Asked<S::Future, S, B, R> {
        let mut waiting = session.waiting();
        if let Poll::Ready(Ok(_)) = poll_once(|cx| waiting.poll_admitted(cx)) {
            let seen = session.newest();
            return (State::Sending { future: ready.call(request) }, ready, seen);
        }
        // A permit held by a waiter is a permit that nobody can use. An error is there again when the
        // future is polled.
        drop(ready);
        let wait = Box::new(Wait::Admitting { waiting, request });
        (State::Waiting { wait }, clone.clone(), None)
    }
}

impl<S, B, R, C> Attempt<S, B, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Classify,
    R: Body,
{
    #[inline]
    fn received(&mut self, response: Response<R>) -> Next<S::Future, B, R> {
        // Our token was not attached on the hop that answered: this is no evidence.
        let unattached = response.extensions().get::<Unattached>();
        let ours = unattached.is_some_and(|unattached| unattached.0 == self.session.id());
        if ours || self.is_foreign(&response) {
            return Next::Return(response);
        }
        match self.classify.classify(&ResponseHead::new(&response)) {
            Verdict::Challenge => self.challenged(response),
            verdict => {
                if let Verdict::StepUp(challenge) = verdict {
                    self.session.tell(Event::StepUpRequired(challenge));
                } else if !response.status().is_server_error() {
                    self.accepted();
                }
                Next::Return(response)
            }
        }
    }

    /// The answer says that the token was good.
    #[inline]
    fn accepted(&self) {
        if self.refreshed_replays > 0 {
            self.session.accepted();
        }
        if let Some(Seen { generation, is_refused: true }) = self.seen {
            self.session.accepted_at(generation, self.outgoing.endpoint());
        }
    }

    #[cold]
    fn challenged(&mut self, mut response: Response<R>) -> Next<S::Future, B, R> {
        let Some(Seen { generation: seen, .. }) = self.seen else { return Next::Return(response) };
        let endpoint = self.outgoing.endpoint();
        let Limits { refreshed_replays, replays, .. } = self.limits;
        if self.refreshed_replays > 0 && self.refreshed_replays >= refreshed_replays {
            // The endpoint's word about itself: it marks no token dead.
            self.session.refused(seen, endpoint);
            return self.unanswered(response, RefreshError::new(Kind::Refused));
        }
        let why_not = if !self.outgoing.is_kept() {
            NotReplayed::Asked
        } else if !self.outgoing.is_replayable() {
            NotReplayed::Body
        } else if self.replays >= replays || refreshed_replays == 0 {
            NotReplayed::Exhausted
        } else {
            self.outgoing.freeze();
            let waiting = self.session.waiting();
            return Next::Wait(Box::new(Wait::Renewing { waiting, response }));
        };
        self.session.challenge_beside(seen, endpoint);
        response.extensions_mut().insert(why_not);
        Next::Return(response)
    }

    /// The request was challenged, and that is its answer.
    fn unanswered(&self, mut response: Response<R>, error: RefreshError) -> Next<S::Future, B, R> {
        self.outgoing.thaw();
        if self.limits.error_instead {
            return Next::Fail(error.into());
        }
        response.extensions_mut().insert(error);
        Next::Return(response)
    }

    fn not_replayed(&self, mut response: Response<R>) -> Response<R> {
        self.outgoing.thaw();
        response.extensions_mut().insert(NotReplayed::Body);
        response
    }

    #[cold]
    fn failed(&mut self, error: BoxError) -> Next<S::Future, B, R> {
        // The token ran out between the layers, so nothing was sent: that is no answer.
        if is_unattached(&*error)
            && self.admissions < ADMISSIONS
            && let Some(request) = self.outgoing.again()
        {
            self.admissions += 1;
            let waiting = self.session.waiting();
            return Next::Wait(Box::new(Wait::Admitting { waiting, request }));
        }
        Next::Fail(error)
    }

    fn poll_wait(
        &mut self,
        wait: &mut Wait<B, R>,
        cx: &mut Context<'_>,
    ) -> Poll<Next<S::Future, B, R>> {
        loop {
            match wait {
                Wait::Admitting { waiting, .. } => {
                    if let Err(error) = ready!(waiting.poll_admitted(cx)) {
                        return Poll::Ready(Next::Fail(error.into()));
                    }
                }
                Wait::Readying { .. } => {
                    if let Err(error) = ready!(self.service.poll_ready(cx)) {
                        return Poll::Ready(Next::Fail(error.into()));
                    }
                }
                Wait::Renewing { waiting, .. } => {
                    let Some(Seen { generation: seen, .. }) = self.seen else {
                        return Poll::Pending;
                    };
                    let endpoint = Some(self.outgoing.endpoint());
                    let renewed = ready!(waiting.poll_renewed(seen, endpoint, cx));
                    let waited = waiting.waited();
                    let Wait::Renewing { response, .. } = mem::replace(wait, Wait::Moving) else {
                        return Poll::Pending;
                    };
                    let generation = match renewed {
                        Ok(generation) => generation,
                        Err(error) => return Poll::Ready(self.unanswered(response, error)),
                    };
                    let Some(request) = self.outgoing.again() else {
                        // The stream failed while it was taken over.
                        return Poll::Ready(Next::Return(self.not_replayed(response)));
                    };
                    self.replays += 1;
                    // A refresh that ran already when the token was refused may have fetched its
                    // successor before whatever the refusal is about, so it is no answer to that.
                    let answered = waited && self.session.answers_challenge(generation);
                    self.refreshed_replays += u8::from(answered);
                    *wait = Wait::Draining { drain: Drain::new(response.into_body()), request };
                    continue;
                }
                Wait::Draining { drain, .. } => ready!(drain.poll(cx)),
                Wait::Moving => return Poll::Pending,
            }
            match mem::replace(wait, Wait::Moving) {
                Wait::Admitting { request, .. } | Wait::Draining { request, .. } => {
                    *wait = Wait::Readying { request };
                }
                Wait::Readying { request } => {
                    // Read just before the send: `Auth` attaches this token or a newer one, so a
                    // challenge is never held against a token that the request did not carry.
                    self.seen = self.session.newest();
                    return Poll::Ready(Next::Send(self.service.call(request)));
                }
                Wait::Renewing { .. } | Wait::Moving => return Poll::Pending,
            }
        }
    }

    #[cfg(feature = "redirect")]
    fn is_foreign(&self, response: &Response<R>) -> bool {
        let requested = response.extensions().get::<tower_http::follow_redirect::RequestUri>();
        requested.is_some_and(|requested| !self.session.origins().contain(&requested.0))
    }

    #[cfg(not(feature = "redirect"))]
    fn is_foreign(&self, _: &Response<R>) -> bool {
        false
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
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match (this.state.as_mut().project(), this.attempt.as_mut()) {
                (StateProj::Sending { future }, Some(attempt)) => match ready!(future.poll(cx)) {
                    Ok(response) => attempt.received(response),
                    Err(error) => attempt.failed(error.into()),
                },
                (StateProj::Sending { future }, None) => {
                    return future.poll(cx).map_err(Into::into);
                }
                (StateProj::Waiting { wait }, Some(attempt)) => ready!(attempt.poll_wait(wait, cx)),
                // Polled again after it ended, it stays pending, as futures may.
                (StateProj::Waiting { .. }, None) | (StateProj::Done, _) => return Poll::Pending,
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
            // What was kept is not needed any more; an upload that still runs goes on.
            this.state.set(State::Done);
            *this.attempt = None;
            return Poll::Ready(output);
        }
    }
}

/// Whether `Auth` beneath had nothing to attach, however the layers between wrapped its error.
fn is_unattached(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<RefreshError>() {
            return error.kind() == Kind::Unattached;
        }
        next = error.source();
    }
    false
}

impl<S, B, R, C> fmt::Debug for ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
