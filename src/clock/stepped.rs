//! A wall clock that a test steps by hand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use super::{Clock, Now, monotonic};

/// Follows the monotonic clock, apart from the steps it was told to take.
pub(super) struct Stepped {
    start: Now,
    offset_nanos: AtomicI64,
}

impl Clock {
    /// A wall clock of its own that starts at `wall` and is stepped by [`Clock::step`].
    pub(crate) fn stepped(wall: SystemTime) -> Self {
        let start = Now { mono: monotonic(), wall };
        Self { stepped: Some(Arc::new(Stepped { start, offset_nanos: AtomicI64::new(0) })) }
    }

    /// Step the wall clock by `nanos`, backward if negative. The system's clock is not stepped.
    pub(crate) fn step(&self, nanos: i64) {
        if let Some(stepped) = &self.stepped {
            stepped.offset_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

impl Stepped {
    pub(super) fn wall(&self, mono: Instant) -> SystemTime {
        let wall = self.start.wall + mono.saturating_duration_since(self.start.mono);
        let offset = self.offset_nanos.load(Ordering::Relaxed);
        let step = Duration::from_nanos(offset.unsigned_abs());
        if offset < 0 { wall.checked_sub(step) } else { wall.checked_add(step) }.unwrap_or(wall)
    }
}
