//! When to poll: no I/O, and time is an argument.

use std::time::{Duration, Instant};

/// RFC 8628 §3.5: what each `slow_down` adds, for all polls to come.
const STEP: Duration = Duration::from_secs(5);

/// No wait after polls that were not answered is longer, unless the interval is.
const LONGEST: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    expiry: Option<Instant>,
    next: Option<Instant>,
    /// How many polls in a row brought no answer.
    unanswered: u32,
}

/// What a poll that brought no tokens says of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Polled {
    Pending,
    SlowDown,
    /// No answer, or none of the authorization server itself; and how long to wait at least.
    Unanswered(Duration),
}

impl Pace {
    /// The codes live for `lifetime` from `asked`, when they were asked for; the first poll is an
    /// `interval` after `answered`. An instant beyond the clock's range never comes.
    pub(super) fn new(
        asked: Instant,
        answered: Instant,
        lifetime: Duration,
        interval: Duration,
    ) -> Self {
        let expiry = asked.checked_add(lifetime);
        Self { interval, expiry, next: answered.checked_add(interval), unanswered: 0 }
    }

    /// When to poll next; `None` if the codes have expired by then.
    pub(super) fn next(&self) -> Option<Instant> {
        self.next.filter(|next| self.expiry.is_none_or(|expiry| *next < expiry))
    }

    /// How long the codes are still good for.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.expiry.map_or(Duration::MAX, |expiry| expiry.saturating_duration_since(now))
    }

    pub(super) fn polled(&mut self, polled: Polled, now: Instant) {
        let mut wait = match polled {
            Polled::Unanswered(least) => {
                self.unanswered += 1;
                let factor = 1 << self.unanswered.min(16);
                least.max(self.interval.saturating_mul(factor).min(LONGEST))
            }
            Polled::SlowDown => {
                self.unanswered = 0;
                self.interval += STEP;
                self.interval
            }
            Polled::Pending => {
                self.unanswered = 0;
                self.interval
            }
        };
        wait = wait.max(self.interval);
        self.next = now.checked_add(wait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn begin() -> (Pace, Instant) {
        let now = crate::Clock::system().now().mono;
        (Pace::new(now, now + seconds(1), seconds(600), seconds(5)), now)
    }

    #[test]
    fn the_first_poll_comes_an_interval_after_the_codes() {
        let (pace, begin) = begin();
        assert_eq!(pace.next(), Some(begin + seconds(6)));
        assert_eq!(pace.left(begin + seconds(100)), seconds(500));
        assert_eq!(pace.left(begin + seconds(700)), Duration::ZERO);
    }

    #[test]
    fn each_slow_down_counts_for_all_polls_to_come() {
        let (mut pace, now) = begin();
        for (polled, wait) in [
            (Polled::Pending, 5),
            (Polled::SlowDown, 10),
            (Polled::Pending, 10),
            (Polled::SlowDown, 15),
            (Polled::Pending, 15),
        ] {
            pace.polled(polled, now);
            assert_eq!(pace.next(), Some(now + seconds(wait)));
        }
    }

    #[test]
    fn polls_without_an_answer_come_less_and_less_often_until_one_is_answered() {
        let (mut pace, now) = begin();
        let unanswered = Polled::Unanswered(Duration::ZERO);
        for (polled, wait) in [
            (unanswered, 10),
            (unanswered, 20),
            (unanswered, 40),
            (unanswered, 60),
            (unanswered, 60),
            (Polled::Unanswered(seconds(90)), 90),
            (Polled::Pending, 5),
            (unanswered, 10),
        ] {
            pace.polled(polled, now);
            assert_eq!(pace.next(), Some(now + seconds(wait)), "{polled:?}");
        }
    }

    #[test]
    fn a_poll_that_would_come_too_late_does_not_come() {
        let (mut pace, begin) = begin();
        pace.polled(Polled::Pending, begin + seconds(594));
        assert!(pace.next().is_some());
        pace.polled(Polled::Pending, begin + seconds(595));
        assert!(pace.next().is_none());
    }

    #[test]
    fn no_number_makes_it_panic() {
        let now = crate::Clock::system().now().mono;
        let mut pace = Pace::new(now, now, Duration::MAX, Duration::MAX / 2);
        assert!(pace.next().is_none());
        pace.polled(Polled::Unanswered(Duration::MAX), now);
        assert!(pace.next().is_none());
        assert_eq!(pace.left(now), Duration::MAX);
    }
}
