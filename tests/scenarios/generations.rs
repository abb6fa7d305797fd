//! A challenge is evidence against the token it answered, and no other.

use std::time::Duration;

use futures::future::join_all;
use tokio::time::{advance, sleep};

use crate::support::{World, get, send, send_all, unanswered};

/// Case 3.
#[tokio::test(start_paused = true)]
async fn a_late_challenge_for_an_old_token_does_not_refresh_the_new_one() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let late = world.api.hold_refusals();
    let slow = send_all(&client, [get("/slow")]);
    late.until_held(1).await;
    world.api.hold_refusals().release();
    assert_eq!(send(&client, get("/fast")).await.unwrap().status(), 200);
    let new = session.peek().unwrap();

    sleep(Duration::from_secs(1)).await;
    late.release();

    for response in join_all(slow).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(session.peek().unwrap(), new);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 2 + 2);
    assert_eq!(world.api.received().last().unwrap().bearer(), Some(new.expose_secret()));
}

/// Case 3, two generations late.
#[tokio::test(start_paused = true)]
async fn a_challenge_two_generations_late_replays_with_the_newest_token() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let late = world.api.hold_refusals();
    let slow = send_all(&client, [get("/slow")]);
    late.until_held(1).await;
    world.api.hold_refusals().release();
    for _ in 0..2 {
        world.authorization.revoke_access_tokens();
        assert_eq!(send(&client, get("/fast")).await.unwrap().status(), 200);
    }

    late.release();

    for response in join_all(slow).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.api.requests(), 1 + 2 + 2 * 2);
}

/// A replay that needed no refresh leaves the one that a refresh drives.
#[tokio::test(start_paused = true)]
async fn a_late_challenge_whose_replay_is_challenged_too_may_still_refresh() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let late = world.api.hold_refusals();
    let slow = send_all(&client, [get("/slow")]);
    late.until_held(1).await;
    world.api.hold_refusals().release();
    assert_eq!(send(&client, get("/fast")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();

    late.release();

    for response in join_all(slow).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.api.requests(), 1 + 2 + 3);
}

/// Case 11.
#[tokio::test(start_paused = true)]
async fn a_program_that_names_an_old_token_gets_the_newer_one_without_a_call() {
    let world = World::new();
    let session = world.session();
    let old = session.token().await.unwrap();
    let new = session.refresh_after(&old).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(world.authorization.token_requests(), 1);

    assert_eq!(session.refresh_after(&old).await.unwrap(), new);
    assert_eq!(world.authorization.token_requests(), 1);

    assert_ne!(session.refresh_after(&new).await.unwrap(), new);
    assert_eq!(world.authorization.token_requests(), 2);
}

/// Case 11.
#[tokio::test(start_paused = true)]
async fn programs_that_name_the_same_token_at_once_share_one_refresh() {
    let world = World::new();
    world.authorization.delay(Duration::from_millis(20));
    let session = world.session();
    let old = session.token().await.unwrap();

    let asked = (0..20).map(|_| session.refresh_after(&old));
    let tokens: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();

    assert!(tokens.iter().all(|token| *token == tokens[0] && *token != old));
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Case 12.
#[tokio::test(start_paused = true)]
async fn the_same_token_once_more_is_no_answer_to_its_challenge() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.same_access_token(true);

    let response = send(&client, get("/")).await.unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.body(), "401 Unauthorized\n");
    assert!(unanswered(&response).retry_at().is_some());
    assert!(!unanswered(&response).needs_login());
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 12, as the program asks.
#[tokio::test(start_paused = true)]
async fn a_program_does_not_get_the_token_that_it_named() {
    let world = World::new();
    let session = world.session();
    let old = session.token().await.unwrap();
    world.authorization.same_access_token(true);

    let error = session.refresh_after(&old).await.unwrap_err();

    assert!(error.retry_at().is_some());
    assert_eq!(world.authorization.token_requests(), 1);
}

/// The rotated refresh token of an answer with the old access token is kept, and spent next.
#[tokio::test(start_paused = true)]
async fn the_same_access_token_comes_with_a_refresh_token_that_counts() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.same_access_token(true);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    world.authorization.same_access_token(false);

    advance(Duration::from_secs(1)).await;

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
}
