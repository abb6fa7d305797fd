//! Carries one ticket through one refresh, on a task of its own.
//!
//! ```text
//! lease → read again ┬─ newer tokens ──────────────────────────────▶ adopt ─┐
//!                    ├─ ours ─▶ mark ─▶ spend ─┬─ new tokens ─▶ save ───────┤▶ publish, wake
//!                    │                         ├─ verdict ─▶ read ─▶ bury ──┤
//!                    │                         └─ failure ─▶ clear the mark ┤
//!                    └─ tombstone, foreign ─────────────────────────────────┘
//! ```
//!
//! What can be dropped where: the task ends early only with its runtime or by a panic. Before the tokens
//! came the ticket is given back; from then on they are kept in memory and used, saved or not.

use std::{
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use crate::{
    AmbiguousPolicy, Expected, Held, RefreshError, StoreError, Swap, TokenSet,
    clock::Now,
    error::Kind,
    lifecycle::{Outcome, Purpose, Settled, Ticket},
    session::{
        caught::caught,
        events::{Event, RefreshCause},
        holding::Kept,
        look::{Found, look},
        owed,
        shared::Shared,
    },
    store::Lease,
};

/// How often a refresh starts over because somebody else moved the record.
const ROUNDS: usize = 4;

pub(crate) struct Flight {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    deadline: Instant,
    /// Tokens that came and are not published yet: whatever happens now, they are not lost.
    minted: Option<(Kept, Outcome)>,
}

/// How a flight ends.
enum Landing {
    /// With tokens to hold.
    Hold(Kept, Outcome),
    /// With none.
    Bare(Outcome),
    /// The session is over; `owed` says what could not be buried in the store.
    Over { error: RefreshError, owed: Option<Expected> },
    /// The ticket was taken away.
    Lost,
}

impl From<RefreshError> for Landing {
    fn from(error: RefreshError) -> Self {
        Self::Bare(Outcome::Failed(error))
    }
}

/// What came of sending the refresh token.
struct Spent {
    result: Result<(TokenSet, Now), RefreshError>,
    ambiguous: bool,
}

impl Flight {
    pub(crate) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        let deadline = shared.clock.now().later(shared.settings.flight);
        Self { shared, ticket: Some(ticket), deadline, minted: None }
    }

    pub(crate) async fn run(mut self) -> Result<(), RefreshError> {
        let landing = match self.ticket.as_ref().map(Ticket::purpose) {
            Some(Purpose::Load) => self.load().await,
            Some(Purpose::LookUp) => self.look_up().await?,
            _ => self.refresh().await,
        };
        self.land(landing)
    }

    /// Put the tokens of a login in place: save, then publish.
    pub(crate) async fn log_in(mut self, tokens: TokenSet) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let (tokens, life) = shared.life_of_kept(tokens, shared.clock.now());
        let expected = Expected::Any;
        let kept = Kept { tokens: tokens.clone(), expected, saved: false, replaces: None };
        self.minted = Some((kept, Outcome::Fresh(life)));
        let limit = shared.settings.store;
        let turn = Shared::within(limit, shared.turn.lock()).await;
        let saved = if !self.owns() {
            // A later login or logout is the one that counts.
            Ok(None)
        } else if turn.is_none() {
            Err(StoreError::unavailable())
        } else {
            store(&shared, Expected::Any, &tokens).await.map(Some)
        };
        if let (Ok(Some(Swap::Done(version))), Some((kept, _))) = (&saved, &mut self.minted) {
            kept.saved = true;
            kept.expected = Expected::Version(*version);
        }
        drop(turn);
        let landing =
            self.minted.take().map_or(Landing::Lost, |(kept, life)| Landing::Hold(kept, life));
        if let Err(error) = &saved {
            shared.tell(Event::PersistFailed(error.clone()));
        }
        // A superseded login is no failure of this one.
        let _ = self.land(landing);
        saved.map(drop)
    }

    /// The first look at the store.
    async fn load(&mut self) -> Landing {
        let shared = self.shared.clone();
        let found = match look(&shared).await {
            Ok(found) => found,
            Err(error) => return unreadable(error).into(),
        };
        match found {
            Found::Newer { kept, life, .. } if !life.is_dead(&shared.clock.now()) => {
                Landing::Hold(kept, Outcome::Fresh(life))
            }
            Found::Absent if shared.seed.is_some() && !self.holds() => self.plant().await,
            Found::Absent if shared.source.spends_refresh_token() && !self.holds() => {
                over(Kind::LoginRequired)
            }
            Found::Foreign | Found::Tombstone if shared.seed.is_some() => {
                shared.tell(Event::SeedRefused);
                over(if matches!(found, Found::Foreign) {
                    Kind::LoginRequired
                } else {
                    Kind::LoggedOut
                })
            }
            _ => self.refresh().await,
        }
    }

    /// The store has nothing: start from the tokens that the builder was given.
    async fn plant(&mut self) -> Landing {
        let shared = self.shared.clone();
        let Some(seed) = shared.seed.clone() else { return over(Kind::LoginRequired) };
        let (tokens, life) = shared.life_of_kept(seed, shared.clock.now());
        let (expected, saved) = match store(&shared, Expected::Absent, &tokens).await {
            Ok(Swap::Done(version)) => (Expected::Version(version), true),
            // Another process was faster; the record wins.
            Ok(Swap::Moved) => return self.refresh().await,
            Err(error) => {
                shared.tell(Event::PersistFailed(error));
                (Expected::Absent, false)
            }
        };
        let kept = Kept { tokens, expected, saved, replaces: None };
        if life.is_dead(&shared.clock.now()) {
            let held = shared.gate.ask(&shared.clock.now(), |state| {
                let owns = self.ticket.as_ref().is_some_and(|ticket| state.life.owns(ticket));
                if owns {
                    state.holding.hold(kept);
                }
                owns
            });
            return if held { self.refresh().await } else { Landing::Lost };
        }
        Landing::Hold(kept, Outcome::Fresh(life))
    }

    /// See whether another process has newer tokens.
    async fn look_up(&mut self) -> Result<Landing, RefreshError> {
        let shared = self.shared.clone();
        let over_already =
            shared.gate.ask(&shared.clock.now(), |state| state.life.over_because().is_some());
        let landing = match look(&shared).await {
            Ok(Found::Newer { kept, life, .. }) => {
                if life.is_dead(&shared.clock.now()) {
                    self.refresh().await
                } else {
                    Landing::Hold(kept, Outcome::Fresh(life))
                }
            }
            Ok(Found::Tombstone) if !over_already => over(Kind::LoggedOut),
            Ok(_) => Landing::Bare(Outcome::Unchanged),
            Err(error) => {
                let _ = self.land(Landing::Bare(Outcome::Unchanged));
                return Err(unreadable(error));
            }
        };
        Ok(landing)
    }

    /// The refresh proper, under the store's lease.
    async fn refresh(&mut self) -> Landing {
        let shared = self.shared.clone();
        // A refresh token is sent only if there is time to hear the answer.
        let left = self.spare();
        let lease = Shared::within(left, caught(shared.store.lease()));
        let mut lease = match self.unless_disowned(lease).await {
            Some(Some(Some(Ok(lease)))) => Some(lease),
            Some(Some(Some(Err(error)))) => return unreadable(error).into(),
            Some(Some(None)) => return unreadable(StoreError::unavailable()).into(),
            Some(None) => return unreadable(StoreError::busy()).into(),
            None => return Landing::Lost,
        };
        for _ in 0..ROUNDS {
            if !self.owns() {
                return Landing::Lost;
            }
            if let Some(landing) = self.round(&mut lease).await {
                return landing;
            }
        }
        unreadable(StoreError::busy()).into()
    }

    /// One reading of the record, and what follows from it. `None`: it was moved meanwhile.
    async fn round(&mut self, lease: &mut Option<Lease>) -> Option<Landing> {
        let shared = self.shared.clone();
        let spends = shared.source.spends_refresh_token();
        let memory = shared.gate.ask(&shared.clock.now(), |state| state.holding.kept());
        let found = match look(&shared).await {
            Ok(found) => found,
            Err(error) => return Some(unreadable(error).into()),
        };
        let (kept, expected, interrupted) = match found {
            Found::Newer { kept, life, interrupted } => {
                let refused =
                    memory.as_ref().is_some_and(|m| m.tokens.access() == kept.tokens.access());
                if !refused && !life.is_dead(&shared.clock.now()) {
                    return Some(Landing::Hold(kept, Outcome::Fresh(life)));
                }
                let expected = kept.expected;
                (Some(kept), expected, interrupted)
            }
            Found::Known { version, interrupted } => {
                (memory, Expected::Version(version), interrupted)
            }
            // Lost, not logged out: it is written again from memory.
            Found::Absent => (memory, Expected::Absent, false),
            Found::Tombstone if spends => return Some(over(Kind::LoggedOut)),
            // Such a source ends no session, so what another one buried is written over.
            Found::Tombstone => (memory, Expected::Any, false),
            Found::Foreign => return Some(over(Kind::LoginRequired)),
            Found::Discarded => return Some(Landing::Bare(Outcome::Unchanged)),
        };
        let kept = kept.map(|kept| Kept { expected, ..kept });
        if !spends {
            return Some(self.mint(kept, expected, lease).await);
        }
        let Some(kept) = kept.filter(|kept| kept.tokens.refresh().is_some()) else {
            let now = shared.clock.now();
            let serves = shared.gate.ask(&now, |state| state.life.expiry(&now).is_some());
            // An access token that came alone is used until it dies.
            return Some(if serves {
                RefreshError::new(Kind::LoginRequired).into()
            } else {
                over(Kind::LoginRequired)
            });
        };
        if interrupted && shared.settings.ambiguous == AmbiguousPolicy::Surface {
            // The mark never blocks for good: it is taken away, and the next refresh goes on.
            let _ = store(&shared, kept.expected, &kept.tokens).await;
            return Some(RefreshError::ambiguous().into());
        }
        let since = Some(shared.clock.now().wall);
        let mark = shared.record(&kept.tokens).spending_since(since);
        let limit = shared.settings.store;
        let marked = match bounded(limit, shared.store.compare_and_store(kept.expected, mark)).await
        {
            Ok(Swap::Done(version)) => {
                Kept { expected: Expected::Version(version), saved: true, ..kept }
            }
            Ok(Swap::Moved) => return None,
            // The store is behind already, and what is held is the only one that can be spent.
            Err(_) if !kept.saved => kept,
            Err(error) => return Some(unreadable(error).into()),
        };
        self.spend_and_settle(marked, interrupted, lease).await
    }

    /// A source that spends no refresh token: nothing to mark, nothing to lose.
    async fn mint(
        &mut self,
        kept: Option<Kept>,
        expected: Expected,
        lease: &mut Option<Lease>,
    ) -> Landing {
        let spent = self.spend(kept.as_ref().map(|kept| &kept.tokens), false, lease).await;
        match spent.result {
            Ok((tokens, sent)) => self.keep(kept, expected, tokens, sent, lease).await,
            Err(error) if error.kind() == Kind::Rejected => {
                error.into_kind(Kind::Misconfigured).into()
            }
            Err(error) => error.into(),
        }
    }

    async fn spend_and_settle(
        &mut self,
        kept: Kept,
        interrupted: bool,
        lease: &mut Option<Lease>,
    ) -> Option<Landing> {
        let shared = self.shared.clone();
        let spent = self.spend(Some(&kept.tokens), interrupted, lease).await;
        let expected = kept.expected;
        let error = match spent.result {
            Ok((tokens, sent)) => {
                return Some(self.keep(Some(kept), expected, tokens, sent, lease).await);
            }
            Err(error) => error.after_ambiguity(spent.ambiguous),
        };
        if !self.owns() {
            return Some(Landing::Lost);
        }
        match error.kind() {
            Kind::Rejected => {
                // Before it is over: another process may have spent the token and stored its successor.
                if let Ok(Found::Newer { kept: newer, .. }) = look(&shared).await
                    && newer.tokens.refresh() != kept.tokens.refresh()
                {
                    return None;
                }
                let limit = shared.settings.store;
                let bury = bounded(limit, shared.store.compare_and_bury(expected)).await;
                Some(match bury {
                    Ok(Swap::Done(_)) => Landing::Over { error, owed: None },
                    Ok(Swap::Moved) => match look(&shared).await {
                        Ok(Found::Newer { .. }) => return None,
                        _ => Landing::Over { error, owed: None },
                    },
                    Err(failure) => {
                        shared.tell(Event::PersistFailed(failure));
                        Landing::Over { error, owed: Some(expected) }
                    }
                })
            }
            // The mark stays for whoever comes next: the refresh token may be spent.
            _ if error.was_ambiguous() => Some(error.into()),
            _ => {
                let _ = store(&shared, expected, &kept.tokens).await;
                Some(error.into())
            }
        }
    }

    /// Send the refresh token: repeat what cannot have been processed, and ask once more where it may
    /// have been. An answer is listened for even after the ticket was taken away.
    async fn spend(
        &mut self,
        tokens: Option<&TokenSet>,
        interrupted: bool,
        lease: &mut Option<Lease>,
    ) -> Spent {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let mut ambiguous = interrupted;
        let mut prompt_retries =
            u32::from(settings.ambiguous == AmbiguousPolicy::RetryOnce && !interrupted);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sent = shared.clock.now();
            let held = Held::new(tokens.cloned());
            let limit = settings.answer.min(settings.flight);
            // An answer is listened for as long as any, however late it was asked for: it may hold the
            // only good refresh token.
            let answer = Shared::within(limit, shared.serving(shared.source.refresh(held)));
            let answer = self.listening(answer, lease).await;
            let error = match answer {
                Some(Ok(tokens)) => return Spent { result: Ok((tokens, sent)), ambiguous },
                Some(Err(error)) => error,
                None => RefreshError::new(Kind::Unanswered),
            };
            ambiguous |= error.was_ambiguous();
            if !self.owns() {
                return Spent { result: Err(error), ambiguous };
            }
            let wait = match error.kind() {
                Kind::Transient if attempt < settings.attempts => {
                    let backoff = settings.retry.delay(attempt).mul_f64(fastrand::f64());
                    backoff.max(error.retry_after().unwrap_or_default())
                }
                Kind::Ambiguous if prompt_retries > 0 => {
                    prompt_retries -= 1;
                    Duration::ZERO
                }
                _ => return Spent { result: Err(error), ambiguous },
            };
            // A longer wait than the waiters' own is a cool-down, and they are told so at once.
            let spare = self.spare();
            if spare.is_zero() || wait > (settings.patience / 2).min(spare) {
                return Spent { result: Err(error), ambiguous };
            }
            if !wait.is_zero() && self.unless_disowned(tokio::time::sleep(wait)).await.is_none() {
                return Spent { result: Err(error), ambiguous };
            }
        }
    }

    /// New tokens came: save them, then let them be used.
    async fn keep(
        &mut self,
        previous: Option<Kept>,
        expected: Expected,
        tokens: TokenSet,
        sent: Now,
        lease: &mut Option<Lease>,
    ) -> Landing {
        let shared = self.shared.clone();
        let tokens = match &previous {
            Some(previous) => tokens.succeeding(&previous.tokens),
            None => tokens,
        };
        let (tokens, life) = shared.life_of_minted(tokens, sent);
        let now = shared.clock.now();
        let memory = shared.gate.ask(&now, |state| state.holding.kept());
        let same = memory.as_ref().is_some_and(|held| held.tokens.access() == tokens.access());
        let (outcome, in_use) = if life.is_dead(&now) {
            // An expired token never replaces one that may be good; its refresh token does.
            let in_use = memory.map(|held| tokens.clone().with_access_of(&held.tokens));
            (Outcome::ExpiredOnArrival, in_use.unwrap_or_else(|| tokens.clone()))
        } else if same {
            (Outcome::Same(life), tokens.clone())
        } else {
            (Outcome::Fresh(life), tokens.clone())
        };
        if !self.owns() {
            lease.take();
            revoke(&shared, tokens).await;
            return Landing::Lost;
        }
        let spent = previous.and_then(|previous| previous.tokens.refresh().cloned());
        let replaces = spent.filter(|spent| tokens.refresh() != Some(spent));
        self.minted = Some((Kept { tokens: in_use, expected, saved: false, replaces }, outcome));
        let saved = self.save(expected, &tokens).await;
        let Some((kept, outcome)) = self.minted.take() else { return Landing::Lost };
        if !self.owns() {
            // Taken away while they were being saved. Whoever did that has the last word in the store.
            lease.take();
            revoke(&shared, tokens).await;
            return Landing::Lost;
        }
        match saved {
            Ok(Some(expected)) => Landing::Hold(Kept { expected, saved: true, ..kept }, outcome),
            Ok(None) => {
                // A login or a logout elsewhere came first, and wins; ours is of no use to anybody.
                lease.take();
                revoke(&shared, tokens).await;
                match look(&shared).await {
                    Ok(Found::Newer { kept, life, .. }) => {
                        Landing::Hold(kept, Outcome::Fresh(life))
                    }
                    Ok(Found::Tombstone) => over(Kind::LoggedOut),
                    Ok(Found::Foreign) => over(Kind::LoginRequired),
                    _ => unreadable(StoreError::busy()).into(),
                }
            }
            Err(error) => {
                shared.tell(Event::PersistFailed(error));
                Landing::Hold(kept, outcome)
            }
        }
    }

    /// Save what follows the record of version `expected`. `Ok(None)`: somebody else's newer tokens, or
    /// a tombstone, are there.
    async fn save(
        &self,
        expected: Expected,
        tokens: &TokenSet,
    ) -> Result<Option<Expected>, StoreError> {
        let shared = &self.shared;
        match store(shared, expected, tokens).await? {
            Swap::Done(version) => Ok(Some(Expected::Version(version))),
            Swap::Moved => match look(shared).await? {
                // The same refresh token, marked by one who took us for gone: ours is its successor.
                Found::Known { version, .. } => {
                    match store(shared, Expected::Version(version), tokens).await? {
                        Swap::Done(version) => Ok(Some(Expected::Version(version))),
                        Swap::Moved => Ok(None),
                    }
                }
                _ => Ok(None),
            },
        }
    }

    fn holds(&self) -> bool {
        let now = self.shared.clock.now();
        self.shared.gate.ask(&now, |state| state.holding.kept().is_some())
    }

    /// The time left before the last moment to send anything.
    fn spare(&self) -> Duration {
        let settings = &self.shared.settings;
        let listening = settings.answer.min(settings.flight / 2);
        self.shared.until(self.deadline).saturating_sub(listening)
    }

    fn owns(&self) -> bool {
        let now = self.shared.clock.now();
        self.ticket
            .as_ref()
            .is_some_and(|ticket| self.shared.gate.ask(&now, |state| state.life.owns(ticket)))
    }

    /// `None` once the ticket was taken away.
    async fn unless_disowned<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            match &self.ticket {
                Some(ticket) => self.shared.gate.poll_disowned(ticket, cx).map(|()| None),
                None => Poll::Ready(None),
            }
        })
        .await
    }

    /// Give the lease back as soon as the ticket is taken away, and listen on all the same.
    async fn listening<T>(&self, answer: impl Future<Output = T>, lease: &mut Option<Lease>) -> T {
        let mut answer = pin!(answer);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = answer.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if lease.is_some()
                && let Some(ticket) = &self.ticket
                && self.shared.gate.poll_disowned(ticket, cx).is_ready()
            {
                lease.take();
            }
            Poll::Pending
        })
        .await
    }

    fn land(&mut self, landing: Landing) -> Result<(), RefreshError> {
        let Some(ticket) = self.ticket.take() else { return Ok(()) };
        let shared = &self.shared;
        let cause = RefreshCause::of(ticket.purpose());
        let now = shared.clock.now();
        let mut unsaved = false;
        let settled = match landing {
            Landing::Hold(kept, outcome) => {
                unsaved = !kept.saved;
                shared.gate.finish(ticket, outcome, &now, |holding| holding.hold(kept))
            }
            Landing::Bare(outcome) => shared.gate.finish(ticket, outcome, &now, |_| {}),
            Landing::Over { error, owed } => {
                unsaved = owed.is_some();
                shared.gate.finish(ticket, Outcome::Over(error), &now, |holding| {
                    holding.discard(owed);
                })
            }
            Landing::Lost => {
                shared.gate.abandon(&ticket, &now);
                Settled::Disowned
            }
        };
        if unsaved {
            owed::pay_later(shared);
        }
        match settled {
            Settled::Disowned | Settled::Quiet => Ok(()),
            Settled::Published => {
                shared.tell(cause.map_or(Event::LoggedIn, Event::Refreshed));
                Ok(())
            }
            Settled::Failed(error) => {
                shared.tell(Event::RefreshFailed(error.clone()));
                Err(error)
            }
            Settled::Over(error) => {
                match error.kind() {
                    Kind::Rejected => shared.tell(Event::SessionEnded(error.clone())),
                    Kind::LoggedOut => shared.tell(Event::LoggedOut),
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let landing = match self.minted.take() {
            Some((kept, outcome)) => {
                self.shared.tell(Event::PersistFailed(StoreError::unavailable()));
                Landing::Hold(kept, outcome)
            }
            None if std::thread::panicking() => RefreshError::new(Kind::Panicked).into(),
            None => Landing::Lost,
        };
        // The next request begins another refresh; there is nobody to tell of this one.
        let _ = self.land(landing);
    }
}

fn over(kind: Kind) -> Landing {
    Landing::Over { error: RefreshError::new(kind), owed: None }
}

fn unreadable(error: StoreError) -> RefreshError {
    RefreshError::new(Kind::Store).with_source(error)
}

pub(crate) async fn store(
    shared: &Shared,
    expected: Expected,
    tokens: &TokenSet,
) -> Result<Swap, StoreError> {
    let record = shared.record(tokens);
    bounded(shared.settings.store, shared.store.compare_and_store(expected, record)).await
}

/// A store that does not answer in time, or panics, is unavailable.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = Shared::within(limit, caught(call)).await.flatten();
    answer.unwrap_or_else(|| Err(StoreError::unavailable()))
}

/// Tell the issuer that tokens are no longer used.
pub(crate) async fn revoke(shared: &Shared, tokens: TokenSet) {
    let limit = shared.settings.revoke;
    let revoking = shared.serving(shared.source.revoke(tokens));
    let failure = match Shared::within(limit, caught(revoking)).await {
        Some(Some(Ok(()))) => return,
        Some(Some(Err(error))) => error,
        Some(None) => RefreshError::new(Kind::Panicked),
        None => RefreshError::new(Kind::Unanswered),
    };
    shared.tell(Event::RevokeFailed(failure));
}
