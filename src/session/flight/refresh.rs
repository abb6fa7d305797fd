//! The refresh under the store's lease: read again, then adopt, or mark, spend and settle.

use super::{Flight, Landing, over, spend::Spent, unreadable};
use crate::{
    AmbiguousPolicy, Expected, RefreshError, StoreError, Swap,
    error::Kind,
    lifecycle::Outcome,
    session::{
        calls::{bounded, caught, store},
        events::Event,
        holding::Kept,
        look::{Found, look},
        shared::Shared,
    },
    store::Lease,
};

/// How often a refresh starts over because somebody else moved the record.
const ROUNDS: usize = 4;

impl Flight {
    /// The refresh proper, under the store's lease.
    pub(super) async fn refresh(&mut self) -> Landing {
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
                    return Some(Landing::Hold(kept, Outcome::Adopted(life)));
                }
                let expected = kept.expected;
                (Some(kept), expected, interrupted)
            }
            Found::Known { version, interrupted, .. } => {
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
        let Spent { result, ambiguous } = self.spend(Some(&kept.tokens), interrupted, lease).await;
        let expected = kept.expected;
        let error = match result {
            Ok((tokens, sent)) => {
                return Some(self.keep(Some(kept), expected, tokens, sent, lease).await);
            }
            Err(error) => error.after_ambiguity(ambiguous),
        };
        if !self.owns() {
            return Some(Landing::Lost);
        }
        match error.kind() {
            Kind::Rejected => {
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
                    Ok(Swap::Moved) => match look(&shared).await {
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
