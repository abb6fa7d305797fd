//! Where tokens are kept between runs and shared between processes: one record, and the right to refresh it.

mod document;
mod error;
mod file;
#[cfg(feature = "keyring")]
mod keyring;
mod memory;
mod record;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sealed")]
mod sealed;

use std::{any::Any, fmt, future::Future, pin::Pin};

#[cfg(feature = "keyring")]
pub use self::keyring::{Keyring, KeyringError, KeyringStore};
#[cfg(feature = "redis")]
pub use self::redis::RedisStore;
#[cfg(feature = "sealed")]
pub use self::sealed::{InvalidSealingKey, Sealed, SealingAlgorithm, SealingKey, UnsealError};
pub use self::{
    error::StoreError,
    file::FileStore,
    memory::MemoryStore,
    record::{Entry, Record, Stored, Version},
};

/// Keeps one record: the newest tokens of one session, or the tombstone of a session that is over.
///
/// Two kinds of exclusion, apart from each other. The *lease* is the right to refresh, held while a
/// token request is on its way. Each *swap* is a short atomic section of its own, so a login or a logout
/// never waits for somebody's refresh. Nothing ever deletes a record: it is buried, so that whoever
/// comes later can tell *logged out* from *never there* and from *lost*.
///
/// A session calls the store from its own tasks, and bounds each call in time. A call may be dropped at
/// any await; a swap then has happened or not, never by half.
///
/// The contract that every store keeps is a suite that any store can run:
/// `testing::store_contract`, with feature `test-util`.
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use tower_reauth::{
///     Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore, Version,
/// };
///
/// /// In memory. With a database, this is a row, and each swap a transaction.
/// #[derive(Clone, Default)]
/// struct Row {
///     now: Arc<Mutex<(Option<Stored>, u64)>>,
///     refreshing: Arc<tokio::sync::Mutex<()>>,
/// }
///
/// impl Row {
///     fn swap(&self, expected: Expected, entry: Entry) -> Result<Swap, StoreError> {
///         let mut now = self.now.lock().map_err(|_| StoreError::unavailable())?;
///         let (stored, swaps) = &mut *now;
///         if !expected.admits(stored.as_ref().map(|stored| stored.version)) {
///             return Ok(Swap::Moved);
///         }
///         *swaps += 1;
///         let version = Version::new(*swaps);
///         *stored = Some(Stored { entry, version });
///         Ok(Swap::Done(version))
///     }
/// }
///
/// impl TokenStore for Row {
///     async fn load(&self) -> Result<Option<Stored>, StoreError> {
///         let now = self.now.lock().map_err(|_| StoreError::unavailable())?;
///         Ok(now.0.clone())
///     }
///
///     async fn lease(&self) -> Result<Lease, StoreError> {
///         Ok(Lease::new(self.refreshing.clone().lock_owned().await))
///     }
///
///     async fn compare_and_store(
///         &self,
///         expected: Expected,
///         record: Record,
///     ) -> Result<Swap, StoreError> {
///         self.swap(expected, Entry::Live(record))
///     }
///
///     async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
///         self.swap(expected, Entry::Tombstone)
///     }
/// }
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # tower_reauth::testing::store_contract(|| async {
/// #     let row = Row::default();
/// #     (row.clone(), row)
/// # })
/// # .await;
/// # }
/// ```
pub trait TokenStore: Send + Sync + 'static {
    /// The record as it is now. `None`: there never was one, or it is lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if that cannot be told. Not being able to look is never `None`.
    fn load(&self) -> impl Future<Output = Result<Option<Stored>, StoreError>> + Send;

    /// Wait for the right to refresh, and hold it until the [`Lease`] is dropped.
    ///
    /// Only one lease is out at a time, across all that share the store. A holder that vanishes loses it.
    /// Where one that merely stops can lose it too, the lease says so by [`Lease::held_while`]. A call that
    /// is dropped while it waits leaves nothing behind.
    ///
    /// # Errors
    ///
    /// [`StoreError::busy`] if the store's own patience ends while another holds it;
    /// [`StoreError::unavailable`] if it cannot be told who does.
    fn lease(&self) -> impl Future<Output = Result<Lease, StoreError>> + Send;

    /// Store `record` if what is there now is as `expected`, and say which version it became.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it was not stored, or nobody knows whether it was: the old record is there or the
    /// new one, whole.
    fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// Put a tombstone in place of the record if what is there now is as `expected`.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if it was not buried, or nobody knows whether it was: the old record is there, whole,
    /// or the tombstone.
    fn compare_and_bury(
        &self,
        expected: Expected,
    ) -> impl Future<Output = Result<Swap, StoreError>> + Send;

    /// Wait until what this handle still does in the background is done: a lease that was dropped is given
    /// back. A session that is closed asks for it last, so that a program may end then.
    ///
    /// A store that wraps another one passes it on. Default: nothing is done in the background.
    fn settle(&self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }
}

/// What must be in the store for a swap to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there: a login or a logout.
    Any,
    /// Nothing: a seed.
    Absent,
    /// The record or tombstone of this version, or nothing, since a store that was emptied has lost
    /// the record and did not end the session.
    Version(Version),
}

impl Expected {
    /// Whether `present`, the version of what is there now, is as expected.
    ///
    /// For implementers, so that all stores judge alike.
    #[must_use]
    pub fn admits(self, present: Option<Version>) -> bool {
        match (self, present) {
            (Self::Any, _) | (Self::Absent | Self::Version(_), None) => true,
            (Self::Absent, Some(_)) => false,
            (Self::Version(expected), Some(present)) => expected == present,
        }
    }
}

/// How a swap went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a swap may not have happened"]
pub enum Swap {
    /// It happened; this is the version of what is there now.
    Done(Version),
    /// Something else is there; nothing was changed.
    Moved,
}

/// The right to refresh, given back on drop.
///
/// ```
/// use tower_reauth::Lease;
///
/// let mutex = std::sync::Arc::new(tokio::sync::Mutex::new(()));
/// let lease = Lease::new(mutex.clone().try_lock_owned().expect("nobody else holds it"));
/// assert!(mutex.try_lock().is_err());
/// drop(lease);
/// assert!(mutex.try_lock().is_ok());
/// ```
#[must_use = "dropping a lease gives it back"]
pub struct Lease {
    _guard: Box<dyn Any + Send>,
    held: Option<Box<dyn Fn() -> bool + Send>>,
}

impl Lease {
    /// A lease that ends when `guard` is dropped.
    pub fn new(guard: impl Send + 'static) -> Self {
        Self { _guard: Box::new(guard), held: None }
    }

    /// For a lease that runs out: `held` says whether that has not happened yet. It is asked right before
    /// a refresh token is sent, and must compare and not wait. A process that was stopped for longer than
    /// its lease finds out so, and reads the record again in place of spending what it had read.
    ///
    /// Default: it is held until it is dropped.
    pub fn held_while(mut self, held: impl Fn() -> bool + Send + 'static) -> Self {
        self.held = Some(Box::new(held));
        self
    }

    pub(crate) fn is_held(&self) -> bool {
        self.held.as_ref().is_none_or(|held| held())
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lease")
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// [`TokenStore`] behind a pointer, so that a session has no type parameter. The program's code runs when
/// the future is polled, not before.
pub(crate) trait DynStore: Send + Sync {
    fn load(&self) -> BoxFuture<'_, Option<Stored>>;
    fn lease(&self) -> BoxFuture<'_, Lease>;
    fn compare_and_store(&self, expected: Expected, record: Record) -> BoxFuture<'_, Swap>;
    fn compare_and_bury(&self, expected: Expected) -> BoxFuture<'_, Swap>;
    fn settle(&self) -> BoxFuture<'_, ()>;
}

impl<S: TokenStore> DynStore for S {
    fn load(&self) -> BoxFuture<'_, Option<Stored>> {
        Box::pin(async move { TokenStore::load(self).await })
    }

    fn lease(&self) -> BoxFuture<'_, Lease> {
        Box::pin(async move { TokenStore::lease(self).await })
    }

    fn compare_and_store(&self, expected: Expected, record: Record) -> BoxFuture<'_, Swap> {
        Box::pin(async move { TokenStore::compare_and_store(self, expected, record).await })
    }

    fn compare_and_bury(&self, expected: Expected) -> BoxFuture<'_, Swap> {
        Box::pin(async move { TokenStore::compare_and_bury(self, expected).await })
    }

    fn settle(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            TokenStore::settle(self).await;
            Ok(())
        })
    }
}
