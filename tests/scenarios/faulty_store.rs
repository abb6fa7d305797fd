//! A store that fails, dawdles, loses its record and counts, as told. Clones are one store, so two
//! sessions with a clone each stand for two processes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tower_reauth::{Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore, Version};

/// What a store is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Load,
    Lease,
    /// A record that says that its refresh token is being spent.
    Mark,
    /// Any other record.
    Save,
    Bury,
    Settle,
}

#[derive(Clone, Default)]
pub(crate) struct FaultyStore(Arc<Inner>);

#[derive(Default)]
struct Inner {
    state: Mutex<State>,
    lease: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    stored: Option<Stored>,
    swaps: u64,
    failures: HashMap<Op, usize>,
    delays: HashMap<Op, Duration>,
    late: HashMap<Op, Duration>,
    calls: HashMap<Op, usize>,
    held: VecDeque<Held>,
}

/// Whether a lease is still held, asked time and again.
type Held = Box<dyn FnMut() -> bool + Send>;

impl FaultyStore {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Fail the next `times` calls of this kind; `usize::MAX` lasts until [`recover`](Self::recover).
    pub(crate) fn fail(&self, op: Op, times: usize) {
        self.state().failures.insert(op, times);
    }

    pub(crate) fn recover(&self) {
        self.state().failures.clear();
    }

    /// Answer calls of this kind so much later; what they do they do at the end.
    pub(crate) fn delay(&self, op: Op, delay: Duration) {
        self.state().delays.insert(op, delay);
    }

    /// Do what calls of this kind ask for at once, and answer so much later.
    pub(crate) fn answer_late(&self, op: Op, delay: Duration) {
        self.state().late.insert(op, delay);
    }

    /// Whoever holds the next lease asks this whether it still does.
    pub(crate) fn next_lease(&self, held: impl FnMut() -> bool + Send + 'static) {
        self.state().held.push_back(Box::new(held));
    }

    pub(crate) fn calls(&self, op: Op) -> usize {
        self.state().calls.get(&op).copied().unwrap_or(0)
    }

    /// As a server that was restarted empty. Versions go on from where they were.
    pub(crate) fn lose(&self) {
        self.state().stored = None;
    }

    /// Put a record or a tombstone there, as another process might.
    pub(crate) fn put(&self, entry: Entry) {
        let mut state = self.state();
        state.swaps += 1;
        state.stored = Some(Stored { entry, version: Version::new(state.swaps) });
    }

    pub(crate) fn entry(&self) -> Option<Entry> {
        Some(self.state().stored.as_ref()?.entry.clone())
    }

    pub(crate) fn record(&self) -> Option<Record> {
        match self.entry() {
            Some(Entry::Live(record)) => Some(record),
            Some(Entry::Tombstone) | None => None,
        }
    }

    pub(crate) fn is_buried(&self) -> bool {
        self.entry() == Some(Entry::Tombstone)
    }

    /// The refresh token in the store.
    pub(crate) fn refresh(&self) -> Option<String> {
        Some(self.record()?.tokens().refresh()?.expose_secret().to_owned())
    }

    async fn begin(&self, op: Op) -> Result<(), StoreError> {
        let delay = {
            let mut state = self.state();
            *state.calls.entry(op).or_default() += 1;
            state.delays.get(&op).copied()
        };
        if let Some(delay) = delay {
            tokio::time::sleep(delay).await;
        }
        match self.state().failures.get_mut(&op) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err(StoreError::unavailable())
            }
            _ => Ok(()),
        }
    }

    fn swap(&self, expected: Expected, entry: Entry) -> Swap {
        let mut state = self.state();
        if !expected.admits(state.stored.as_ref().map(|stored| stored.version)) {
            return Swap::Moved;
        }
        state.swaps += 1;
        let version = Version::new(state.swaps);
        state.stored = Some(Stored { entry, version });
        Swap::Done(version)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }
}

impl TokenStore for FaultyStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.begin(Op::Load).await?;
        Ok(self.state().stored.clone())
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.begin(Op::Lease).await?;
        let lease = Lease::new(self.0.lease.clone().lock_owned().await);
        let Some(held) = self.state().held.pop_front() else { return Ok(lease) };
        let held = Mutex::new(held);
        Ok(lease.held_while(move || held.lock().unwrap()()))
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        let op = if record.spent_since().is_some() { Op::Mark } else { Op::Save };
        self.begin(op).await?;
        let swap = self.swap(expected, Entry::Live(record));
        let late = self.state().late.get(&op).copied();
        if let Some(late) = late {
            tokio::time::sleep(late).await;
        }
        Ok(swap)
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.begin(Op::Bury).await?;
        Ok(self.swap(expected, Entry::Tombstone))
    }
    async fn settle(&self) {
        // It says nothing of what failed.
        let _ = self.begin(Op::Settle).await;
    }
}
