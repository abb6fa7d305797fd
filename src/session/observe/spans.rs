//! Spans and events, for the feature `tracing`; the manual's page on observability has them all.
//!
//! No field holds what a server wrote, but for a registered error code in an error's text, and none a part
//! of a token.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{Method, StatusCode, Uri};
use pin_project_lite::pin_project;
use tracing::field::Empty;

use super::{Ending, Target, quietly};
use crate::{Event, RefreshCause, RefreshError};

const TARGET: &str = "tower_reauth";

/// The span of one refresh. A subscriber may panic when it is told that a span is gone.
#[derive(Clone)]
pub(crate) struct Span(Option<tracing::Span>);

impl Drop for Span {
    fn drop(&mut self) {
        quietly(|| drop(self.0.take()));
    }
}

impl Span {
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// It has no parent, since many requests share it; it follows from the one that began it.
    pub(super) fn refresh(cause: &'static str) -> Self {
        let span = Self(Some(tracing::info_span!(
            target: TARGET,
            parent: None,
            "refresh",
            cause,
            outcome = Empty,
            "error.type" = Empty,
            generation = Empty,
            attempts = Empty,
            waiters = Empty,
            duration_seconds = Empty,
        )));
        // Both drop quietly: where the subscriber panics at this, and again when a span is dropped for it,
        // the program would end.
        let begun_by = Self(quietly(tracing::Span::current));
        if let (Some(new), Some(current)) = (&span.0, &begun_by.0) {
            quietly(|| new.follows_from(current));
        }
        span
    }

    pub(super) fn record(
        &self,
        attempts: u32,
        waiters: usize,
        generation: Option<u64>,
        took: Duration,
    ) {
        let Some(span) = &self.0 else { return };
        span.record("attempts", attempts);
        span.record("waiters", waiters);
        span.record("generation", generation);
        span.record("duration_seconds", took.as_secs_f64());
    }

    pub(super) fn end(&self, outcome: &'static str, error_type: Option<&'static str>) {
        let Some(span) = &self.0 else { return };
        span.record("outcome", outcome);
        span.record("error.type", error_type);
    }

    /// The future, in this span whenever it is polled, and when it is dropped.
    pub(crate) fn around<F: Future>(self, future: F) -> Around<F> {
        Around { future: Some(future), span: self }
    }
}

pin_project! {
    /// As `tracing::Instrument` does it, but a subscriber that panics costs the future nothing.
    pub(crate) struct Around<F> {
        #[pin]
        future: Option<F>,
        span: Span,
    }

    impl<F> PinnedDrop for Around<F> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            let _entered = Entered::new(this.span);
            this.future.set(None);
        }
    }
}

impl<F: Future> Future for Around<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(this.span);
        match this.future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

/// A span that is entered until this is dropped.
struct Entered<'a>(Option<tracing::span::Entered<'a>>);

impl<'a> Entered<'a> {
    fn new(span: &'a Span) -> Self {
        Self(span.0.as_ref().and_then(|span| quietly(|| span.enter())))
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        quietly(|| drop(self.0.take()));
    }
}

pub(super) fn asks_again(attempt: u32, error_type: &'static str) {
    tracing::debug!(
        target: TARGET,
        attempt,
        "error.type" = error_type,
        "an attempt failed; the token source is asked again",
    );
}

/// How a refresh ended, in its span.
pub(super) fn landed(
    cause: RefreshCause,
    ending: Ending,
    error: Option<&RefreshError>,
    pause: Option<Duration>,
) {
    let error_type = error.map(super::labels::error_type);
    let error = error.map(tracing::field::display);
    let retry_in_seconds = pause.map(|pause| pause.as_secs_f64());
    match ending {
        Ending::Refreshed => tracing::debug!(target: TARGET, "a new access token is in use"),
        Ending::Adopted => {
            tracing::debug!(target: TARGET, "an access token that others fetched is in use");
        }
        Ending::Unchanged => tracing::debug!(target: TARGET, "the store has nothing new"),
        Ending::Superseded => {
            tracing::debug!(target: TARGET, "a login or a logout came before the refresh ended");
        }
        Ending::Failed if cause == RefreshCause::Early => tracing::info!(
            target: TARGET,
            error,
            "error.type" = error_type,
            retry_in_seconds,
            "an early refresh failed; requests go out on the token that is held",
        ),
        Ending::Failed => tracing::warn!(
            target: TARGET,
            error,
            "error.type" = error_type,
            retry_in_seconds,
            "a refresh failed",
        ),
        Ending::LoginRequired => tracing::warn!(
            target: TARGET,
            error,
            "error.type" = error_type,
            "a login is needed",
        ),
        Ending::Abandoned => {
            tracing::warn!(target: TARGET, "the refresh was dropped: its runtime ended, or there is none");
        }
        // Told as an event of the session.
        Ending::Ended | Ending::LoggedOut => {}
    }
}

/// What happens to a session; how a refresh ends is told by [`landed`], with more to it.
pub(super) fn told(event: &Event) {
    match event {
        Event::LoggedIn => tracing::info!(target: TARGET, "logged in"),
        Event::LoggedOut => tracing::info!(target: TARGET, "logged out"),
        Event::SessionEnded(error) => tracing::warn!(
            target: TARGET,
            error = %error,
            "error.type" = super::labels::error_type(error),
            ambiguous = error.was_ambiguous(),
            "the session ended; a login is needed",
        ),
        Event::PersistFailed(error) => tracing::warn!(
            target: TARGET,
            error = %error,
            "error.type" = "store",
            "the store did not take what it was given; it is tried again",
        ),
        Event::Persisted => tracing::info!(target: TARGET, "the store took what it was owed"),
        Event::Uncoordinated(error) => tracing::warn!(
            target: TARGET,
            error = %error,
            "error.type" = "store",
            "the store is unavailable; the refresh goes on without it",
        ),
        Event::SeedRefused => tracing::warn!(
            target: TARGET,
            "the store holds a tombstone or another one's record; the tokens given to the builder are not used",
        ),
        Event::RevokeFailed(error) => tracing::warn!(
            target: TARGET,
            error = %error,
            "error.type" = super::labels::error_type(error),
            "tokens that are no longer used could not be revoked",
        ),
        Event::StepUpRequired(_) => tracing::info!(
            target: TARGET,
            "a resource server wants more than a refresh can give",
        ),
        Event::DroppedInFlight => tracing::warn!(
            target: TARGET,
            "the last handle of the session was dropped with a refresh in flight or a save owed",
        ),
        Event::Refreshed(_) | Event::RefreshFailed(_) | Event::Missed(_) => {}
    }
}

pub(super) fn replayed(
    (asked, uri): Target<'_>,
    challenge: StatusCode,
    replay: u8,
    generation: u64,
    is_refreshed: bool,
) {
    tracing::debug!(
        target: TARGET,
        generation,
        refreshed = is_refreshed,
        "http.request.method" = asked.map(method),
        "http.request.resend_count" = replay,
        "http.response.status_code" = challenge.as_u16(),
        "server.address" = address(uri),
        "server.port" = port(uri),
        "a challenged request is sent again",
    );
}

pub(super) fn not_replayed(
    (asked, uri): Target<'_>,
    challenge: StatusCode,
    reason: &'static str,
    error_type: Option<&'static str>,
) {
    tracing::info!(
        target: TARGET,
        reason,
        "error.type" = error_type,
        "http.request.method" = asked.map(method),
        "http.response.status_code" = challenge.as_u16(),
        "server.address" = address(uri),
        "server.port" = port(uri),
        "a challenged request is not sent again",
    );
}

/// OpenTelemetry's values: a method that it does not know may be any text.
fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE"];
    KNOWN.into_iter().find(|known| method == *known).unwrap_or("_OTHER")
}

fn address(uri: &Uri) -> Option<&str> {
    uri.host().map(|host| host.trim_start_matches('[').trim_end_matches(']'))
}

fn port(uri: &Uri) -> Option<u16> {
    uri.port_u16().or(match uri.scheme_str() {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    })
}
