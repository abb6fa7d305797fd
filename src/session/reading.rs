//! One reading of the clocks for both layers of a stack.
//!
//! Two clocks are the dearest part of sending a request whose token is valid. Where the auth layer is
//! called before the refresh layer's own call returns, on the same thread and with nothing awaited
//! between, what the refresh layer has read serves both. A layer between them that blocks in its `call`
//! makes the reading older by as long as it blocks.

use std::cell::Cell;

use crate::{clock::Now, extension::SessionId};

thread_local! {
    static CURRENT: Cell<Option<(SessionId, Now)>> = const { Cell::new(None) };
}

/// A call that may use the reading. It ends the reading however it ends.
struct Scope;

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}

/// Call what may use this session's reading.
#[inline(always)]
pub(super) fn shared<T>(session: SessionId, now: Now, call: impl FnOnce() -> T) -> T {
    let _scope = Scope;
    CURRENT.set(Some((session, now)));
    call()
}

/// This session's reading, if it was made for the call that is running.
#[inline(always)]
pub(super) fn current(session: SessionId) -> Option<Now> {
    CURRENT.get().filter(|(of, _)| *of == session).map(|(_, now)| now)
}

#[cfg(all(test, not(reauth_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::Clock;

    const OURS: SessionId = SessionId(1);
    const OTHER: SessionId = SessionId(2);

    #[test]
    fn a_reading_serves_its_own_session_for_as_long_as_the_call_runs() {
        let now = Clock::system().now();
        let (ours, other) = shared(OURS, now, || (current(OURS), current(OTHER)));
        assert_eq!((ours, other, current(OURS)), (Some(now), None, None));
    }

    #[test]
    fn a_call_that_panics_ends_its_reading() {
        let now = Clock::system().now();
        let call = || shared(OURS, now, || panic!("the inner service"));
        assert!(catch_unwind(AssertUnwindSafe(call)).is_err());
        assert_eq!(current(OURS), None);
    }

    #[test]
    fn a_reading_stays_on_its_thread() {
        let now = Clock::system().now();
        let elsewhere = || std::thread::scope(|scope| scope.spawn(|| current(OURS)).join());
        assert_eq!(shared(OURS, now, elsewhere).ok(), Some(None));
    }
}
