//! A store and a source that hang, fail or panic when told to.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tower_reauth::{
    Expected, Held, Lease, MemoryStore, Record, RefreshError, StoreError, Stored, Swap, TokenSet,
    TokenSource, TokenStore,
};

/// How one call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Obey,
    Fail,
    Hang,
    Slow(Duration),
    /// Before there is a future.
    PanicAtOnce,
    PanicWhenPolled,
    PanicAfterYield,
}

pub(crate) const PANICS: [Mood; 3] =
    [Mood::PanicAtOnce, Mood::PanicWhenPolled, Mood::PanicAfterYield];

/// How the next calls of one method go; those after them obey.
#[derive(Clone, Default)]
pub(crate) struct Moods(Arc<Mutex<VecDeque<Mood>>>);

struct Failed;

impl Moods {
    pub(crate) fn next(&self, moods: impl IntoIterator<Item = Mood>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(moods);
    }

    fn turn(&self) -> impl Future<Output = Result<(), Failed>> + Send + 'static {
        let mood = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        assert!(mood != Some(Mood::PanicAtOnce), "told to panic at once");
        async move {
            match mood {
                None | Some(Mood::Obey | Mood::PanicAtOnce) => Ok(()),
                Some(Mood::Fail) => Err(Failed),
                Some(Mood::Hang) => pending().await,
                Some(Mood::Slow(delay)) => {
                    tokio::time::sleep(delay).await;
                    Ok(())
                }
                Some(Mood::PanicWhenPolled) => panic!("told to panic when polled"),
                Some(Mood::PanicAfterYield) => {
                    tokio::task::yield_now().await;
                    panic!("told to panic after a yield")
                }
            }
        }
    }
}

/// A memory store.
#[derive(Clone, Default)]
pub(crate) struct UnrulyStore {
    pub(crate) memory: MemoryStore,
    pub(crate) load: Moods,
    pub(crate) lease: Moods,
    pub(crate) swap: Moods,
    pub(crate) bury: Moods,
}

impl TokenStore for UnrulyStore {
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send {
        let turn = self.load.turn();
        async {
            turn.await.map_err(unavailable)?;
            self.memory.load().await
        }
    }

    fn lease(&self) -> impl Future<Output = Result<Lease, StoreError>> + Send {
        let turn = self.lease.turn();
        async {
            turn.await.map_err(unavailable)?;
            self.memory.lease().await
        }
    }

    fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send {
        let turn = self.swap.turn();
        async move {
            turn.await.map_err(unavailable)?;
            self.memory.compare_and_store(expected, record).await
        }
    }

    fn compare_and_bury(
        &self,
        expected: Expected,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send {
        let turn = self.bury.turn();
        async move {
            turn.await.map_err(unavailable)?;
            self.memory.compare_and_bury(expected).await
        }
    }
}

fn unavailable(_: Failed) -> StoreError {
    StoreError::unavailable()
}

/// A source over another, which it asks when it obeys.
#[derive(Clone)]
pub(crate) struct UnrulySource<S> {
    inner: S,
    pub(crate) refresh: Moods,
    pub(crate) revoke: Moods,
    calls: Arc<Calls>,
}

#[derive(Default)]
struct Calls {
    all: AtomicUsize,
    running: AtomicUsize,
    most: AtomicUsize,
}

impl<S> UnrulySource<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, refresh: Moods::default(), revoke: Moods::default(), calls: Arc::default() }
    }

    /// How often it was asked for tokens.
    pub(crate) fn calls(&self) -> usize {
        self.calls.all.load(Ordering::SeqCst)
    }

    /// How many of those ran at one time, at most.
    pub(crate) fn most_at_once(&self) -> usize {
        self.calls.most.load(Ordering::SeqCst)
    }
}

impl<S: TokenSource> TokenSource for UnrulySource<S> {
    fn refresh(&self, held: Held) -> impl Future<Output = Result<TokenSet, RefreshError>> + Send {
        self.calls.all.fetch_add(1, Ordering::SeqCst);
        let turn = self.refresh.turn();
        async {
            let _running = Running::new(&self.calls);
            turn.await.map_err(|Failed| RefreshError::transient())?;
            self.inner.refresh(held).await
        }
    }

    fn revoke(&self, tokens: TokenSet) -> impl Future<Output = Result<(), RefreshError>> + Send {
        let turn = self.revoke.turn();
        async {
            turn.await.map_err(|Failed| RefreshError::transient())?;
            self.inner.revoke(tokens).await
        }
    }

    fn spends_refresh_token(&self) -> bool {
        self.inner.spends_refresh_token()
    }

    fn issuer(&self) -> Option<String> {
        self.inner.issuer()
    }
}

/// One call that runs, until it ends or is dropped.
struct Running<'a>(&'a Calls);

impl<'a> Running<'a> {
    fn new(calls: &'a Calls) -> Self {
        let running = calls.running.fetch_add(1, Ordering::SeqCst) + 1;
        calls.most.fetch_max(running, Ordering::SeqCst);
        Self(calls)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}
