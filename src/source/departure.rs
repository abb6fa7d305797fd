//! Whether the request of an attempt has left.

use std::{
    error, fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
};

/// Whether the request of an attempt has left, as far as its source says. One that says nothing may have
/// sent at once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departure(Arc<AtomicU8>);

const UNKNOWN: u8 = 0;
const PREPARING: u8 = 1;
const LEFT: u8 = 2;

impl Departure {
    /// What comes now is no request that could spend anything: a signature, metadata, a connection's turn.
    pub(super) fn prepare(&self) {
        // What has left does not come back.
        let _ = self.0.compare_exchange(UNKNOWN, PREPARING, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// From now on it may arrive.
    pub(super) fn leave(&self) {
        self.0.store(LEFT, Ordering::Relaxed);
    }

    pub(crate) fn is_ahead(&self) -> bool {
        self.0.load(Ordering::Relaxed) == PREPARING
    }
}

/// The attempt was over before its request left.
#[derive(Debug)]
pub(crate) struct NeverLeft;

impl fmt::Display for NeverLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request for tokens was not ready to be sent in time")
    }
}

impl error::Error for NeverLeft {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_left_does_not_come_back() {
        let departure = Departure::default();
        assert!(!departure.is_ahead());
        departure.prepare();
        assert!(departure.clone().is_ahead());
        departure.clone().leave();
        departure.prepare();
        assert!(!departure.is_ahead());
    }
}
