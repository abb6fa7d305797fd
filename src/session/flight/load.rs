//! Looks at the store without spending anything: the first time, and while a session cools or is over.

use super::{Flight, Landing, over, unreadable};
use crate::{
    Expected, RefreshError, Swap, TokenSet,
    error::Kind,
    lifecycle::Outcome,
    session::{
        calls::store,
        events::Event,
        holding::{Kept, Owed},
        look::{Found, look},
        owed,
    },
    unique,
};

impl Flight {
    /// The first look at the store.
    pub(super) async fn load(&mut self) -> Landing {
        let shared = self.shared.clone();
        let found = match look(&shared).await {
            Ok(found) => found,
            // Where nothing is spent there is nothing to read first.
            Err(error) if !shared.source.spends_refresh_token() && self.goes_on(&error) => {
                return self.refresh().await;
            }
            Err(error) => return unreadable(error).into(),
        };
        let seed = self.seed();
        match found {
            Found::Newer { kept, life, .. } if !life.is_dead(&shared.clock.now()) => {
                Landing::Hold(kept, Outcome::Fresh(life))
            }
            Found::Absent if !self.holds() => match seed {
                Some(seed) => self.plant(seed).await,
                None if shared.source.spends_refresh_token() => over(Kind::LoginRequired),
                None => self.refresh().await,
            },
            Found::Foreign | Found::Tombstone if seed.is_some() => {
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
    async fn plant(&mut self, seed: TokenSet) -> Landing {
        let shared = self.shared.clone();
        let (tokens, life) = shared.life_of_kept(seed, shared.clock.now());
        let family = Some(unique::number());
        let mut kept = Kept {
            tokens,
            expected: Expected::Absent,
            saved: false,
            replaced: Vec::new(),
            overrides: None,
            family,
        };
        match store(&shared, &kept).await {
            Ok(Swap::Done(version)) => {
                kept.expected = Expected::Version(version);
                kept.saved = true;
            }
            // Another process was faster; the record wins.
            Ok(Swap::Moved) => return self.refresh().await,
            Err(error) => shared.tell(Event::PersistFailed(error)),
        }
        if life.is_dead(&shared.clock.now()) {
            return if self.hold(kept) { self.refresh().await } else { Landing::Lost };
        }
        Landing::Hold(kept, Outcome::Fresh(life))
    }

    /// See whether another process has newer tokens.
    pub(super) async fn look_up(&mut self) -> Result<Landing, RefreshError> {
        let shared = self.shared.clone();
        let now = shared.clock.now();
        let (is_over, cools, owed, held) = shared.gate.ask(&now, |state| {
            let is_over = state.life.over_because().is_some();
            let cools = state.life.cooling_until(&now).is_some();
            (is_over, cools, state.holding.owed(), state.holding.kept())
        });
        if matches!(owed, Some(Owed::Bury(_) | Owed::LogOut(_))) {
            // What is in the store is what should have been buried.
            owed::pay_once(&shared).await.map_err(unreadable)?;
        }
        Ok(match look(&shared).await.map_err(unreadable)? {
            Found::Newer { kept, life, .. } => {
                let same = held.is_some_and(|held| held.tokens.access() == kept.tokens.access());
                if same && !cools {
                    // Only its refresh token is news.
                    Landing::Hold(kept, Outcome::Unchanged)
                } else if same || life.is_dead(&shared.clock.now()) {
                    self.refresh().await
                } else {
                    Landing::Hold(kept, Outcome::Fresh(life))
                }
            }
            // An earlier look brought it, and could not spend it.
            Found::Known { .. } if is_over => self.refresh().await,
            Found::Tombstone if !is_over && shared.source.spends_refresh_token() => {
                over(Kind::LoggedOut)
            }
            _ => Landing::Bare(Outcome::Unchanged),
        })
    }

    fn seed(&self) -> Option<TokenSet> {
        let now = self.shared.clock.now();
        self.shared.gate.ask(&now, |state| state.holding.seed().cloned())
    }

    fn holds(&self) -> bool {
        let now = self.shared.clock.now();
        self.shared.gate.ask(&now, |state| state.holding.kept().is_some())
    }

    /// Hold tokens that cannot be attached, to be spent by this flight.
    pub(super) fn hold(&self, kept: Kept) -> bool {
        let now = self.shared.clock.now();
        self.shared.gate.ask(&now, |state| {
            let owns = self.ticket.as_ref().is_some_and(|ticket| state.life.owns(ticket));
            if owns {
                state.holding.hold(kept);
            }
            owns
        })
    }
}
