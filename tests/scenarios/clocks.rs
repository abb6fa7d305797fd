//! A local clock that is wrong, or jumps.

use std::time::Duration;

use http::StatusCode;
use tokio::time::sleep;
use tower_reauth::{
    MemoryStore, Session,
    testing::{Fault, ManualClock},
};

use crate::{
    scripted::{Scripted, pair},
    support::{ORIGIN, World, get, send, unsent},
};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Case 26.
#[cfg(feature = "jwt")]
#[tokio::test(start_paused = true)]
async fn a_local_clock_an_hour_fast_takes_no_new_token_for_expired() {
    for omit in [&[][..], &["expires_in"]] {
        let clock = ManualClock::new();
        let world = World::by(&clock);
        world.authorization.skew(-3600);
        world.authorization.lifetime(Duration::ZERO);
        let session = world.builder().expiry_from_jwt().clock(clock.clock()).build().unwrap();
        world.authorization.lifetime(HOUR);
        world.authorization.omit(omit.iter().copied());
        let client = world.client(&session);

        for _ in 0..45 {
            assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
            sleep(Duration::from_secs(60)).await;
        }
        assert_eq!(world.authorization.token_requests(), 1, "omitted: {omit:?}");
        assert_eq!(world.api.unauthorized(), 0);
    }
}

/// Case 26.
#[tokio::test(start_paused = true)]
async fn a_local_clock_an_hour_slow_costs_one_refused_request_after_a_restart() {
    let world = World::new();
    let clock = ManualClock::new();
    let store = MemoryStore::new();
    let before = world.builder().store(store.clone()).clock(clock.clock()).build().unwrap();
    before.token().await.unwrap();
    drop(before);

    sleep(HOUR + Duration::from_secs(60)).await;
    clock.step_back(HOUR);
    let after = Session::builder(world.grant()).origin(ORIGIN).store(store).clock(clock.clock());
    let client = world.client(&after.build().unwrap());
    for _ in 0..40 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(60)).await;
    }
    assert_eq!(world.api.unauthorized(), 1);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_back_a_day_makes_no_token_immortal() {
    let world = World::new();
    let clock = ManualClock::new();
    let session = world.builder().clock(clock.clock()).build().unwrap();
    let client = world.client(&session);
    for calls in 0..3 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), calls);
        clock.step_back(DAY);
        sleep(HOUR + Duration::from_secs(1)).await;
    }
    assert_eq!(world.api.unauthorized(), 0);
}

/// P10: what the answer says of the token that is held counts from then, by both clocks.
#[tokio::test(start_paused = true)]
async fn after_a_wall_clock_jumped_back_a_day_the_same_token_lives_as_long_as_it_is_given() {
    let (source, clock) = (Scripted::new(), ManualClock::new());
    source.answer(Ok(pair("same", "second")));
    let session = Session::builder(source.clone()).tokens(pair("same", "first"));
    let session = session.origin(ORIGIN).clock(clock.clock()).build().unwrap();
    session.token().await.unwrap();
    clock.step_back(DAY);
    sleep(HOUR).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "same");
    sleep(HOUR / 2).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "same");
    assert_eq!(source.calls(), 1);
}

/// Case 27.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_back_a_day_pins_no_cool_down() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let clock = ManualClock::new();
    let session = world.builder().clock(clock.clock()).build().unwrap();
    world.authorization.lifetime(HOUR);
    let client = world.client(&session);
    let busy = Fault::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30));
    world.authorization.fail_next(1, busy);
    unsent(send(&client, get("/")).await);

    clock.step_back(DAY);
    sleep(Duration::from_secs(29)).await;
    unsent(send(&client, get("/")).await);
    assert_eq!(world.authorization.token_requests(), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Case 27, the other way.
#[tokio::test(start_paused = true)]
async fn a_wall_clock_that_jumps_forward_a_day_costs_one_refresh() {
    let world = World::new();
    let clock = ManualClock::new();
    let session = world.builder().clock(clock.clock()).build().unwrap();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    clock.step(DAY);
    for _ in 0..100 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(world.authorization.token_requests(), 1);
}

/// P10: asleep, the monotonic clock stands still while tokens run out.
#[tokio::test(start_paused = true)]
async fn a_token_that_ran_out_while_the_machine_slept_is_not_sent() {
    let clock = ManualClock::new();
    let world = World::by(&clock);
    let session = world.builder().clock(clock.clock()).build().unwrap();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    clock.step(2 * HOUR);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.api.unauthorized(), 0);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// P10: the lifetime counts from when the request was sent.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_does_not_lengthen_a_lifetime() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    world.authorization.lifetime(Duration::from_secs(10));
    world.authorization.delay(Duration::from_secs(5));
    session.token().await.unwrap();

    // Nine of its ten seconds, five of which passed on the way.
    sleep(Duration::from_millis(3_900)).await;
    assert!(session.peek().is_some());
    sleep(Duration::from_millis(200)).await;
    assert!(session.peek().is_none());
}
