//! The primitives that two tasks share: std's, or loom's when a model checker drives them.

#[cfg(not(reauth_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

#[cfg(reauth_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};

/// Lock, also when an earlier holder panicked: every section under these locks leaves the state
/// whole at each step, so poison says nothing about it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
