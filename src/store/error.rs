//! Why a store did not answer.

use std::{error, fmt, sync::Arc};

use crate::BoxError;

/// Why a [`TokenStore`](super::TokenStore) did not do what it was asked.
///
/// It says nothing of what is stored.
#[derive(Clone)]
pub struct StoreError {
    kind: Kind,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    Busy,
    Corrupt,
}

impl StoreError {
    /// The store cannot be reached, read or written. It is not known what is in it.
    #[must_use]
    pub fn unavailable() -> Self {
        Self { kind: Kind::Unavailable, source: None }
    }

    /// Somebody else holds the lease, and keeps it.
    #[must_use]
    pub fn busy() -> Self {
        Self { kind: Kind::Busy, source: None }
    }

    /// What is stored is no record, or one that this version cannot read. It is left as it is.
    #[must_use]
    pub fn corrupt() -> Self {
        Self { kind: Kind::Corrupt, source: None }
    }

    /// What failed beneath. It must print no secret.
    ///
    /// Default: none.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into().into());
        self
    }

    /// Whether the store cannot be reached, read or written.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        self.kind == Kind::Unavailable
    }

    /// Whether somebody else holds the lease.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.kind == Kind::Busy
    }

    /// Whether what is stored cannot be understood.
    #[must_use]
    pub fn is_corrupt(&self) -> bool {
        self.kind == Kind::Corrupt
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Unavailable => "the token store cannot be used now",
            Kind::Busy => "somebody else holds the token store's lease; wait for them",
            Kind::Corrupt => "what the token store holds is no token record; move it away",
        })
    }
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
