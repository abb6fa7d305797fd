//! What goes into the machine, and what comes out of it.

use super::{Life, Serial, Ticket};
use crate::{
    RefreshError,
    clock::{Deadline, Now},
};

/// The ordinal of an access token that this session came by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(super) u64);

impl Generation {
    pub(crate) fn ordinal(self) -> u64 {
        self.0
    }
}

/// Where a challenge came from: a hash of origin and path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) u64);

/// What a request, or whoever else needs a token, shall do now.
#[derive(Debug)]
pub(crate) enum Decision {
    /// Go on with the token of this generation.
    Go(Generation),
    /// Go on with it, and run a refresh beside.
    GoAndRefresh(Generation, Ticket),
    /// Run a refresh, and wait for it.
    Refresh(Ticket),
    /// Wait for the one that runs.
    Wait(Serial),
    Fail(RefreshError),
}

/// How a ticket was used up.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// An access token that was not held before.
    Fresh(Life),
    /// One that somebody else fetched, for reasons of their own.
    Adopted(Life),
    /// The access token that is held already.
    Same(Life),
    /// A new access token that has expired already.
    ExpiredOnArrival,
    /// A look-up found nothing new.
    Unchanged,
    Failed(RefreshError),
    /// Only a login helps.
    Over(RefreshError),
}

/// What became of an outcome.
#[derive(Debug)]
pub(crate) enum Settled {
    /// A login or a logout came first: the outcome must not be used.
    Disowned,
    /// The ticket was given back.
    Abandoned,
    Published,
    /// Nothing to tell.
    Quiet,
    Failed(RefreshError),
    Over(RefreshError),
}

/// What the snapshot of the newest token says until the machine is asked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    pub(crate) generation: Generation,
    pub(crate) dead_at: Option<Deadline>,
    /// The refresh that brought it began after a server had refused its predecessor.
    pub(crate) answers_challenge: bool,
    pub(crate) calm: Calm,
    /// Some endpoint refused it right after it was fetched.
    pub(crate) is_refused: bool,
    /// A refresh that did not help is in the brake: an accepted replay is news.
    pub(crate) is_braking: bool,
    /// It is about to expire, or some server refused it: its successor is due.
    pub(crate) is_stale: bool,
}

/// For how long a request may go out with a token without asking the machine.
///
/// It hardly depends on when it is looked at, so that a snapshot that says so need not be replaced: only
/// the end of a pause does, for a token of unknown expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calm {
    Never,
    Until(Deadline),
    Always,
}

impl Calm {
    #[inline]
    pub(crate) fn lasts(&self, now: &Now) -> bool {
        match self {
            Self::Until(end) => !end.passed(now),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl From<Option<Deadline>> for Calm {
    fn from(end: Option<Deadline>) -> Self {
        end.map_or(Self::Always, Self::Until)
    }
}
