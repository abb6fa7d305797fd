//! Pays what the store is owed: tokens it did not take, or a tombstone.

use std::sync::Arc;

use crate::{
    Entry, Expected, StoreError, Stored, Swap, TokenSet,
    session::{
        calls::{bounded, revoke, store},
        events::Event,
        holding::{Burial, Kept, Owed},
        look::{Found, look_for},
        shared::Shared,
    },
};

/// How often a save or a burial starts over because somebody moved the record.
const ROUNDS: usize = 4;

/// Try again and again, on a task of its own and for a bounded time; then the next refresh does.
pub(crate) fn pay_later(shared: &Arc<Shared>) {
    let Some(runtime) = shared.runtime() else { return };
    let now = shared.clock.now();
    let paying = shared.gate.ask(&now, |state| std::mem::replace(&mut state.holding.paying, true));
    if !paying {
        let payer = Payer(shared.clone());
        runtime.spawn(async move { payer.pay().await });
    }
}

/// Somebody is paying, until this is dropped.
struct Payer(Arc<Shared>);

impl Payer {
    async fn pay(&self) {
        let shared = &self.0;
        let settings = &shared.settings;
        let mut debt = None;
        let mut end = shared.clock.now().mono;
        let mut step = 0;
        loop {
            let now = shared.clock.now();
            let state = shared.gate.ask(&now, |state| {
                let goes_on = state.holding.owed().is_some() && !state.life.is_closed();
                // Under the lock that tells so, or a new debt could find a payer that is about to leave.
                state.holding.paying = goes_on;
                goes_on.then(|| state.holding.debt())
            });
            let Some(newest) = state else { return };
            if debt != Some(newest) {
                // Each debt has its own time.
                (debt, end, step) = (Some(newest), now.later(settings.owed_for), 0);
            }
            step += 1;
            let wait = settings.owed.delay(step);
            if wait > shared.until(end) {
                return;
            }
            tokio::time::sleep(wait).await;
            let closed = shared.gate.ask(&shared.clock.now(), |state| state.life.is_closed());
            if !closed {
                // A failure is one more reason to come back.
                let _ = pay_once(shared).await;
            }
        }
    }
}

impl Drop for Payer {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        self.0.gate.ask(&now, |state| state.holding.paying = false);
    }
}

/// Pay what is owed now, if anything is.
pub(crate) async fn pay_once(shared: &Shared) -> Result<(), StoreError> {
    let limit = shared.settings.store;
    let Some(turn) = Shared::within(limit, shared.turn().lock()).await else {
        return Err(StoreError::unavailable());
    };
    let (owed, kept) =
        shared.gate.ask(&shared.clock.now(), |state| (state.holding.owed(), state.holding.kept()));
    let mut found = None;
    match (owed, kept) {
        (Some(Owed::Save), Some(kept)) => bounded(limit, save(shared, kept)).await?,
        (Some(owed @ Owed::Bury(expected)), _) => {
            // Moved: somebody logged in, or buried it.
            let _ = bounded(limit, shared.store.compare_and_bury(expected)).await?;
            paid(shared, owed);
        }
        (Some(owed @ Owed::LogOut(burial)), _) => {
            found = bury(shared, burial).await?;
            paid(shared, owed);
        }
        (Some(Owed::Save), None) | (None, _) => return Ok(()),
    }
    drop(turn);
    shared.tell(Event::Persisted);
    if let Some(tokens) = found {
        revoke(shared, tokens).await;
    }
    Ok(())
}

fn paid(shared: &Shared, owed: Owed) {
    shared.gate.ask(&shared.clock.now(), |state| state.holding.paid(owed));
}

async fn save(shared: &Shared, mut kept: Kept) -> Result<(), StoreError> {
    let now = || shared.clock.now();
    for _ in 0..ROUNDS {
        // By version, so that a slow swap cannot undo what a refresh has stored meanwhile.
        let swap = match look_for(shared, &kept, None).await? {
            // A refresh has written them along with its mark, which must stay.
            Found::Known { version, is_current: true, .. } => Swap::Done(version),
            Found::Known { version, .. } => {
                kept.expected = Expected::Version(version);
                store(shared, &kept).await?
            }
            Found::Absent => {
                kept.expected = Expected::Absent;
                store(shared, &kept).await?
            }
            // Somebody stored something newer: the next look finds it.
            _ => {
                shared.gate.ask(&now(), |state| state.holding.overtaken(&kept.tokens));
                return Ok(());
            }
        };
        if let Swap::Done(version) = swap {
            shared.gate.ask(&now(), |state| state.holding.saved(&kept.tokens, version));
            return Ok(());
        }
    }
    Err(StoreError::busy())
}

/// The logout itself, first thing: bury what is in the store, and say what it was.
///
/// If that fails it is owed, and tried again on a task of its own.
pub(crate) async fn log_out(shared: &Arc<Shared>) -> Result<Option<TokenSet>, StoreError> {
    let limit = shared.settings.store;
    let buried = match Shared::within(limit, shared.turn().lock()).await {
        // Whoever has the turn may be a login that this logout is about: the burial stays as it is.
        None => Err(StoreError::unavailable()),
        Some(_turn) => {
            let logout = Owed::LogOut(Burial::Ours);
            let owed = shared.gate.ask(&shared.clock.now(), |state| state.holding.owed());
            if owed == Some(logout) {
                let buried = bury(shared, Burial::Ours).await;
                match &buried {
                    Ok(_) => paid(shared, logout),
                    Err(_) => {
                        let now = shared.clock.now();
                        shared.gate.ask(&now, |state| state.holding.narrow_burial());
                    }
                }
                buried
            } else {
                // A later login is the one that counts.
                Ok(None)
            }
        }
    };
    if let Err(error) = &buried {
        shared.tell(Event::PersistFailed(error.clone()));
        pay_later(shared);
    }
    buried
}

/// Look at what is in the store, where a logout has nothing to bury: it is not taken for news later.
pub(crate) async fn disregard(shared: &Shared) {
    if let Ok(Some(Stored { entry: Entry::Live(record), .. })) =
        bounded(shared.settings.store, shared.store.load()).await
    {
        shared.gate.ask(&shared.clock.now(), |state| {
            state.holding.discard_found(record.tokens(), record.family_id());
        });
    }
}

/// Bury this session's record, and return its tokens. Another one's is left alone.
async fn bury(shared: &Shared, burial: Burial) -> Result<Option<TokenSet>, StoreError> {
    let limit = shared.settings.store;
    for _ in 0..ROUNDS {
        let (expected, tokens) = match bounded(limit, shared.store.load()).await? {
            None => (Expected::Absent, None),
            Some(Stored { entry: Entry::Tombstone, .. }) if burial == Burial::Discarded => {
                return Ok(None);
            }
            // Another one in its place: whatever is on its way and follows this one comes too late.
            Some(Stored { entry: Entry::Tombstone, version }) => (Expected::Version(version), None),
            Some(Stored { entry: Entry::Live(record), version }) => {
                let meant = shared.owns(&record)
                    && shared.gate.ask(&shared.clock.now(), |state| {
                        state.holding.means(burial, record.tokens(), record.family_id())
                    });
                if !meant {
                    return Ok(None);
                }
                (Expected::Version(version), Some(record.tokens().clone()))
            }
        };
        if let Swap::Done(_) = bounded(limit, shared.store.compare_and_bury(expected)).await? {
            return Ok(tokens);
        }
    }
    Err(StoreError::busy())
}
