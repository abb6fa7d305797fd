//! The arithmetic.

use proptest::prelude::*;

use super::*;

fn settled(lifetime: u64, jitter: f64) -> (Duration, Duration) {
    let now = start();
    let lifetime = seconds(lifetime);
    let expiry = Deadline::after(now, lifetime).unwrap();
    let life = Life::new(&Policy::default(), expiry, lifetime, jitter);
    let left = |at: Option<Deadline>| expiry.mono - at.unwrap().mono;
    (left(life.dead_at), left(life.early_at))
}

#[test]
fn leeway_and_early_window_are_clamped_to_a_part_of_the_lifetime() {
    assert_eq!(settled(24 * 3600, 0.0), (seconds(10), seconds(300)));
    assert_eq!(settled(3600, 0.0), (seconds(10), seconds(300)));
    assert_eq!(settled(600, 0.0), (seconds(10), seconds(120)));
    assert_eq!(settled(30, 0.0), (seconds(3), seconds(6)));
    assert_eq!(settled(0, 0.0), (seconds(0), seconds(0)));
}

#[test]
fn jitter_only_makes_it_earlier_by_up_to_a_third_of_the_window() {
    assert_eq!(settled(3600, 0.5).1, seconds(350));
    assert_eq!(settled(3600, 1.0).1, seconds(400));
    // A draw out of range is the nearest in it.
    assert_eq!(settled(3600, 7.0).1, seconds(400));
    assert_eq!(settled(3600, -7.0).1, seconds(300));
}

#[test]
fn a_program_that_wants_no_early_window_has_none() {
    let now = start();
    let policy = Policy { early_fraction: 0.0, ..Policy::default() };
    let life = Life::new(&policy, Deadline::after(now, HOUR).unwrap(), HOUR, 1.0);
    assert_eq!(life.early_at, life.dead_at);
}

proptest! {
    #[test]
    fn a_token_is_new_for_half_its_lifetime_at_least(
        lifetime in 0..u64::MAX / 4, leeway: u64, fraction in 0.0..10.0, most: u64, jitter in 0.0..1.0,
    ) {
        let now = start();
        let lifetime = Duration::from_nanos(lifetime);
        let policy = Policy {
            leeway: seconds(leeway),
            early_fraction: fraction,
            early_most: seconds(most),
            ..Policy::default()
        };
        let expiry = Deadline::after(now, lifetime).unwrap();
        let life = Life::new(&policy, expiry, lifetime, jitter);
        let (early_at, dead_at) = (life.early_at.unwrap(), life.dead_at.unwrap());
        prop_assert!(now.mono + lifetime / 2 <= early_at.mono + Duration::from_nanos(2));
        prop_assert!(early_at.mono <= dead_at.mono && dead_at.mono <= expiry.mono);
        prop_assert!(early_at.wall <= dead_at.wall && dead_at.wall <= expiry.wall);
    }

    #[test]
    fn a_delay_doubles_from_its_first_to_its_most(first: u64, most: u64, step: u32) {
        let backoff = Backoff { first: Duration::from_nanos(first), most: Duration::from_nanos(most) };
        prop_assert!(backoff.delay(step) <= backoff.most);
        prop_assert!(backoff.delay(step) >= backoff.first.min(backoff.most));
        prop_assert!(backoff.delay(step) <= backoff.delay(step.saturating_add(1)));
    }
}

#[test]
fn delays_count_from_one() {
    let backoff = Policy::default().cool_down;
    let delays = [0, 1, 2, 3, 6, 7, 8, u32::MAX].map(|step| backoff.delay(step).as_secs());
    assert_eq!(delays, [1, 1, 2, 4, 32, 60, 60, 60]);
}

#[test]
fn the_longer_life_of_one_token_counts() {
    let now = start();
    let (short, long) = (life(&now, HOUR), life(&now, 2 * HOUR));
    for (one, other, longer) in [
        (short, long, long),
        (long, short, long),
        (short, Life::UNKNOWN, Life::UNKNOWN),
        (Life::UNKNOWN, short, Life::UNKNOWN),
        (Life::UNKNOWN, Life::UNKNOWN, Life::UNKNOWN),
    ] {
        assert_eq!(one.longer(other, &now), longer);
    }
}

#[test]
fn the_brake_is_on_from_the_fifth_until_the_first_leaves_the_window() {
    let policy = Policy::default();
    let now = start();
    let mut brake = Brake::default();
    for second in 0..4 {
        brake.count(&policy, &(now + seconds(second)));
    }
    assert_eq!(brake.until(&policy, &(now + seconds(4))), None);
    brake.count(&policy, &(now + seconds(4)));
    assert_eq!(brake.until(&policy, &(now + seconds(29))), Some((now + seconds(30)).mono));
    assert_eq!(brake.until(&policy, &(now + seconds(30))), None);
    // The second, third, fourth and fifth count on.
    brake.count(&policy, &(now + seconds(30)));
    assert_eq!(brake.until(&policy, &(now + seconds(30))), Some((now + seconds(31)).mono));
    brake.reset();
    assert_eq!(brake.until(&policy, &(now + seconds(30))), None);
}

#[test]
fn a_brake_that_never_lets_go_is_no_panic() {
    let policy = Policy { brake_after: 1, brake_window: Duration::MAX, ..Policy::default() };
    let now = start();
    let mut brake = Brake::default();
    brake.count(&policy, &now);
    assert!(brake.until(&policy, &now).is_some());
}
