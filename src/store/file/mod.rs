//! One record in a file, shared by the processes of one machine.

mod blocking;
mod disk;
mod failure;
mod fault;
mod leftover;
mod locks;

use std::{
    fmt, io,
    path::{Path, PathBuf, absolute},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

#[cfg(feature = "keyring")]
pub(super) use self::blocking::has_runtime;
use self::{disk::Disk, failure::failed, locks::Locks};
use super::{Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore, Version};
use crate::unique;

/// Keeps the record in a file, and shares it between all processes that open the same one.
///
/// One refresh serves them all: a session holds the store's lease while it refreshes, and those that
/// waited for it adopt what it saved. A holder that is killed, at whatever point, leaves nothing behind:
/// the operating system takes its locks back. One that is stopped keeps them, and the others are told
/// [`busy`](StoreError::is_busy) after their [`patience`](Self::patience); its refresh token may be on
/// its way, so nobody takes it for gone.
///
/// What no client can help is a process killed between sending a refresh token and writing the answer
/// down, a few milliseconds. Once it is written down, even if it was not flushed or renamed yet, the next
/// process finds it. Otherwise that one sends the same refresh token again, as
/// [`AmbiguousPolicy`](crate::AmbiguousPolicy) says.
///
/// ```
/// use tower_reauth::{FileStore, Session, TokenStore};
/// # use tower_reauth::{RefreshTokenGrant, testing::AuthorizationServer};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("my-app/session.json");
/// # let authorization = AuthorizationServer::new();
/// # let grant = RefreshTokenGrant::new("https://auth.example.com/token", "my-app", authorization.clone())?;
/// let store = FileStore::open(&path)?; // in every process that shares the session
/// let session = Session::builder(grant)
///     .store(store.clone())
///     .origin("https://api.example.com")
///     .build()?;
/// # session.login(authorization.login()).await?;
/// assert!(store.load().await?.is_some());
/// # Ok(()) }
/// ```
///
/// # What is on the disk
///
/// For the path `session.json` and in its folder, which should be the program's own:
///
/// | name | what it is |
/// |---|---|
/// | `session.json` | the record or tombstone, as JSON; only its owner may read it (0600) |
/// | `session.json.lease`, `session.json.lock` | two empty files to lock: the right to refresh, and the short section in which the record is replaced. Leave them: a process that waits holds on to the file, not to its name |
/// | `session.json.new-…` | a record on its way. If its process is killed, the next lease or swap puts it in place, or removes it if it is not whole |
/// | `session.json.kept-…` | what was no record and stood in the way of a login |
///
/// Folders that are missing are created for the owner alone (0700), those that exist are left as they are.
/// On Windows files and folders inherit the rights of the folder above, which in a user's profile are
/// the user's own.
///
/// The record is replaced as a whole: written to a new file, flushed, renamed over the old one, and the
/// folder flushed too. Who reads, without any lock, finds the old record or the new one. Members of the JSON
/// that this version does not know are kept.
///
/// A symbolic link in place of the file is not followed, neither to be read nor to be written: a rename would
/// replace the link, and part those who come by it from those who do not. Name the file itself;
/// links to a folder are fine.
///
/// The file system must know `flock`, or its counterpart on Windows: local ones do. On one that does not
/// every lease and swap is [`unavailable`](StoreError::is_unavailable).
///
/// # What is no record
///
/// A file that is something else, damaged, or of a later format is an error that
/// [`is_corrupt`](StoreError::is_corrupt), and never overwritten. A login, and whatever else expects
/// [`Any`](Expected::Any)thing, moves it aside to a name of its own. Only a record of a *later* format stays
/// where it is even then: another program on this machine was updated, and can read it. A session's logout
/// buries the record that it has read, so it fails here, and leaves the file alone.
///
/// # Cancellation, threads, runtimes
///
/// Files are read and written by short pieces of work on tokio's threads for blocking work; waits for a
/// lock are timers of up to 50 ms, so no thread waits for another process. A swap that is dropped has
/// happened or not; one that is on its way when the runtime ends is finished, but for a login's or a
/// logout's, which must not come late. Without a tokio runtime the work is done by the thread that polls,
/// and a lease that somebody else has is `busy` at once.
#[derive(Clone)]
pub struct FileStore {
    disk: Arc<Disk>,
    locks: Locks,
    patience: Duration,
}

impl FileStore {
    /// The record at `path`, which need not exist. Nothing is read, and nothing created before the
    /// first lease or swap. A relative path is taken from the current folder of now.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] if the path names no file, or the current folder cannot be told.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = named(path.as_ref())?;
        let locks = Locks::beside(&path);
        Ok(Self { disk: Arc::new(Disk::new(path)), locks, patience: Duration::from_secs(20) })
    }

    /// How long a lease is waited for while another process has it.
    ///
    /// A refresh that waits longer ends with [`StoreError::busy`] and a cool-down. It begins anew with the
    /// next request. Requests wait for a refresh as long as the
    /// [session's patience](crate::SessionBuilder::patience), which is 10 s by default; a
    /// refresh keeps at least half of its own limit, 30 s of 60 s, for the answer, so more
    /// than the other half has no effect.
    ///
    /// Default: 20 s.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Wait for the section in which the record is replaced.
    #[cfg(feature = "keyring")]
    pub(super) async fn enter(&self) -> Result<locks::Held, StoreError> {
        self.locks.enter().await
    }

    async fn swap(&self, expected: Expected, entry: Entry) -> Result<Swap, StoreError> {
        let disk = self.disk.clone();
        let dropped = Dropped::default();
        let is_late = dropped.makes_late(expected);
        let work = move || {
            let stored = Stored { entry, version: Version::new(unique::number()) };
            disk.swap(expected, stored, is_late)
        };
        self.locks.section(work).await
    }
}

impl TokenStore for FileStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let disk = self.disk.clone();
        blocking::run(move || disk.load()).await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let lease = self.locks.lease(self.patience).await?;
        // Who had it before may have been killed with an answer written down: it must not be asked for again.
        let disk = self.disk.clone();
        let work = move || if disk.has_leftovers() { Ok(Some(disk)) } else { Ok(None) };
        if let Some(disk) = blocking::run(work).await? {
            self.locks.section(move || disk.recover()).await?;
        }
        Ok(lease)
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

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("path", &self.disk.path()).finish_non_exhaustive()
    }
}

/// The path, from the root on.
fn named(path: &Path) -> Result<PathBuf, StoreError> {
    let reason = match absolute(path) {
        Ok(whole) => match (whole.parent(), whole.file_name()) {
            // Without a slash at its end.
            (Some(folder), Some(name)) => return Ok(folder.join(name)),
            _ => io::ErrorKind::InvalidInput.into(),
        },
        Err(reason) => reason,
    };
    Err(failed("use", path)(reason))
}

/// Tells the work of a call that the call was dropped.
#[derive(Default)]
struct Dropped(Arc<AtomicBool>);

impl Dropped {
    /// Whether it is too late for a swap. By version a late one is harmless, and what a refresh brought is
    /// saved even if its runtime ends. A login that came after a later logout would undo it.
    fn makes_late(&self, expected: Expected) -> impl Fn() -> bool + Send + 'static {
        let dropped = self.0.clone();
        move || expected == Expected::Any && dropped.load(Ordering::Acquire)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[cfg(all(test, unix))]
mod tests;
