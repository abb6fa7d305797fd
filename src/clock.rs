//! The only readings of time: a monotonic and a wall clock, read together.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    pub(crate) mono: Instant,
    pub(crate) wall: SystemTime,
}

/// A moment that has come as soon as either clock says so.
///
/// The monotonic clock stands still while the machine sleeps, and the wall clock can be set; a token
/// judged by whichever is earlier is neither served dead nor kept for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadline {
    pub(crate) mono: Instant,
    pub(crate) wall: SystemTime,
}

/// Thirty years: within the range of every platform's clocks.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

impl Now {
    /// A moment of the monotonic clock; where the sum leaves its range, one beyond any token's life.
    pub(crate) fn later(&self, delay: Duration) -> Instant {
        self.mono.checked_add(delay).unwrap_or_else(|| Deadline::far(self).mono)
    }
}

impl Deadline {
    /// `None` where the sum leaves the range of a clock: that moment never comes.
    pub(crate) fn after(now: Now, delay: Duration) -> Option<Self> {
        Some(Self { mono: now.mono.checked_add(delay)?, wall: now.wall.checked_add(delay)? })
    }

    /// The moment at which the wall clock, as it goes now, reads `wall`.
    pub(crate) fn at(now: Now, wall: SystemTime) -> Option<Self> {
        let delay = wall.duration_since(now.wall).unwrap_or(Duration::ZERO);
        Some(Self { mono: now.mono.checked_add(delay)?, wall })
    }

    /// Both clocks' readings moved forward to `earlier` before this moment.
    pub(crate) fn before(self, earlier: Duration) -> Self {
        Self {
            mono: self.mono.checked_sub(earlier).unwrap_or(self.mono),
            wall: self.wall.checked_sub(earlier).unwrap_or(self.wall),
        }
    }

    /// A moment beyond any token's life.
    pub(crate) fn far(now: &Now) -> Self {
        Self::after(*now, FAR).unwrap_or(Self { mono: now.mono, wall: now.wall })
    }

    /// A moment that has come.
    pub(crate) fn passed_at(now: &Now) -> Self {
        Self { mono: now.mono, wall: now.wall }
    }

    #[inline]
    pub(crate) fn passed(&self, now: &Now) -> bool {
        now.mono >= self.mono || now.wall >= self.wall
    }
}

/// Where a session reads the time.
///
/// The monotonic clock is tokio's, so a test that pauses the runtime's time pauses the session's too.
/// The wall clock is the system's, or one that the test kit's manual clock steps.
///
/// Default: the system's clocks.
#[derive(Clone, Default)]
pub struct Clock {
    stepped: Option<Arc<Stepped>>,
}

/// A wall clock that follows the monotonic one, apart from the steps it was told to take.
struct Stepped {
    start: Now,
    offset_nanos: AtomicI64,
}

impl Clock {
    /// The system's clocks.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    #[inline]
    pub(crate) fn now(&self) -> Now {
        let mono = monotonic();
        let wall = match &self.stepped {
            None => system_wall(),
            Some(stepped) => stepped.wall(mono),
        };
        Now { mono, wall }
    }

    /// A wall clock of its own that starts at `wall` and is stepped by [`Clock::step`].
    #[cfg_attr(not(any(test, feature = "test-util")), allow(unused))]
    pub(crate) fn stepped(wall: SystemTime) -> Self {
        let start = Now { mono: monotonic(), wall };
        Self { stepped: Some(Arc::new(Stepped { start, offset_nanos: AtomicI64::new(0) })) }
    }

    /// Step the wall clock by `nanos`, backward if negative. The system's clock is not stepped.
    #[cfg_attr(not(any(test, feature = "test-util")), allow(unused))]
    pub(crate) fn step(&self, nanos: i64) {
        if let Some(stepped) = &self.stepped {
            stepped.offset_nanos.fetch_add(nanos, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.stepped.is_some() { "Clock(manual)" } else { "Clock(system)" })
    }
}

impl Stepped {
    fn wall(&self, mono: Instant) -> SystemTime {
        let wall = self.start.wall + mono.saturating_duration_since(self.start.mono);
        let offset = self.offset_nanos.load(Ordering::Relaxed);
        let step = Duration::from_nanos(offset.unsigned_abs());
        if offset < 0 { wall.checked_sub(step) } else { wall.checked_add(step) }.unwrap_or(wall)
    }
}

#[allow(clippy::disallowed_methods)]
fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[allow(clippy::disallowed_methods)]
fn system_wall() -> SystemTime {
    SystemTime::now()
}
