//! How long something is waited for at most, on whatever runtime its task is polled.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    runtime::{Handle, Id},
    time::Sleep,
};

/// The time of one wait. It begins with the first poll, and costs nothing before.
#[derive(Default)]
pub(crate) struct Patience(Option<(Id, Pin<Box<Sleep>>)>);

impl Patience {
    /// Ready once it is over. Without a runtime there is none.
    pub(crate) fn poll(&mut self, length: Duration, cx: &mut Context<'_>) -> Poll<()> {
        let Ok(runtime) = Handle::try_current() else { return Poll::Ready(()) };
        let (of, timer) =
            self.0.get_or_insert_with(|| (runtime.id(), Box::pin(tokio::time::sleep(length))));
        // The timer of a runtime that ended would panic; what moved has waited enough.
        if *of != runtime.id() {
            return Poll::Ready(());
        }
        timer.as_mut().poll(cx)
    }
}
