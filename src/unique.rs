//! Numbers that nobody else draws: versions, families, the words of those who hold a lease.
//!
//! Two that are equal pass one record off as another, or one holder of a lease as the next. A generator that
//! the program can seed would draw the same ones in each of its processes. Here the operating system's random
//! bytes are beneath; and since a process can be forked, and a machine copied, with all they have in memory,
//! so is who draws, and when.

use std::{collections::hash_map::RandomState, hash::BuildHasher, process};

use crate::Clock;

pub(crate) fn number() -> u64 {
    let now = Clock::system().now();
    RandomState::new().hash_one((process::id(), now.mono, now.wall))
}

/// One of twice the length, in hexadecimal digits.
#[cfg(any(feature = "redis", feature = "sign"))]
pub(crate) fn word() -> String {
    format!("{:016x}{:016x}", number(), number())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::number;

    #[test]
    fn a_program_that_seeds_its_generator_draws_other_numbers_each_time() {
        let numbers = (0..1000).map(|_| {
            fastrand::seed(7);
            number()
        });
        assert_eq!(numbers.collect::<HashSet<_>>().len(), 1000);
    }
}
