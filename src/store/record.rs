//! What a store keeps: tokens with what must match before they are used, or a tombstone.

use std::{sync::Arc, time::SystemTime};

use crate::{TokenSet, token::Lifetime};

/// One session's tokens, as a store keeps them.
///
/// The token set's expiry, where it is known, is a point of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    tokens: TokenSet,
    issuer: Option<Arc<str>>,
    account: Option<Arc<str>>,
    family: Option<u64>,
    spending_since: Option<SystemTime>,
}

impl Record {
    /// A record of `tokens`, of no issuer and no account, which nobody is spending.
    ///
    /// A lifetime that the set counts in seconds is not kept: say when it ends by
    /// [`TokenSet::expires_at`].
    #[must_use]
    pub fn new(tokens: TokenSet) -> Self {
        Self { tokens, issuer: None, account: None, family: None, spending_since: None }
    }

    /// Whose tokens these are.
    ///
    /// Default: unknown.
    #[must_use]
    pub fn issuer(mut self, issuer: Option<&str>) -> Self {
        self.issuer = issuer.map(Into::into);
        self
    }

    /// For which account of the program they are.
    ///
    /// Default: unknown.
    #[must_use]
    pub fn account(mut self, account: Option<&str>) -> Self {
        self.account = account.map(Into::into);
        self
    }

    /// Which login the tokens go back to: a number that is drawn at the login and handed on by every
    /// refresh, so that a logout that comes late knows what it was about.
    ///
    /// Default: unknown.
    #[must_use]
    pub fn family(mut self, family: Option<u64>) -> Self {
        self.family = family;
        self
    }

    /// Since when somebody is spending the refresh token: the mark that is written before it is sent.
    /// Whoever finds it under the lease knows that its writer vanished half-way.
    ///
    /// Default: nobody is.
    #[must_use]
    pub fn spending_since(mut self, since: Option<SystemTime>) -> Self {
        self.spending_since = since;
        self
    }

    /// The same with the access token of `other`, and its lifetime.
    #[cfg(any(feature = "keyring", feature = "test-util"))]
    pub(crate) fn with_access_of(self, other: &TokenSet) -> Self {
        Self { tokens: self.tokens.with_access_of(other), ..self }
    }

    /// The tokens.
    #[must_use]
    pub fn tokens(&self) -> &TokenSet {
        &self.tokens
    }

    /// When the access token expires, by the wall clock, if that is known.
    #[must_use]
    pub fn expiry(&self) -> Option<SystemTime> {
        match self.tokens.lifetime() {
            Some(Lifetime::At(at)) => Some(at),
            Some(Lifetime::In(_)) | None => None,
        }
    }

    /// Whose tokens these are, if that is known.
    #[must_use]
    pub fn issued_by(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// For which account they are, if that is known.
    #[must_use]
    pub fn belongs_to(&self) -> Option<&str> {
        self.account.as_deref()
    }

    /// Which login the tokens go back to, if that is known.
    #[must_use]
    pub fn family_id(&self) -> Option<u64> {
        self.family
    }

    /// The mark of whoever is spending the refresh token, or vanished while spending it.
    #[must_use]
    pub fn spent_since(&self) -> Option<SystemTime> {
        self.spending_since
    }
}

/// What is in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A session's tokens.
    Live(Record),
    /// The session is over, by a logout or by a verdict.
    Tombstone,
}

/// What is in a store, and which version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Tokens, or a tombstone.
    pub entry: Entry,
    /// Which version it is.
    pub version: Version,
}

/// Tells one state of a record from every other, also across a store that was emptied.
///
/// A store gives a new one to each thing it stores. Only equality means anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// The version that a store knows by this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, for stores to write down.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}
