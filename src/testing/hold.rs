//! Answers that wait until a test lets them go.

use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use tokio::sync::{Semaphore, watch};

use crate::sync::Arc;

/// A server's answers, held back until they are released.
///
/// The work is done when the request comes (a refresh token is spent, a token is judged); only the
/// answer waits. Nothing here needs time to pass. Dropping the hold releases all that it holds.
///
/// A server has one hold at a time: a newer one takes what comes from then on, while the older one
/// keeps what it has.
#[derive(Debug)]
#[must_use = "dropping the hold releases the answers"]
pub struct Hold(Arc<Gate>);

#[derive(Debug)]
pub(super) struct Gate {
    /// One permit lets one answer through; closed, all go through.
    turns: Semaphore,
    held: watch::Sender<usize>,
    sealed: AtomicBool,
    what: Held,
}

/// Which answers wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    All,
    /// 401 only.
    Refusals,
}

impl Hold {
    pub(super) fn new(what: Held) -> (Self, Arc<Gate>) {
        let gate = Arc::new(Gate {
            turns: Semaphore::new(0),
            held: watch::Sender::new(0),
            sealed: AtomicBool::new(false),
            what,
        });
        (Self(Arc::clone(&gate)), gate)
    }

    /// How many answers wait now. One whose request was dropped waits no longer.
    #[must_use]
    pub fn held(&self) -> usize {
        *self.0.held.borrow()
    }

    /// Wait until at least `answers` are held.
    pub async fn until_held(&self, answers: usize) {
        // It cannot fail: the sender lives as long as this hold.
        let _ = self.0.held.subscribe().wait_for(|held| *held >= answers).await;
    }

    /// Let one answer go: the one that waits longest, or, if none does, the next to come.
    pub fn release_one(&self) {
        self.0.turns.add_permits(1);
    }

    /// Let every answer go, as dropping the hold does.
    pub fn release(self) {}

    /// Hold no further answers. Those held already stay until they are released.
    pub fn seal(&self) {
        self.0.sealed.store(true, Ordering::Release);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.turns.close();
    }
}

impl Gate {
    pub(super) async fn pass(&self, status: Option<StatusCode>) {
        let concerned = match self.what {
            Held::All => true,
            Held::Refusals => status == Some(StatusCode::UNAUTHORIZED),
        };
        if !concerned || self.sealed.load(Ordering::Acquire) || self.turns.is_closed() {
            return;
        }
        self.held.send_modify(|held| *held += 1);
        let _counted = Counted(&self.held);
        if let Ok(turn) = self.turns.acquire().await {
            turn.forget();
        }
    }
}

/// One answer that waits, or whose request was dropped while it did.
struct Counted<'a>(&'a watch::Sender<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|held| *held -= 1);
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task};

    use super::*;

    #[test]
    fn answers_go_one_by_one_in_the_order_in_which_they_came() {
        let (hold, gate) = Hold::new(Held::All);
        let mut first = task::spawn(gate.pass(None));
        let mut second = task::spawn(gate.pass(None));
        assert_pending!(first.poll());
        assert_pending!(second.poll());
        assert_eq!(hold.held(), 2);

        hold.release_one();
        assert_pending!(second.poll());
        assert_ready!(first.poll());
        assert_eq!(hold.held(), 1);

        hold.release();
        assert_ready!(second.poll());
    }

    #[test]
    fn a_dropped_answer_is_held_no_longer_and_takes_no_turn() {
        let (hold, gate) = Hold::new(Held::All);
        let mut first = task::spawn(gate.pass(None));
        let mut second = task::spawn(gate.pass(None));
        assert_pending!(first.poll());
        assert_pending!(second.poll());

        hold.release_one();
        drop(first);
        assert_eq!(hold.held(), 1);
        assert_ready!(second.poll());
    }

    #[test]
    fn a_sealed_hold_keeps_what_it_has_and_takes_no_more() {
        let (hold, gate) = Hold::new(Held::All);
        let mut early = task::spawn(gate.pass(None));
        assert_pending!(early.poll());
        hold.seal();
        assert_ready!(task::spawn(gate.pass(None)).poll());
        assert_pending!(early.poll());
    }

    #[test]
    fn refusals_can_be_held_alone() {
        let (hold, gate) = Hold::new(Held::Refusals);
        assert_ready!(task::spawn(gate.pass(Some(StatusCode::OK))).poll());
        assert_pending!(task::spawn(gate.pass(Some(StatusCode::UNAUTHORIZED))).poll());
        assert_eq!(hold.held(), 0);
    }

    #[test]
    fn a_test_can_wait_until_enough_are_held() {
        let (hold, gate) = Hold::new(Held::All);
        let mut until = task::spawn(hold.until_held(1));
        assert_pending!(until.poll());
        let mut answer = task::spawn(gate.pass(None));
        assert_pending!(answer.poll());
        assert!(until.is_woken());
        assert_ready!(until.poll());
    }
}
