//! Requests that are dropped, in each state of their future: nothing of them is left.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Frame;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_reauth::{BoxError, ReplayBody, testing::ResponseBody};

use crate::support::{Body, World, get, post, send, stack, traced};

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
    type Error = BoxError;

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
                Ok::<Response<Answer>, BoxError>(
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
    let refused = Arc::new(AtomicBool::new(false));
    let client = stack(
        &session,
        service_fn(move |_: Request<ReplayBody<Body>>| {
            let is_first = !refused.swap(true, Ordering::Relaxed);
            let status = if is_first { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
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
