//! Wakers of those who wait, in a list that each of them can leave at any time.

use std::{mem, task::Waker};

use slab::Slab;

use crate::{caught::wake, lifecycle::Serial};

/// A place in a wait-list. Whoever has one gives it back by [`Gate::leave`](super::Gate::leave).
#[derive(Debug, Default)]
pub(crate) struct Place {
    entry: Option<Entry>,
    /// The flight that is, or was, waited for.
    pub(super) waited: Option<Serial>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    round: u64,
    key: usize,
}

/// The wakers of those who wait. Waking takes all of them and begins a new round.
#[derive(Default)]
pub(super) struct WaitList {
    round: u64,
    wakers: Slab<Waker>,
}

/// Wakers that are to be woken once the lock is released.
#[derive(Default)]
#[must_use = "whoever is not woken waits for ever"]
pub(super) struct Woken(Slab<Waker>);

impl Woken {
    /// What was decided under the lock, which may be the ticket, is still in the caller's hands.
    pub(super) fn wake(self) {
        self.0.into_iter().for_each(|(_, waker)| wake(waker));
    }
}

impl Place {
    /// Whether whoever has it ever had to wait for a flight.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited.is_some()
    }

    pub(super) fn is_taken(&self) -> bool {
        self.entry.is_some()
    }
}

impl WaitList {
    /// Returns the waker that was there, to be dropped after the lock: that may drop its task.
    pub(super) fn park(&mut self, place: &mut Place, waker: &Waker) -> Option<Waker> {
        let entry = place.entry.filter(|entry| entry.round == self.round);
        match entry.and_then(|entry| self.wakers.get_mut(entry.key)) {
            Some(parked) if parked.will_wake(waker) => None,
            Some(parked) => Some(mem::replace(parked, waker.clone())),
            None => {
                let key = self.wakers.insert(waker.clone());
                place.entry = Some(Entry { round: self.round, key });
                None
            }
        }
    }

    pub(super) fn leave(&mut self, place: &mut Place) -> Option<Waker> {
        let entry = place.entry.take().filter(|entry| entry.round == self.round)?;
        self.wakers.try_remove(entry.key)
    }

    pub(super) fn take(&mut self) -> Woken {
        self.round += 1;
        Woken(mem::take(&mut self.wakers))
    }

    pub(super) fn len(&self) -> usize {
        self.wakers.len()
    }
}
