//! A refresh before the token runs out: whatever becomes of it, requests go out on the good token.

use std::time::Duration;

use futures::FutureExt;
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task};
use tower_reauth::{
    Clock, RefreshError, Session,
    testing::{Fault, ManualClock},
};

use crate::{
    scripted::{Scripted, pair},
    support::{ORIGIN, World, get, post, send, settle, unsent},
};

/// A session in the early window of a token of 1000 s, with 150 s of its life left.
async fn late_in_life(world: &World) -> Session {
    late_in_life_by(world, Clock::system()).await
}

async fn late_in_life_by(world: &World, clock: Clock) -> Session {
    world.authorization.lifetime(Duration::from_secs(1000));
    let session = world.builder().clock(clock).build().unwrap();
    session.token().await.unwrap();
    sleep(Duration::from_secs(850)).await;
    session
}

/// Case 28.
#[tokio::test(start_paused = true)]
async fn while_the_token_endpoint_is_down_requests_go_out_until_the_token_really_expires() {
    for fault in [Fault::Status(StatusCode::SERVICE_UNAVAILABLE), Fault::Reset] {
        let world = World::new();
        let session = late_in_life(&world).await;
        let client = world.client(&session);
        world.authorization.fail_next(usize::MAX, fault);

        for _ in 0..139 {
            let started = Instant::now();
            let response = send(&client, get("/")).await.unwrap();
            assert_eq!(response.status(), 200);
            assert!(response.extensions().get::<RefreshError>().is_none());
            assert_eq!(started.elapsed(), Duration::ZERO, "no request waits");
            sleep(Duration::from_secs(1)).await;
        }
        assert!(world.authorization.token_requests() > 1);
        assert_eq!(world.api.unauthorized(), 0);

        // Ten seconds of leeway.
        sleep(Duration::from_secs(2)).await;
        let error = unsent(send(&client, get("/")).await);
        assert!(!error.needs_login());
        world.authorization.recover();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    }
}

/// Case 29.
#[tokio::test(start_paused = true)]
async fn in_the_early_window_retry_after_spaces_the_calls() {
    let world = World::new();
    let session = late_in_life(&world).await;
    let client = world.client(&session);
    let busy = Fault::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30));
    world.authorization.fail_next(usize::MAX, busy);

    for _ in 0..1000 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(world.authorization.token_requests(), 4, "at 0, 30, 60 and 90 s");
}

/// P9.
#[tokio::test(start_paused = true)]
async fn the_same_token_in_the_early_window_is_kept_and_cools_the_session() {
    // Of two lives that are told of it the longer counts, so the wall clock stands still with tokio's.
    let clock = ManualClock::new();
    let world = World::by(&clock);
    let session = late_in_life_by(&world, clock.clock()).await;
    let client = world.client(&session);
    let token = session.peek();
    world.authorization.same_access_token(true);

    for _ in 0..100 {
        let response = send(&client, get("/")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(session.peek(), token);
        sleep(Duration::from_secs(1)).await;
    }
    // At 0, 1, 3, 7, 15, 31 and 63 s.
    let calls = world.authorization.token_requests();
    assert!((4..=7).contains(&calls), "{calls}");

    world.authorization.same_access_token(false);
    sleep(Duration::from_secs(50)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_ne!(session.peek(), token);
    assert_eq!(world.authorization.reused(), 0, "each refresh spent the newest refresh token");
}

/// P9.
#[tokio::test(start_paused = true)]
async fn the_same_token_with_a_longer_life_is_used_for_that_life() {
    let source = Scripted::new();
    source.answer(Ok(pair("same", "second")));
    let session = Session::builder(source.clone())
        .tokens(pair("same", "first").expires_in(Duration::from_secs(100)))
        .origin(ORIGIN)
        .build()
        .unwrap();
    session.token().await.unwrap();
    sleep(Duration::from_secs(85)).await;
    session.token().await.unwrap();
    settle().await;
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "same");
    assert_eq!(source.calls(), 1);
}

/// P9: in the early window nobody waits, not even who asks for the token itself.
#[tokio::test(start_paused = true)]
async fn an_early_refresh_that_hangs_holds_nobody_up() {
    let world = World::new();
    let session = late_in_life(&world).await;
    let hold = world.authorization.hold();
    for _ in 0..100 {
        assert!(session.token().now_or_never().expect("at once").is_ok());
    }
    hold.until_held(1).await;
    assert_eq!(world.authorization.token_requests(), 1);
    hold.release();
    settle().await;
    assert_eq!(world.authorization.rotations(), 1);
}

/// P9: the verdict on an early refresh is a verdict all the same.
#[tokio::test(start_paused = true)]
async fn a_verdict_in_the_early_window_ends_the_session() {
    let world = World::new();
    let session = late_in_life(&world).await;
    world.authorization.revoke_all();
    assert!(session.token().await.is_ok());
    settle().await;
    assert!(session.token().await.unwrap_err().is_session_ended());
}

/// The refresh began before the server refused anything, so what it brings is no answer to that.
#[tokio::test(start_paused = true)]
async fn a_token_revoked_before_it_arrived_does_not_use_up_the_refresh_of_a_challenge() {
    let world = World::new();
    let session = late_in_life(&world).await;
    let client = world.client(&session);
    let hold = world.authorization.hold();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    hold.until_held(1).await;
    hold.seal();

    // Both tokens are gone: the one in use, and the one on its way.
    world.authorization.revoke_access_tokens();
    let mut request = task::spawn(send(&client, post("/orders", "tea")));
    assert_pending!(request.poll());
    settle().await;
    assert_eq!(world.api.unauthorized(), 1);
    hold.release();

    let response = request.await.unwrap();
    assert_eq!((response.status(), &response.body()[..]), (StatusCode::OK, &b"tea"[..]));
    assert_eq!((world.api.unauthorized(), world.authorization.rotations()), (2, 2));

    // An endpoint that refuses everything still costs a request no more than two replays.
    sleep(Duration::from_secs(850)).await;
    world.api.always_401("/never");
    let hold = world.authorization.hold();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    hold.until_held(1).await;
    let mut request = task::spawn(send(&client, get("/never")));
    assert_pending!(request.poll());
    settle().await;
    hold.release();
    assert_eq!(request.await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!((world.api.unauthorized(), world.authorization.rotations()), (5, 4));
}
