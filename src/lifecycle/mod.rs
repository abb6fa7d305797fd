//! What happens to a session's tokens, as a pure state machine.
//!
//! No I/O, no clock, no secret, no waker: events come in with the time they happened at, decisions go
//! out. The right to run the one refresh is a value, the [`Ticket`].
//!
//! ```text
//!            admit / challenge                        finish(Fresh)
//! Ready, unread ────────────────▶ a ticket is out ─────────────────▶ Ready ──┐
//!                                   ▲   ▲   │  finish(Failed)                │ admit in the early window,
//!                 cool-down is over │   │   ├────────────────▶ Cooling       │ on a dead or challenged token
//!                 ──────────────────┘   │   │  finish(Over)                  │
//!                 look-up, login        │   └────────────────▶ Over          │
//!                 ──────────────────────┴────────────────────────────────────┘
//! ```
//!
//! A ticket can be out in every standing. Login and logout disown it: its holder learns so at the end.

mod decision;
mod policy;
#[cfg(test)]
mod tests;
mod ticket;

use std::{sync::Arc, time::Instant};

use crate::{
    RefreshError,
    clock::{Deadline, Now},
    error::Kind,
};

pub(crate) use self::{
    decision::{Calm, Decision, Endpoint, Generation, Outcome, Outlook, Settled},
    policy::{Backoff, Brake, Life, Policy},
    ticket::{Cause, Purpose, Serial, Ticket},
};

#[derive(Debug)]
struct Token {
    generation: Generation,
    life: Life,
    /// What it was fetched for, or why the store was read.
    purpose: Purpose,
    /// A resource server refused it: no request waits for less than its successor.
    challenged: bool,
    /// Endpoints that refused it on the very replay it was fetched for: their word is about
    /// themselves, not about the token.
    refused_by: Vec<Endpoint>,
}

/// How many endpoints are remembered for one token.
const ENDPOINTS_KEPT: usize = 64;

#[derive(Debug)]
enum Standing {
    Ready,
    Cooling {
        until: Instant,
        error: RefreshError,
    },
    /// Ended, logged out, or never begun.
    Over(RefreshError),
}

/// Spaces the look-ups of a session that cools or is over.
#[derive(Debug)]
struct LookUps {
    next: Instant,
    step: u32,
}

#[derive(Debug)]
pub(crate) struct Lifecycle {
    policy: Arc<Policy>,
    standing: Standing,
    /// The store was read, or a login made that needless.
    loaded: bool,
    token: Option<Token>,
    newest: Generation,
    flight: Option<(Serial, Purpose)>,
    last_ticket: Serial,
    /// The newest flight that failed: its waiters get its error, however late they are polled.
    failed: Option<(Serial, RefreshError)>,
    failures: u32,
    look_ups: Option<LookUps>,
    brake: Brake,
    /// Refusals of tokens up to this one are in the brake, or are of a session before this one.
    refused_up_to: Generation,
    closed: bool,
}

impl Lifecycle {
    pub(crate) fn new(policy: impl Into<Arc<Policy>>) -> Self {
        Self {
            policy: policy.into(),
            standing: Standing::Ready,
            loaded: false,
            token: None,
            newest: Generation(0),
            flight: None,
            last_ticket: Serial(0),
            failed: None,
            failures: 0,
            look_ups: None,
            brake: Brake::default(),
            refused_up_to: Generation(0),
            closed: false,
        }
    }

    /// A request is about to be sent. `waited` is the flight that it waited for already.
    pub(crate) fn admit(&mut self, waited: Option<Serial>, now: &Now) -> Decision {
        let Some((generation, challenged, early)) = self.alive(now) else {
            return self.without_token(waited, now);
        };
        if let Some(serial) = self.flight() {
            let waits = challenged && !self.looks_while_paused(now);
            return if waits { Decision::Wait(serial) } else { Decision::Go(generation) };
        }
        // A challenged token is better than none: one endpoint that refuses everything must not stop
        // the others while no refresh may run.
        if !(challenged || early)
            || self.may_not_refresh(challenged, now)
            || self.failed_for(waited)
        {
            return Decision::Go(generation);
        }
        if challenged {
            Decision::Refresh(self.issue(Purpose::Refresh(Cause::Challenged)))
        } else {
            let ticket = self.issue(Purpose::Refresh(Cause::Early));
            Decision::GoAndRefresh(generation, ticket)
        }
    }

    /// A resource server refused the token of generation `seen`. Without an endpoint it was the
    /// program that did.
    pub(crate) fn challenge(
        &mut self,
        seen: Generation,
        endpoint: Option<Endpoint>,
        waited: Option<Serial>,
        now: &Now,
    ) -> Decision {
        let alive = self.alive(now);
        match &mut self.token {
            Some(token) if token.generation == seen => {
                if endpoint.is_some_and(|endpoint| token.refused_by.contains(&endpoint)) {
                    return Decision::Fail(RefreshError::new(Kind::Refused));
                }
                if let Some(error) = self.failure_of(waited) {
                    return Decision::Fail(error);
                }
                // One that expired on its way is replaced whatever the endpoint said.
                if let Some(until) = self.brake.until(&self.policy, now)
                    && alive.is_some()
                    && self.flight.is_none()
                {
                    return Decision::Fail(
                        RefreshError::new(Kind::Braked).with_retry_at(Some(until)),
                    );
                }
                // The late challenge of an older token never comes here, so it cannot burn this one.
                if let Some(token) = &mut self.token {
                    token.challenged = true;
                }
                self.renew(Cause::Challenged, waited, now)
            }
            _ => match alive {
                Some((generation, false, _)) if generation > seen => Decision::Go(generation),
                Some((generation, true, _)) => match self.failure_of(waited) {
                    Some(error) => Decision::Fail(error),
                    None if self.flight.is_none() && self.may_not_refresh(true, now) => {
                        Decision::Go(generation)
                    }
                    None => self.renew(Cause::Challenged, waited, now),
                },
                _ => self.without_token(waited, now),
            },
        }
    }

    /// The token of `generation` was refused on the very replay it had been fetched for.
    pub(crate) fn refused(&mut self, generation: Generation, endpoint: Endpoint, now: &Now) {
        // Also where a newer token is there already: refreshes that outrun the replays they were for
        // would never be braked.
        self.count_fruitless(generation, now);
        if let Some(token) = self.token.as_mut().filter(|token| token.generation == generation) {
            let refused_by = &mut token.refused_by;
            if refused_by.len() < ENDPOINTS_KEPT && !refused_by.contains(&endpoint) {
                refused_by.push(endpoint);
            }
        }
    }

    /// As [`challenge`](Self::challenge), of a request that is not sent again: whether a new token helps
    /// is known only from the next one to the same endpoint.
    pub(crate) fn challenge_unkept(
        &mut self,
        seen: Generation,
        endpoint: Endpoint,
        now: &Now,
    ) -> Decision {
        let token = self.token.as_ref().filter(|token| token.generation == seen);
        if token.is_some_and(|token| token.purpose == Purpose::Refresh(Cause::Challenged)) {
            self.count_fruitless(seen, now);
        }
        self.challenge(seen, Some(endpoint), None, now)
    }

    /// Once for each token.
    fn count_fruitless(&mut self, generation: Generation, now: &Now) {
        if generation > self.refused_up_to {
            self.refused_up_to = generation;
            self.brake.count(&self.policy, now);
        }
    }

    /// A replay with a token that had been fetched for it was accepted.
    pub(crate) fn accepted(&mut self) {
        self.brake.reset();
    }

    /// An endpoint took the token of `generation`: what it says of that from now on is news again.
    pub(crate) fn accepted_at(&mut self, generation: Generation, endpoint: Endpoint) {
        if let Some(token) = self.token.as_mut().filter(|token| token.generation == generation) {
            token.refused_by.retain(|refused| *refused != endpoint);
        }
    }

    /// The program asks for a look at the store, whether one is due or not.
    pub(crate) fn reload(&mut self) -> Decision {
        if self.closed {
            return Decision::Fail(RefreshError::new(Kind::Closed));
        }
        match self.flight() {
            Some(serial) => Decision::Wait(serial),
            None if self.loaded => Decision::Refresh(self.issue(Purpose::LookUp)),
            None => Decision::Refresh(self.issue(Purpose::Load)),
        }
    }

    /// A login takes the ticket away from whoever has it.
    pub(crate) fn log_in(&mut self) -> Ticket {
        self.issue(Purpose::Login)
    }

    /// Whether this ticket still counts: no login and no logout has taken it away.
    pub(crate) fn owns(&self, ticket: &Ticket) -> bool {
        self.flight() == Some(ticket.serial)
    }

    pub(crate) fn log_out(&mut self, now: &Now) {
        self.flight = None;
        self.over(RefreshError::new(Kind::LoggedOut), now);
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// The ticket is used up.
    pub(crate) fn finish(&mut self, ticket: Ticket, outcome: Outcome, now: &Now) -> Settled {
        if !self.owns(&ticket) {
            return Settled::Disowned;
        }
        self.flight = None;
        // After a failed first look the next refresh begins with another.
        self.loaded |= !matches!(outcome, Outcome::Failed(_) | Outcome::Unchanged);
        match outcome {
            Outcome::Fresh(life) => {
                if ticket.purpose == Purpose::Login {
                    self.begin_anew();
                }
                let failures = self.failures;
                self.install(ticket.purpose, life);
                // It ran out while it was saved; the next one may too.
                if life.is_dead(now) && matches!(ticket.purpose, Purpose::Refresh(_)) {
                    self.failures = failures;
                    self.brake.count(&self.policy, now);
                    return self.cool(&ticket, RefreshError::new(Kind::ExpiredToken), now);
                }
                Settled::Published
            }
            Outcome::Adopted(life) => {
                self.install(Purpose::LookUp, life);
                Settled::Published
            }
            Outcome::Same(life) => {
                self.brake.count(&self.policy, now);
                if let Some(token) = &mut self.token {
                    token.life = token.life.longer(life, now);
                }
                self.cool(&ticket, RefreshError::new(Kind::SameToken), now)
            }
            Outcome::ExpiredOnArrival => {
                self.brake.count(&self.policy, now);
                self.cool(&ticket, RefreshError::new(Kind::ExpiredToken), now)
            }
            Outcome::Unchanged => {
                self.space_look_ups(now);
                Settled::Quiet
            }
            // The store's newer token could not be spent; the session stays over until one can.
            Outcome::Failed(_)
                if ticket.purpose == Purpose::LookUp && self.over_because().is_some() =>
            {
                self.space_look_ups(now);
                Settled::Quiet
            }
            Outcome::Failed(error) => self.cool(&ticket, error, now),
            Outcome::Over(error) => {
                self.failed = Some((ticket.serial, error.clone()));
                self.over(error.clone(), now);
                Settled::Over(error)
            }
        }
    }

    /// The ticket's holder went away. Whoever asks next gets another.
    pub(crate) fn abandon(&mut self, ticket: &Ticket) -> Settled {
        if !self.owns(ticket) {
            return Settled::Disowned;
        }
        self.flight = None;
        Settled::Abandoned
    }

    pub(crate) fn flight(&self) -> Option<Serial> {
        self.flight.map(|(serial, _)| serial)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// The generation of the token that is held, dead or alive.
    pub(crate) fn generation(&self) -> Option<Generation> {
        Some(self.token.as_ref()?.generation)
    }

    /// When the token that is held stops being attached; the inner `None` where that is unknown.
    pub(crate) fn expiry(&self, now: &Now) -> Option<Option<Deadline>> {
        self.alive(now)?;
        Some(self.token.as_ref()?.life.dead_at)
    }

    pub(crate) fn cooling_until(&self, now: &Now) -> Option<Instant> {
        match &self.standing {
            Standing::Cooling { until, .. } if now.mono < *until => Some(*until),
            _ => None,
        }
    }

    pub(crate) fn over_because(&self) -> Option<&RefreshError> {
        match &self.standing {
            Standing::Over(error) => Some(error),
            _ => None,
        }
    }

    /// What is remembered of failures.
    pub(crate) fn errors(&self) -> [Option<RefreshError>; 2] {
        let standing = match &self.standing {
            Standing::Ready => None,
            Standing::Cooling { error, .. } | Standing::Over(error) => Some(error.clone()),
        };
        [standing, self.failed.as_ref().map(|(_, error)| error.clone())]
    }

    pub(crate) fn is_unread(&self) -> bool {
        !self.loaded
    }

    /// What the snapshot may say until the machine is asked again.
    pub(crate) fn outlook(&self, now: &Now) -> Option<Outlook> {
        let token = self.token.as_ref()?;
        let dead_at = token.life.dead_at;
        let pause = self.cooling_until(now).into_iter().chain(self.braked_until(token, now)).max();
        let renews = self.flight.is_some() && !self.looks_while_paused(now);
        let calm = if renews && token.challenged {
            Calm::Never
        } else if self.closed || (self.flight.is_some() && !token.challenged) {
            dead_at.into()
        } else {
            let due = match token.life.early_at {
                _ if token.challenged => Calm::Never,
                Some(early_at) => Calm::Until(early_at),
                None => dead_at.into(),
            };
            // While a refresh may not run, no request need ask whether one is due.
            let is_earlier = |pause| match due {
                Calm::Never => true,
                Calm::Until(due) => due.mono <= pause || due.passed(now),
                Calm::Always => false,
            };
            match pause.filter(|pause| is_earlier(*pause)) {
                Some(pause) => {
                    let end = dead_at.unwrap_or_else(|| Deadline::far(now));
                    Calm::Until(Deadline { mono: pause.min(end.mono), wall: end.wall })
                }
                None => due,
            }
        };
        let answers_challenge = token.purpose == Purpose::Refresh(Cause::Challenged);
        let is_refused = !token.refused_by.is_empty();
        let generation = token.generation;
        let is_braking = self.brake.is_counting();
        let is_stale = token.challenged || token.life.is_early(now);
        Some(Outlook {
            generation,
            dead_at,
            answers_challenge,
            calm,
            is_refused,
            is_braking,
            is_stale,
        })
    }

    /// Only the request that asked for a look waits for it: the others have a token to go out with.
    fn looks_while_paused(&self, now: &Now) -> bool {
        matches!(self.flight, Some((_, Purpose::LookUp))) && self.may_not_refresh(true, now)
    }

    fn alive(&self, now: &Now) -> Option<(Generation, bool, bool)> {
        let token = self.token.as_ref().filter(|token| !token.life.is_dead(now))?;
        Some((token.generation, token.challenged, token.life.is_early(now)))
    }

    /// No token can be attached.
    fn without_token(&mut self, waited: Option<Serial>, now: &Now) -> Decision {
        if let Some(error) = self.failure_of(waited) {
            return Decision::Fail(error);
        }
        self.renew(Cause::Expired, waited, now)
    }

    /// A newer token is needed: join the refresh that runs, begin one, or say why not.
    fn renew(&mut self, cause: Cause, waited: Option<Serial>, now: &Now) -> Decision {
        if let Some(serial) = self.flight() {
            return Decision::Wait(serial);
        }
        let blocked = match &self.standing {
            Standing::Ready => None,
            Standing::Cooling { until, .. } if now.mono >= *until => None,
            Standing::Cooling { until, error } => Some(error.clone().with_retry_at(Some(*until))),
            Standing::Over(error) => Some(error.clone()),
        };
        if self.closed {
            return Decision::Fail(blocked.unwrap_or_else(|| RefreshError::new(Kind::Closed)));
        }
        match blocked {
            None if self.loaded => Decision::Refresh(self.issue(Purpose::Refresh(cause))),
            None => Decision::Refresh(self.issue(Purpose::Load)),
            Some(error) => {
                let due = self.look_ups.as_ref().is_some_and(|look_ups| now.mono >= look_ups.next);
                if due && waited.is_none() {
                    Decision::Refresh(self.issue(Purpose::LookUp))
                } else {
                    Decision::Fail(error)
                }
            }
        }
    }

    fn issue(&mut self, purpose: Purpose) -> Ticket {
        self.last_ticket = Serial(self.last_ticket.0 + 1);
        self.flight = Some((self.last_ticket, purpose));
        Ticket { serial: self.last_ticket, purpose }
    }

    fn install(&mut self, purpose: Purpose, life: Life) {
        self.newest = Generation(self.newest.0 + 1);
        self.token = Some(Token {
            generation: self.newest,
            life,
            purpose,
            challenged: false,
            refused_by: Vec::new(),
        });
        self.standing = Standing::Ready;
        self.failed = None;
        self.failures = 0;
        self.look_ups = None;
    }

    fn cool(&mut self, ticket: &Ticket, error: RefreshError, now: &Now) -> Settled {
        self.failures = self.failures.saturating_add(1);
        let step = self.policy.cool_down.delay(self.failures);
        let asked = error.retry_after().unwrap_or_default().min(self.policy.retry_after_most);
        let until = now.later(step.max(asked));
        let error = error.with_retry_at(Some(until));
        self.failed = Some((ticket.serial, error.clone()));
        self.standing = Standing::Cooling { until, error: error.clone() };
        if ticket.purpose != Purpose::LookUp {
            self.look_ups = None;
        }
        self.space_look_ups(now);
        Settled::Failed(error)
    }

    fn over(&mut self, error: RefreshError, now: &Now) {
        self.loaded = true;
        self.token = None;
        self.failures = 0;
        self.begin_anew();
        self.standing = Standing::Over(error);
        self.look_ups = None;
        self.space_look_ups(now);
    }

    /// What was refused before says nothing about what a login brings.
    fn begin_anew(&mut self) {
        self.brake.reset();
        self.refused_up_to = self.newest;
    }

    fn space_look_ups(&mut self, now: &Now) {
        let step = self.look_ups.as_ref().map_or(1, |look_ups| look_ups.step.saturating_add(1));
        let next = now.later(self.policy.cool_down.delay(step));
        self.look_ups = Some(LookUps { next, step });
    }

    fn may_not_refresh(&self, challenged: bool, now: &Now) -> bool {
        self.closed
            || self.cooling_until(now).is_some()
            || (challenged && self.brake.until(&self.policy, now).is_some())
    }

    fn braked_until(&self, token: &Token, now: &Now) -> Option<Instant> {
        token.challenged.then(|| self.brake.until(&self.policy, now)).flatten()
    }

    fn failure_of(&self, waited: Option<Serial>) -> Option<RefreshError> {
        let (serial, error) = self.failed.as_ref()?;
        (Some(*serial) == waited).then(|| error.clone())
    }

    fn failed_for(&self, waited: Option<Serial>) -> bool {
        waited.is_some() && self.failed.as_ref().map(|(serial, _)| *serial) == waited
    }
}
