//! One request on its way: admitted, sent, classified, and perhaps sent again.
//!
//! ```text
//! Admitting ─▶ Readying ─▶ Sending ─▶ the caller
//!                 ▲           │ challenge
//!                 │           ▼
//!             Draining ◀─ Renewing ─▶ the caller, with the challenge
//! ```
//!
//! First send and replay take the same path, so the replay cannot forget readiness. Dropped in any
//! state, the future leaves the wait-list, and a frozen upload ends in an error.

use std::{
    error::Error,
    fmt,
    future::Future,
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
    lifecycle::Generation,
    session::{Waiting, poll_once},
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
        state: State<S::Future, B, R>,
        attempt: Option<Attempt<S, B, C>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B, R> {
        /// Waiting for a token to go out with.
        Admitting { waiting: Waiting, request: Option<Request<ReplayBody<B>>> },
        /// Buying the inner service's readiness.
        Readying { request: Option<Request<ReplayBody<B>>> },
        Sending { #[pin] future: F },
        /// Waiting for another token, with the challenge in hand: it may be the answer.
        Renewing { waiting: Waiting, response: Option<Response<R>> },
        /// Emptying the challenge before the replay.
        Draining { drain: Drain<R>, request: Option<Request<ReplayBody<B>>> },
        Done,
    }
}

/// What outlives the states. `None` in the future: the request is none of the session's business.
struct Attempt<S, B, C> {
    service: S,
    session: Session,
    classify: C,
    limits: Limits,
    outgoing: Outgoing<B>,
    /// The generation that was newest just before the request was sent.
    seen: Option<Generation>,
    admissions: u8,
    refreshed_replays: u8,
    replays: u8,
}

impl<S, B, R, C> ResponseFuture<S, B, R, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    pub(super) fn passing(future: S::Future) -> Self {
        Self { state: State::Sending { future }, attempt: None }
    }

    /// `ready` is what `poll_ready` bought, `clone` one that is not ready.
    pub(super) fn new(
        mut ready: S,
        clone: &S,
        session: Session,
        classify: C,
        limits: Limits,
        outgoing: Outgoing<B>,
        request: Request<ReplayBody<B>>,
    ) -> Self {
        let mut waiting = None;
        let seen = session.calm().or_else(|| {
            let waiting = waiting.insert(session.waiting());
            match poll_once(|cx| waiting.poll_admitted(cx)) {
                Poll::Ready(Ok(generation)) => Some(generation),
                // The error is there again when the future is polled.
                Poll::Ready(Err(_)) | Poll::Pending => None,
            }
        });
        let (state, service) = match (seen, waiting) {
            (None, Some(waiting)) => {
                // A permit held by a waiter is a permit that nobody can use.
                drop(ready);
                (State::Admitting { waiting, request: Some(request) }, clone.clone())
            }
            _ => (State::Sending { future: ready.call(request) }, ready),
        };
        let attempt = Attempt {
            service,
            session,
            classify,
            limits,
            outgoing,
            seen,
            admissions: 1,
            refreshed_replays: 0,
            replays: 0,
        };
        Self { state, attempt: Some(attempt) }
    }
}

/// What a response, or the lack of one, leads to.
enum Next<B, R> {
    Return(Response<R>),
    Renew(Response<R>),
    Admit(Request<ReplayBody<B>>),
    Fail(BoxError),
}

impl<S, B, R, C> Attempt<S, B, C>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + 'static,
    B::Error: Into<BoxError>,
    C: Classify,
{
    fn send(&mut self, request: Request<ReplayBody<B>>) -> S::Future {
        // Read just before the send: `Auth` attaches this token or a newer one, so a challenge is never
        // held against a token that the request did not carry.
        self.seen = self.session.generation();
        self.service.call(request)
    }

    fn received(&mut self, mut response: Response<R>) -> Next<B, R> {
        // Our token was not attached on the hop that answered: this is no evidence.
        if response.extensions_mut().remove::<Unattached>().is_some() || self.is_foreign(&response)
        {
            return Next::Return(response);
        }
        match self.classify.classify(&ResponseHead::new(&response)) {
            Verdict::Challenge => self.challenged(response),
            verdict => {
                if let Verdict::StepUp(challenge) = verdict {
                    self.session.tell(Event::StepUpRequired(challenge));
                } else if self.refreshed_replays > 0 {
                    self.session.accepted();
                }
                Next::Return(response)
            }
        }
    }

    fn challenged(&mut self, mut response: Response<R>) -> Next<B, R> {
        let Some(seen) = self.seen else { return Next::Return(response) };
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
            return Next::Renew(response);
        };
        self.session.challenge_beside(seen, endpoint);
        response.extensions_mut().insert(why_not);
        Next::Return(response)
    }

    /// The request was challenged, and that is its answer.
    fn unanswered(&self, mut response: Response<R>, error: RefreshError) -> Next<B, R> {
        self.outgoing.thaw();
        if self.limits.error_instead {
            return Next::Fail(error.into());
        }
        response.extensions_mut().insert(error);
        Next::Return(response)
    }

    fn failed(&mut self, error: BoxError) -> Next<B, R> {
        // The token ran out between the layers, so nothing was sent: that is no answer.
        if is_unattached(&*error)
            && self.admissions < ADMISSIONS
            && let Some(request) = self.outgoing.again()
        {
            self.admissions += 1;
            return Next::Admit(request);
        }
        Next::Fail(error)
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

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let Some(attempt) = this.attempt.as_mut() else {
                return match this.state.project() {
                    StateProj::Sending { future } => future.poll(cx).map_err(Into::into),
                    // Polled again after it ended, it stays pending, as futures may.
                    _ => Poll::Pending,
                };
            };
            let next = match this.state.as_mut().project() {
                StateProj::Admitting { waiting, request } => {
                    match ready!(waiting.poll_admitted(cx)) {
                        Ok(_) => {
                            let request = request.take();
                            this.state.set(State::Readying { request });
                            continue;
                        }
                        Err(error) => Next::Fail(error.into()),
                    }
                }
                StateProj::Readying { request } => match ready!(attempt.service.poll_ready(cx)) {
                    Ok(()) => {
                        let Some(request) = request.take() else { return Poll::Pending };
                        let future = attempt.send(request);
                        this.state.set(State::Sending { future });
                        continue;
                    }
                    Err(error) => Next::Fail(error.into()),
                },
                StateProj::Sending { future } => match ready!(future.poll(cx)) {
                    Ok(response) => attempt.received(response),
                    Err(error) => attempt.failed(error.into()),
                },
                StateProj::Renewing { waiting, response } => {
                    let (Some(seen), endpoint) = (attempt.seen, attempt.outgoing.endpoint()) else {
                        return Poll::Pending;
                    };
                    let renewed = ready!(waiting.poll_renewed(seen, Some(endpoint), cx));
                    let Some(response) = response.take() else { return Poll::Pending };
                    match renewed {
                        Ok(_) => match attempt.outgoing.again() {
                            Some(request) => {
                                attempt.replays += 1;
                                attempt.refreshed_replays += u8::from(waiting.waited());
                                let drain = Drain::new(response.into_body());
                                this.state.set(State::Draining { drain, request: Some(request) });
                                continue;
                            }
                            // The stream failed while it was taken over.
                            None => {
                                attempt.outgoing.thaw();
                                let mut response = response;
                                response.extensions_mut().insert(NotReplayed::Body);
                                Next::Return(response)
                            }
                        },
                        Err(error) => attempt.unanswered(response, error),
                    }
                }
                StateProj::Draining { drain, request } => {
                    ready!(drain.poll(cx));
                    let request = request.take();
                    this.state.set(State::Readying { request });
                    continue;
                }
                StateProj::Done => return Poll::Pending,
            };
            match next {
                Next::Renew(response) => {
                    let waiting = attempt.session.waiting();
                    this.state.set(State::Renewing { waiting, response: Some(response) });
                }
                Next::Admit(request) => {
                    let waiting = attempt.session.waiting();
                    this.state.set(State::Admitting { waiting, request: Some(request) });
                }
                Next::Return(response) => {
                    this.state.set(State::Done);
                    // What was kept is not needed any more; an upload that still runs goes on.
                    *this.attempt = None;
                    return Poll::Ready(Ok(response));
                }
                Next::Fail(error) => {
                    this.state.set(State::Done);
                    *this.attempt = None;
                    return Poll::Ready(Err(error));
                }
            }
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
