//! What the machine decides, event by event.

mod policy;
mod property;

use std::time::Duration;

use super::*;
use crate::Clock;

const HOUR: Duration = Duration::from_secs(3600);
const ORDERS: Option<Endpoint> = Some(Endpoint(1));
const USERS: Option<Endpoint> = Some(Endpoint(2));

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Some moment. Both clocks go on by what the tests add.
fn start() -> Now {
    Clock::system().now()
}

impl std::ops::Add<Duration> for Now {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self { mono: self.mono + time, wall: self.wall + time }
    }
}

/// The life of a token that was issued at `now` for `lifetime`, without jitter.
fn life(now: &Now, lifetime: Duration) -> Life {
    Life::new(&Policy::default(), Deadline::after(*now, lifetime).unwrap(), lifetime, 0.0)
}

fn unread() -> Lifecycle {
    Lifecycle::new(Policy::default())
}

/// A machine that holds one token, good for an hour from `now` on.
fn ready(now: &Now) -> (Lifecycle, Generation) {
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(now, HOUR)), now);
    let generation = machine.generation().unwrap();
    (machine, generation)
}

#[track_caller]
fn ticket_of(decision: Decision) -> Ticket {
    match decision {
        Decision::Refresh(ticket) | Decision::GoAndRefresh(_, ticket) => ticket,
        other => panic!("no ticket: {other:?}"),
    }
}

#[track_caller]
fn goes(decision: Decision) -> Generation {
    match decision {
        Decision::Go(generation) => generation,
        other => panic!("no go: {other:?}"),
    }
}

#[track_caller]
fn waits(decision: Decision) -> Option<Serial> {
    match decision {
        Decision::Wait(serial) => Some(serial),
        other => panic!("no wait: {other:?}"),
    }
}

#[track_caller]
fn fails(decision: Decision) -> RefreshError {
    match decision {
        Decision::Fail(error) => error,
        other => panic!("no failure: {other:?}"),
    }
}

fn transient() -> Outcome {
    Outcome::Failed(RefreshError::transient())
}

fn rejected() -> Outcome {
    Outcome::Over(RefreshError::rejected())
}

/// One challenge, one refresh, and the refusal of what it brought. `None` where it was not begun.
fn fruitless(machine: &mut Lifecycle, endpoint: Endpoint, now: &Now) -> Option<RefreshError> {
    let seen = machine.generation().unwrap();
    let ticket = match machine.challenge(seen, Some(endpoint), None, now) {
        Decision::Refresh(ticket) => ticket,
        other => return Some(fails(other)),
    };
    let _ = machine.finish(ticket, Outcome::Fresh(life(now, HOUR)), now);
    machine.refused(machine.generation().unwrap(), endpoint, now);
    None
}

// The first look at the store.

fn calm_until(machine: &Lifecycle, now: &Now) -> Instant {
    match machine.outlook(now).unwrap().calm {
        Calm::Until(end) => end.mono,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_request_loads_and_the_others_wait_for_it() {
    let now = start();
    let mut machine = unread();
    assert!(machine.is_unread());
    let ticket = ticket_of(machine.admit(None, &now));
    assert_eq!(ticket.purpose(), Purpose::Load);
    assert_eq!(waits(machine.admit(None, &now)), Some(ticket.serial()));
    assert_eq!(waits(machine.reload()), Some(ticket.serial()));
    assert!(machine.outlook(&now).is_none());
}

#[test]
fn a_reload_of_an_unread_session_loads() {
    assert_eq!(ticket_of(unread().reload()).purpose(), Purpose::Load);
}

#[test]
fn after_a_failed_load_the_next_refresh_is_a_load_again_whatever_a_look_up_found() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let error = RefreshError::transient().with_retry_after(seconds(60));
    let _ = machine.finish(ticket, Outcome::Failed(error), &now);
    let look_up = ticket_of(machine.admit(None, &(now + seconds(1))));
    assert_eq!(look_up.purpose(), Purpose::LookUp);
    let _ = machine.finish(look_up, Outcome::Unchanged, &(now + seconds(1)));
    assert_eq!(ticket_of(machine.admit(None, &(now + seconds(60)))).purpose(), Purpose::Load);
}

#[test]
fn a_login_before_the_first_load_makes_it_needless() {
    let now = start();
    let mut machine = unread();
    let login = machine.log_in();
    assert!(matches!(
        machine.finish(login, Outcome::Fresh(life(&now, HOUR)), &now),
        Settled::Published
    ));
    assert!(!machine.is_unread());
    goes(machine.admit(None, &now));
    assert_eq!(ticket_of(machine.reload()).purpose(), Purpose::LookUp);
}

#[test]
fn a_login_wins_over_a_slow_first_load() {
    let now = start();
    let mut machine = unread();
    let load = ticket_of(machine.admit(None, &now));
    let waited = waits(machine.admit(None, &now));
    let login = machine.log_in();
    assert!(!machine.owns(&load));
    assert_eq!(waits(machine.admit(waited, &now)), Some(login.serial()));
    let _ = machine.finish(login, Outcome::Fresh(life(&now, HOUR)), &now);
    let generation = goes(machine.admit(waited, &now));
    assert!(matches!(machine.finish(load, rejected(), &now), Settled::Disowned));
    assert_eq!(goes(machine.admit(None, &now)), generation);
}

// A token that is held.

#[test]
fn a_good_token_is_used_without_a_refresh() {
    let now = start();
    let (mut machine, generation) = ready(&now);
    assert_eq!(goes(machine.admit(None, &(now + seconds(60)))), generation);
    let outlook = machine.outlook(&now).unwrap();
    assert_eq!(outlook.generation, generation);
    assert_eq!(outlook.calm, Calm::Until(Deadline::after(now, HOUR - seconds(300)).unwrap()));
    assert_eq!(outlook.dead_at, Deadline::after(now, HOUR - seconds(10)));
}

#[test]
fn in_the_early_window_one_refresh_runs_beside_and_nobody_waits() {
    let now = start();
    let (mut machine, generation) = ready(&now);
    let early = now + (HOUR - seconds(299));
    let Decision::GoAndRefresh(used, ticket) = machine.admit(None, &early) else {
        panic!("no refresh beside");
    };
    assert_eq!((used, ticket.purpose()), (generation, Purpose::Refresh(Cause::Early)));
    for _ in 0..1000 {
        assert_eq!(goes(machine.admit(None, &early)), generation);
    }
    let end = machine.outlook(&early).unwrap();
    assert_eq!(end.calm, end.dead_at.into());
}

#[test]
fn a_failed_early_refresh_keeps_the_token_and_pauses() {
    let now = start();
    let (mut machine, generation) = ready(&now);
    let early = now + (HOUR - seconds(200));
    let ticket = ticket_of(machine.admit(None, &early));
    let error = RefreshError::transient().with_retry_after(seconds(30));
    let Settled::Failed(error) = machine.finish(ticket, Outcome::Failed(error), &early) else {
        panic!("not failed");
    };
    assert_eq!(error.retry_at(), Some((early + seconds(30)).mono));
    for second in 0..30 {
        assert_eq!(goes(machine.admit(None, &(early + seconds(second)))), generation);
    }
    assert_eq!(calm_until(&machine, &early), (early + seconds(30)).mono);
    let _ = ticket_of(machine.admit(None, &(early + seconds(30))));
}

#[test]
fn an_expired_token_is_never_used_and_its_successor_is_waited_for() {
    let now = start();
    let (mut machine, generation) = ready(&now);
    let late = now + (HOUR - seconds(10));
    let ticket = ticket_of(machine.admit(None, &late));
    assert_eq!(ticket.purpose(), Purpose::Refresh(Cause::Expired));
    let waited = waits(machine.admit(None, &late));
    assert_eq!(waited, Some(ticket.serial()));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&late, HOUR)), &late);
    assert!(goes(machine.admit(waited, &late)) > generation);
}

#[test]
fn either_clock_ends_a_token() {
    let now = start();
    let (mut machine, _) = ready(&now);
    let suspended = Now { mono: now.mono, wall: now.wall + HOUR };
    assert_eq!(
        ticket_of(machine.admit(None, &suspended)).purpose(),
        Purpose::Refresh(Cause::Expired)
    );

    let (mut machine, _) = ready(&now);
    let set_back = Now { mono: now.mono + HOUR, wall: now.wall - 24 * HOUR };
    assert_eq!(
        ticket_of(machine.admit(None, &set_back)).purpose(),
        Purpose::Refresh(Cause::Expired)
    );
}

#[test]
fn a_token_of_unknown_lifetime_lasts_until_it_is_refused() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, Outcome::Fresh(Life::UNKNOWN), &now);
    let later = now + 24 * 365 * HOUR;
    let generation = goes(machine.admit(None, &later));
    let ticket = ticket_of(machine.challenge(generation, ORDERS, None, &later));
    assert_eq!(ticket.purpose(), Purpose::Refresh(Cause::Challenged));
}

#[test]
fn a_token_that_ran_out_while_it_was_saved_is_not_followed_by_the_next_at_once() {
    let now = start();
    let (mut machine, _) = ready(&now);
    let late = now + HOUR;
    for step in 0..3 {
        let late = late + seconds(60 * step);
        let ticket = ticket_of(machine.admit(None, &late));
        let waited = Some(ticket.serial());
        let dead = life(&(now + seconds(0)), HOUR);
        let Settled::Failed(error) = machine.finish(ticket, Outcome::Fresh(dead), &late) else {
            panic!("not failed");
        };
        assert_eq!(error.retry_at(), Some((late + seconds(1 << step)).mono));
        assert_eq!(fails(machine.admit(waited, &late)).kind(), Kind::ExpiredToken);
        assert_eq!(fails(machine.admit(None, &late)).kind(), Kind::ExpiredToken);
    }
}

// Challenges.

#[test]
fn a_challenge_is_answered_by_one_refresh_and_all_join_it() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = waits(machine.challenge(seen, USERS, None, &now));
    assert_eq!(waits(machine.admit(None, &now)), waited);
    assert!(!machine.outlook(&now).unwrap().calm.lasts(&now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
    let newest = machine.generation().unwrap();
    assert_eq!(goes(machine.challenge(seen, USERS, waited, &now)), newest);
    assert_eq!(goes(machine.admit(waited, &now)), newest);
}

#[test]
fn a_late_challenge_for_an_old_token_does_not_burn_the_new_one() {
    let now = start();
    let (mut machine, old) = ready(&now);
    let ticket = ticket_of(machine.challenge(old, ORDERS, None, &now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
    let newest = machine.generation().unwrap();
    assert_eq!(goes(machine.challenge(old, USERS, None, &now)), newest);
    assert_eq!(goes(machine.admit(None, &now)), newest);
    assert_eq!(machine.flight(), None);
}

#[test]
fn a_late_challenge_joins_the_refresh_of_a_newer_token_that_was_challenged_too() {
    let now = start();
    let (mut machine, old) = ready(&now);
    let ticket = ticket_of(machine.challenge(old, ORDERS, None, &now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
    let newest = machine.generation().unwrap();
    let ticket = ticket_of(machine.challenge(newest, USERS, None, &now));
    let waited = waits(machine.challenge(old, ORDERS, None, &now));
    let _ = machine.finish(ticket, transient(), &now);
    // One failure answers everyone who waited for it.
    assert_eq!(fails(machine.challenge(old, ORDERS, waited, &now)).kind(), Kind::Transient);
    // Who did not wait goes on with the newer one while no refresh may run, and refreshes nothing.
    assert_eq!(goes(machine.challenge(old, ORDERS, None, &now)), newest);
    let ticket = ticket_of(machine.challenge(old, ORDERS, None, &(now + seconds(1))));
    assert_eq!(ticket.purpose(), Purpose::Refresh(Cause::Challenged));
}

#[test]
fn a_challenge_in_an_early_refresh_joins_it() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let early = now + (HOUR - seconds(200));
    let ticket = ticket_of(machine.admit(None, &early));
    assert_eq!(waits(machine.challenge(seen, ORDERS, None, &early)), Some(ticket.serial()));
    assert_eq!(waits(machine.admit(None, &early)), Some(ticket.serial()));
}

#[test]
fn a_failed_refresh_is_told_to_its_waiters_however_late_they_ask() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = Some(ticket.serial());
    let _ = machine.finish(ticket, transient(), &now);
    let late = now + seconds(20);
    assert_eq!(fails(machine.challenge(seen, USERS, waited, &late)).kind(), Kind::Transient);
    // A request that can go out on the token does, refused as it is.
    assert_eq!(goes(machine.admit(waited, &late)), seen);
    assert_eq!(machine.flight(), None);
}

#[test]
fn while_it_cools_requests_go_out_on_the_challenged_token_and_challenges_fail() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let _ = machine.finish(ticket, transient(), &now);
    assert_eq!(goes(machine.admit(None, &now)), seen);
    let error = fails(machine.challenge(seen, USERS, None, &now));
    assert_eq!(error.retry_at(), Some((now + seconds(1)).mono));
    assert_eq!(calm_until(&machine, &now), (now + seconds(1)).mono);
    let _ = ticket_of(machine.admit(None, &(now + seconds(1))));
}

#[test]
fn the_same_token_again_is_kept_counted_and_paused_after() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = Some(ticket.serial());
    let longer = life(&now, 2 * HOUR);
    assert!(matches!(machine.finish(ticket, Outcome::Same(longer), &now), Settled::Failed(_)));
    assert_eq!(fails(machine.challenge(seen, ORDERS, waited, &now)).kind(), Kind::SameToken);
    assert_eq!(machine.generation(), Some(seen));
    assert_eq!(machine.expiry(&now), Some(longer.dead_at));
    assert_eq!(goes(machine.admit(None, &now)), seen);
}

#[test]
fn a_successor_that_expired_on_arrival_replaces_nothing() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let early = now + (HOUR - seconds(200));
    let ticket = ticket_of(machine.admit(None, &early));
    let _ = machine.finish(ticket, Outcome::ExpiredOnArrival, &early);
    assert_eq!(goes(machine.admit(None, &early)), seen);
}

// The brake.

#[test]
fn an_endpoint_that_refused_a_fresh_token_cannot_challenge_it_and_another_can() {
    let now = start();
    let (mut machine, _) = ready(&now);
    assert!(fruitless(&mut machine, Endpoint(1), &now).is_none());
    let newest = machine.generation().unwrap();
    let error = fails(machine.challenge(newest, ORDERS, None, &now));
    assert_eq!(error.kind(), Kind::Refused);
    assert_eq!(goes(machine.admit(None, &now)), newest);
    assert_eq!(machine.flight(), None);
    let _ = ticket_of(machine.challenge(newest, USERS, None, &now));
}

#[test]
fn five_fruitless_refreshes_brake_challenges_and_nothing_else() {
    let now = start();
    let (mut machine, old) = ready(&now);
    for endpoint in 0..5 {
        assert!(fruitless(&mut machine, Endpoint(endpoint), &now).is_none());
    }
    let newest = machine.generation().unwrap();
    let error = fails(machine.challenge(newest, Some(Endpoint(9)), None, &now));
    assert!(error.is_braked());
    assert_eq!(error.retry_at(), Some((now + seconds(30)).mono));
    assert_eq!(goes(machine.admit(None, &now)), newest);
    assert_eq!(goes(machine.challenge(old, Some(Endpoint(9)), None, &now)), newest);
    assert!(machine.outlook(&now).unwrap().calm.lasts(&now));
    let _ = ticket_of(machine.challenge(newest, Some(Endpoint(9)), None, &(now + seconds(30))));
}

#[test]
fn the_brake_does_not_stop_a_token_that_expired_on_its_way_from_being_replaced() {
    let now = start();
    let (mut machine, _) = ready(&now);
    let late = now + (HOUR - seconds(20));
    for endpoint in 0..5 {
        assert!(fruitless(&mut machine, Endpoint(endpoint), &late).is_none());
    }
    let seen = machine.generation().unwrap();
    // The wall clock stepped: the token is dead, and the brake is on still.
    let stepped = Now { mono: late.mono, wall: late.wall + HOUR };
    let _ = ticket_of(machine.challenge(seen, Some(Endpoint(9)), None, &stepped));
}

#[test]
fn an_accepted_replay_lets_go_of_the_brake() {
    let now = start();
    let (mut machine, _) = ready(&now);
    for endpoint in 0..5 {
        assert!(fruitless(&mut machine, Endpoint(endpoint), &now).is_none());
    }
    machine.accepted();
    assert!(fruitless(&mut machine, Endpoint(9), &now).is_none());
}

#[test]
fn many_refusals_of_one_token_count_once() {
    let now = start();
    let (mut machine, _) = ready(&now);
    let newest = machine.generation().unwrap();
    for endpoint in 0..1000 {
        machine.refused(newest, Endpoint(endpoint), &now);
    }
    let _ = ticket_of(machine.challenge(newest, Some(Endpoint(1000)), None, &now));
}

#[test]
fn refusals_that_come_after_the_next_token_are_counted_too() {
    let now = start();
    let (mut machine, _) = ready(&now);
    let mut refreshes = 0;
    // Another endpoint's challenge is always faster than the refused replay.
    for endpoint in 0..20 {
        let seen = machine.generation().unwrap();
        match machine.challenge(seen, Some(Endpoint(endpoint)), None, &now) {
            Decision::Refresh(ticket) => {
                refreshes += 1;
                let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
            }
            other => assert!(fails(other).is_braked()),
        }
        machine.refused(seen, Endpoint(endpoint), &now);
    }
    assert_eq!(refreshes, 5);
}

#[test]
fn a_login_begins_with_a_loose_brake() {
    let now = start();
    let (mut machine, _) = ready(&now);
    for endpoint in 0..5 {
        assert!(fruitless(&mut machine, Endpoint(endpoint), &now).is_none());
    }
    let old = machine.generation().unwrap();
    let login = machine.log_in();
    let _ = machine.finish(login, Outcome::Fresh(life(&now, HOUR)), &now);
    machine.refused(old, Endpoint(7), &now);
    for endpoint in 0..5 {
        assert!(fruitless(&mut machine, Endpoint(endpoint), &now).is_none());
    }
}

// Failure, and the cool-down.

#[test]
fn a_failure_is_remembered_for_a_cool_down_that_doubles_up_to_its_bound() {
    let mut now = start();
    let mut machine = unread();
    for delay in [1, 2, 4, 8, 16, 32, 60, 60] {
        let ticket = ticket_of(machine.admit(None, &now));
        let _ = machine.finish(ticket, transient(), &now);
        let until = now + seconds(delay);
        assert_eq!(machine.cooling_until(&now), Some(until.mono));
        assert_eq!(fails(machine.admit(None, &now)).retry_at(), Some(until.mono));
        now = until;
    }
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, seconds(100))), &now);
    let late = now + seconds(100);
    let ticket = ticket_of(machine.admit(None, &late));
    let _ = machine.finish(ticket, transient(), &late);
    assert_eq!(machine.cooling_until(&late), Some((late + seconds(1)).mono));
}

#[test]
fn retry_after_lengthens_the_cool_down_up_to_an_hour() {
    let now = start();
    for (asked, granted) in [(0, 1), (30, 30), (3600, 3600), (86_400, 3600), (u64::MAX, 3600)] {
        let mut machine = unread();
        let ticket = ticket_of(machine.admit(None, &now));
        let error = RefreshError::transient().with_retry_after(seconds(asked));
        let _ = machine.finish(ticket, Outcome::Failed(error), &now);
        assert_eq!(machine.cooling_until(&now), Some((now + seconds(granted)).mono));
    }
}

#[test]
fn a_cool_down_without_end_is_no_panic() {
    let now = start();
    let forever = Backoff { first: Duration::MAX, most: Duration::MAX };
    let mut machine = Lifecycle::new(Policy { cool_down: forever, ..Policy::default() });
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, transient(), &now);
    assert!(fails(machine.admit(None, &(now + 24 * 365 * HOUR))).retry_at().is_some());
}

#[test]
fn a_step_of_the_wall_clock_does_not_move_the_cool_down() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, transient(), &now);
    let ahead = Now { mono: now.mono, wall: now.wall + 24 * HOUR };
    fails(machine.admit(None, &ahead));
    let behind = Now { mono: now.mono + seconds(1), wall: now.wall - 24 * HOUR };
    let _ = ticket_of(machine.admit(None, &behind));
}

#[test]
fn a_cooling_session_looks_at_the_store_once_a_step() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let error = RefreshError::transient().with_retry_after(seconds(600));
    let _ = machine.finish(ticket, Outcome::Failed(error), &now);
    let mut looked = Vec::new();
    for second in 0..100 {
        let now = now + seconds(second);
        match machine.admit(None, &now) {
            Decision::Refresh(ticket) => {
                looked.push(second);
                let waited = waits(machine.admit(None, &now));
                let _ = machine.finish(ticket, Outcome::Unchanged, &now);
                // Whoever waited for the look does not begin another.
                assert_eq!(fails(machine.admit(waited, &now)).kind(), Kind::Transient);
            }
            other => assert_eq!(fails(other).kind(), Kind::Transient),
        }
    }
    assert_eq!(looked, [1, 3, 7, 15, 31, 63]);
}

#[test]
fn a_look_up_that_fails_spaces_the_next_one() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let error = RefreshError::transient().with_retry_after(seconds(600));
    let _ = machine.finish(ticket, Outcome::Failed(error.clone()), &now);
    let now = now + seconds(1);
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, Outcome::Failed(error), &now);
    fails(machine.admit(None, &now));
    assert_eq!(ticket_of(machine.admit(None, &(now + seconds(2)))).purpose(), Purpose::LookUp);
}

#[test]
fn an_abandoned_ticket_is_picked_up() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = waits(machine.admit(None, &now));
    machine.abandon(&ticket);
    let second = ticket_of(machine.admit(waited, &now));
    assert!(second.serial() > ticket.serial());
    // The first holder's second thoughts change nothing.
    machine.abandon(&ticket);
    assert!(machine.owns(&second));
}

// The end of a session.

#[test]
fn a_verdict_ends_the_session_for_everyone_at_once() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = waits(machine.admit(None, &now));
    assert!(matches!(machine.finish(ticket, rejected(), &now), Settled::Over(_)));
    assert!(fails(machine.admit(waited, &now)).is_session_ended());
    assert!(fails(machine.challenge(seen, ORDERS, waited, &now)).is_session_ended());
    assert!(fails(machine.admit(None, &now)).is_session_ended());
    assert_eq!((machine.generation(), machine.outlook(&now)), (None, None));
}

#[test]
fn an_ended_session_fails_fast_but_for_a_look_up_a_step() {
    let now = start();
    let (mut machine, _) = ready(&now);
    machine.log_out(&now);
    let mut looked = Vec::new();
    for second in 0..200 {
        let now = now + seconds(second);
        match machine.admit(None, &now) {
            Decision::Refresh(ticket) => {
                assert_eq!(ticket.purpose(), Purpose::LookUp);
                looked.push(second);
                // Newer tokens there, which could not be spent: the session is over still.
                let outcome = if second < 10 { transient() } else { Outcome::Unchanged };
                assert!(matches!(machine.finish(ticket, outcome, &now), Settled::Quiet));
            }
            other => assert!(fails(other).is_logged_out()),
        }
    }
    assert_eq!(looked, [1, 3, 7, 15, 31, 63, 123, 183]);
}

#[test]
fn a_newer_token_in_the_store_revives_an_ended_session() {
    let now = start();
    let (mut machine, old) = ready(&now);
    machine.log_out(&now);
    let ticket = ticket_of(machine.reload());
    let waited = Some(ticket.serial());
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
    assert!(goes(machine.admit(waited, &now)) > old);
    assert!(machine.over_because().is_none());
}

#[test]
fn a_refresh_token_that_was_spent_revives_an_ended_session_though_its_token_had_expired() {
    let now = start();
    let (mut machine, _) = ready(&now);
    machine.log_out(&now);
    let ticket = ticket_of(machine.reload());
    let _ = machine.finish(ticket, Outcome::ExpiredOnArrival, &now);
    assert!(machine.over_because().is_none());
    let ticket = ticket_of(machine.admit(None, &(now + seconds(1))));
    assert_eq!(ticket.purpose(), Purpose::Refresh(Cause::Expired));
}

#[test]
fn a_logout_wins_over_a_refresh_in_flight() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let waited = waits(machine.admit(None, &now));
    machine.log_out(&now);
    assert!(!machine.owns(&ticket));
    assert!(fails(machine.admit(waited, &now)).is_logged_out());
    let outcome = Outcome::Fresh(life(&now, HOUR));
    assert!(matches!(machine.finish(ticket, outcome, &now), Settled::Disowned));
    assert!(fails(machine.admit(None, &now)).is_logged_out());
}

#[test]
fn a_late_challenge_of_the_old_session_does_not_touch_a_new_login() {
    let now = start();
    let (mut machine, old) = ready(&now);
    let ticket = ticket_of(machine.challenge(old, ORDERS, None, &now));
    let _ = machine.finish(ticket, rejected(), &now);
    let login = machine.log_in();
    let _ = machine.finish(login, Outcome::Fresh(life(&now, HOUR)), &now);
    let newest = goes(machine.challenge(old, ORDERS, None, &now));
    assert!(newest > old);
    assert_eq!(goes(machine.admit(None, &now)), newest);
}

#[test]
fn a_login_disowns_a_refresh_and_the_login_before_it() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let refresh = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    let first = machine.log_in();
    let second = machine.log_in();
    assert!(matches!(machine.finish(refresh, transient(), &now), Settled::Disowned));
    let stale = Outcome::Fresh(life(&now, HOUR));
    assert!(matches!(machine.finish(first, stale, &now), Settled::Disowned));
    assert_eq!(machine.generation(), Some(seen));
    assert!(machine.owns(&second));
    let _ = machine.finish(second, Outcome::Fresh(life(&now, HOUR)), &now);
    assert!(machine.generation() > Some(seen));
}

#[test]
fn a_login_clears_the_cool_down() {
    let now = start();
    let mut machine = unread();
    let ticket = ticket_of(machine.admit(None, &now));
    let _ = machine.finish(ticket, transient(), &now);
    let login = machine.log_in();
    let _ = machine.finish(login, Outcome::Fresh(life(&now, HOUR)), &now);
    assert_eq!(machine.cooling_until(&now), None);
    let seen = goes(machine.admit(None, &now));
    let _ = ticket_of(machine.challenge(seen, ORDERS, None, &now));
}

// A session that was closed.

#[test]
fn a_closed_session_serves_its_token_until_it_expires_and_refreshes_nothing() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    machine.close();
    let early = now + (HOUR - seconds(200));
    assert_eq!(goes(machine.admit(None, &early)), seen);
    assert!(fails(machine.challenge(seen, ORDERS, None, &early)).is_closed());
    assert_eq!(goes(machine.admit(None, &early)), seen);
    let outlook = machine.outlook(&early).unwrap();
    assert_eq!(outlook.calm, outlook.dead_at.into());
    assert!(fails(machine.admit(None, &(now + HOUR))).is_closed());
    assert!(fails(machine.reload()).is_closed());
    assert!(machine.is_closed());
}

#[test]
fn waiters_of_a_closed_session_get_the_flights_result() {
    let now = start();
    let (mut machine, seen) = ready(&now);
    let ticket = ticket_of(machine.challenge(seen, ORDERS, None, &now));
    machine.close();
    let waited = waits(machine.admit(None, &now));
    assert!(!machine.outlook(&now).unwrap().calm.lasts(&now));
    let _ = machine.finish(ticket, Outcome::Fresh(life(&now, HOUR)), &now);
    assert!(goes(machine.admit(waited, &now)) > seen);
}
