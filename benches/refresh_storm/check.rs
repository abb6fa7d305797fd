//! What does not depend on how busy the machine is: counts and memory.

use crate::{
    api::Api,
    held::{self, allocations},
    idle::idle,
    storm::{Arena, Who},
    table::{CROWD, SESSIONS},
};

/// Of a waiting request, beyond a plain one in flight.
const WAITING_BYTES: f64 = 200.0;
/// Of a stormed request, beyond one with a valid token.
const ALLOCATIONS: f64 = 2.1;
/// Of an idle session, beyond its tokens.
const SESSION_BYTES: f64 = 1_200.0;

/// # Panics
///
/// If a storm did not go as it must, or a budget is exceeded.
pub(crate) fn check() {
    for threads in [1, 2] {
        let arena = Arena::new(threads);
        for n in [1, 10, 100, 1_000] {
            for who in [Who::Ours, Who::Ideal, Who::Mutex, Who::ColdOurs, Who::ColdIdeal] {
                arena.storm(who, n, 0.0);
            }
        }
        arena.storm(Who::Retry, 10, 0.0);
    }
    let waiting = held::waiting(CROWD, Api::new(CROWD)).bytes - held::in_flight(CROWD).bytes;
    within("bytes of a waiting request", waiting, WAITING_BYTES);
    let made = allocations(1_000);
    within("allocations of a stormed request", made.stormed - made.calm, ALLOCATIONS);
    let idle = idle(SESSIONS);
    within("bytes of an idle session", idle.bytes, SESSION_BYTES);
    within("tasks of idle sessions", idle.tasks as f64, 0.0);
}

fn within(what: &str, measured: f64, budget: f64) {
    println!("{what}: {measured:.1}, at most {budget}");
    assert!(measured <= budget, "{what}: {measured:.1} is more than {budget}");
}
