//! The only readings of time: a monotonic and a wall clock, read together.

#[cfg(feature = "test-util")]
mod stepped;

use std::{
    fmt,
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

    /// How long it is until then, by the clock that says so first.
    pub(crate) fn left(&self, now: &Now) -> Duration {
        let wall = self.wall.duration_since(now.wall).unwrap_or_default();
        self.mono.saturating_duration_since(now.mono).min(wall)
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
    #[cfg(feature = "test-util")]
    stepped: Option<std::sync::Arc<stepped::Stepped>>,
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
        Now { mono, wall: self.wall(mono) }
    }

    #[cfg(not(feature = "test-util"))]
    #[inline]
    fn wall(&self, _: Instant) -> SystemTime {
        system_wall()
    }

    #[cfg(feature = "test-util")]
    #[inline]
    fn wall(&self, mono: Instant) -> SystemTime {
        match &self.stepped {
            None => system_wall(),
            Some(stepped) => stepped.wall(mono),
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
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
