//! How the middleware is set up.

use std::fmt;

use tower::Layer;

use super::Refresh;
use crate::{BearerClassifier, Classify, SelectSession, Session};

/// Applies [`Refresh`]; see the [module's page](super).
#[derive(Clone)]
pub struct RefreshLayer<L = Session, C = BearerClassifier> {
    select: L,
    classify: C,
    cap: usize,
    limits: Limits,
}

/// What one request may do.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) refreshed_replays: u8,
    pub(super) replays: u8,
    pub(super) error_instead: bool,
}

impl<L: SelectSession> RefreshLayer<L> {
    /// Refresh the tokens of this session.
    pub fn new(session: L) -> Self {
        let limits = Limits { refreshed_replays: 1, replays: 2, error_instead: false };
        Self { select: session, classify: BearerClassifier::default(), cap: 1024 * 1024, limits }
    }
}

impl<L, C> RefreshLayer<L, C> {
    /// What tells a challenge from other answers.
    ///
    /// Default: [`BearerClassifier`].
    #[must_use]
    pub fn classifier<C2: Classify + Clone>(self, classifier: C2) -> RefreshLayer<L, C2> {
        RefreshLayer {
            select: self.select,
            classify: classifier,
            cap: self.cap,
            limits: self.limits,
        }
    }

    /// How many bytes of a streamed body are kept for a replay, counting 64 for each kept frame besides.
    /// A body that is ready as a whole is kept whatever its size, since that is a reference.
    ///
    /// Default: 1 MiB.
    #[must_use]
    pub fn keep_bytes(mut self, limit: usize) -> Self {
        self.cap = limit;
        self
    }

    /// How often a request may be sent again: `refreshed` times because its challenge led to a refresh, and
    /// `in_all` times, counting replays with a token that was there already or that a refresh was fetching
    /// already. Where either is 0 nothing is sent again.
    ///
    /// Default: 1, and 2.
    #[must_use]
    pub fn replays(mut self, refreshed: u8, in_all: u8) -> Self {
        self.limits.refreshed_replays = refreshed;
        self.limits.replays = in_all;
        self
    }

    /// Fail a request whose challenge could not be answered by a refresh, with the
    /// [`RefreshError`](crate::RefreshError), instead of handing out the challenge with the error in its
    /// extensions. A request that [was not kept](crate::NotReplayed) gets its challenge all the same.
    ///
    /// Default: the challenge.
    #[must_use]
    pub fn error_instead_of_challenge(mut self) -> Self {
        self.limits.error_instead = true;
        self
    }
}

impl<S, L: Clone, C: Clone> Layer<S> for RefreshLayer<L, C> {
    type Service = Refresh<S, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Refresh {
            inner,
            select: self.select.clone(),
            classify: self.classify.clone(),
            cap: self.cap,
            limits: self.limits,
        }
    }
}

impl<L, C> fmt::Debug for RefreshLayer<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshLayer")
            .field("keep_bytes", &self.cap)
            .field("replays", &self.limits.replays)
            .finish_non_exhaustive()
    }
}
