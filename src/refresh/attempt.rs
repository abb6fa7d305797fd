//! One attempt of a request: what it needs beyond the send that is out, and what an answer leads to.

use std::{
    error::Error,
    mem,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{drain::Drain, layer::Limits, outgoing::Outgoing};
use crate::{
    BoxError, Classify, Event, NotReplayed, RefreshError, ReplayBody, ResponseHead, Session,
    Verdict,
    error::Kind,
    extension::Unattached,
    session::{Seen, Waiting},
};

/// How often a request is admitted again because its token ran out between the layers.
const ADMISSIONS: u8 = 3;

pub(super) enum Wait<B, R> {
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

/// What outlives the states.
pub(super) struct Attempt<S, B, C> {
    /// For the sends to come. `None`: the one that is out is the only one.
    service: Option<S>,
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
pub(super) enum Next<F, B, R> {
    Return(Response<R>),
    Fail(BoxError),
    Send(F),
    Wait(Box<Wait<B, R>>),
}

impl<S, B, C> Attempt<S, B, C> {
    #[inline(always)]
    pub(super) fn new(
        service: Option<S>,
        session: Session,
        classify: C,
        limits: Limits,
        outgoing: Outgoing<B>,
        seen: Option<Seen>,
    ) -> Self {
        Self {
            service,
            session,
            classify,
            limits,
            outgoing,
            seen,
            admissions: 1,
            refreshed_replays: 0,
            replays: 0,
        }
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
    /// Whether this response is the caller's, and not a challenge to this session's token.
    #[inline]
    pub(super) fn is_answered(&self, response: &Response<R>) -> bool {
        // Our token was not attached on the hop that answered: this is no evidence.
        let unattached = response.extensions().get::<Unattached>();
        let ours = unattached.is_some_and(|unattached| unattached.0 == self.session.id());
        if ours || self.is_foreign(response) {
            return true;
        }
        match self.classify.classify(&ResponseHead::new(response)) {
            Verdict::Challenge => return self.seen.is_none(),
            Verdict::StepUp(challenge) => self.session.tell(Event::StepUpRequired(challenge)),
            Verdict::Answer if response.status().is_server_error() => {}
            Verdict::Answer => self.accepted(),
        }
        true
    }

    /// After a send that was not answered: a challenge, or an error.
    #[cold]
    pub(super) fn unanswered(
        &mut self,
        sent: Result<Response<R>, BoxError>,
    ) -> Next<S::Future, B, R> {
        match sent {
            Ok(response) => self.challenged(response),
            Err(error) => self.failed(error),
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

    fn challenged(&mut self, mut response: Response<R>) -> Next<S::Future, B, R> {
        let Some(Seen { generation: seen, .. }) = self.seen else { return Next::Return(response) };
        let endpoint = self.outgoing.endpoint();
        let Limits { refreshed_replays, replays, .. } = self.limits;
        if self.refreshed_replays > 0 && self.refreshed_replays >= refreshed_replays {
            // The endpoint's word about itself: it marks no token dead.
            self.session.refused(seen, endpoint);
            return self.give_up(response, RefreshError::new(Kind::Refused));
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
    fn give_up(&self, mut response: Response<R>, error: RefreshError) -> Next<S::Future, B, R> {
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

    pub(super) fn poll_wait(
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
                    let Some(service) = &mut self.service else { return Poll::Pending };
                    if let Err(error) = ready!(service.poll_ready(cx)) {
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
                        Err(error) => return Poll::Ready(self.give_up(response, error)),
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
                    let Some(service) = &mut self.service else { return Poll::Pending };
                    return Poll::Ready(Next::Send(service.call(request)));
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
