//! What the two layers ask of a session.

use http::Request;

use super::{Event, Session, Waiting, reading};
use crate::{
    AccessToken,
    auth::{Attached, may_carry},
    clock::Now,
    extension::SessionId,
    lifecycle::{Decision, Endpoint, Generation, Outlook},
};

/// What a request knows of the token that it goes out with, or of an older one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) generation: Generation,
    /// Some endpoint refused it right after it was fetched.
    pub(crate) is_refused: bool,
    /// Its successor is due.
    pub(crate) is_stale: bool,
}

impl Seen {
    #[inline]
    fn of(outlook: &Outlook) -> Self {
        let Outlook { generation, is_refused, is_stale, .. } = *outlook;
        Self { generation, is_refused, is_stale }
    }
}

impl Session {
    /// Whether this request is the session's business, as far as its target and its extensions say: it
    /// goes to an allowed origin, and did not ask to be left alone.
    #[inline]
    pub(crate) fn guards<B>(&self, request: &Request<B>) -> bool {
        may_carry(request, &self.shared().origins)
    }

    /// Write the newest token into a request that is the session's business.
    #[inline]
    pub(crate) fn attach<B>(&self, request: &mut Request<B>) -> Attached {
        let shared = self.shared();
        let id = Some(shared.id());
        if !may_carry(request, &shared.origins) {
            return Attached::No(id);
        }
        let now = reading::current(shared.id()).unwrap_or_else(|| shared.clock.now());
        let snapshot = shared.gate.snapshot();
        let alive = snapshot.as_ref().filter(|held| !held.is_dead(&now));
        Attached::to(request, id, alive.map(|held| held.header.clone()))
    }

    pub(crate) fn id(&self) -> SessionId {
        self.shared().id()
    }

    /// The token that can be attached without asking, and when that was found.
    #[inline]
    pub(crate) fn calm(&self) -> Option<(Seen, Now)> {
        let shared = self.shared();
        let snapshot = shared.gate.snapshot();
        let held = snapshot.as_ref()?;
        let now = shared.clock.now();
        held.is_calm(&now).then(|| (Seen::of(&held.outlook), now))
    }

    /// Call what attaches the token, without a reading of the clocks of its own.
    #[inline(always)]
    pub(crate) fn at<T>(&self, now: Now, call: impl FnOnce() -> T) -> T {
        reading::shared(self.id(), now, call)
    }

    /// The newest token, dead or alive.
    #[inline]
    pub(crate) fn newest(&self) -> Option<Seen> {
        Some(Seen::of(&self.shared().gate.snapshot().as_ref()?.outlook))
    }

    /// Whether the token of this generation, if it is still the newest, was fetched because its
    /// predecessor had been refused.
    pub(crate) fn answers_challenge(&self, generation: Generation) -> bool {
        let snapshot = self.shared().gate.snapshot();
        let outlook = snapshot.as_ref().map(|held| held.outlook);
        outlook.is_some_and(|it| it.generation == generation && it.answers_challenge)
    }

    pub(super) fn calm_token(&self) -> Option<AccessToken> {
        let shared = self.shared();
        let snapshot = shared.gate.snapshot();
        let held = snapshot.as_ref()?;
        held.is_calm(&shared.clock.now()).then(|| held.token.clone())
    }

    pub(crate) fn waiting(&self) -> Waiting {
        Waiting::new(self.shared().clone())
    }

    /// A token was refused, and nobody waits for the next one.
    pub(crate) fn challenge_beside(&self, seen: Generation, endpoint: Endpoint) {
        let shared = self.shared();
        let now = shared.clock.now();
        let decision =
            shared.gate.ask(&now, |state| state.life.challenge_unkept(seen, endpoint, &now));
        if let Decision::Refresh(ticket) | Decision::GoAndRefresh(_, ticket) = decision {
            // Without a runtime the next request says so.
            let _ = shared.launch(ticket);
        }
    }

    pub(crate) fn refused(&self, generation: Generation, endpoint: Endpoint) {
        let now = self.shared().clock.now();
        self.shared().gate.ask(&now, |state| state.life.refused(generation, endpoint, &now));
    }

    /// A replay with a token that was fetched for it was accepted.
    pub(crate) fn accepted(&self) {
        let snapshot = self.shared().gate.snapshot();
        if !snapshot.as_ref().is_some_and(|held| held.outlook.is_braking) {
            return;
        }
        let now = self.shared().clock.now();
        self.shared().gate.ask(&now, |state| state.life.accepted());
    }

    pub(crate) fn accepted_at(&self, generation: Generation, endpoint: Endpoint) {
        let now = self.shared().clock.now();
        self.shared().gate.ask(&now, |state| state.life.accepted_at(generation, endpoint));
    }

    pub(crate) fn tell(&self, event: Event) {
        self.shared().tell(event);
    }

    #[cfg(feature = "redirect")]
    pub(crate) fn origins(&self) -> &crate::Origins {
        &self.shared().origins
    }
}
