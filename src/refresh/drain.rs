//! Empties a rejected response, within bounds, so that its connection can carry the replay.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http_body::Body;
use tokio::{
    runtime::{Handle, Id},
    time::Sleep,
};

/// The most that is read of it.
const BYTES: usize = 64 * 1024;
/// The longest that is waited for it.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Drain<R> {
    body: Pin<Box<R>>,
    left: usize,
    patience: Option<(Id, Pin<Box<Sleep>>)>,
}

impl<R: Body> Drain<R> {
    /// `None` where it is empty.
    pub(super) fn of(body: R) -> Option<Self> {
        let left = !body.is_end_stream();
        left.then(|| Self { body: Box::pin(body), left: BYTES, patience: None })
    }

    /// Ready when it is empty, or not worth more.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // An empty frame counts too: a flood of them would have no end.
                    let length = frame.data_ref().map_or(0, Buf::remaining).max(1);
                    match self.left.checked_sub(length) {
                        Some(left) if left > 0 => self.left = left,
                        _ => return Poll::Ready(()),
                    }
                }
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        let Ok(runtime) = Handle::try_current() else { return Poll::Ready(()) };
        let (of, patience) = self
            .patience
            .get_or_insert_with(|| (runtime.id(), Box::pin(tokio::time::sleep(PATIENCE))));
        // The timer of a runtime that ended would panic; a request that moved has waited enough.
        if *of != runtime.id() {
            return Poll::Ready(());
        }
        patience.as_mut().poll(cx)
    }
}
