//! New tokens came: save them, then let them be used.

use super::{Flight, Landing, over, unreadable};
use crate::{
    Expected, StoreError, Swap, TokenSet,
    clock::Now,
    error::Kind,
    lifecycle::Outcome,
    session::{
        calls::store,
        events::Event,
        holding::Kept,
        look::{Found, look},
    },
    store::Lease,
};

impl Flight {
    pub(super) async fn keep(
        &mut self,
        previous: Option<Kept>,
        expected: Expected,
        answer: TokenSet,
        sent: Now,
        lease: &mut Option<Lease>,
    ) -> Landing {
        let shared = self.shared.clone();
        let spent = previous.as_ref().and_then(|previous| previous.tokens.refresh().cloned());
        let replaces = spent.filter(|spent| answer.refresh().is_some_and(|new| new != spent));
        // Only what the answer itself brought: a refresh token that stayed belongs to the winner too.
        let revocable = answer.refresh().is_some() && replaces.is_some();
        let revocable = revocable.then(|| answer.clone());
        let family = match &previous {
            Some(previous) => previous.family,
            None => Some(fastrand::u64(..)),
        };
        let tokens = match previous {
            Some(previous) => answer.succeeding(&previous.tokens),
            None => answer,
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
            self.revoked = revocable;
            return Landing::Lost;
        }
        let new = Kept { tokens, expected, saved: false, replaces, family };
        self.minted = Some((Kept { tokens: in_use, ..new.clone() }, outcome));
        let saved = self.save(&new).await;
        let Some((kept, outcome)) = self.minted.take() else { return Landing::Lost };
        if !self.owns() {
            // Taken away while they were being saved. Whoever did that has the last word in the store.
            lease.take();
            self.revoked = revocable;
            return Landing::Lost;
        }
        match saved {
            Ok(Some(expected)) => Landing::Hold(Kept { expected, saved: true, ..kept }, outcome),
            // A login or a logout elsewhere came first, and wins.
            Ok(None) => match look(&shared).await {
                Ok(Found::Newer { kept, life, .. }) => {
                    // Another refresh of the same family would end with ours.
                    self.revoked = revocable.filter(|_| kept.family != family);
                    Landing::Hold(kept, Outcome::Adopted(life))
                }
                Ok(Found::Tombstone) => {
                    self.revoked = revocable;
                    over(Kind::LoggedOut)
                }
                Ok(Found::Foreign) => over(Kind::LoginRequired),
                _ => unreadable(StoreError::busy()).into(),
            },
            Err(error) => {
                shared.tell(Event::PersistFailed(error));
                Landing::Hold(kept, outcome)
            }
        }
    }

    /// Save what follows a record. `Ok(None)`: somebody else's newer tokens, or a tombstone, are there.
    async fn save(&self, kept: &Kept) -> Result<Option<Expected>, StoreError> {
        let shared = &self.shared;
        if let Swap::Done(version) = store(shared, kept).await? {
            return Ok(Some(Expected::Version(version)));
        }
        // The same refresh token, marked by one who took us for gone: ours is its successor.
        let Found::Known { version, .. } = look(shared).await? else { return Ok(None) };
        let kept = Kept { expected: Expected::Version(version), ..kept.clone() };
        Ok(match store(shared, &kept).await? {
            Swap::Done(version) => Some(Expected::Version(version)),
            Swap::Moved => None,
        })
    }
}
