//! Where in the secret storage something is kept, and for how long it is waited for.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use keyring_core::Error;
use zeroize::Zeroizing;

use super::{
    backend::Backend,
    calls::{Calls, GivenUp},
    error::{Flaw, KeyringError},
};
use crate::{FileStore, Sealed, SealingKey, StoreError};

/// An entry in the operating system's secret storage.
///
/// | system | storage | how long it lasts |
/// |---|---|---|
/// | Linux, FreeBSD | Secret Service, over the session bus (GNOME Keyring, KWallet, KeePassXC) | until it is deleted |
/// | Linux, by [`keyutils`](Self::keyutils) | the kernel | until the next start, or some days without use |
/// | macOS | the user's Keychain | until it is deleted |
/// | Windows | Credential Manager | until it is deleted |
///
/// The tests of this crate run against GNOME Keyring and the kernel. What is particular to macOS and Windows
/// is one line each, which is compiled there and was not run.
///
/// ```
/// use std::time::Duration;
/// use tower_reauth::Keyring;
///
/// let keyring = Keyring::new("my-app", "alice").time_limit(Duration::from_secs(30));
/// ```
#[derive(Clone)]
pub struct Keyring {
    service: Arc<str>,
    user: Arc<str>,
    backend: Backend,
    limit: Duration,
}

impl Keyring {
    /// The entry of `user` for `service`, by which names the storage's own program shows it. Nothing is
    /// looked for before it is used.
    #[must_use]
    pub fn new(service: impl AsRef<str>, user: impl AsRef<str>) -> Self {
        Self {
            service: service.as_ref().into(),
            user: user.as_ref().into(),
            backend: Backend::Native,
            limit: Duration::from_secs(4),
        }
    }

    /// Keep it in the kernel: for machines without a desktop.
    ///
    /// It needs a session keyring, as a login by PAM gives one, `keyctl session`, or a systemd service,
    /// and a kernel with persistent keyrings. Whatever reaches the user's persistent keyring shares the
    /// entry. Nothing of it is on a disk, so it is gone after the next start, or when nobody asked for it
    /// for `kernel.keys.persistent_keyring_expiry` (3 days): then a login is needed. A user who is not
    /// root may keep 20,000 bytes in all, and containers often forbid it altogether.
    ///
    /// Default: the Secret Service.
    #[cfg(target_os = "linux")]
    #[cfg_attr(docsrs, doc(cfg(target_os = "linux")))]
    #[must_use]
    pub fn keyutils(mut self) -> Self {
        self.backend = Backend::Keyutils;
        self
    }

    /// How long a call may take, with its wait for the call before it. The storage may have to ask the
    /// user; what takes longer is [`unavailable`](StoreError::is_unavailable), and works
    /// again once the user has answered. A session waits 5 s for its store at most, and does not learn
    /// the reason of what takes as long.
    ///
    /// Default: 4 s.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// A file for records of any length, sealed by a key that is kept in this entry.
    ///
    /// The key is made once and stays; a file whose key was lost does not open, until a login writes
    /// over it. The storage is asked here and not again, so with a keyring that the user must unlock
    /// a longer [time limit](Self::time_limit) is no harm. See [`Sealed`] for what is promised, and
    /// [`FileStore`] for what is beside the file.
    ///
    /// ```no_run
    /// use tower_reauth::Keyring;
    ///
    /// # async fn open() -> Result<(), tower_reauth::StoreError> {
    /// let store = Keyring::new("my-app", "alice").sealed_file("/home/alice/.my-app/session").await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] if the storage cannot be used ([`KeyringError`]) or the path names no
    /// file; [`StoreError::corrupt`] if the entry holds something else than such a key.
    ///
    /// # Cancellation
    ///
    /// Dropped on its way, it has made the key or not; the next call finds it or makes it.
    pub async fn sealed_file(
        &self,
        path: impl AsRef<Path>,
    ) -> Result<Sealed<FileStore>, StoreError> {
        let file = FileStore::open(path)?;
        // One process makes the key, and others find it.
        let section = file.enter().await?;
        let place = self.clone();
        let calls = self.calls();
        let making = calls.run(move |given_up| {
            let _section = section;
            place.sealing_key(given_up)
        });
        let key = making.await?;
        Ok(Sealed::new(file, key, format!("{}\n{}", self.service, self.user)))
    }

    pub(super) fn calls(&self) -> Calls {
        Calls::new(self.limit)
    }

    fn sealing_key(&self, given_up: GivenUp<'_>) -> Result<SealingKey, KeyringError> {
        let entry = self.open()?;
        if let Some(text) = entry.read()? {
            return SealingKey::from_text(&text).ok_or(KeyringError(Flaw::NoSealingKey));
        }
        let key = SealingKey::random().ok_or(KeyringError(Flaw::Unreachable))?;
        if given_up() {
            return Err(KeyringError(Flaw::Dropped));
        }
        entry.write(&key.text())?;
        Ok(key)
    }

    /// It may block for long, and so may all that is done with the entry.
    pub(super) fn open(&self) -> Result<Place, KeyringError> {
        let entry = self.backend.open(&self.service, &self.user)?;
        Ok(Place { entry, limit: self.backend.limit() })
    }
}

impl fmt::Debug for Keyring {
    /// Without the names, which may say who somebody is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("backend", &self.backend).finish_non_exhaustive()
    }
}

/// An entry that was reached.
pub(super) struct Place {
    entry: keyring_core::Entry,
    limit: usize,
}

impl Place {
    /// `None` only if the storage said that there is none.
    pub(super) fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, KeyringError> {
        match self.entry.get_secret() {
            Ok(text) => Ok(Some(Zeroizing::new(text))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The kernel replaces an entry in place only where it was read before: what another session wrote
    /// would else stay beside it, and be found by that session for ever.
    pub(super) fn write(&self, text: &[u8]) -> Result<(), KeyringError> {
        if text.len() > self.limit {
            return Err(KeyringError(Flaw::TooLong));
        }
        self.entry.set_secret(text).map_err(KeyringError::from)
    }
}
