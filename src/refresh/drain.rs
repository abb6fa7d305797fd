//! Empties a rejected response, within bounds, so that its connection can carry the replay.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http_body::Body;

use crate::patience::Patience;

/// The most that is read of it.
const BYTES: usize = 64 * 1024;
/// The longest that is waited for it.
const PATIENCE: Duration = Duration::from_millis(50);

pub(super) struct Drain<R> {
    body: Pin<Box<R>>,
    left: usize,
    patience: Patience,
}

impl<R: Body> Drain<R> {
    /// `None` where it is empty.
    pub(super) fn of(body: R) -> Option<Self> {
        let left = !body.is_end_stream();
        left.then(|| Self { body: Box::pin(body), left: BYTES, patience: Patience::default() })
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
        self.patience.poll(PATIENCE, cx)
    }
}
