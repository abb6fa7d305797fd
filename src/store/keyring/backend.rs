//! The storage of each operating system, by its own crate: the process-wide default of `keyring-core` is
//! left alone.

use keyring_core::{Entry, api::CredentialStoreApi};

use super::error::KeyringError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// What the operating system has for secrets.
    Native,
    #[cfg(target_os = "linux")]
    Keyutils,
}

impl Backend {
    /// The place of one secret. It may block for long.
    pub(super) fn open(self, service: &str, user: &str) -> Result<Entry, KeyringError> {
        match self {
            Self::Native => native(service, user).map_err(KeyringError::from),
            #[cfg(target_os = "linux")]
            Self::Keyutils => keyutils(service, user),
        }
    }

    /// So many bytes are kept at most.
    pub(super) fn limit(self) -> usize {
        match self {
            // `CRED_MAX_CREDENTIAL_BLOB_SIZE`.
            Self::Native if cfg!(windows) => 2560,
            Self::Native => usize::MAX,
            // The payload of a key of the type `user`: user-keyring(7) has no more than a short integer
            // for it.
            #[cfg(target_os = "linux")]
            Self::Keyutils => 32_767,
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "freebsd"))]
fn native(service: &str, user: &str) -> keyring_core::Result<Entry> {
    zbus_secret_service_keyring_store::Store::new()?.build(service, user, None)
}

#[cfg(target_os = "macos")]
fn native(service: &str, user: &str) -> keyring_core::Result<Entry> {
    apple_native_keyring_store::keychain::Store::new()?.build(service, user, None)
}

#[cfg(windows)]
fn native(service: &str, user: &str) -> keyring_core::Result<Entry> {
    windows_native_keyring_store::Store::new()?.build(service, user, None)
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "macos", windows)))]
fn native(_: &str, _: &str) -> keyring_core::Result<Entry> {
    Err(keyring_core::Error::NotSupportedByStore(String::new()))
}

#[cfg(target_os = "linux")]
fn keyutils(service: &str, user: &str) -> Result<Entry, KeyringError> {
    use super::error::Flaw;
    use linux_keyutils_keyring_store::{Cred, Store};

    let entry = Store::new()?.build(service, user, None)?;
    let credential = entry.as_any().downcast_ref::<Cred>();
    // Without a session keyring the kernel shows the user's default one, where nothing can be written and
    // nothing is found; one that was revoked at the end of a session finds nothing either. Without a
    // persistent keyring each session would have a record of its own. None of that is an empty store.
    let is_shared = credential.is_some_and(|credential| {
        let session = credential.session.metadata();
        let of_its_own =
            session.is_ok_and(|session| !session.get_description().starts_with("_uid_ses."));
        of_its_own && credential.persistent.is_some()
    });
    if is_shared { Ok(entry) } else { Err(KeyringError(Flaw::NoSession)) }
}
