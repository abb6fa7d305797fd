//! What a session holds: the newest tokens, which record of the store they are or follow, and what the
//! store is still owed.

use crate::{AccessToken, Expected, RefreshToken, TokenSet, Version};

/// Tokens and their relation to the store. It lives under the gate's lock.
#[derive(Default)]
pub(crate) struct Holding {
    /// Given to the builder: used if the store has no record, and dropped once anything is held. Their
    /// lifetime is counted from when they were handed in.
    seed: Option<Box<TokenSet>>,
    current: Option<Current>,
    discarded: Option<Box<Discarded>>,
    owed: Option<Owed>,
    /// The ordinal of what is owed.
    debt: u64,
    /// A task is paying what is owed.
    pub(crate) paying: bool,
}

struct Current {
    tokens: TokenSet,
    expected: Expected,
    /// Boxed, since one that was not refreshed since its login has none.
    past: Option<Box<Past>>,
    family: Option<u64>,
}

/// What a session knows of records that its tokens follow; as in [`Kept`].
#[derive(Default)]
struct Past {
    replaced: Vec<RefreshToken>,
    overrides: Option<u64>,
}

/// The tokens of a session that is over: a store that still has them does not revive it.
#[derive(Clone, Debug)]
pub(crate) enum Discarded {
    /// By a verdict on their refresh token: another one in the store is news.
    Ended(TokenSet),
    /// By a logout: whatever goes back to the same login is over with them.
    LoggedOut(TokenSet, Logins),
}

/// Which logins a logout was about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logins {
    family: Option<u64>,
    /// The one that an unsaved login found in the store, and was to replace.
    overrides: Option<u64>,
    /// What it was to replace is not known.
    is_open: bool,
}

impl Logins {
    fn of(family: Option<u64>) -> Self {
        Self { family, overrides: None, is_open: false }
    }

    fn have(&self, family: Option<u64>) -> bool {
        family.is_some() && (family == self.family || family == self.overrides)
    }
}

/// What the store could not be told yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owed {
    /// The tokens held, which follow the record of the version that is held.
    Save,
    /// A tombstone in place of the record that a verdict was about.
    Bury(Expected),
    /// A tombstone for a logout.
    LogOut(Burial),
}

/// What a logout buries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burial {
    /// Whatever is this session's: at the logout itself.
    Ours,
    /// What was discarded, or goes back to the same login: when it is tried again. A later login
    /// elsewhere stays.
    Discarded,
}

/// Tokens as they are handed to and from a flight.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) tokens: TokenSet,
    /// The record in the store that these tokens are, or that they follow if they are not saved.
    /// [`Expected::Any`]: a login that was not saved, which follows whatever is there.
    pub(crate) expected: Expected,
    pub(crate) saved: bool,
    /// The refresh tokens that were spent for these, one after the other, since the store last had the
    /// newest: where a record has one of them it is behind. None is sent again.
    pub(crate) replaced: Vec<RefreshToken>,
    /// Which login an unsaved login found in the store: whatever that one comes to, these follow it.
    pub(crate) overrides: Option<u64>,
    /// Which login they go back to: drawn there, and handed on by every refresh.
    pub(crate) family: Option<u64>,
}

impl Discarded {
    /// Whether tokens in a store are over with these.
    pub(crate) fn covers(&self, tokens: &TokenSet, family: Option<u64>) -> bool {
        let discarded = match self {
            Self::LoggedOut(_, logins) if logins.have(family) => return true,
            Self::Ended(tokens) | Self::LoggedOut(tokens, _) => tokens,
        };
        match discarded.refresh() {
            Some(refresh) => tokens.refresh() == Some(refresh),
            None => tokens.access() == discarded.access(),
        }
    }
}

impl Holding {
    pub(crate) fn plant(&mut self, seed: TokenSet) {
        self.seed = Some(Box::new(seed));
    }

    pub(crate) fn seed(&self) -> Option<&TokenSet> {
        self.seed.as_deref()
    }

    /// Forget the seed.
    pub(crate) fn uproot(&mut self) -> Option<TokenSet> {
        self.seed.take().map(|seed| *seed)
    }

    pub(crate) fn access(&self) -> Option<&AccessToken> {
        self.current.as_ref().map(|current| current.tokens.access())
    }

    pub(crate) fn kept(&self) -> Option<Kept> {
        self.current.as_ref().map(|current| Kept {
            tokens: current.tokens.clone(),
            expected: current.expected,
            saved: self.owed != Some(Owed::Save),
            replaced: current.past.as_ref().map_or_else(Vec::new, |past| past.replaced.clone()),
            overrides: current.past.as_ref().and_then(|past| past.overrides),
            family: current.family,
        })
    }

    pub(crate) fn discarded(&self) -> Option<&Discarded> {
        self.discarded.as_deref()
    }

    pub(crate) fn owed(&self) -> Option<Owed> {
        self.owed
    }

    pub(crate) fn debt(&self) -> u64 {
        self.debt
    }

    fn owe(&mut self, owed: Option<Owed>) {
        self.owed = owed;
        self.debt += u64::from(owed.is_some());
    }

    pub(crate) fn hold(&mut self, kept: Kept) {
        self.owe((!kept.saved).then_some(Owed::Save));
        let Kept { tokens, expected, replaced, overrides, family, .. } = kept;
        self.seed = None;
        let past = (!replaced.is_empty() || overrides.is_some())
            .then(|| Box::new(Past { replaced, overrides }));
        self.current = Some(Current { tokens, expected, past, family });
        self.discarded = None;
    }

    /// The session is over, by a verdict or by what the store said: nothing that was held is used again.
    pub(crate) fn discard(&mut self, owed: Option<Owed>) {
        self.owe(owed);
        if let Some(current) = self.current.take() {
            self.discarded = Some(Box::new(Discarded::Ended(current.tokens)));
        }
    }

    /// As [`discard`](Self::discard), by a logout. Returns what was held.
    pub(crate) fn log_out(&mut self, bury: bool) -> Option<TokenSet> {
        let unsaved = self.owed == Some(Owed::Save);
        self.owe(bury.then_some(Owed::LogOut(Burial::Ours)));
        let Current { tokens, expected, past, family } = self.current.take()?;
        let overrides = past.filter(|_| unsaved).and_then(|past| past.overrides);
        let is_open = unsaved && expected == Expected::Any;
        let logins = Logins { family, overrides, is_open };
        self.discarded = Some(Box::new(Discarded::LoggedOut(tokens.clone(), logins)));
        Some(tokens)
    }

    /// What a logout found in the store, where nothing was held.
    pub(crate) fn discard_found(&mut self, tokens: &TokenSet, family: Option<u64>) {
        if self.current.is_none() && self.discarded.is_none() {
            let logins = Logins::of(family);
            self.discarded = Some(Box::new(Discarded::LoggedOut(tokens.clone(), logins)));
        }
    }

    /// Whether a logout is about this record. If so, it is remembered by it.
    pub(crate) fn means(&mut self, burial: Burial, tokens: &TokenSet, family: Option<u64>) -> bool {
        let meant = match (burial, &self.discarded) {
            (Burial::Ours, _) => true,
            (Burial::Discarded, Some(discarded)) => discarded.covers(tokens, family),
            (Burial::Discarded, None) => false,
        };
        if meant && self.current.is_none() {
            let logins = Logins::of(family);
            self.discarded = Some(Box::new(Discarded::LoggedOut(tokens.clone(), logins)));
        }
        meant
    }

    /// The burial of a logout failed: from now on it is only about what there was then, if that is known.
    pub(crate) fn narrow_burial(&mut self) {
        let is_open = |discarded: &Discarded| match discarded {
            Discarded::Ended(_) => false,
            Discarded::LoggedOut(_, logins) => logins.is_open,
        };
        if self.owed == Some(Owed::LogOut(Burial::Ours))
            && self.discarded.as_deref().is_some_and(|discarded| !is_open(discarded))
        {
            self.owed = Some(Owed::LogOut(Burial::Discarded));
        }
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

    /// An unsaved login follows what was found in the store when it could not be saved.
    pub(crate) fn pin(&mut self, tokens: &TokenSet, expected: Expected, overrides: Option<u64>) {
        if let Some(current) = &mut self.current
            && current.tokens == *tokens
            && current.expected == Expected::Any
        {
            current.expected = expected;
            current.past.get_or_insert_default().overrides = overrides;
        }
    }

    /// The tokens that are held were not taken: the store has something newer.
    pub(crate) fn overtaken(&mut self, tokens: &TokenSet) {
        if self.current.as_ref().is_some_and(|current| current.tokens == *tokens) {
            self.owed = None;
        }
    }

    pub(crate) fn paid(&mut self, owed: Owed) {
        if self.owed == Some(owed) {
            self.owed = None;
        }
    }
}
