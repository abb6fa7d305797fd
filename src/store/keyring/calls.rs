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

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use futures_util::FutureExt;

    use super::*;

    type Outcome = Result<u8, KeyringError>;

    fn flaw(outcome: Outcome) -> Flaw {
        outcome.unwrap_err().0
    }

    /// Work that goes on until it is told to end.
    fn held() -> (mpsc::Sender<()>, impl FnOnce(GivenUp<'_>) -> Outcome + Send) {
        let (end, until) = mpsc::channel();
        let work = move |given_up: GivenUp<'_>| {
            let _ = until.recv();
            Ok(u8::from(given_up()))
        };
        (end, work)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_hangs_is_given_up_and_the_next_waits_for_its_end() {
        let calls = Calls::new(Duration::from_secs(4));
        let (end, work) = held();
        assert_eq!(flaw(calls.run(work).await), Flaw::TimedOut);
        let begun = Arc::new(Mutex::new(()));
        let witness = begun.clone();
        let next = calls.run(move |_| {
            let _witness = witness;
            Outcome::Ok(1)
        });
        assert_eq!(flaw(next.await), Flaw::TimedOut);
        // It never began, and nothing of it is left.
        assert_eq!(Arc::strong_count(&begun), 1);
        end.send(()).unwrap();
        // Threads take time that is none of a paused clock's.
        tokio::time::resume();
        assert_eq!(calls.run(|given_up| Outcome::Ok(u8::from(given_up()))).await, Ok(0));
    }

    #[tokio::test]
    async fn work_learns_that_its_caller_has_gone() {
        let calls = Calls::new(Duration::from_secs(60));
        let (tell, told) = mpsc::channel();
        let (end, work) = held();
        let call = calls.run(move |given_up| {
            let outcome = work(given_up);
            let _ = tell.send(outcome);
            outcome
        });
        assert!(call.now_or_never().is_none());
        end.send(()).unwrap();
        assert_eq!(told.recv(), Ok(Ok(1)));
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_next_call_is_made() {
        let calls = Calls::new(Duration::from_secs(60));
        let panics = calls.run(|_| -> Outcome { panic!("as it was told") });
        assert_eq!(flaw(panics.await), Flaw::Panicked);
        assert_eq!(calls.run(|_| Outcome::Ok(1)).await, Ok(1));
    }

    #[test]
    fn without_a_runtime_a_call_takes_as_long_as_it_takes() {
        let calls = Calls::new(Duration::ZERO);
        let mut call = tokio_test::task::spawn(calls.run(|_| Outcome::Ok(1)));
        let outcome = loop {
            match call.poll() {
                std::task::Poll::Ready(outcome) => break outcome,
                std::task::Poll::Pending => thread::yield_now(),
            }
        };
        assert_eq!(outcome, Ok(1));
    }
}
