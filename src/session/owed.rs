//! Pays what the store is owed: tokens it did not take, or a tombstone.

use std::sync::Arc;

use crate::{
    Expected, StoreError, Swap,
    session::{
        events::Event,
        flight::{bounded, store},
        holding::Owed,
        look::{Found, look_for},
        shared::Shared,
    },
};

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
        let end = shared.clock.now().later(settings.owed_for);
        for step in 1.. {
            let wait = settings.owed.delay(step);
            if wait > shared.until(end) {
                return;
            }
            tokio::time::sleep(wait).await;
            let closed = shared.gate.ask(&shared.clock.now(), |state| state.life.is_closed());
            if closed {
                return;
            }
            // What is owed may have changed on the way.
            if let Ok(true) = pay_once(shared).await {
                shared.tell(Event::Persisted);
            }
            let now = shared.clock.now();
            if shared.gate.ask(&now, |state| state.holding.owed().is_none()) {
                return;
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

/// Pay what is owed now. `Ok(false)`: nothing was.
pub(crate) async fn pay_once(shared: &Shared) -> Result<bool, StoreError> {
    let limit = shared.settings.store;
    let Some(_turn) = Shared::within(limit, shared.turn.lock()).await else {
        return Err(StoreError::unavailable());
    };
    let owed = || {
        shared.gate.ask(&shared.clock.now(), |state| {
            state.holding.owed().map(|owed| (owed, state.holding.kept()))
        })
    };
    match owed() {
        Some((Owed::Save, Some(kept))) => {
            // By version, so that a slow swap cannot undo what a refresh has stored meanwhile.
            let expected = match look_for(shared, &kept).await? {
                Found::Known { version, .. } => Some(Expected::Version(version)),
                Found::Absent => Some(Expected::Absent),
                _ => None,
            };
            let swap = match expected {
                Some(expected) => store(shared, expected, &kept.tokens).await?,
                None => Swap::Moved,
            };
            shared.gate.ask(&shared.clock.now(), |state| match swap {
                Swap::Done(version) => state.holding.saved(&kept.tokens, version),
                // Somebody stored something newer: the next look finds it.
                Swap::Moved => state.holding.overtaken(&kept.tokens),
            });
        }
        Some((Owed::Bury(expected), _)) => {
            // Moved: somebody logged in, or buried it.
            let _ = bounded(limit, shared.store.compare_and_bury(expected)).await?;
            shared.gate.ask(&shared.clock.now(), |state| state.holding.buried(expected));
        }
        Some((Owed::Save, None)) | None => return Ok(false),
    }
    Ok(true)
}
