//! The gate under a model checker: every interleaving of a few tasks.
//!
//! The snapshot's cell is not one that the checker knows, so it is no point at which tasks are switched;
//! the lock around each change of it is. A lost wake-up shows as a deadlock.

use std::{sync, task::Wake};

use ::loom::{
    model,
    sync::{Arc, Notify},
    thread,
};

use super::*;
use crate::{
    Clock, Expected, RefreshError, TokenSet,
    lifecycle::{Generation, Life, Policy},
    session::holding::Kept,
};

fn now() -> Now {
    Clock::system().now()
}

fn gate() -> Arc<Gate> {
    Arc::new(Gate::new(Lifecycle::new(Policy::default()), Holding::default()))
}

/// The first ticket, and nobody who waits for it yet.
fn first_ticket(gate: &Gate, now: &Now) -> Ticket {
    match gate.ask(now, |state| state.life.admit(None, now)) {
        Decision::Refresh(ticket) => ticket,
        other => panic!("no ticket: {other:?}"),
    }
}

fn publish(gate: &Gate, ticket: Ticket, now: &Now) -> Settled {
    let token = AccessToken::new("fresh").unwrap();
    let kept = Kept {
        tokens: TokenSet::new(token),
        expected: Expected::Absent,
        saved: true,
        replaced: Vec::new(),
        overrides: None,
        family: None,
    };
    gate.finish(ticket, Outcome::Fresh(Life::UNKNOWN), now, |holding| holding.hold(kept)).settled
}

/// A task that sleeps until it is woken.
struct Sleeper(Notify);

impl Wake for Sleeper {
    fn wake(self: sync::Arc<Self>) {
        self.0.notify();
    }
}

fn block_on<T>(mut poll: impl FnMut(&Context<'_>) -> Poll<T>) -> T {
    let sleeper = sync::Arc::new(Sleeper(Notify::new()));
    let waker = Waker::from(sleeper.clone());
    loop {
        match poll(&Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => sleeper.0.wait(),
        }
    }
}

/// Waits as a request does, and runs the refresh if it falls to it.
fn admitted(gate: &Gate, now: &Now) -> Result<Generation, RefreshError> {
    let mut place = Place::default();
    let admitted = block_on(|cx| {
        loop {
            let ask = |life: &mut Lifecycle, waited| life.admit(waited, now);
            match gate.poll(&mut place, cx, now, ask) {
                Decision::Go(generation) => return Poll::Ready(Ok(generation)),
                Decision::Fail(error) => return Poll::Ready(Err(error)),
                Decision::Wait(_) => return Poll::Pending,
                Decision::Refresh(ticket) => drop(publish(gate, ticket, now)),
                other => panic!("{other:?}"),
            }
        }
    });
    if let Ok(generation) = admitted {
        let published = gate.snapshot().as_ref().map(|snapshot| snapshot.outlook.generation);
        assert!(published >= Some(generation), "released before the token could be seen");
    }
    gate.leave(&mut place);
    admitted
}

/// Parks once, as a request does that is dropped afterwards.
fn parks_and_leaves(gate: &Gate, now: &Now) {
    let mut place = Place::default();
    let cx = Context::from_waker(Waker::noop());
    let decision = gate.poll(&mut place, &cx, now, |life, waited| life.admit(waited, now));
    if let Decision::Refresh(ticket) = decision {
        gate.abandon(&ticket, now);
    }
    gate.leave(&mut place);
}

/// Case 15.
#[test]
fn a_waiter_wakes_whether_it_parked_before_or_after_the_end() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let waiters = [gate.clone(), gate.clone()]
            .map(|gate| thread::spawn(move || admitted(&gate, &now).unwrap()));
        assert!(matches!(publish(&gate, ticket, &now), Settled::Published));
        let [one, other] = waiters.map(|waiter| waiter.join().unwrap());
        assert_eq!(one, other);
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn one_failure_answers_everyone_who_waits() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let waiters = [gate.clone(), gate.clone()]
            .map(|gate| thread::spawn(move || admitted(&gate, &now).unwrap_err()));
        let failed = Outcome::Failed(RefreshError::misconfigured());
        assert!(matches!(gate.finish(ticket, failed, &now, |_| {}).settled, Settled::Failed(_)));
        for waiter in waiters {
            assert!(waiter.join().unwrap().is_misconfigured());
        }
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn an_abandoned_ticket_is_picked_up() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let waiters = [gate.clone(), gate.clone()]
            .map(|gate| thread::spawn(move || admitted(&gate, &now).unwrap()));
        gate.abandon(&ticket, &now);
        let [one, other] = waiters.map(|waiter| waiter.join().unwrap());
        // One of them ran the refresh, and the other did not run another.
        assert_eq!(one, other);
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn a_dropped_waiter_leaves_and_takes_nobody_with_it() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let dropped = thread::spawn({
            let gate = gate.clone();
            move || parks_and_leaves(&gate, &now)
        });
        let waiter = thread::spawn({
            let gate = gate.clone();
            move || admitted(&gate, &now).unwrap()
        });
        dropped.join().unwrap();
        assert!(gate.waiting() <= 1);
        let _ = publish(&gate, ticket, &now);
        waiter.join().unwrap();
        assert_eq!(gate.waiting(), 0);
    });
}

#[test]
fn a_waiter_of_an_earlier_flight_that_leaves_late_removes_nobody() {
    let now = now();
    model(move || {
        let gate = gate();
        let mut place = Place::default();
        let first = first_ticket(&gate, &now);
        let cx = Context::from_waker(Waker::noop());
        let _ = gate.poll(&mut place, &cx, &now, |life, waited| life.admit(waited, &now));
        // A login takes the first flight's place; the waiter was woken, and is dropped before it asks.
        let second = gate.change(&now, |state| state.life.log_in());
        let waiter = thread::spawn({
            let gate = gate.clone();
            move || admitted(&gate, &now).unwrap()
        });
        gate.leave(&mut place);
        let _ = publish(&gate, second, &now);
        assert!(matches!(publish(&gate, first, &now), Settled::Disowned));
        waiter.join().unwrap();
        assert_eq!(gate.waiting(), 0);
    });
}

/// Looks at the snapshot as soon as it is woken, on the task that woke it.
struct Looks(Arc<Gate>, sync::Mutex<Option<bool>>);

impl Wake for Looks {
    fn wake(self: sync::Arc<Self>) {
        *self.1.lock().unwrap() = Some(self.0.snapshot().is_some());
        // Not under the lock either, or this would be a deadlock.
        let _ = self.0.waiting();
    }
}

#[test]
fn the_snapshot_is_there_before_anyone_is_woken() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let looks = sync::Arc::new(Looks(gate.clone(), sync::Mutex::new(None)));
        let waker = Waker::from(looks.clone());
        let mut place = Place::default();
        let cx = Context::from_waker(&waker);
        let _ = gate.poll(&mut place, &cx, &now, |life, waited| life.admit(waited, &now));
        let refresh = thread::spawn({
            let gate = gate.clone();
            move || drop(publish(&gate, ticket, &now))
        });
        refresh.join().unwrap();
        assert_eq!(*looks.1.lock().unwrap(), Some(true));
    });
}

#[test]
fn the_holder_learns_that_its_ticket_was_taken_away() {
    let now = now();
    model(move || {
        let gate = gate();
        let disowned = |ticket: Ticket| {
            let gate = gate.clone();
            thread::spawn(move || block_on(|cx| gate.poll_disowned(&ticket, cx)))
        };
        let first = disowned(first_ticket(&gate, &now));
        let second = disowned(gate.change(&now, |state| state.life.log_in()));
        gate.change(&now, |state| state.life.log_out(&now));
        first.join().unwrap();
        second.join().unwrap();
    });
}

#[test]
fn a_logout_wakes_whoever_waits_for_the_refresh() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let waiter = thread::spawn({
            let gate = gate.clone();
            move || admitted(&gate, &now).unwrap_err()
        });
        gate.change(&now, |state| state.life.log_out(&now));
        assert!(waiter.join().unwrap().is_logged_out());
        assert!(matches!(publish(&gate, ticket, &now), Settled::Disowned));
        assert!(gate.snapshot().is_none());
    });
}

#[test]
fn whoever_waits_for_the_end_of_a_flight_sees_it() {
    let now = now();
    model(move || {
        let gate = gate();
        let ticket = first_ticket(&gate, &now);
        let landed = thread::spawn({
            let gate = gate.clone();
            move || {
                let mut place = Place::default();
                block_on(|cx| gate.poll_landed(&mut place, cx));
                gate.leave(&mut place);
            }
        });
        gate.abandon(&ticket, &now);
        landed.join().unwrap();
        assert_eq!(gate.waiting(), 0);
    });
}

/// Looks on until the status is another than `told`.
fn looks_on(gate: &Gate, told: Status, now: &Now) -> Status {
    let mut place = Place::default();
    let changed = block_on(|cx| match gate.poll_status(&mut place, Some(told), cx, now) {
        (status, _) if status != told => Poll::Ready(status),
        _ => Poll::Pending,
    });
    gate.look_away(&mut place);
    changed
}

#[test]
fn whoever_looks_on_sees_the_status_change() {
    let now = now();
    model(move || {
        let gate = gate();
        let onlookers = [gate.clone(), gate.clone()]
            .map(|gate| thread::spawn(move || looks_on(&gate, Status::Loading, &now)));
        gate.change(&now, |state| state.life.log_out(&now));
        for onlooker in onlookers {
            assert_eq!(onlooker.join().unwrap(), Status::LoggedOut);
        }
    });
}

#[test]
fn whoever_looks_away_takes_nobody_with_it() {
    let now = now();
    model(move || {
        let gate = gate();
        let stays = thread::spawn({
            let gate = gate.clone();
            move || looks_on(&gate, Status::Loading, &now)
        });
        let leaves = thread::spawn({
            let gate = gate.clone();
            move || {
                let mut place = Place::default();
                let cx = Context::from_waker(Waker::noop());
                let _ = gate.poll_status(&mut place, Some(Status::Loading), &cx, &now);
                gate.look_away(&mut place);
            }
        });
        gate.change(&now, |state| state.life.log_out(&now));
        leaves.join().unwrap();
        assert_eq!(stays.join().unwrap(), Status::LoggedOut);
    });
}
