//! Work that blocks, kept away from the threads that poll tasks.

use std::{thread, time::Duration};

use tokio::runtime::Handle;

use crate::StoreError;

/// Do the work on a thread for such work; here, where there is no runtime.
///
/// Work that has begun is done to its end, whether or not this is dropped.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match Handle::try_current() {
        Ok(runtime) => match runtime.spawn_blocking(work).await {
            Ok(output) => output,
            // The runtime ends, and did not begin.
            Err(failure) => Err(StoreError::unavailable().with_source(failure)),
        },
        Err(_) => work(),
    }
}

/// Let this time pass.
pub(super) async fn pause(length: Duration) {
    if has_runtime() {
        tokio::time::sleep(length).await;
    } else {
        thread::sleep(length);
    }
}

pub(in crate::store) fn has_runtime() -> bool {
    Handle::try_current().is_ok()
}
