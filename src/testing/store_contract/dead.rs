//! A store that does not keep access tokens, as one that does, so that the suite can look at all the rest.

use super::{Pair, records::difference};
use crate::{
    Clock, Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore,
    sync::{Arc, Mutex, lock},
};

/// Gives a record that loads without its access token the one that it was stored with.
pub(super) struct Completing<S> {
    store: S,
    /// What was handed to either of the two handles, in its order.
    stored: Arc<Mutex<Vec<Record>>>,
}

pub(super) fn completing<S>(one: S, other: S) -> Pair<Completing<S>> {
    let stored = Arc::new(Mutex::new(Vec::new()));
    let completing = |store| Arc::new(Completing { store, stored: stored.clone() });
    Pair { one: completing(one), other: completing(other) }
}

impl<S> Completing<S> {
    fn complete(&self, loaded: Record) -> Record {
        let stored = lock(&self.stored);
        let access = loaded.tokens().access();
        if stored.iter().any(|record| record.tokens().access() == access) {
            return loaded;
        }
        assert!(
            loaded.expiry().is_some_and(|expiry| expiry <= Clock::system().now().wall),
            "an access token that is not kept loads as one that has expired, but this one may be sent"
        );
        let whole = |record: &Record| loaded.clone().with_access_of(record.tokens());
        let same = stored.iter().rev().find(|record| difference(&whole(record), record).is_none());
        // Where something else differs, the suite says what.
        let nearest = same.or(stored.last());
        nearest.map(whole).unwrap_or(loaded)
    }
}

impl<S: TokenStore> TokenStore for Completing<S> {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(Stored { entry, version }) = self.store.load().await? else { return Ok(None) };
        let entry = match entry {
            Entry::Live(record) => Entry::Live(self.complete(record)),
            Entry::Tombstone => Entry::Tombstone,
        };
        Ok(Some(Stored { entry, version }))
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.store.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        lock(&self.stored).push(record.clone());
        self.store.compare_and_store(expected, record).await
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.store.compare_and_bury(expected).await
    }
}
