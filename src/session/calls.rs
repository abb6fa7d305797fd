//! Calls of the program's store and source that are over in time, whatever they do.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use crate::{
    RefreshError, StoreError, Swap, TokenSet,
    error::Kind,
    session::{events::Event, holding::Kept, shared::Shared},
};

/// Save these tokens after the record that they follow.
pub(crate) async fn store(shared: &Shared, kept: &Kept) -> Result<Swap, StoreError> {
    let swap = shared.store.compare_and_store(kept.expected, shared.record(kept));
    bounded(shared.settings.store, swap).await
}

/// A store that does not answer in time, or panics, is unavailable.
pub(crate) async fn bounded<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let answer = Shared::within(limit, caught(call)).await.flatten();
    answer.unwrap_or_else(|| Err(StoreError::unavailable()))
}

/// Tell the issuer that tokens are no longer used.
pub(crate) async fn revoke(shared: &Shared, tokens: TokenSet) {
    let limit = shared.settings.revoke;
    let revoking = shared.serving(shared.source.revoke(tokens));
    let failure = match Shared::within(limit, caught(revoking)).await {
        Some(Some(Ok(()))) => return,
        Some(Some(Err(error))) => error,
        Some(None) => RefreshError::new(Kind::Panicked),
        None => RefreshError::new(Kind::Unanswered),
    };
    shared.tell(Event::RevokeFailed(failure));
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
