//! The right to run the one refresh, and what it was given out for.

/// The ordinal of a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Serial(pub(super) u64);

/// The right to run the one refresh. It is finished or abandoned, never copied.
#[derive(Debug)]
#[must_use = "whoever holds the ticket must finish or abandon it, or all wait for nothing"]
pub(crate) struct Ticket {
    pub(super) serial: Serial,
    pub(super) purpose: Purpose,
}

impl Ticket {
    pub(crate) fn serial(&self) -> Serial {
        self.serial
    }

    pub(crate) fn purpose(&self) -> Purpose {
        self.purpose
    }
}

/// What a ticket was given out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Read the store for the first time, then refresh if what it holds is of no use.
    Load,
    /// See whether another process has newer tokens; refresh only with those.
    LookUp,
    Refresh(Cause),
    /// Put the tokens of a login in place.
    Login,
}

/// Why a refresh runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There was no token, or it had expired.
    Expired,
    /// The token is about to expire.
    Early,
    /// A resource server refused the token.
    Challenged,
}
