//! Requests and handles that are dropped: the session owns the refresh.

use std::{
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use tokio::time::{advance, sleep};
use tokio_test::assert_pending;
use tower::{ServiceExt, limit::ConcurrencyLimit};
use tower_reauth::{Event, MemoryStore};

use crate::support::{Client, World, get, post, send, send_all, stack, stored, traced};

/// A world whose session, with a warm token of a minute, has just outlived it.
async fn expired(world: &World) -> Client {
    world.authorization.lifetime(Duration::from_secs(60));
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    client
}

/// A waker whose clones can be counted.
fn counted_waker() -> (Waker, Arc<Counted>) {
    let wakes = Arc::new(Counted);
    (Arc::clone(&wakes).into(), wakes)
}

struct Counted;

impl Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// Case 16.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_first_request_was_dropped_saves_what_it_got() {
    let world = World::new();
    let store = MemoryStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let first = stored(&store).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_millis(50));
    let leader = send_all(&client, [get("/")]).pop().unwrap();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(world.authorization.rotations(), 1);

    leader.abort();
    sleep(Duration::from_millis(50)).await;

    let second = stored(&store).await.unwrap();
    assert_ne!(second.refresh(), first.refresh());
    assert_eq!(session.peek().as_ref(), Some(second.access()));
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 1 + 1 + 2, "the dropped request is not replayed");
}

/// Case 17.
#[tokio::test(start_paused = true)]
async fn five_waiters_succeed_without_the_request_that_began_the_refresh() {
    let world = World::new();
    let client = expired(&world).await;
    world.authorization.delay(Duration::from_millis(50));
    let leader = send_all(&client, [get("/leader")]).pop().unwrap();
    sleep(Duration::from_millis(10)).await;
    let waiters = send_all(&client, (0..5).map(|_| get("/waiter")));
    sleep(Duration::from_millis(10)).await;

    leader.abort();

    for response in join_all(waiters).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 5);
}

/// Case 18.
#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_takes_its_request_and_its_waker_with_it() {
    let world = World::new();
    let client = expired(&world).await;
    let answers = world.authorization.hold();
    let others = send_all(&client, (0..5).map(|_| get("/other")));
    answers.until_held(1).await;
    let (request, trace) = traced(post("/left", "body"));
    let (waker, wakes) = counted_waker();
    let mut waiter = Box::pin(client.clone().oneshot(request));
    assert_pending!(waiter.as_mut().poll(&mut Context::from_waker(&waker)));
    assert!(Arc::strong_count(&wakes) > 2, "the wait-list has a clone of the waker");

    drop(waiter);

    assert_eq!(Arc::strong_count(&wakes), 2, "only ours are left");
    assert!(trace.upgrade().is_none());
    answers.release();
    for response in join_all(others).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 5);
    assert!(world.api.received().iter().all(|request| request.uri.path() != "/left"));
}

/// Case 19.
#[tokio::test(start_paused = true)]
async fn a_refresh_outlives_every_request_and_every_handle() {
    let world = World::new();
    let store = MemoryStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let first = stored(&store).await.unwrap();
    let mut events = session.events();
    world.authorization.revoke_access_tokens();
    let answers = world.authorization.hold();
    let request = send_all(&client, [get("/")]).pop().unwrap();
    answers.until_held(1).await;

    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    drop((client, session));
    assert!(matches!(events.next().await, Some(Event::DroppedInFlight)));
    answers.release();

    assert!(matches!(events.next().await, Some(Event::Refreshed(_))));
    assert!(events.next().await.is_none(), "the refresh was the last to hold the session");
    let second = stored(&store).await.unwrap();
    assert_ne!(second.refresh(), first.refresh());
    assert!(world.authorization.is_valid(second.access()));

    let heir = world.builder().store(store).build().unwrap();
    assert_eq!(send(&world.client(&heir), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 19, as programs should end.
#[tokio::test(start_paused = true)]
async fn close_joins_a_refresh_that_everybody_left() {
    let world = World::new();
    let store = MemoryStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let first = stored(&store).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_secs(1));
    let request = send_all(&client, [get("/")]).pop().unwrap();
    sleep(Duration::from_millis(10)).await;
    request.abort();

    session.close().await.unwrap();

    assert_ne!(stored(&store).await.unwrap().refresh(), first.refresh());
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Dropping the last handle of an idle session is nothing to report.
#[tokio::test(start_paused = true)]
async fn an_idle_session_is_dropped_in_silence() {
    let world = World::new();
    let session = world.session();
    let mut events = session.events();
    assert!(session.token().await.is_ok());
    assert!(matches!(events.next().await, Some(Event::Refreshed(_))));

    drop(session);

    assert!(events.next().await.is_none());
}

/// Case 21.
#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_of_one_beneath_lets_both_callers_finish() {
    for challenged in [false, true] {
        let world = World::new();
        world.authorization.lifetime(Duration::from_secs(60));
        world.authorization.delay(Duration::from_millis(20));
        let session = world.session();
        session.token().await.unwrap();
        if challenged {
            world.authorization.revoke_access_tokens();
        } else {
            advance(Duration::from_secs(60)).await;
        }
        let client = stack(&session, ConcurrencyLimit::new(world.api.clone(), 1));

        for response in join_all(send_all(&client, [get("/one"), get("/two")])).await {
            assert_eq!(response.unwrap().unwrap().status(), 200);
        }
        assert_eq!(world.authorization.token_requests(), 1);
        assert_eq!(world.api.accepted(), 2);
    }
}

/// A thousand waiters come and go at random; those that stay are served.
#[tokio::test(start_paused = true)]
async fn of_many_waiters_that_come_and_go_those_that_stay_are_served() {
    let world = World::new();
    let client = expired(&world).await;
    let answers = world.authorization.hold();
    let mut waiting = send_all(&client, (0..1000).map(|_| get("/")));
    answers.until_held(1).await;

    let mut stayed = Vec::new();
    for (n, request) in waiting.drain(..).enumerate() {
        if n % 3 == 0 { stayed.push(request) } else { request.abort() }
    }
    tokio::task::yield_now().await;
    answers.release();

    let stayed = join_all(stayed).await;
    assert!(stayed.iter().all(|response| response.as_ref().unwrap().is_ok()));
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + stayed.len());
}
