//! Puts the tokens of a login in place: save, then publish.

use std::sync::Arc;

use super::{Flight, Landing};
use crate::{
    Expected, StoreError, Swap, TokenSet,
    lifecycle::{Outcome, Ticket},
    session::{
        calls::{bounded, store},
        events::Event,
        holding::Kept,
        shared::Shared,
    },
};

impl Flight {
    /// From here on the tokens are used, whatever becomes of the flight.
    pub(crate) fn with_login(shared: Arc<Shared>, ticket: Ticket, tokens: TokenSet) -> Self {
        let (tokens, life) = shared.life_of_kept(tokens, shared.clock.now());
        let kept = Kept {
            tokens,
            expected: Expected::Any,
            saved: false,
            replaces: None,
            family: Some(fastrand::u64(..)),
        };
        let mut flight = Self::new(shared, ticket);
        flight.minted = Some((kept, Outcome::Fresh(life)));
        flight
    }

    pub(crate) async fn log_in(mut self) -> Result<(), StoreError> {
        let shared = self.shared.clone();
        let Some((mut kept, outcome)) = self.minted.clone() else { return Ok(()) };
        let turn = Shared::within(shared.settings.store, shared.turn.lock()).await;
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
        let _ = self.land(Landing::Hold(kept, outcome));
        // Given up after that: a logout whose turn is next must find the login it follows, not the debt
        // that the login replaced.
        drop(turn);
        saved
    }
}

async fn save(shared: &Shared, kept: &mut Kept) -> Result<(), StoreError> {
    match store(shared, kept).await {
        Ok(Swap::Done(version)) => {
            kept.expected = Expected::Version(version);
            kept.saved = true;
            Ok(())
        }
        Ok(Swap::Moved) => Err(StoreError::unavailable()),
        Err(error) => {
            // What is there now is what the login follows: it must not undo what comes later.
            if let Ok(stored) = bounded(shared.settings.store, shared.store.load()).await {
                kept.expected =
                    stored.map_or(Expected::Absent, |stored| Expected::Version(stored.version));
            }
            Err(error)
        }
    }
}
