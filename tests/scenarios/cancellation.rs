//! Requests that are dropped, in each state of their future: the session owns the refresh.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, future::join_all};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_reauth::{Event, MemoryStore, ReplayBody, testing::ResponseBody};

use crate::support::{Body, Client, World, get, post, send, send_all, stack, stored};

/// A world whose session, with a warm token of a minute, has just outlived it.
async fn expired(world: &World) -> Client {
    world.authorization.lifetime(Duration::from_secs(60));
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    client
}

/// A request that tells whether anything still holds it.
fn traced(mut request: Request<Body>) -> (Request<Body>, Weak<()>) {
    let trace = Arc::new(());
    let weak = Arc::downgrade(&trace);
    request.extensions_mut().insert(trace);
    (request, weak)
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

struct Counted;

impl std::task::Wake for Counted {
    fn wake(self: Arc<Self>) {}
}

/// A waker whose clones can be counted.
fn counted_waker() -> (std::task::Waker, Arc<Counted>) {
    let wakes = Arc::new(Counted);
    (Arc::clone(&wakes).into(), wakes)
}

/// Case 18, challenged.
#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_it_waits_with_its_challenge_is_not_replayed() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let answers = world.authorization.hold();
    let (request, trace) = traced(post("/left", "body"));
    let mut renewing = task::spawn(client.clone().oneshot(request));
    assert_pending!(renewing.poll());
    answers.until_held(1).await;
    assert_pending!(renewing.poll());

    drop(renewing);
    assert!(trace.upgrade().is_none());
    answers.release();

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 1 + 1);
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

/// Admitted, it waits for the inner service.
#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_it_waits_for_readiness_gives_its_turn_back() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    session.token().await.unwrap();
    advance(Duration::from_secs(60)).await;
    let limit = ConcurrencyLimit::new(world.api.clone(), 1);
    let client = stack(&session, limit.clone());
    let (request, trace) = traced(get("/left"));
    let mut readying = task::spawn(client.clone().oneshot(request));
    assert_pending!(readying.poll());
    let mut permit = limit.clone();
    ServiceExt::<Request<ReplayBody<Body>>>::ready(&mut permit).await.unwrap();
    session.token().await.unwrap();
    assert!(readying.is_woken());
    assert_pending!(readying.poll());

    // The one behind it in the queue gets the turn, not the one that left.
    let mut next = task::spawn(client.clone().oneshot(get("/next")));
    assert_pending!(next.poll());
    drop(readying);
    assert!(trace.upgrade().is_none());
    drop(permit);

    assert!(next.is_woken());
    assert_eq!(assert_ready_ok!(next.poll()).status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_it_is_sent_is_gone() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let refusals = world.api.hold_refusals();
    let (request, trace) = traced(post("/left", "body"));
    let mut sending = task::spawn(client.clone().oneshot(request));
    assert_pending!(sending.poll());
    assert_eq!(refusals.held(), 1);

    drop(sending);

    assert_eq!(refusals.held(), 0);
    assert!(trace.upgrade().is_none());
    refusals.release();
    assert_eq!(world.authorization.token_requests(), 0, "nobody learned of the challenge");
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 1 + 2);
}

/// A challenge whose body never ends, or an answer.
#[derive(Debug)]
enum Answer {
    Whole(ResponseBody),
    Endless,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = tower_reauth::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(cx),
            Self::Endless => Poll::Pending,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_dropped_while_its_challenge_drains_is_not_replayed() {
    let world = World::new();
    let session = world.session();
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    let api = world.api.clone();
    let client = stack(
        &session,
        service_fn(move |request: Request<ReplayBody<Body>>| {
            let mut api = api.clone();
            async move {
                let response = api.call(request).await?;
                let refused = response.status() == StatusCode::UNAUTHORIZED;
                Ok::<Response<Answer>, tower_reauth::BoxError>(
                    response.map(
                        |body| {
                            if refused { Answer::Endless } else { Answer::Whole(body) }
                        },
                    ),
                )
            }
        }),
    );
    let (request, trace) = traced(post("/left", "body"));
    let mut draining = task::spawn(client.clone().oneshot(request));
    assert_pending!(draining.poll());
    while world.authorization.token_requests() == 0 || !draining.is_woken() {
        tokio::task::yield_now().await;
    }
    assert_pending!(draining.poll());

    drop(draining);

    assert!(trace.upgrade().is_none());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(world.api.requests(), 1);
    let mut whole = task::spawn(client.clone().oneshot(get("/")));
    assert_eq!(assert_ready_ok!(whole.poll()).status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// The same, to its end: a body that does not end holds the replay up for 50 ms.
#[tokio::test(start_paused = true)]
async fn a_challenge_that_does_not_drain_is_dropped() {
    let world = World::new();
    let session = world.session();
    session.token().await.unwrap();
    let mut refusals = 1;
    let client = stack(
        &session,
        service_fn(move |_: Request<ReplayBody<Body>>| {
            let status = if refusals > 0 { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
            refusals = 0;
            std::future::ready(Ok::<_, Infallible>(
                Response::builder().status(status).body(Answer::Endless).unwrap(),
            ))
        }),
    );

    let sent = client.oneshot(get("/"));
    let response = tokio::time::timeout(Duration::from_millis(52), sent).await.unwrap().unwrap();

    assert_eq!(response.status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
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
