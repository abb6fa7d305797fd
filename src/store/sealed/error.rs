//! Why a record did not open.

use std::{error, fmt};

use crate::StoreError;

/// Why a record in a [`Sealed`](super::Sealed) store did not open: the source of its
/// [`StoreError`].
///
/// It says nothing of what is stored.
///
/// ```
/// use tower_reauth::{StoreError, UnsealError};
///
/// fn lacks_a_key(error: &StoreError) -> bool {
///     let source = std::error::Error::source(error);
///     source
///         .and_then(|source| source.downcast_ref::<UnsealError>())
///         .is_some_and(UnsealError::is_unknown_key)
/// }
/// # assert!(!lacks_a_key(&StoreError::corrupt()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsealError(pub(super) Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NotSealed,
    Malformed,
    Newer,
    UnknownKey,
    Refused,
    NoRecord,
}

impl UnsealError {
    /// The record was written without sealing. It is not used, and a login writes over it.
    #[must_use]
    pub fn is_not_sealed(&self) -> bool {
        self.0 == Flaw::NotSealed
    }

    /// A later version of this crate sealed it.
    #[must_use]
    pub fn is_newer(&self) -> bool {
        self.0 == Flaw::Newer
    }

    /// It names a key that the store was not given.
    #[must_use]
    pub fn is_unknown_key(&self) -> bool {
        self.0 == Flaw::UnknownKey
    }

    /// It was changed or cut, was sealed under another name, or by another key of the same id. Which of
    /// these it was cannot always be told.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self.0, Flaw::Malformed | Flaw::Refused | Flaw::NoRecord)
    }
}

impl fmt::Display for UnsealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::NotSealed => "the record is not sealed; log in again to write over it",
            Flaw::Malformed => "the record is not whole: it was cut or changed",
            Flaw::Newer => "the record was sealed by a later version; update this program",
            Flaw::UnknownKey => {
                "the record was sealed by a key that the store was not given; add it by `also_opens`"
            }
            Flaw::Refused => {
                "the record does not open: it was changed, or sealed under another name or by another key"
            }
            Flaw::NoRecord => "what was sealed is no record that this version can read",
        })
    }
}

impl error::Error for UnsealError {}

impl From<UnsealError> for StoreError {
    fn from(error: UnsealError) -> Self {
        Self::corrupt().with_source(error)
    }
}
