//! Puts the tokens of a login in place: save, then publish.

use std::sync::Arc;

use super::{Flight, Landing};
use crate::{
    Entry, Expected, RefreshError, StoreError, Stored, Swap, TokenSet,
    lifecycle::{Outcome, Ticket},
    session::{
        calls::{bounded, revoke, store},
        events::Event,
        holding::Kept,
        shared::Shared,
    },
    unique,
};

impl Flight {
    /// From here on the tokens are used, whatever becomes of the flight.
    pub(crate) fn with_login(shared: Arc<Shared>, ticket: Ticket, tokens: TokenSet) -> Self {
        let (tokens, life) = shared.life_of_kept(tokens, shared.clock.now());
        let kept = Kept {
            tokens,
            expected: Expected::Any,
            saved: false,
            replaced: Vec::new(),
            overrides: None,
            family: Some(unique::number()),
        };
        let mut flight = Self::new(shared, ticket);
        flight.minted = Some((kept, Outcome::Fresh(life)));
        flight
    }

    pub(crate) async fn log_in(mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let Some((mut kept, outcome)) = self.minted.clone() else { return Ok(()) };
        let turn = Shared::within(shared.settings.store, shared.turn().clone().lock_owned()).await;
        let saved = if !self.owns() {
            // A later login or logout is the one that counts, and no failure of this one.
            Ok(())
        } else if turn.is_none() {
            Err(StoreError::unavailable())
        } else {
            save(&shared, &mut kept).await
        };
        if let Err(error) = &saved {
            shared.tell(Event::PersistFailed(error.clone()));
        }
        self.minted = None;
        let (tokens, is_stored) = (kept.tokens.clone(), kept.saved);
        let _ = self.land(Landing::Hold(kept, outcome));
        let Some(runtime) = shared.runtime() else { return saved };
        if !is_stored && is_logged_out(&shared) {
            runtime.spawn(async move { revoke(&shared, tokens).await });
            return saved;
        }
        // Given up after that: a logout whose turn is next must find the login it follows, not the debt
        // that the login replaced.
        if let (Err(_), Some(turn)) = (&saved, turn) {
            runtime.spawn(async move {
                pin(&shared, &tokens).await;
                drop(turn);
            });
        }
        saved
    }
}

/// Whether a logout had the last word. It knows nothing of tokens that were neither held nor stored.
fn is_logged_out(shared: &Shared) -> bool {
    let logged_out = shared.gate.ask(&shared.clock.now(), |state| {
        let over = state.life.over_because();
        over.is_some_and(RefreshError::is_logged_out) && state.life.flight().is_none()
    });
    logged_out && shared.source.spends_refresh_token()
}

async fn save(shared: &Shared, kept: &mut Kept) -> Result<(), StoreError> {
    match store(shared, kept).await? {
        Swap::Done(version) => {
            kept.expected = Expected::Version(version);
            kept.saved = true;
            Ok(())
        }
        Swap::Moved => Err(StoreError::unavailable()),
    }
}

/// What is there now is what the login follows: a retry must not undo what comes later.
async fn pin(shared: &Shared, tokens: &TokenSet) {
    if let Ok(stored) = bounded(shared.settings.store, shared.store.load()).await {
        let (expected, overrides) = match stored {
            Some(Stored { entry: Entry::Live(record), version }) => {
                (Expected::Version(version), record.family_id())
            }
            Some(Stored { entry: Entry::Tombstone, version }) => (Expected::Version(version), None),
            None => (Expected::Absent, None),
        };
        shared
            .gate
            .ask(&shared.clock.now(), |state| state.holding.pin(tokens, expected, overrides));
    }
}
