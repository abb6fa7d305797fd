//! What the program's subscriber and its recorder are told; the only place that knows which of them
//! there are.
//!
//! Both are code of the program. They are called under no lock, and where they panic the panic ends here:
//! neither may cost a ticket, a token or a waiter. Nothing is called for a request that goes out on a
//! token that is good and whose successor is not due.

#[cfg(feature = "metrics")]
mod counts;
#[cfg(not(feature = "metrics"))]
#[path = "no_counts.rs"]
mod counts;
mod labels;
#[cfg(feature = "tracing")]
mod spans;
#[cfg(not(feature = "tracing"))]
#[path = "no_spans.rs"]
mod spans;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use http::{Method, StatusCode, Uri};

#[cfg(feature = "metrics")]
pub use self::counts::describe_metrics;
pub(crate) use self::spans::Span;
use super::{Event, RefreshCause, gate::Finished};
use crate::{
    NotReplayed, RefreshError,
    clock::Now,
    lifecycle::{Generation, Settled},
};

/// One refresh as others see it, from its ticket to its end.
pub(crate) struct Watch {
    /// `None`: a login, which is no refresh.
    cause: Option<RefreshCause>,
    began: Instant,
    attempts: u32,
    failure: Option<RefreshError>,
    span: Span,
}

impl Watch {
    pub(crate) fn new(cause: Option<RefreshCause>, now: &Now) -> Self {
        let span = cause.and_then(|cause| quietly(|| Span::refresh(labels::cause(cause))));
        let span = span.unwrap_or_else(Span::none);
        Self { cause, began: now.mono, attempts: 0, failure: None, span }
    }

    /// What surrounds the work of the refresh.
    pub(crate) fn span(&self) -> Span {
        quietly(|| self.span.clone()).unwrap_or_else(Span::none)
    }

    /// The source is asked.
    pub(crate) fn attempt(&mut self) {
        self.attempts += 1;
    }

    /// The source failed, and is asked once more.
    pub(crate) fn asks_again(&self, error: &RefreshError) {
        quietly(|| spans::asks_again(self.attempts, labels::error_type(error)));
    }

    /// The store could not be looked at. That changes nothing, and is told at the end.
    pub(crate) fn could_not_look(&mut self, error: &RefreshError) {
        self.failure = Some(error.clone());
    }

    /// What became of it is published, and whoever waited is woken.
    pub(crate) fn landed(
        &mut self,
        finished: &Finished,
        is_adopted: bool,
        failure: Option<&RefreshError>,
        now: &Now,
    ) {
        let Some(cause) = self.cause.take() else { return };
        let failure = failure.or(self.failure.as_ref());
        let (ending, error) = match &finished.settled {
            Settled::Published if is_adopted || self.attempts == 0 => (Ending::Adopted, None),
            Settled::Published => (Ending::Refreshed, None),
            Settled::Quiet if failure.is_none() => (Ending::Unchanged, None),
            Settled::Quiet => (Ending::Failed, failure),
            Settled::Failed(error) => (Ending::Failed, Some(error)),
            Settled::Over(error) => (labels::over(error), Some(error)),
            Settled::Disowned => (Ending::Superseded, None),
            Settled::Abandoned => (Ending::Abandoned, None),
        };
        let took = now.mono.saturating_duration_since(self.began);
        let generation = finished.generation.map(Generation::ordinal);
        let error_type = error.map(labels::error_type);
        let outcome = labels::outcome(ending);
        let Finished { waiters, .. } = *finished;
        quietly(|| {
            self.span.record(self.attempts, waiters, generation, took);
            self.span.end(outcome, error_type);
            let pause = error.and_then(RefreshError::retry_at);
            let pause = pause.map(|until| until.saturating_duration_since(now.mono));
            spans::landed(cause, ending, error, pause);
        });
        quietly(|| counts::landed(labels::cause(cause), outcome, error_type, took, waiters));
    }
}

/// How a refresh ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A new access token came.
    Refreshed,
    /// Tokens were taken from the store, or from the builder.
    Adopted,
    /// There was nothing new in the store.
    Unchanged,
    Failed,
    /// By a verdict.
    Ended,
    LoggedOut,
    LoginRequired,
    /// A login or a logout came first.
    Superseded,
    /// The runtime ended first.
    Abandoned,
}

/// Something happened to a session.
pub(crate) fn told(event: &Event) {
    quietly(|| spans::told(event));
    if matches!(event, Event::PersistFailed(_)) {
        quietly(counts::persist_failed);
    }
}

/// The method and the URI of a request. Of the URI only host and port are told: path and query hold secrets.
pub(crate) type Target<'a> = (Option<&'a Method>, &'a Uri);

/// A challenged request goes out once more: for the how-many-th time, and with which token.
pub(crate) fn replayed(
    target: Target<'_>,
    challenge: StatusCode,
    replay: u8,
    generation: Generation,
    is_refreshed: bool,
) {
    let generation = generation.ordinal();
    quietly(|| spans::replayed(target, challenge, replay, generation, is_refreshed));
    quietly(|| counts::replayed(is_refreshed));
}

/// A challenged request does not go out once more: it cannot, or must not.
pub(crate) fn not_replayed(target: Target<'_>, challenge: StatusCode, why: NotReplayed) {
    let reason = labels::not_replayed(why);
    quietly(|| spans::not_replayed(target, challenge, reason, None));
    quietly(|| counts::not_replayed(reason));
}

/// A challenged request does not go out once more: there is no other token for it.
///
/// `waited`: it saw a refresh run.
pub(crate) fn given_up(
    target: Target<'_>,
    challenge: StatusCode,
    error: &RefreshError,
    waited: bool,
) {
    let reason = labels::given_up(error, waited);
    let error_type = Some(labels::error_type(error));
    quietly(|| spans::not_replayed(target, challenge, reason, error_type));
    quietly(|| counts::not_replayed(reason));
}

/// A request was answered that went out on a token whose successor is due.
#[inline]
pub(crate) fn served_stale() {
    quietly(counts::served_stale);
}

/// `None` if the program's code panicked: its panic hook has told of it.
#[inline]
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}
