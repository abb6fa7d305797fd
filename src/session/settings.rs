//! What a session can be told, with the defaults.

use std::{
    ops::Deref,
    sync::{Arc, LazyLock},
    time::Duration,
};

use crate::lifecycle::{Backoff, Policy};

/// What to do when a token request may have been processed and no usable answer came.
///
/// A server with a grace window repeats the pair when it is asked again with the same refresh token, and
/// one that never processed the request gives the first. A strict one revokes the family, but there the
/// session was lost with the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AmbiguousPolicy {
    /// Send the same refresh token once more, at once.
    #[default]
    RetryOnce,
    /// Do not send it again in this refresh; the error says
    /// [`was_ambiguous`](crate::RefreshError::was_ambiguous).
    Surface,
}

/// What to do when a refresh is needed and the store is [unavailable](crate::StoreError::unavailable).
///
/// It is about sources that spend a refresh token. Others spend nothing that another process could miss,
/// so they always go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutagePolicy {
    /// Send nothing: the refresh fails, and is tried again after the cool-down. Nobody can spend a refresh
    /// token that another process has spent already.
    #[default]
    Wait,
    /// Spend the refresh token that is in memory, without lease and mark, and save the result when the store
    /// is back; [`Event::Uncoordinated`](crate::Event::Uncoordinated) says so. Where other processes share
    /// the session two of them may spend the same refresh token: for servers with a grace window, or for
    /// sessions that nobody shares.
    GoOn,
}

/// What is set for one session.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    rules: Arc<Rules>,
    #[cfg(feature = "jwt")]
    pub(crate) expiry_from_jwt: bool,
    pub(crate) issuer: Option<Box<str>>,
    pub(crate) account: Option<Box<str>>,
}

/// What most sessions leave as it is, so that they share it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) policy: Arc<Policy>,
    pub(crate) patience: Duration,
    pub(crate) answer: Duration,
    pub(crate) flight: Duration,
    pub(crate) attempts: u32,
    pub(crate) retry: Backoff,
    pub(crate) ambiguous: AmbiguousPolicy,
    pub(crate) outage: OutagePolicy,
    pub(crate) store: Duration,
    pub(crate) owed: Backoff,
    pub(crate) owed_for: Duration,
    pub(crate) revoke: Duration,
}

static DEFAULT: LazyLock<Arc<Rules>> = LazyLock::new(Arc::default);

impl Settings {
    pub(crate) fn new(issuer: Option<String>) -> Self {
        Self {
            rules: DEFAULT.clone(),
            #[cfg(feature = "jwt")]
            expiry_from_jwt: false,
            issuer: issuer.map(Into::into),
            account: None,
        }
    }

    /// This session's own from here on.
    pub(crate) fn rules(&mut self) -> &mut Rules {
        Arc::make_mut(&mut self.rules)
    }

    pub(crate) fn policy(&mut self) -> &mut Policy {
        Arc::make_mut(&mut self.rules().policy)
    }
}

impl Deref for Settings {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.rules
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policy: Arc::default(),
            patience: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            flight: Duration::from_secs(60),
            attempts: 3,
            retry: Backoff { first: Duration::from_millis(200), most: Duration::from_secs(5) },
            ambiguous: AmbiguousPolicy::default(),
            outage: OutagePolicy::default(),
            store: Duration::from_secs(5),
            owed: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
            owed_for: Duration::from_secs(15 * 60),
            revoke: Duration::from_secs(10),
        }
    }
}
