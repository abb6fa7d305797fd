//! Wall times that can be compared on a busy machine: storms take turns, so that each meets the same
//! neighbours; one whose processor was taken away is repeated; what counts is the median and the minimum.

use std::time::Duration;

use crate::storm::{Outcome, Who};

/// What one of those who took turns needed.
pub(crate) struct Times {
    pub(crate) who: Who,
    /// Of the last storm; all of them were alike.
    pub(crate) last: Outcome,
    sorted: Vec<Duration>,
}

/// So many storms of each, in turns. `storm` is given the phase between two ticks of the timer: each of
/// them meets every phase once.
pub(crate) fn take_turns(
    all: &[Who],
    rounds: usize,
    storm: impl Fn(Who, f64) -> Outcome,
) -> Vec<Times> {
    let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::with_capacity(rounds); all.len()];
    for round in 0..rounds {
        let phase = (round as f64 + 0.5) / rounds as f64;
        for turn in 0..all.len() {
            let at = (round + turn) % all.len();
            outcomes[at].push(undisturbed(|| storm(all[at], phase)));
        }
    }
    let times = all.iter().zip(outcomes).filter_map(|(&who, outcomes)| {
        let last = *outcomes.last()?;
        let mut sorted: Vec<_> = outcomes.into_iter().map(|outcome| outcome.took).collect();
        sorted.sort_unstable();
        Some(Times { who, last, sorted })
    });
    times.collect()
}

/// How often a storm is repeated because another program had its processor.
const ATTEMPTS: usize = 4;

/// The first storm that had the processor for itself, or else the one that had it most.
fn undisturbed(storm: impl Fn() -> Outcome) -> Outcome {
    let mut best = storm();
    for _ in 1..ATTEMPTS {
        if best.disturbed < best.took / 100 {
            break;
        }
        let next = storm();
        if next.disturbed < best.disturbed {
            best = next;
        }
    }
    best
}

impl Times {
    pub(crate) fn median(&self) -> Duration {
        self.sorted[self.sorted.len() / 2]
    }

    pub(crate) fn least(&self) -> Duration {
        self.sorted[0]
    }

    /// The ratios of the medians, and of the minima.
    pub(crate) fn over(&self, other: &Self) -> (f64, f64) {
        let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64();
        (ratio(self.median(), other.median()), ratio(self.least(), other.least()))
    }
}
