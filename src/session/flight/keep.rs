//! New tokens came: save them, then let them be used.

use super::{Flight, Landing, over};
use crate::{
    Expected, RefreshToken, StoreError, Swap, TokenSet, Version,
    clock::Now,
    error::Kind,
    lifecycle::Outcome,
    session::{
        calls::{bounded, store},
        events::Event,
        holding::Kept,
        look::{Found, look_for},
    },
    store::Lease,
    unique,
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
        let spent = previous.as_ref().and_then(|previous| previous.tokens.refresh());
        // Only what the answer itself brought: a refresh token that stayed belongs to the winner too.
        let rotated = spent.is_some() && answer.refresh().is_some_and(|new| spent != Some(new));
        let revocable = rotated.then(|| answer.clone());
        let family = match &previous {
            Some(previous) => previous.family,
            None => Some(unique::number()),
        };
        let tokens = match &previous {
            Some(previous) => answer.succeeding(&previous.tokens),
            None => answer,
        };
        let overrides =
            previous.as_ref().filter(|it| !it.saved).and_then(|previous| previous.overrides);
        let replaced = replaced(previous.as_ref(), tokens.refresh());
        let spent = previous.map(|previous| previous.tokens);
        let (tokens, life) = shared.life_of_minted(tokens, sent);
        let now = shared.clock.now();
        let (memory, is_issued) = shared
            .gate
            .ask(&now, |state| (state.holding.kept(), state.life.generation().is_some()));
        // A seed that was taken for expired was never in use: it is news if it comes again.
        let same = is_issued
            && memory.as_ref().is_some_and(|held| held.tokens.access() == tokens.access());
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
        let new = Kept { tokens, expected, saved: false, replaced, overrides, family };
        self.minted = Some((Kept { tokens: in_use, ..new.clone() }, outcome));
        // One bound for all of it: whoever waits for the tokens waits for that.
        let saved = bounded(shared.settings.store, self.save(&new, spent.as_ref())).await;
        let Some((kept, outcome)) = self.minted.take() else { return Landing::Lost };
        if !self.owns() {
            // Taken away while they were being saved. Whoever did that has the last word in the store.
            lease.take();
            self.revoked = revocable;
            return Landing::Lost;
        }
        match saved {
            Ok(Saved::As(version)) => {
                let expected = Expected::Version(version);
                Landing::Hold(Kept { expected, saved: true, ..kept }, outcome)
            }
            // A login or a logout elsewhere came first, and wins.
            Ok(Saved::Overtaken(Found::Newer { kept, life, .. })) => {
                // Another refresh of the same family would end with ours.
                self.revoked = revocable.filter(|_| kept.family != family);
                Landing::Hold(kept, Outcome::Adopted(life))
            }
            Ok(Saved::Overtaken(Found::Tombstone)) => {
                self.revoked = revocable;
                over(Kind::LoggedOut)
            }
            Ok(Saved::Overtaken(_)) => over(Kind::LoginRequired),
            Err(error) => {
                shared.tell(Event::PersistFailed(error));
                Landing::Hold(kept, outcome)
            }
        }
    }

    /// Save what came for the tokens that were `spent`.
    async fn save(&self, new: &Kept, spent: Option<&TokenSet>) -> Result<Saved, StoreError> {
        let shared = &self.shared;
        let mut new = new.clone();
        for _ in 0..ROUNDS {
            if let Swap::Done(version) = store(shared, &new).await? {
                return Ok(Saved::As(version));
            }
            new.expected = match look_for(shared, &new, spent).await? {
                // An earlier swap had happened, though its answer was lost.
                Found::Known { version, is_current: true, .. } => return Ok(Saved::As(version)),
                // What was spent, marked by one who took us for gone: ours is its successor.
                Found::Known { version, .. } => Expected::Version(version),
                Found::Absent => Expected::Absent,
                found => return Ok(Saved::Overtaken(found)),
            };
        }
        Err(StoreError::busy())
    }
}

/// So many are remembered. The first is what a store has that was down ever since.
const REMEMBERED: usize = 32;

/// What was spent for `new` since the store last had the newest.
fn replaced(previous: Option<&Kept>, new: Option<&RefreshToken>) -> Vec<RefreshToken> {
    let Some(previous) = previous else { return Vec::new() };
    let mut replaced = if previous.saved { Vec::new() } else { previous.replaced.clone() };
    replaced.extend(previous.tokens.refresh().cloned());
    // One that stayed is not replaced, nor is one that came again.
    replaced.retain(|spent| new.is_some_and(|new| new != spent));
    if replaced.len() > REMEMBERED {
        replaced.remove(1);
    }
    replaced
}

/// How often a save starts over because somebody else moved the mark of what was spent.
const ROUNDS: usize = 4;

/// What became of new tokens in the store.
enum Saved {
    As(Version),
    /// Somebody else's newer tokens are there, or a tombstone.
    Overtaken(Found),
}
