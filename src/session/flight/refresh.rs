//! The refresh under the store's lease: read again, then adopt, or mark, spend and settle.

use super::{Flight, Landing, over, spend::Spent, unreadable};
use crate::{
    AmbiguousPolicy, Expected, OutagePolicy, RefreshError, StoreError, Swap,
    caught::caught,
    error::Kind,
    lifecycle::Outcome,
    session::{
        calls::{bounded, store},
        events::Event,
        holding::Kept,
        look::{Found, look, look_for},
        shared::Shared,
    },
    store::Lease,
};

/// How often a refresh starts over because somebody else moved the record.
const ROUNDS: usize = 4;

/// Why there is no lease.
enum Withheld {
    Store(StoreError),
    /// The ticket was taken away while it was waited for.
    Disowned,
}

/// What a refresh begins with.
struct Read {
    kept: Option<Kept>,
    expected: Expected,
    /// Somebody vanished while spending the refresh token.
    interrupted: bool,
}

fn is_held(lease: Option<&Lease>) -> bool {
    lease.is_some_and(Lease::is_held)
}

impl Flight {
    /// The refresh proper, under the store's lease.
    pub(super) async fn refresh(&mut self) -> Landing {
        let mut lease = None;
        let mut outage = None;
        for _ in 0..ROUNDS {
            if outage.is_none() && !is_held(lease.as_ref()) {
                drop(lease.take());
                match self.lease().await {
                    Ok(granted) => lease = Some(granted),
                    Err(Withheld::Store(error)) if self.goes_on(&error) => outage = Some(error),
                    Err(Withheld::Store(error)) => return unreadable(error).into(),
                    Err(Withheld::Disowned) => return Landing::Lost,
                }
            }
            if !self.owns() {
                return Landing::Lost;
            }
            if let Some(landing) = self.round(&mut lease, &mut outage).await {
                if let Some(error) = outage {
                    self.shared.tell(Event::Uncoordinated(error));
                }
                return landing;
            }
        }
        unreadable(StoreError::busy()).into()
    }

    async fn lease(&self) -> Result<Lease, Withheld> {
        // A refresh token is sent only if there is time to hear the answer.
        let lease = Shared::within(self.spare(), caught(self.shared.store.lease()));
        match self.unless_disowned(lease).await {
            Some(Some(Some(Ok(lease)))) => Ok(lease),
            Some(Some(Some(Err(error)))) => Err(Withheld::Store(error)),
            Some(Some(None)) => Err(Withheld::Store(StoreError::unavailable())),
            Some(None) => Err(Withheld::Store(StoreError::busy())),
            None => Err(Withheld::Disowned),
        }
    }

    /// Whether a refresh goes on without a store that failed like this. What another process may be doing
    /// is waited for, and what cannot be read is not written over.
    pub(super) fn goes_on(&self, error: &StoreError) -> bool {
        let shared = &self.shared;
        let spends = shared.source.spends_refresh_token();
        error.is_unavailable() && (!spends || shared.settings.outage == OutagePolicy::GoOn)
    }

    /// One reading of the record, and what follows from it. `None`: it was moved meanwhile.
    ///
    /// `outage`: why there is no lease, or why what is in memory is all there is.
    async fn round(
        &mut self,
        lease: &mut Option<Lease>,
        outage: &mut Option<StoreError>,
    ) -> Option<Landing> {
        let shared = self.shared.clone();
        let spends = shared.source.spends_refresh_token();
        let Read { kept, expected, interrupted } = match self.read(outage).await {
            Ok(read) => read,
            Err(landing) => return Some(landing),
        };
        // A login meanwhile may have stored what was read: its record is not that of the tokens of before.
        if !self.owns() {
            return Some(Landing::Lost);
        }
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
            let _ = store(&shared, &kept).await;
            return Some(RefreshError::ambiguous().into());
        }
        let since = Some(shared.clock.now().wall);
        let mark = shared.record(&kept).spending_since(since);
        let limit = shared.settings.store;
        let marked = match bounded(limit, shared.store.compare_and_store(kept.expected, mark)).await
        {
            Ok(Swap::Done(version)) => {
                Kept { expected: Expected::Version(version), saved: true, ..kept }
            }
            Ok(Swap::Moved) => return None,
            // The store is behind already, and what is held is the only one that can be spent.
            Err(_) if !kept.saved => kept,
            Err(error) if self.goes_on(&error) => {
                outage.get_or_insert(error);
                kept
            }
            Err(error) => return Some(unreadable(error).into()),
        };
        if outage.is_some() && !is_held(lease.as_ref()) {
            // A store that is down does not renew it either.
            lease.take();
        }
        self.spend_and_settle(marked, interrupted, lease).await
    }

    /// What there is to spend, or how the refresh ends without.
    async fn read(&self, outage: &mut Option<StoreError>) -> Result<Read, Landing> {
        let shared = &self.shared;
        let spends = shared.source.spends_refresh_token();
        let memory = shared.gate.ask(&shared.clock.now(), |state| state.holding.kept());
        let refreshable = |kept: &Kept| kept.tokens.refresh().is_some();
        let (kept, expected, interrupted) = match look(shared).await {
            Ok(Found::Newer { kept, life, interrupted }) => {
                let refused =
                    memory.as_ref().is_some_and(|m| m.tokens.access() == kept.tokens.access());
                if !refused && !life.is_dead(&shared.clock.now()) {
                    return Err(Landing::Hold(kept, Outcome::Adopted(life)));
                }
                let expected = kept.expected;
                (Some(kept), expected, interrupted)
            }
            Ok(Found::Known { version, interrupted, .. }) => {
                (memory, Expected::Version(version), interrupted)
            }
            // Lost, not logged out: it is written again from memory.
            Ok(Found::Absent) => (memory, Expected::Absent, false),
            Ok(Found::Tombstone) if spends => return Err(over(Kind::LoggedOut)),
            // Such a source ends no session, so what another one buried is written over.
            Ok(Found::Tombstone) => (memory, Expected::Any, false),
            Ok(Found::Foreign) => return Err(over(Kind::LoginRequired)),
            Ok(Found::Discarded) => return Err(Landing::Bare(Outcome::Unchanged)),
            Err(error)
                if self.goes_on(&error)
                    && (!spends || memory.as_ref().is_some_and(refreshable)) =>
            {
                outage.get_or_insert(error);
                let expected = memory.as_ref().map_or(Expected::Absent, |kept| kept.expected);
                (memory, expected, false)
            }
            Err(error) => return Err(unreadable(error).into()),
        };
        Ok(Read { kept: kept.map(|kept| Kept { expected, ..kept }), expected, interrupted })
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
        if !self.owns() {
            return Some(Landing::Lost);
        }
        if lease.as_ref().is_some_and(|lease| !lease.is_held()) {
            // Nothing was sent, so nobody need take it for spent.
            let _ = store(&shared, &kept).await;
            return None;
        }
        let Spent { result, ambiguous } = self.spend(Some(&kept.tokens), interrupted, lease).await;
        let expected = kept.expected;
        let error = match result {
            Ok((tokens, sent)) => {
                let rotates =
                    tokens.refresh().is_some_and(|new| kept.tokens.refresh() != Some(new));
                let landing = self.keep(Some(kept), expected, tokens, sent, lease).await;
                return match landing {
                    // A pair that is repeated may have run out since it was minted. Its refresh token is
                    // good, and the next round spends it.
                    Landing::Hold(kept, Outcome::ExpiredOnArrival)
                        if ambiguous && rotates && kept.saved =>
                    {
                        if self.hold(kept) {
                            None
                        } else {
                            Some(Landing::Lost)
                        }
                    }
                    landing => Some(landing),
                };
            }
            Err(error) => error.after_ambiguity(ambiguous),
        };
        if !self.owns() {
            return Some(Landing::Lost);
        }
        match error.kind() {
            Kind::Rejected => {
                // Whoever took the lease meanwhile may have the successor on its way.
                if lease.as_ref().is_some_and(|lease| !lease.is_held()) {
                    drop(lease.take());
                    match self.lease().await {
                        Ok(granted) => *lease = Some(granted),
                        Err(Withheld::Store(error)) => return Some(unreadable(error).into()),
                        Err(Withheld::Disowned) => return Some(Landing::Lost),
                    }
                }
                // Before it is over: another process may have spent the token and stored its successor.
                match look(&shared).await {
                    Ok(Found::Newer { kept: newer, .. })
                        if newer.tokens.refresh() != kept.tokens.refresh() =>
                    {
                        return None;
                    }
                    Ok(_) => {}
                    // Without a second reading there is no verdict.
                    Err(error) => return Some(unreadable(error).into()),
                }
                let limit = shared.settings.store;
                match bounded(limit, shared.store.compare_and_bury(expected)).await {
                    Ok(Swap::Done(_)) => Some(Landing::Over { error, owed: None }),
                    // The next round sees what is there instead.
                    Ok(Swap::Moved) => match look_for(&shared, &kept, None).await {
                        Ok(Found::Newer { .. }) => None,
                        // Still the same tokens: only their mark was moved.
                        Ok(Found::Known { version, .. }) => {
                            let owed = Some(Expected::Version(version));
                            Some(Landing::Over { error, owed })
                        }
                        Ok(_) => Some(Landing::Over { error, owed: None }),
                        Err(error) => Some(unreadable(error).into()),
                    },
                    Err(failure) => {
                        shared.tell(Event::PersistFailed(failure));
                        Some(Landing::Over { error, owed: Some(expected) })
                    }
                }
            }
            // The mark stays for whoever comes next: the refresh token may be spent.
            _ if error.was_ambiguous() => Some(error.into()),
            _ => {
                let _ = store(&shared, &kept).await;
                Some(error.into())
            }
        }
    }
}
