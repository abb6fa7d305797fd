//! The operating system's secret storage, for the part of a record that fits.

mod backend;
mod calls;
mod error;
mod place;

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use self::{
    calls::{Calls, GivenUp},
    error::Flaw,
};
pub use self::{error::KeyringError, place::Keyring};
use super::{
    Entry, Expected, FileStore, Lease, Record, StoreError, Stored, Swap, TokenStore, Version,
    document::{Document, Unreadable},
};
use crate::{
    AccessToken, TokenSet,
    sync::{Mutex, lock},
    unique,
};

/// Keeps the record in the operating system's secret storage, without its access token.
///
/// Such storages are made for passwords, and some admit no more than 2,560 bytes (Windows), which an
/// access token with many claims may exceed alone. So the access token stays in the memory of the process
/// that got it: a record that another process wrote loads with an access token that has expired. Each
/// process therefore refreshes once when it starts, and once in each lifetime, and each spends the newest
/// refresh token. A server that revokes the access token before with each refresh makes processes that
/// run side by side refresh for each other's sake time and again. If that is not what you want, or a
/// refresh token is long too, keep the record in a file that is sealed by a key in the secret storage:
/// [`Keyring::sealed_file`].
///
/// ```no_run
/// use tower_reauth::{Keyring, KeyringStore};
///
/// let keyring = Keyring::new("my-app", "alice");
/// let store = KeyringStore::open(keyring, "/home/alice/.my-app/session")?;
/// # Ok::<(), tower_reauth::StoreError>(())
/// ```
///
/// Secret storages know neither leases nor a compare-and-swap, so processes take turns by two empty
/// files, which are locked as those of a [`FileStore`] of the same path: `session.lease` and
/// `session.lock`. All processes that share the entry must name the same path.
///
/// # Unavailable is never empty
///
/// A storage that is locked, that cannot be reached or does not answer in time is
/// [`unavailable`](StoreError::is_unavailable), with a [`KeyringError`] as the source: nothing is sent and
/// nobody is logged out. Only where it says that there is no such entry, there is none.
///
/// What is there and is no record is [`corrupt`](StoreError::is_corrupt). A login writes over a damaged
/// record, and never over a later version's or what another program put there. A session's logout buries
/// the record that it has read, so it fails here, and leaves the entry alone.
///
/// # Threads and cancellation
///
/// Each call is made on a thread of its own, since it may wait for the user; there is one at most for a
/// store and its clones, and none between calls. It ends with its call. Neither a runtime nor the end of
/// the program waits for it. A swap that is dropped or timed out has happened, will happen before any
/// other, or will not happen; a login or a logout that is found to be given up writes nothing. Without a
/// tokio runtime there is no time limit.
#[derive(Clone)]
pub struct KeyringStore {
    keyring: Keyring,
    /// For its two locks. There is no record in it.
    file: FileStore,
    calls: Calls,
    held: Arc<Held>,
}

/// The access token of the record that this process wrote.
#[derive(Default)]
struct Held(Mutex<Option<(Version, TokenSet)>>);

impl KeyringStore {
    /// The record in `keyring`, with its two locks beside `path`. Nothing is looked for and no file
    /// created before the first call.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] if the path names no file, or the current folder cannot be told.
    pub fn open(keyring: Keyring, path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let file = FileStore::open(path)?;
        Ok(Self { calls: keyring.calls(), keyring, file, held: Arc::default() })
    }

    /// How long a lease is waited for while another process has it, as
    /// [that of a `FileStore`](FileStore::patience).
    ///
    /// Default: 20 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.file = self.file.patience(patience);
        self
    }

    async fn swap(&self, expected: Expected, entry: Entry) -> Result<Swap, StoreError> {
        // It is left when the work has ended, not when this is dropped: a write that comes late still
        // comes before any other.
        let section = self.file.enter().await?;
        let (keyring, held) = (self.keyring.clone(), self.held.clone());
        let swap = self.calls.run(move |given_up| {
            let _section = section;
            swap(&keyring, &held, expected, entry, given_up)
        });
        swap.await
    }
}

fn load(keyring: &Keyring, held: &Held) -> Result<Option<Stored>, StoreError> {
    let Some(text) = keyring.open()?.read()? else { return Ok(None) };
    let Stored { entry, version } = Document::read(&text)?.stored;
    let entry = match entry {
        Entry::Live(record) => Entry::Live(record.with_access_of(&held.access(version))),
        Entry::Tombstone => Entry::Tombstone,
    };
    Ok(Some(Stored { entry, version }))
}

fn swap(
    keyring: &Keyring,
    held: &Held,
    expected: Expected,
    entry: Entry,
    given_up: GivenUp<'_>,
) -> Result<Swap, StoreError> {
    let place = keyring.open()?;
    let present = match place.read()?.map(|text| Document::read(&text)) {
        Some(Err(Unreadable::Corrupt)) if expected == Expected::Any => None,
        Some(document) => Some(document?),
        None => None,
    };
    if !expected.admits(present.as_ref().map(|present| present.stored.version)) {
        return Ok(Swap::Moved);
    }
    let version = Version::new(unique::number());
    let (entry, own) = match entry {
        Entry::Live(record) => {
            let own = access_alone(record.tokens().access().clone(), record.expiry());
            let kept = access_alone(not_kept(), record.expiry());
            (Entry::Live(record.with_access_of(&kept)), Some((version, own)))
        }
        Entry::Tombstone => (Entry::Tombstone, None),
    };
    let stored = Stored { entry, version };
    let document = match present {
        Some(present) => present.succeeded_by(stored),
        None => Document::new(stored),
    };
    // By version a late swap is harmless. A login that came after a later logout would undo it.
    if expected == Expected::Any && given_up() {
        return Err(KeyringError(Flaw::Dropped).into());
    }
    place.write(&document.text())?;
    *lock(&held.0) = own;
    Ok(Swap::Done(version))
}

impl Held {
    /// The access token of this version and its expiry; of one that another process wrote, a text in its
    /// place that has expired.
    fn access(&self, version: Version) -> TokenSet {
        match &*lock(&self.0) {
            Some((own, tokens)) if *own == version => tokens.clone(),
            _ => access_alone(not_kept(), Some(UNIX_EPOCH)),
        }
    }
}

fn access_alone(access: AccessToken, expiry: Option<SystemTime>) -> TokenSet {
    let tokens = TokenSet::new(access);
    match expiry {
        Some(expiry) => tokens.expires_at(expiry),
        None => tokens,
    }
}

/// What stands for an access token.
fn not_kept() -> AccessToken {
    AccessToken::new("not-kept-in-the-keyring").expect("letters and hyphens are a b64token")
}

impl TokenStore for KeyringStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let (keyring, held) = (self.keyring.clone(), self.held.clone());
        self.calls.run(move |_| load(&keyring, &held)).await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.file.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        self.swap(expected, Entry::Live(record)).await
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.swap(expected, Entry::Tombstone).await
    }
}

impl fmt::Debug for KeyringStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyringStore").field("keyring", &self.keyring).finish_non_exhaustive()
    }
}
