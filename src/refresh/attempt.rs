//! One attempt of a request: what it needs beyond the send that is out, and what an answer leads to.

use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use super::{drain::Drain, layer::Limits, outgoing::Outgoing};
use crate::{
    BoxError, Classify, Event, NotReplayed, RefreshError, ReplayBody, ResponseHead, Session,
    Verdict,
    clock::Now,
    error::Kind,
    extension::Unattached,
    lifecycle::Endpoint,
    session::{Go, Seen, Waiting, observe},
};

/// How often a request is admitted again because its token ran out between the layers.
const ADMISSIONS: u8 = 3;

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

/// What comes next, between two states.
pub(super) enum Next<F, B, R> {
    /// Wait for a token to go out with.
    Admit(Request<ReplayBody<B>>),
    /// Wait for another token, with the challenge in hand: it may be the answer.
    Renew(Response<R>, Endpoint),
    /// Empty the challenge before the replay.
    Drain(Drain<R>, Request<ReplayBody<B>>, Now),
    /// Send, once the inner service is ready: with a reading of the clocks, if there is one, that is new
    /// as long as nothing else is waited for.
    Send(Request<ReplayBody<B>>, Option<Now>),
    Sent(F),
    End(Result<Response<R>, BoxError>),
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
        let ours = unattached.is_some_and(|unattached| unattached.0.contains(&self.session.id()));
        if ours || is_elsewhere(response) || self.is_foreign(response) {
            return true;
        }
        match self.verdict(response) {
            Verdict::Challenge => return self.seen.is_none(),
            Verdict::StepUp(challenge) => self.session.tell(Event::StepUpRequired(challenge)),
            Verdict::Answer if response.status().is_server_error() => {}
            Verdict::Answer => self.accepted(),
        }
        if self.seen.is_some_and(|seen| seen.is_stale) {
            observe::served_stale();
        }
        true
    }

    /// A layer beneath may know more than the head says.
    #[cfg(feature = "inspect-body")]
    #[inline]
    fn verdict(&self, response: &Response<R>) -> Verdict {
        match response.extensions().get::<Verdict>() {
            Some(known) => known.clone(),
            None => self.classify.classify(&ResponseHead::new(response)),
        }
    }

    #[cfg(not(feature = "inspect-body"))]
    #[inline]
    fn verdict(&self, response: &Response<R>) -> Verdict {
        self.classify.classify(&ResponseHead::new(response))
    }

    /// What a send leads to that was not answered: by a challenge, or by an error.
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
        if let Some(Seen { generation, is_refused: true, .. }) = self.seen {
            self.session.accepted_at(generation, self.outgoing.endpoint());
        }
    }

    fn challenged(&mut self, mut response: Response<R>) -> Next<S::Future, B, R> {
        let Some(Seen { generation: seen, .. }) = self.seen else {
            return Next::End(Ok(response));
        };
        let endpoint = self.outgoing.endpoint();
        let Limits { refreshed_replays, replays, .. } = self.limits;
        if self.refreshed_replays > 0 && self.refreshed_replays >= refreshed_replays {
            // The endpoint's word about itself: it marks no token dead.
            self.session.refused(seen, endpoint);
            return self.give_up(response, RefreshError::new(Kind::Refused), true);
        }
        let why_not = if !self.outgoing.is_kept() {
            NotReplayed::Asked
        } else if is_to_another(&response) {
            NotReplayed::Redirected
        } else if !self.outgoing.is_replayable() {
            NotReplayed::Body
        } else if self.replays >= replays || refreshed_replays == 0 {
            NotReplayed::Exhausted
        } else {
            self.outgoing.freeze();
            return Next::Renew(response, endpoint);
        };
        self.session.challenge_beside(seen, endpoint);
        observe::not_replayed(self.outgoing.target(), response.status(), why_not);
        response.extensions_mut().insert(why_not);
        Next::End(Ok(response))
    }

    /// The request was challenged, and that is its answer. Whether it `waited` for a refresh.
    fn give_up(
        &self,
        mut response: Response<R>,
        error: RefreshError,
        waited: bool,
    ) -> Next<S::Future, B, R> {
        self.outgoing.thaw();
        observe::given_up(self.outgoing.target(), response.status(), &error, waited);
        if self.limits.error_instead {
            return Next::End(Err(error.into()));
        }
        response.extensions_mut().insert(error);
        Next::End(Ok(response))
    }

    fn failed(&mut self, error: BoxError) -> Next<S::Future, B, R> {
        // The token ran out between the layers, so nothing was sent: that is no answer.
        if is_unattached(&*error)
            && self.admissions < ADMISSIONS
            && let Some(request) = self.outgoing.again()
        {
            self.admissions += 1;
            return Next::Admit(request);
        }
        Next::End(Err(error))
    }

    /// Until there is another token than the one that was challenged.
    pub(super) fn poll_renewed(
        &self,
        waiting: Pin<&mut Waiting>,
        endpoint: Endpoint,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Go, RefreshError>> {
        let Some(Seen { generation: seen, .. }) = self.seen else { return Poll::Pending };
        waiting.poll_renewed(seen, Some(endpoint), cx)
    }

    /// What the wait for another token leads to; whether it `waited` for a refresh.
    pub(super) fn renewed(
        &mut self,
        renewed: Result<Go, RefreshError>,
        waited: bool,
        mut response: Response<R>,
    ) -> Next<S::Future, B, R> {
        let Go { generation, now } = match renewed {
            Ok(go) => go,
            Err(error) => return self.give_up(response, error, waited),
        };
        let Some(request) = self.outgoing.again() else {
            // The stream failed while it was taken over.
            self.outgoing.thaw();
            observe::not_replayed(self.outgoing.target(), response.status(), NotReplayed::Body);
            response.extensions_mut().insert(NotReplayed::Body);
            return Next::End(Ok(response));
        };
        self.replays += 1;
        // A refresh that ran already when the token was refused may have fetched its successor before
        // whatever the refusal is about, so it is no answer to that.
        let answered = waited && self.session.answers_challenge(generation);
        self.refreshed_replays += u8::from(answered);
        let (target, status) = (self.outgoing.target(), response.status());
        observe::replayed(target, status, self.replays, generation, answered);
        match Drain::of(response.into_body()) {
            Some(drain) => Next::Drain(drain, request, now),
            None => Next::Send(request, Some(now)),
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let Some(service) = &mut self.service else { return Poll::Pending };
        service.poll_ready(cx).map_err(Into::into)
    }

    /// The inner service is ready. `now` is a reading that was made just before, if there is one.
    pub(super) fn send(
        &mut self,
        request: Request<ReplayBody<B>>,
        now: Option<Now>,
    ) -> Option<S::Future> {
        // Read just before the send: `Auth` attaches this token or a newer one, so a challenge is never
        // held against a token that the request did not carry.
        self.seen = self.session.newest();
        let service = self.service.as_mut()?;
        Some(match now {
            Some(now) => self.session.at(now, || service.call(request)),
            None => service.call(request),
        })
    }

    pub(super) fn waiting(&self) -> Waiting {
        self.session.waiting()
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

#[cfg(feature = "reqwest")]
fn is_elsewhere<R>(response: &Response<R>) -> bool {
    response.extensions().get::<crate::extension::Elsewhere>().is_some()
}

#[cfg(not(feature = "reqwest"))]
fn is_elsewhere<R>(_: &Response<R>) -> bool {
    false
}

/// Whether what was challenged is not what was sent.
#[cfg(feature = "reqwest")]
fn is_to_another<R>(response: &Response<R>) -> bool {
    response.extensions().get::<crate::extension::ToAnother>().is_some()
}

#[cfg(not(feature = "reqwest"))]
fn is_to_another<R>(_: &Response<R>) -> bool {
    false
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
