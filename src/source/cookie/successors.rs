//! The cookies that failed answers have set: what is sent in the place of those that a store still has.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::RefreshToken;

/// What answers that were no success have made of which refresh tokens. Another session, over a clone of
/// the grant, has its own.
#[derive(Default)]
pub(super) struct Successors(Mutex<VecDeque<(RefreshToken, RefreshToken)>>);

/// One is of the session, and the others of those before it that a login replaced while they were
/// refreshed.
const SUCCESSORS: usize = 8;

impl Clone for Successors {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Successors {
    fn known(&self) -> MutexGuard<'_, VecDeque<(RefreshToken, RefreshToken)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest cookies that are known to follow these.
    pub(super) fn of(&self, spent: &RefreshToken) -> RefreshToken {
        let known = self.known();
        let found = known.iter().find(|(before, _)| before == spent);
        found.map_or(spent, |(_, next)| next).clone()
    }

    pub(super) fn add(&self, spent: &RefreshToken, next: RefreshToken) {
        self.forget(spent);
        let mut known = self.known();
        known.push_back((spent.clone(), next));
        let oldest = if known.len() > SUCCESSORS { known.pop_front() } else { None };
        // Zeroized out of the lock.
        drop(known);
        drop(oldest);
    }

    pub(super) fn forget(&self, spent: &RefreshToken) {
        let mut known = self.known();
        let found = known.iter().position(|(before, _)| before == spent);
        let forgotten = found.and_then(|found| known.remove(found));
        drop(known);
        drop(forgotten);
    }
}
