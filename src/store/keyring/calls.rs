//! Calls to the secret storage: one at a time, each on a thread of its own, for a limited time.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::{Mutex, oneshot};

use super::error::{Flaw, KeyringError};
use crate::store::file::has_runtime;

/// The storage may ask the user first, who may have gone home. A thread that hangs in such a call holds up
/// neither a runtime nor its end; and there is one at most, since the next call waits for its turn. Whoever
/// waits in vain is told so.
#[derive(Clone)]
pub(super) struct Calls {
    turn: Arc<Mutex<()>>,
    limit: Duration,
}

/// Asks whether the caller has given up.
pub(super) type GivenUp<'a> = &'a dyn Fn() -> bool;

impl Calls {
    pub(super) fn new(limit: Duration) -> Self {
        Self { turn: Arc::default(), limit }
    }

    /// Do the work. Once begun it goes on to its end, even if this is dropped.
    pub(super) async fn run<T, E>(
        &self,
        work: impl FnOnce(GivenUp<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<KeyringError> + Send + 'static,
    {
        let turn = self.turn.clone();
        let call = async {
            let turn = turn.lock_owned().await;
            let (tell, told) = oneshot::channel();
            let body = move || {
                let result = work(&|| tell.is_closed());
                // Whoever has the answer may have the next turn.
                drop(turn);
                let _ = tell.send(result);
            };
            let thread = thread::Builder::new().name("reauth-keyring".into());
            thread.spawn(body).map_err(|_| KeyringError(Flaw::NoThread))?;
            told.await.unwrap_or(Err(KeyringError(Flaw::Panicked).into()))
        };
        if !has_runtime() {
            // There is no timer.
            return call.await;
        }
        let answer = tokio::time::timeout(self.limit, call).await;
        answer.unwrap_or(Err(KeyringError(Flaw::TimedOut).into()))
    }
}
