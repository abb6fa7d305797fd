//! The default store: this process's memory.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore, Version};
use crate::sync::{Mutex, lock};

/// Keeps the record in memory, for as long as a clone of the store lives.
///
/// Clones share one record, so two sessions of one program can share theirs.
///
/// ```
/// use tower_reauth::{MemoryStore, TokenStore};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new();
/// assert!(store.load().await?.is_none());
/// # Ok::<(), tower_reauth::StoreError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<Shared>);

#[derive(Default)]
struct Shared {
    record: Mutex<Kept>,
    /// Made when it is first taken.
    lease: OnceLock<Arc<tokio::sync::Mutex<()>>>,
}

#[derive(Default)]
struct Kept {
    stored: Option<Stored>,
    swaps: u64,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn swap(&self, expected: Expected, entry: Entry) -> Swap {
        let mut kept = lock(&self.0.record);
        if !expected.admits(kept.stored.as_ref().map(|stored| stored.version)) {
            return Swap::Moved;
        }
        kept.swaps += 1;
        let version = Version::new(kept.swaps);
        kept.stored = Some(Stored { entry, version });
        Swap::Done(version)
    }
}

impl TokenStore for MemoryStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(lock(&self.0.record).stored.clone())
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let lease = self.0.lease.get_or_init(Arc::default).clone();
        Ok(Lease::new(lease.lock_owned().await))
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        Ok(self.swap(expected, Entry::Live(record)))
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        Ok(self.swap(expected, Entry::Tombstone))
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryStore")
    }
}
