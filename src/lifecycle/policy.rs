//! When a token is too old, when a refresh may start, and how failures are spaced: arithmetic alone.

use std::{collections::VecDeque, time::Duration, time::Instant};

use crate::clock::{Deadline, Now};

/// The settings that the lifecycle decides by.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    /// How long before its expiry a token counts as expired, at most this part of its lifetime.
    pub(crate) leeway: Duration,
    pub(crate) leeway_fraction: f64,
    /// The part of the lifetime, at its end, in which a refresh runs beside the requests.
    pub(crate) early_fraction: f64,
    pub(crate) early_most: Duration,
    /// By which part of its length the early window may begin earlier.
    pub(crate) jitter: f64,
    pub(crate) cool_down: Backoff,
    pub(crate) retry_after_most: Duration,
    pub(crate) brake_after: usize,
    pub(crate) brake_window: Duration,
}

/// Delays that double from one bound to the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    pub(crate) first: Duration,
    pub(crate) most: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            leeway: Duration::from_secs(10),
            leeway_fraction: 0.1,
            early_fraction: 0.2,
            early_most: Duration::from_secs(5 * 60),
            jitter: 1.0 / 3.0,
            cool_down: Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) },
            retry_after_most: Duration::from_secs(60 * 60),
            brake_after: 5,
            brake_window: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The delay after so many steps, counted from one.
    pub(crate) fn delay(&self, step: u32) -> Duration {
        let doubled = 2_u32.checked_pow(step.saturating_sub(1)).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.most)
    }
}

/// When an access token ends, and when it is time to fetch the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// From here on the token is not attached. `None`: its expiry is unknown.
    pub(crate) dead_at: Option<Deadline>,
    /// From here on a refresh runs beside the requests.
    pub(crate) early_at: Option<Deadline>,
}

impl Life {
    pub(crate) const UNKNOWN: Self = Self { dead_at: None, early_at: None };

    /// A token that expires at `expiry` and lives, or lived when it was new, for `lifetime`.
    ///
    /// `jitter` is between 0 and 1, drawn once for each token: it moves the early window forward, so that
    /// clients that started together do not refresh together.
    pub(crate) fn new(policy: &Policy, expiry: Deadline, lifetime: Duration, jitter: f64) -> Self {
        let leeway = policy.leeway.min(lifetime.mul_f64(fraction(policy.leeway_fraction, 0.5)));
        let window = lifetime.mul_f64(fraction(policy.early_fraction, 0.5)).min(policy.early_most);
        let earlier = window.mul_f64(fraction(jitter, 1.0) * fraction(policy.jitter, 1.0));
        // However wide the window is, half of the lifetime is not spent refreshing.
        let early = (window + earlier).min(lifetime / 2);
        let dead_at = expiry.before(leeway);
        Self { dead_at: Some(dead_at), early_at: Some(expiry.before(early.max(leeway))) }
    }

    pub(crate) fn is_dead(&self, now: &Now) -> bool {
        self.dead_at.is_some_and(|at| at.passed(now))
    }

    pub(crate) fn is_early(&self, now: &Now) -> bool {
        self.early_at.is_some_and(|at| at.passed(now))
    }

    /// Whichever ends later, as it looks now: for one token that two answers told about.
    pub(crate) fn longer(self, other: Self, now: &Now) -> Self {
        match (self.dead_at, other.dead_at) {
            (Some(mine), Some(theirs)) if mine.left(now) >= theirs.left(now) => self,
            (None, Some(_)) => self,
            _ => other,
        }
    }
}

/// A part between nothing and `most`; what is no number is nothing.
fn fraction(part: f64, most: f64) -> f64 {
    if part > 0.0 { part.min(most) } else { 0.0 }
}

/// Counts refreshes that did not help, within a window of time.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    fruitless: VecDeque<Instant>,
}

impl Brake {
    pub(crate) fn count(&mut self, policy: &Policy, now: &Now) {
        self.fruitless.push_back(now.mono);
        while self.fruitless.len() > policy.brake_after {
            self.fruitless.pop_front();
        }
    }

    pub(crate) fn is_counting(&self) -> bool {
        !self.fruitless.is_empty()
    }

    pub(crate) fn reset(&mut self) {
        self.fruitless.clear();
    }

    /// Until when refreshes pause, if they do.
    pub(crate) fn until(&self, policy: &Policy, now: &Now) -> Option<Instant> {
        if self.fruitless.len() < policy.brake_after {
            return None;
        }
        let first = self.fruitless.front()?;
        let until =
            first.checked_add(policy.brake_window).unwrap_or_else(|| Deadline::far(now).mono);
        (now.mono < until).then_some(until)
    }
}
