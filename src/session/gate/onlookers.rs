//! Those who want to know when the status changes.

use std::task::Waker;

use super::wait_list::{Place, WaitList, Woken};
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

impl Onlookers {
    /// Those who were told something else.
    pub(super) fn look(&mut self, status: impl FnOnce() -> Status) -> Woken {
        let looking = self.0.as_mut().filter(|looking| looking.parked.len() > 0);
        match looking {
            Some(looking) if looking.told != Some(status()) => looking.parked.take(),
            _ => Woken::default(),
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
        self.0.as_mut().map(|looking| looking.parked.take()).unwrap_or_default()
    }
}
