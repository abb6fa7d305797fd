//! Why the secret storage did not answer.

use std::{error, fmt};

use keyring_core::Error;

use crate::StoreError;

/// Why the operating system's secret storage could not be used: the source of a [`StoreError`] of a
/// [`KeyringStore`](super::KeyringStore).
///
/// It says nothing of what is stored, nor what the storage said.
///
/// ```
/// use tower_reauth::{KeyringError, StoreError};
///
/// fn next_step(error: &StoreError) -> &'static str {
///     let source = std::error::Error::source(error);
///     match source.and_then(|source| source.downcast_ref::<KeyringError>()) {
///         Some(error) if error.is_locked() => "ask the user to unlock the keyring",
///         Some(error) if error.is_too_long() => "use a file whose key is in the keyring",
///         _ => "try again later",
///     }
/// }
/// # assert_eq!(next_step(&StoreError::busy()), "try again later");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyringError(pub(super) Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Unreachable,
    Locked,
    TimedOut,
    /// The call was given up before it wrote anything.
    Dropped,
    TooLong,
    Invalid,
    Ambiguous,
    #[cfg(target_os = "linux")]
    NoSession,
    Panicked,
    NoThread,
    NoSealingKey,
}

impl KeyringError {
    /// Nobody answers: there is no such storage here, or no session bus to reach it by.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self.0 {
            Flaw::Unreachable | Flaw::Panicked | Flaw::NoThread => true,
            #[cfg(target_os = "linux")]
            Flaw::NoSession => true,
            _ => false,
        }
    }

    /// It is locked, and the user did not unlock it; or this program may not have the entry.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.0 == Flaw::Locked
    }

    /// There was no answer within the [time limit](super::Keyring::time_limit). The storage may be
    /// waiting for the user.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self.0, Flaw::TimedOut | Flaw::Dropped)
    }

    /// The record is longer than the storage admits.
    #[must_use]
    pub fn is_too_long(&self) -> bool {
        self.0 == Flaw::TooLong
    }
}

/// Without what the storage said: some of these errors hold the secret itself. [`Error::NoEntry`] is
/// not for here.
impl From<Error> for KeyringError {
    fn from(error: Error) -> Self {
        Self(match error {
            Error::NoStorageAccess(_) => Flaw::Locked,
            Error::TooLong(..) => Flaw::TooLong,
            Error::Invalid(..) => Flaw::Invalid,
            Error::Ambiguous(_) => Flaw::Ambiguous,
            _ => Flaw::Unreachable,
        })
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::Unreachable => {
                "the secret storage cannot be reached; on Linux it needs a session bus and a Secret Service"
            }
            Flaw::Locked => "the secret storage is locked, or does not let this program in",
            Flaw::TimedOut => {
                "the secret storage did not answer in time; it may be waiting for the user to unlock it"
            }
            Flaw::Dropped => "the call was given up before anything was written",
            Flaw::TooLong => "the record is too long for the secret storage; keep it in a sealed file",
            Flaw::Invalid => "the secret storage does not admit this service or user name",
            Flaw::Ambiguous => "the secret storage has several entries of this name; remove them",
            #[cfg(target_os = "linux")]
            Flaw::NoSession => {
                "this process has no session keyring of its own, or the kernel no persistent ones; log in by PAM, or use `keyctl session`"
            }
            Flaw::Panicked => "the secret storage's client panicked; see the panic's own message",
            Flaw::NoThread => "no thread could be started for the secret storage",
            Flaw::NoSealingKey => "the secret storage holds something else in the place of the key",
        })
    }
}

impl error::Error for KeyringError {}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        let kind = match error.0 {
            Flaw::NoSealingKey => Self::corrupt(),
            _ => Self::unavailable(),
        };
        kind.with_source(error)
    }
}
