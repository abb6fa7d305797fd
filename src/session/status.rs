//! What a session is doing, for whoever asks.

use std::time::{Instant, SystemTime};

use crate::{clock::Now, error::Kind, lifecycle::Lifecycle};

/// What a session is doing just now; from [`Session::status`](crate::Session::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The store was not read yet, or is being read for the first time.
    Loading,
    /// There is no token to start from.
    LoginRequired,
    /// There is a valid access token.
    Active {
        /// When it stops being used, by the wall clock, a leeway before its expiry. `None`: its
        /// lifetime is unknown.
        expires_at: Option<SystemTime>,
    },
    /// There is no valid access token, and a refresh is in flight.
    Refreshing,
    /// There is no valid access token, and the last refresh failed.
    Cooling {
        /// When another refresh may start, by the monotonic clock.
        retry_at: Instant,
    },
    /// There is no valid access token; the next request refreshes.
    Expired,
    /// The authorization server ended the session.
    Ended,
    /// The session was logged out, here or in another process.
    LoggedOut,
    /// The session was closed, and its token has expired.
    Closed,
}

impl Status {
    pub(crate) fn of(life: &Lifecycle, now: &Now) -> Self {
        if let Some(error) = life.over_because() {
            return match error.kind() {
                Kind::Rejected => Self::Ended,
                Kind::LoggedOut => Self::LoggedOut,
                _ => Self::LoginRequired,
            };
        }
        if let Some(dead_at) = life.expiry(now) {
            return Self::Active { expires_at: dead_at.map(|at| at.wall) };
        }
        if life.is_closed() {
            return Self::Closed;
        }
        if let Some(retry_at) = life.cooling_until(now) {
            return Self::Cooling { retry_at };
        }
        match life.flight() {
            _ if life.is_unread() => Self::Loading,
            Some(_) => Self::Refreshing,
            None => Self::Expired,
        }
    }

    /// Until when it stays as it is if nothing happens. `None`: for ever.
    pub(crate) fn lasts(life: &Lifecycle, now: &Now) -> Option<Instant> {
        match Self::of(life, now) {
            Self::Active { .. } => Some(life.expiry(now)??.mono),
            Self::Cooling { retry_at } => Some(retry_at),
            _ => None,
        }
    }
}
