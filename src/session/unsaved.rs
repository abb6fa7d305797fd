//! What a closed session could not save.

use std::fmt;

use crate::{StoreError, TokenSet};

/// What the store was not told when a session was closed.
#[derive(Debug)]
pub struct Unsaved {
    pub(super) tokens: Option<TokenSet>,
    pub(super) error: StoreError,
}

impl Unsaved {
    /// The tokens that are not in the store, for the program to keep. `None`: it is a tombstone that is
    /// missing.
    #[must_use]
    pub fn tokens(&self) -> Option<&TokenSet> {
        self.tokens.as_ref()
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.tokens {
            Some(_) => "the newest tokens could not be saved; keep them, or log in again next time",
            None => "the logout could not be saved; another process may still use the record",
        })
    }
}

impl std::error::Error for Unsaved {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}
