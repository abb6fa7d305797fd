//! What a session holds: the newest tokens, which record of the store they are or follow, and what the
//! store is still owed.

use http::HeaderValue;

use crate::{AccessToken, Expected, RefreshToken, TokenSet, Version, auth::bearer};

/// Tokens and their relation to the store. It lives under the gate's lock.
#[derive(Default)]
pub(crate) struct Holding {
    current: Option<Current>,
    /// The tokens of a session that is over: a store that still has them, since they could not be
    /// buried, does not revive it.
    discarded: Option<TokenSet>,
    owed: Option<Owed>,
    /// A task is paying what is owed.
    pub(crate) paying: bool,
}

struct Current {
    tokens: TokenSet,
    header: HeaderValue,
    expected: Expected,
    replaces: Option<RefreshToken>,
}

/// What the store could not be told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// The tokens held, which follow the record of the version that is held.
    Save,
    /// A tombstone in place of this record. A logout buries whatever is there, a verdict only the
    /// record it was about.
    Bury(Expected),
}

/// Tokens as they are handed to and from a flight.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) tokens: TokenSet,
    /// The record in the store that these tokens are, or that they follow if they are not saved.
    /// [`Expected::Any`]: a login that was not saved, which follows whatever is there.
    pub(crate) expected: Expected,
    pub(crate) saved: bool,
    /// The refresh token that was spent for these, where they brought another. It is not sent again.
    pub(crate) replaces: Option<RefreshToken>,
}

impl Holding {
    pub(crate) fn credential(&self) -> Option<(&AccessToken, &HeaderValue)> {
        self.current.as_ref().map(|current| (current.tokens.access(), &current.header))
    }

    pub(crate) fn kept(&self) -> Option<Kept> {
        self.current.as_ref().map(|current| Kept {
            tokens: current.tokens.clone(),
            expected: current.expected,
            saved: self.owed != Some(Owed::Save),
            replaces: current.replaces.clone(),
        })
    }

    pub(crate) fn discarded(&self) -> Option<&TokenSet> {
        self.discarded.as_ref()
    }

    pub(crate) fn owed(&self) -> Option<Owed> {
        self.owed
    }

    pub(crate) fn hold(&mut self, kept: Kept) {
        self.owed = (!kept.saved).then_some(Owed::Save);
        let header = bearer(kept.tokens.access());
        let Kept { tokens, expected, replaces, .. } = kept;
        self.current = Some(Current { tokens, header, expected, replaces });
        self.discarded = None;
    }

    /// The session is over: nothing that was held is used again.
    pub(crate) fn discard(&mut self, bury: Option<Expected>) -> Option<TokenSet> {
        self.owed = bury.map(Owed::Bury);
        let tokens = self.current.take().map(|current| current.tokens);
        if tokens.is_some() {
            self.discarded = tokens.clone();
        }
        tokens
    }

    /// The tokens that are held are now the record of this version.
    pub(crate) fn saved(&mut self, tokens: &TokenSet, version: Version) {
        if let Some(current) = &mut self.current
            && current.tokens == *tokens
        {
            current.expected = Expected::Version(version);
            self.owed = None;
        }
    }

    /// The tokens that are held were not taken: the store has something newer.
    pub(crate) fn overtaken(&mut self, tokens: &TokenSet) {
        if self.current.as_ref().is_some_and(|current| current.tokens == *tokens) {
            self.owed = None;
        }
    }

    pub(crate) fn buried(&mut self, expected: Expected) {
        if self.owed == Some(Owed::Bury(expected)) {
            self.owed = None;
        }
    }
}
