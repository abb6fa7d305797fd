//! A store whose record only the holders of a key can read.

mod error;
#[cfg(feature = "keyring")]
mod kept;
mod key;
mod text;

use std::{fmt, iter};

pub use self::{
    error::UnsealError,
    key::{InvalidSealingKey, SealingAlgorithm, SealingKey},
};
use super::{Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore};

/// Encrypts the record of any [`TokenStore`]: what the inner store keeps can be read and made by the
/// holders of the key only.
///
/// ```
/// use tower_reauth::{MemoryStore, Sealed, SealingKey};
///
/// # let (secret, previous_secret) = ([7; 32], [8; 32]);
/// let key = SealingKey::from_bytes("2026-11", secret)?;
/// let previous = SealingKey::from_bytes("2026-05", previous_secret)?;
/// let store = Sealed::new(MemoryStore::new(), key, "my-app/alice").also_opens(previous);
/// # Ok::<(), tower_reauth::InvalidSealingKey>(())
/// ```
///
/// Everything in a record is sealed: tokens, scope, expiry, issuer, account and mark, under a fresh
/// random nonce each time. The name that the store was given and the key's id are bound to it: a record
/// that is copied under another name does not open. A record that does not open is an error
/// ([`StoreError::is_corrupt`], with an [`UnsealError`] as its source), never an empty store, and is left
/// as it is until a login writes over it. A session's logout buries the record that it has read, so it
/// fails there. A record that was not sealed is no exception.
///
/// A session that opens the inner store without its key finds a record of another issuer: it asks for a
/// login, and sends nothing of it anywhere.
///
/// # Another key
///
/// Give all processes the new key by [`also_opens`](Self::also_opens); then make it the one that seals,
/// with the old one by `also_opens`; once the record has been written anew (each refresh does that), drop the
/// old one. Sealing at once would shut out processes that do not have the new key yet.
///
/// # What it does not do
///
/// - Whoever can write to the inner store can put back a record that was sealed before, or take it away.
/// - Tombstones are the inner store's own and are not sealed: whoever can write there can log a session out.
/// - The length of a record can be seen, and so can the key's id, when it is written, and the mark of a
///   refresh that is under way.
/// - It keeps nothing from who can read this process's memory, or the key where it is kept.
/// - A record takes an access token's place in the inner store. One that keeps no access tokens, as
///   `KeyringStore` does, opens in the process alone that wrote it: `Keyring::sealed_file` is for both.
///
/// # Cost
///
/// Each load opens once, which takes some microseconds. A swap that expects a version reads first what it
/// would replace, so that nothing but a login or a logout writes over a record that does not open.
pub struct Sealed<S> {
    inner: S,
    key: SealingKey,
    /// They open and do not seal.
    older: Vec<SealingKey>,
    name: Box<str>,
}

impl<S> Sealed<S> {
    /// Seal what `inner` keeps by `key`. `name` tells this record from all others that share the key: which
    /// program, which account. It is no secret, and must stay the same.
    #[must_use]
    pub fn new(inner: S, key: SealingKey, name: impl Into<String>) -> Self {
        Self { inner, key, older: Vec::new(), name: name.into().into_boxed_str() }
    }

    /// Open what this key sealed too. The next write seals it by the key of [`new`](Self::new).
    ///
    /// Default: no other key.
    #[must_use]
    pub fn also_opens(mut self, key: SealingKey) -> Self {
        self.older.push(key);
        self
    }

    fn open(&self, record: &Record) -> Result<Record, UnsealError> {
        let keys = iter::once(&self.key).chain(&self.older);
        text::open(keys, &self.name, record)
    }
}

impl<S: TokenStore> Sealed<S> {
    /// Only a login or a logout writes over what does not open.
    async fn check(&self, expected: Expected) -> Result<(), StoreError> {
        if let Expected::Version(_) = expected {
            self.load().await?;
        }
        Ok(())
    }
}

impl<S: TokenStore> TokenStore for Sealed<S> {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let Some(Stored { entry, version }) = self.inner.load().await? else { return Ok(None) };
        let entry = match entry {
            Entry::Live(record) => Entry::Live(self.open(&record)?),
            Entry::Tombstone => Entry::Tombstone,
        };
        Ok(Some(Stored { entry, version }))
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.inner.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        self.check(expected).await?;
        let sealed = text::seal(&self.key, &self.name, record)?;
        self.inner.compare_and_store(expected, sealed).await
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.check(expected).await?;
        self.inner.compare_and_bury(expected).await
    }

    async fn settle(&self) {
        self.inner.settle().await;
    }
}

impl<S> fmt::Debug for Sealed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").finish_non_exhaustive()
    }
}
