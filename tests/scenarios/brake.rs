//! Tokens that do not help: the endpoint that refuses them all slows nobody else.

use std::time::Duration;

use futures::future::join_all;
use http::StatusCode;
use tokio::time::{advance, sleep};
use tower_reauth::{
    NoReplay,
    testing::{Fault, ManualClock},
};

use crate::support::{Client, World, get, post, send, send_all, unanswered};

/// So many paths that refuse every token, asked one after the other.
async fn ask_sour_paths(world: &World, client: &Client, paths: std::ops::Range<usize>) {
    for n in paths {
        let path = format!("/sour/{n}");
        world.api.always_401(&path);
        let response = send(client, get(&path)).await.unwrap();
        assert_eq!(response.status(), 401);
        assert_eq!(response.body(), "401 Unauthorized\n");
        assert!(unanswered(&response).is_braked());
    }
}

/// Case 13, all at once.
#[tokio::test(start_paused = true)]
async fn fifty_requests_to_an_endpoint_that_refuses_every_token_cost_one_refresh() {
    let world = World::new();
    world.api.always_401("/sour");
    let session = world.session();
    let client = world.client(&session);
    let refusals = world.api.hold_refusals();
    let requests = send_all(&client, (0..50).map(|_| get("/sour")));
    refusals.until_held(50).await;
    refusals.release();

    for response in join_all(requests).await {
        let response = response.unwrap().unwrap();
        assert_eq!(response.status(), 401);
        assert!(unanswered(&response).is_braked());
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 2 * 50);
    assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Case 13, one after the other: the endpoint that a token was fetched for cannot challenge it again.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refused_the_token_fetched_for_it_is_sent_no_other() {
    let world = World::new();
    world.api.always_401("/sour");
    let session = world.session();
    let client = world.client(&session);
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    for _ in 0..50 {
        let response = send(&client, get("/sour")).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(unanswered(&response).is_braked());
        assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    }

    assert_eq!(clock.wall(), asked_at);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.unauthorized(), 1 + 50);
    assert_eq!(world.api.requests(), 1 + 50 + 50);
}

/// Case 13, at many endpoints.
#[tokio::test(start_paused = true)]
async fn after_five_fruitless_refreshes_a_challenge_gets_a_typed_error() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);

    ask_sour_paths(&world, &client, 0..50).await;

    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.api.requests(), 2 * 5 + 45);
    let newest = session.peek().unwrap();
    assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    assert_eq!(world.api.received().last().unwrap().bearer(), Some(newest.expose_secret()));
    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.authorization.reused(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_brake_says_when_it_lets_go_and_does() {
    let world = World::new();
    let client = world.client(&world.session());
    ask_sour_paths(&world, &client, 0..5).await;
    let response = send(&client, get("/sour/4")).await.unwrap();
    assert!(
        unanswered(&response).retry_at().is_none(),
        "time does not help at an endpoint that refused"
    );
    world.api.always_401("/sour/5");
    let braked_at = unanswered(&send(&client, get("/sour/5")).await.unwrap()).retry_at().unwrap();

    advance(Duration::from_millis(29_900)).await;
    let response = send(&client, get("/sour/5")).await.unwrap();
    assert_eq!(unanswered(&response).retry_at(), Some(braked_at));
    assert_eq!(world.authorization.token_requests(), 5);

    advance(Duration::from_millis(100)).await;
    ask_sour_paths(&world, &client, 5..6).await;
    assert_eq!(world.authorization.token_requests(), 6);
}

#[tokio::test(start_paused = true)]
async fn an_accepted_replay_resets_the_brake() {
    let world = World::new();
    let client = world.client(&world.session());
    ask_sour_paths(&world, &client, 0..4).await;
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 4 + 1);

    ask_sour_paths(&world, &client, 4..20).await;

    assert_eq!(world.authorization.token_requests(), 4 + 1 + 5);
}

/// Requests that need no replay say nothing of whether fresh tokens help where they are needed.
#[tokio::test(start_paused = true)]
async fn a_request_accepted_at_once_does_not_reset_the_brake() {
    let world = World::new();
    let client = world.client(&world.session());

    for n in 0..20 {
        ask_sour_paths(&world, &client, n..n + 1).await;
        assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    }

    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.api.accepted(), 20);
}

/// A request that goes out on a token it did not wait for may still challenge it.
#[tokio::test(start_paused = true)]
async fn a_refusal_at_one_endpoint_leaves_the_token_to_be_challenged_by_others() {
    let world = World::new();
    let client = world.client(&world.session());
    ask_sour_paths(&world, &client, 0..1).await;
    world.authorization.revoke_access_tokens();

    assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);

    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.api.requests(), 2 + 2);
}

/// The exemption belongs to the token, not to the endpoint.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refused_one_token_may_challenge_the_next() {
    let world = World::new();
    let client = world.client(&world.session());
    ask_sour_paths(&world, &client, 0..2).await;
    assert_eq!(world.authorization.token_requests(), 2);

    ask_sour_paths(&world, &client, 0..1).await;

    assert_eq!(world.authorization.token_requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_same_token_again_and_again_brakes_too() {
    let world = World::new();
    let session = world
        .builder()
        .cool_down(Duration::from_millis(10), Duration::from_millis(10))
        .build()
        .unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.api.always_401("/sour");
    world.authorization.same_access_token(true);

    for _ in 0..20 {
        let response = send(&client, get("/sour")).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(unanswered(&response).retry_at().is_some());
        assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
        advance(Duration::from_millis(20)).await;
    }

    assert!(unanswered(&send(&client, get("/sour")).await.unwrap()).is_braked());
    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.authorization.reused(), 0);
}

#[tokio::test(start_paused = true)]
async fn while_a_session_cools_requests_go_out_on_its_challenged_token() {
    let world = World::new();
    world.api.always_401("/sour");
    let client = world.client(&world.session());
    world.authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let refused = send(&client, get("/sour")).await.unwrap();
    assert!(unanswered(&refused).retry_at().is_some());
    assert_eq!(world.authorization.token_requests(), 3);
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    for response in join_all(send_all(&client, (0..50).map(|_| get("/fine")))).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }

    assert_eq!(clock.wall(), asked_at);
    assert_eq!(world.authorization.token_requests(), 3);
    assert_eq!(world.api.requests(), 1 + 50);
}

/// After the cool-down the challenged token is tried for once more, and then serves again.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_before_a_request_is_sent_leaves_it_its_challenged_token() {
    let world = World::new();
    world.api.always_401("/sour");
    let client = world.client(&world.session());
    world.authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    send(&client, get("/sour")).await.unwrap();
    advance(Duration::from_secs(1)).await;

    for response in join_all(send_all(&client, (0..50).map(|_| get("/fine")))).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }

    assert_eq!(world.authorization.token_requests(), 3 + 3);
    assert_eq!(world.api.requests(), 1 + 50);
}

/// Case 13, of requests that are not sent again: the next one tells that the token did not help.
#[tokio::test(start_paused = true)]
async fn requests_without_a_replay_are_braked_where_every_token_is_refused() {
    let world = World::new();
    world.api.always_401("/sour");
    let client = world.client(&world.session());

    for _ in 0..100 {
        let mut request = post("/sour", "body");
        request.extensions_mut().insert(NoReplay);
        assert_eq!(send(&client, request).await.unwrap().status(), 401);
        sleep(Duration::from_millis(10)).await;
    }

    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.api.requests(), 100);
    assert_eq!(send(&client, get("/fine")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 5);
}

/// A late challenge names an older token; the newest, which is challenged, is what there is.
#[tokio::test(start_paused = true)]
async fn while_the_brake_holds_a_late_challenge_replays_with_the_challenged_token() {
    let world = World::new();
    let session = world.builder().brake(1, Duration::from_secs(30)).build().unwrap();
    let client = world.client(&session);
    let first = session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    let refusals = world.api.hold_refusals();
    let late = send_all(&client, [get("/late")]);
    refusals.until_held(1).await;
    let second = session.refresh_after(&first).await.unwrap();
    world.authorization.same_access_token(true);
    session.refresh_after(&second).await.unwrap_err();
    // The cool-down is over, and the brake is not.
    sleep(Duration::from_secs(5)).await;
    assert!(session.refresh_after(&second).await.unwrap_err().is_braked());

    refusals.release();

    for response in join_all(late).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.api.received().last().unwrap().bearer(), Some(second.expose_secret()));
    assert_eq!(world.authorization.token_requests(), 2);
}

/// P11: what an endpoint said of a token holds until it takes it.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_took_the_token_after_all_can_challenge_it_when_it_is_revoked() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/lagging")).await.unwrap();
    world.authorization.revoke_access_tokens();
    // A replica that lags refuses the old token and, once, the new one.
    world.api.fail_next(2, Fault::Status(StatusCode::UNAUTHORIZED));
    assert_eq!(send(&client, get("/lagging")).await.unwrap().status(), 401);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(send(&client, get("/lagging")).await.unwrap().status(), 200);

    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/lagging")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
}
