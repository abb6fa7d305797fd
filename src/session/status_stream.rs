//! The status of a session as it changes, for whoever shows it.

use std::{
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, ready},
    time::Instant,
};

use futures_core::Stream;
use tokio::{
    runtime::{self, Handle},
    time::Sleep,
};

use super::{gate::Place, shared::Shared, status::Status};

/// The status of a session, then each other one that it comes to; made by
/// [`Session::status_stream`](crate::Session::status_stream).
pub struct StatusStream {
    shared: Weak<Shared>,
    place: Place,
    told: Option<Status>,
    timer: Option<Timer>,
}

/// For a status that ends by time alone.
struct Timer {
    at: Instant,
    runtime: runtime::Id,
    sleep: Pin<Box<Sleep>>,
}

impl StatusStream {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let shared = Arc::downgrade(shared);
        Self { shared, place: Place::default(), told: None, timer: None }
    }

    /// Ready at that time. Without a runtime, or without a time, only what happens wakes the stream.
    fn poll_until(&mut self, at: Option<Instant>, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(at), Ok(runtime)) = (at, Handle::try_current()) else {
            self.timer = None;
            return Poll::Pending;
        };
        // The timer of a runtime that has ended panics, and a stream may move to another.
        let timer = self.timer.take().filter(|it| it.at == at && it.runtime == runtime.id());
        let timer = self.timer.insert(timer.unwrap_or_else(|| Timer {
            at,
            runtime: runtime.id(),
            sleep: Box::pin(tokio::time::sleep_until(at.into())),
        }));
        ready!(timer.sleep.as_mut().poll(cx));
        self.timer = None;
        Poll::Ready(())
    }
}

impl Stream for StatusStream {
    type Item = Status;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        let this = self.get_mut();
        loop {
            let Some(shared) = this.shared.upgrade() else { return Poll::Ready(None) };
            let now = shared.clock.now();
            let (status, until) = shared.gate.poll_status(&mut this.place, this.told, cx, &now);
            // It may be the last that holds the session; then this task is woken, to find it gone.
            drop(shared);
            if this.told != Some(status) {
                this.told = Some(status);
                return Poll::Ready(Some(status));
            }
            ready!(this.poll_until(until, cx));
        }
    }
}

impl Drop for StatusStream {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.gate.look_away(&mut self.place);
        }
    }
}

impl fmt::Debug for StatusStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusStream").field("told", &self.told).finish_non_exhaustive()
    }
}
