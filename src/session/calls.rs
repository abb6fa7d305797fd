//! Calls of the program's store and source that are over in time, whatever they do.

use std::time::Duration;

use crate::{
    RefreshError, StoreError, Swap, TokenSet,
    caught::caught,
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
