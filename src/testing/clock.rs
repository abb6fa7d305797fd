//! A wall clock that a test steps by hand.

use std::time::{Duration, SystemTime};

use crate::Clock;

/// 2030-01-01T00:00:00Z.
const START: Duration = Duration::from_secs(1_893_456_000);

/// A wall clock that jumps when told to, as NTP or a suspended machine makes it jump.
///
/// Between the steps it follows monotonic time, which is tokio's: pause that, and move both clocks on
/// with `tokio::time::advance`. [`step`](Self::step) moves the wall clock alone.
///
/// Clones, and every [`Clock`] it hands out, are one clock.
///
/// ```
/// use std::time::Duration;
/// use tower_reauth::testing::ManualClock;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let clock = ManualClock::new();
/// let start = clock.wall();
///
/// tokio::time::advance(Duration::from_secs(5)).await;
/// clock.step(Duration::from_secs(3600)); // asleep for an hour
/// assert_eq!(clock.wall(), start + Duration::from_secs(3605));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock(Clock);

impl ManualClock {
    /// A clock that reads 2030-01-01T00:00:00Z now.
    #[must_use]
    pub fn new() -> Self {
        Self::starting_at(SystemTime::UNIX_EPOCH + START)
    }

    /// A clock that reads `wall` now.
    #[must_use]
    pub fn starting_at(wall: SystemTime) -> Self {
        Self(Clock::stepped(wall))
    }

    /// This clock, for a session or a server to read.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clone()
    }

    /// What the wall clock reads.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        self.0.now().wall
    }

    /// Step the wall clock forward. Monotonic time stays.
    pub fn step(&self, forward: Duration) {
        self.0.step(nanos(forward));
    }

    /// Step the wall clock back. Monotonic time stays.
    pub fn step_back(&self, back: Duration) {
        self.0.step(-nanos(back));
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

/// At most 292 years.
fn nanos(step: Duration) -> i64 {
    i64::try_from(step.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_moves_the_wall_clock_and_nothing_else() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let before = clock.now();

        manual.step(Duration::from_secs(60));
        manual.step_back(Duration::from_secs(90));

        let after = clock.now();
        assert_eq!(after.mono, before.mono);
        assert_eq!(after.wall, before.wall - Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn between_steps_the_wall_clock_follows_paused_time() {
        let manual = ManualClock::starting_at(SystemTime::UNIX_EPOCH);
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(manual.wall(), SystemTime::UNIX_EPOCH + Duration::from_millis(1500));
    }
}
