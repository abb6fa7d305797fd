//! However many requests need it, one refresh runs.

use std::{
    collections::HashSet,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use http::StatusCode;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready_err, task};
use tower_reauth::{
    Held, source_fn,
    testing::{Fault, ManualClock},
};

use crate::{
    support::{World, get, post, send, send_all, stack, unanswered, unsent},
    unruly::{Mood, PANICS, UnrulySource},
};

/// Case 1.
#[tokio::test(start_paused = true)]
async fn requests_refused_at_once_share_one_refresh() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_millis(20));
    let hold = world.api.hold_refusals();

    let requests = send_all(&client, (0..256).map(|_| get("/orders")));
    hold.until_held(256).await;
    hold.release();

    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 2 * 256);
}

/// Case 2.
#[tokio::test(start_paused = true)]
async fn requests_refused_one_after_another_share_one_refresh() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_millis(18));
    let hold = world.api.hold_refusals();
    let requests = send_all(&client, (0..64).map(|_| get("/orders")));
    hold.until_held(64).await;

    for released in 1..=64 {
        hold.release_one();
        sleep(Duration::from_millis(4)).await;
        // From 18 ms on the new token is there, and nobody waits for it any more.
        let finished = requests.iter().filter(|request| request.is_finished()).count();
        assert_eq!(finished, if released <= 4 { 0 } else { released });
    }

    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 2 * 64);
}

/// Case 4.
#[tokio::test(start_paused = true)]
async fn a_request_refused_while_the_refresh_runs_joins_it() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let refusals = world.api.hold_refusals();
    let requests = send_all(&client, (0..8).map(|n| post("/orders", format!("order {n}"))));
    refusals.until_held(8).await;
    let answers = world.authorization.hold();
    refusals.release_one();
    answers.until_held(1).await;

    refusals.release();
    sleep(Duration::from_millis(50)).await;
    assert!(requests.iter().all(|request| !request.is_finished()));
    answers.release();

    for (n, response) in join_all(requests).await.into_iter().enumerate() {
        let response = response.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), &format!("order {n}"));
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 2 * 8);
}

/// Case 5, nothing sent.
#[tokio::test(start_paused = true)]
async fn one_failed_refresh_fails_all_who_waited_before_sending() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    world.authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));

    let requests = send_all(&client, (0..50).map(|_| get("/orders")));
    let errors: Vec<_> =
        join_all(requests).await.into_iter().map(|result| unsent(result.unwrap())).collect();

    let retry_times: HashSet<_> = errors.iter().map(|error| error.retry_at().unwrap()).collect();
    assert_eq!(retry_times.len(), 1, "all got the same error");
    assert!(errors.iter().all(|error| !error.needs_login() && !error.was_ambiguous()));
    assert_eq!(world.authorization.token_requests(), 3);
    assert_eq!(world.api.requests(), 1);
}

/// Case 5, each challenged.
#[tokio::test(start_paused = true)]
async fn one_failed_refresh_fails_all_who_were_challenged() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let refusals = world.api.hold_refusals();
    let requests = send_all(&client, (0..50).map(|_| get("/orders")));
    refusals.until_held(50).await;
    refusals.release();

    let responses: Vec<_> =
        join_all(requests).await.into_iter().map(|response| response.unwrap().unwrap()).collect();

    assert!(responses.iter().all(|response| response.status() == 401));
    assert!(responses.iter().all(|response| response.body() == "401 Unauthorized\n"));
    let retry_times: HashSet<_> =
        responses.iter().map(|response| unanswered(response).retry_at().unwrap()).collect();
    assert_eq!(retry_times.len(), 1, "all got the same error");
    assert_eq!(world.authorization.token_requests(), 3);
    assert_eq!(world.api.requests(), 1 + 50);
}

/// Case 5, with waiters that get round to it when the cool-down is over.
#[tokio::test(start_paused = true)]
async fn a_waiter_polled_late_gets_the_error_of_the_refresh_that_it_waited_for() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    session.token().await.unwrap();
    advance(Duration::from_secs(60)).await;
    world.authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let mut waiters: Vec<_> = (0..5).map(|_| task::spawn(session.token())).collect();
    for waiter in &mut waiters {
        assert_pending!(waiter.poll());
    }

    sleep(Duration::from_secs(5)).await;

    for waiter in &mut waiters {
        assert!(waiter.is_woken());
        assert!(assert_ready_err!(waiter.poll()).retry_at().is_some());
    }
    assert_eq!(world.authorization.token_requests(), 3);
}

/// Case 6.
#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_for_the_cool_down_and_no_longer() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    world.authorization.fail_next(3, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let first = unsent(send(&client, get("/")).await);

    for _ in 0..9 {
        let again = unsent(send(&client, get("/")).await);
        assert_eq!(again.retry_at(), first.retry_at());
        advance(Duration::from_millis(100)).await;
    }
    assert_eq!(world.authorization.token_requests(), 3);

    advance(Duration::from_millis(100)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 4);
    assert_eq!(world.api.requests(), 2);
}

/// Case 6.
#[tokio::test(start_paused = true)]
async fn a_login_ends_the_cool_down() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    world.authorization.fail_next(3, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    unsent(send(&client, get("/")).await);

    session.login(world.authorization.login()).await.unwrap();

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 3 + 1);
}

/// Case 7.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics_or_returns_early_hangs_nobody_and_the_next_refresh_runs() {
    for mood in PANICS.into_iter().chain([Mood::Fail]) {
        let world = World::new();
        world.authorization.lifetime(Duration::from_secs(60));
        let source = UnrulySource::new(world.grant());
        let session = world.builder_over(source.clone()).attempts(1, Duration::ZERO).build();
        let client = stack(&session.unwrap(), world.api.clone());
        send(&client, get("/")).await.unwrap();
        advance(Duration::from_secs(60)).await;
        source.refresh.next([mood]);
        let clock = ManualClock::new();
        let asked_at = clock.wall();

        let requests = send_all(&client, (0..5).map(|_| get("/")));
        for result in join_all(requests).await {
            assert!(unsent(result.unwrap()).retry_at().is_some(), "{mood:?}");
        }
        assert_eq!(clock.wall(), asked_at, "nobody waits for a refresh that is gone");
        assert_eq!(source.calls(), 1, "{mood:?}");

        advance(Duration::from_secs(1)).await;
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200, "{mood:?}");
        assert_eq!(source.calls(), 2);
        assert_eq!(world.api.requests(), 2);
        assert_eq!(world.authorization.reused(), 0);
    }
}

/// Case 7.
#[tokio::test(start_paused = true)]
async fn a_source_that_is_ready_at_its_first_poll_serves_everyone() {
    let world = World::new();
    let (calls, authorization) = (Arc::new(AtomicUsize::new(0)), world.authorization.clone());
    let source = source_fn({
        let calls = Arc::clone(&calls);
        move |_: Held| {
            calls.fetch_add(1, Ordering::SeqCst);
            ready(Ok(authorization.login()))
        }
    });
    let session = world.builder_over(source.from_nothing()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();

    for round in 1..=3 {
        world.authorization.revoke_access_tokens();
        for response in join_all(send_all(&client, (0..5).map(|_| get("/")))).await {
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
        assert_eq!(calls.load(Ordering::SeqCst), round);
    }
}

/// Case 1, with threads that race.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_many_threads_each_revocation_costs_one_refresh() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();

    for round in 1..=20 {
        world.authorization.revoke_access_tokens();
        let requests = send_all(&client, (0..64).map(|_| get("/orders")));
        for (n, request) in requests.into_iter().enumerate() {
            if n % 8 == 7 {
                request.abort();
            } else {
                assert_eq!(request.await.unwrap().unwrap().status(), 200);
            }
        }
        assert_eq!(world.authorization.token_requests(), round);
    }
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 8.
#[tokio::test(start_paused = true)]
async fn a_released_waiter_reads_the_new_token() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let old = session.peek().unwrap();
    advance(Duration::from_secs(60)).await;
    world.authorization.delay(Duration::from_millis(20));

    let requests = send_all(&client, (0..20).map(|_| get("/orders")));
    let askers: Vec<_> = (0..20)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.token().await.unwrap() })
        })
        .collect();

    let tokens: Vec<_> = join_all(askers).await.into_iter().map(Result::unwrap).collect();
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    let new = session.peek().unwrap();
    assert_ne!(new.expose_secret(), old.expose_secret());
    assert!(tokens.iter().all(|token| *token == new));
    let sent = world.api.received();
    assert_eq!(sent.len(), 1 + 20);
    assert!(sent[1..].iter().all(|request| request.bearer() == Some(new.expose_secret())));
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Case 14.
#[tokio::test(start_paused = true)]
async fn requests_in_the_early_window_go_out_at_once_while_one_refresh_runs() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(100));
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let old = session.peek().unwrap();
    // The window begins between 73 s and 80 s, and the token counts as expired from 90 s on.
    advance(Duration::from_secs(85)).await;
    world.authorization.delay(Duration::from_secs(2));
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    let requests = send_all(&client, (0..1000).map(|_| get("/orders")));
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }

    assert_eq!(clock.wall(), asked_at, "none of them waits");
    assert_eq!(session.peek().unwrap(), old);
    sleep(Duration::from_secs(3)).await;
    assert_ne!(session.peek().unwrap(), old);
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 1000 + 1);
    assert_eq!(world.api.unauthorized(), 0);
}
