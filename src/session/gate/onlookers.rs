//! Those who want to know when the status changes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Waker,
};

use slab::Slab;

use super::wait_list::{Place, WaitList};
use crate::session::status::Status;

/// A pointer, for a session that nobody ever looked at. Once made it stays, since a place in the list
/// counts only for that list.
#[derive(Default)]
pub(super) struct Onlookers(Option<Box<Looking>>);

#[derive(Default)]
struct Looking {
    /// What all who are parked were told.
    told: Option<Status>,
    parked: WaitList,
}

/// Wakers that are to be woken once the lock is released.
#[must_use = "whoever is not woken is never told"]
pub(super) struct Woken(Slab<Waker>);

impl Onlookers {
    /// Those who were told something else.
    pub(super) fn look(&mut self, status: impl FnOnce() -> Status) -> Woken {
        let looking = self.0.as_mut().filter(|looking| looking.parked.len() > 0);
        match looking {
            Some(looking) if looking.told != Some(status()) => Woken(looking.parked.take()),
            _ => Woken(Slab::new()),
        }
    }

    /// Returns the waker that was there, to be dropped after the lock. All others who are parked were told
    /// the same: [`look`](Self::look) saw to that under this lock.
    pub(super) fn park(&mut self, place: &mut Place, told: Status, waker: &Waker) -> Option<Waker> {
        let looking = self.0.get_or_insert_default();
        looking.told = Some(told);
        looking.parked.park(place, waker)
    }

    pub(super) fn leave(&mut self, place: &mut Place) -> Option<Waker> {
        self.0.as_mut()?.parked.leave(place)
    }

    /// All of them: there is nothing left to look at.
    pub(super) fn dismiss(&mut self) -> Woken {
        Woken(self.0.as_mut().map(|looking| looking.parked.take()).unwrap_or_default())
    }
}

impl Woken {
    /// A waker may be the program's own and run its task inline. One that panics must not take with it what
    /// was decided under the lock, which may be the ticket.
    pub(super) fn wake(self) {
        for (_, waker) in self.0 {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
