//! The program's code may panic, and what waits for it must not go down with it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::{Poll, Waker},
};

/// A waker may be the program's own and run its task inline. One that panics keeps nobody else asleep, and
/// takes nothing with it.
pub(crate) fn wake(waker: Waker) {
    let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
}

/// `None` if the call panicked.
pub(crate) async fn caught<T>(call: impl Future<Output = T>) -> Option<T> {
    let mut call = pin!(call);
    std::future::poll_fn(|cx| {
        // What panicked is not polled again, so nobody sees what it left half done.
        match catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Some),
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready_eq, task};

    use super::caught;

    #[test]
    fn a_call_that_does_not_panic_is_left_alone() {
        let mut call = task::spawn(caught(async {
            tokio::task::yield_now().await;
            1
        }));
        assert_pending!(call.poll());
        assert_ready_eq!(call.poll(), Some(1));
    }

    #[test]
    fn a_call_that_panics_ends() {
        let mut call = task::spawn(caught(async {
            tokio::task::yield_now().await;
            panic!("told to");
        }));
        assert_pending!(call.poll());
        assert_ready_eq!(call.poll(), None::<()>);
    }
}
