//! Where there is one thread, a refresh takes its first step in the task that needs it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShed};
use tower_reauth::{AccessToken, Held, RefreshError, Session, TokenSet, source_fn};

use crate::{
    support::{Body, ORIGIN, World, get, paused, send, stack},
    unruly::{Mood, UnrulySource},
};

fn minted(text: &str) -> Result<TokenSet, RefreshError> {
    let access = AccessToken::new(text).map_err(|_| RefreshError::misconfigured())?;
    Ok(TokenSet::new(access).expires_in(Duration::from_secs(60)))
}

#[tokio::test(start_paused = true)]
async fn a_source_that_has_the_answer_at_once_costs_no_wait() {
    let source = source_fn(|_: Held| async { minted("at-once") }).from_nothing();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    let mut token = task::spawn(session.token());
    assert_eq!(assert_ready_ok!(token.poll()).expose_secret(), "at-once");
}

#[tokio::test(start_paused = true)]
async fn the_answer_comes_although_the_one_who_asked_is_gone_after_the_first_step() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let answers = world.authorization.hold();
    let mut leaving = task::spawn(client.clone().oneshot(get("/")));
    assert_pending!(leaving.poll());
    assert_eq!(world.authorization.token_requests(), 1);
    drop(leaving);
    answers.release();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_first_step_does_not_unwind_into_the_caller() {
    let world = World::new();
    let source = UnrulySource::new(world.grant());
    let session = world.builder_over(source.clone()).build().unwrap();
    session.token().await.unwrap();
    source.refresh.next([Mood::PanicWhenPolled]);
    let refused = session.peek().unwrap();
    let mut waiting = task::spawn(session.refresh_after(&refused));
    let error = match waiting.poll() {
        std::task::Poll::Ready(Err(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(error.to_string().contains("panicked"), "{error}");
}

/// A request that needs no refresh is not held up by one that runs beside it.
#[tokio::test(start_paused = true)]
async fn an_early_refresh_takes_no_step_in_the_request_that_begins_it() {
    let steps = Arc::new(AtomicUsize::new(0));
    let source = source_fn({
        let steps = steps.clone();
        move |_: Held| {
            steps.fetch_add(1, Ordering::Relaxed);
            async { minted("another") }
        }
    })
    .from_nothing();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    advance(Duration::from_secs(50)).await;
    assert_ready_ok!(task::spawn(session.token()).poll());
    assert_eq!(steps.load(Ordering::Relaxed), 1);
    tokio::task::yield_now().await;
    assert_eq!(steps.load(Ordering::Relaxed), 2);
}

/// There a source that blocks would take the patience of the one who asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_threads_no_step_is_taken_in_the_caller() {
    let name = || format!("{:?}", thread::current().id()).replace(['(', ')'], "-");
    let source = source_fn(move |_: Held| async move { minted(&name()) }).from_nothing();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    // The test itself runs on a thread that runs no tasks.
    assert_ne!(session.token().await.unwrap().expose_secret(), name());
}

/// The program may hold a lock of its own while it calls, and its source may need that one too.
#[tokio::test(start_paused = true)]
async fn no_step_is_taken_while_the_client_is_called() {
    let world = World::new();
    let calling = Arc::new(Mutex::new(()));
    let source = source_fn({
        let calling = calling.clone();
        move |_: Held| {
            let is_called = calling.try_lock().is_err();
            async move { if is_called { Err(RefreshError::misconfigured()) } else { minted("new") } }
        }
    })
    .from_nothing();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    let mut client = world.client(&session);
    client.ready().await.unwrap();
    let answer = {
        let _calling = calling.lock().unwrap();
        client.call(get("/"))
    };
    let _ = answer.await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "new");
}

/// What `poll_ready` bought for the request is no use to it while it waits, and may be to the source.
#[tokio::test(start_paused = true)]
async fn the_first_step_finds_the_turn_that_the_request_gave_back() {
    let world = World::new();
    let one = GlobalConcurrencyLimitLayer::new(1);
    let turns = LoadShed::new(one.layer(tower::service_fn(|()| async { minted("new") })));
    let source = source_fn(move |_: Held| {
        let turns = turns.clone();
        async move { turns.oneshot(()).await.map_err(|_| RefreshError::misconfigured()) }
    })
    .from_nothing();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    let client = stack::<_, Body, _>(&session, one.layer(world.api.clone()));
    let _ = send(&client, get("/")).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "new");
}

/// A refresh token that is spent there would be lost: nobody could hear the answer.
#[test]
fn no_step_is_taken_on_a_runtime_that_has_ended() {
    let world = World::new();
    let session = world.session();
    paused().block_on(session.token()).unwrap();
    let refused = session.peek().unwrap();
    let ended = paused();
    let handle = ended.handle().clone();
    drop(ended);
    let _entered = handle.enter();
    let _answers = world.authorization.hold();
    let mut waiting = task::spawn(session.refresh_after(&refused));
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| waiting.poll()));
    assert_eq!(world.authorization.token_requests(), 0, "{answer:?}");
    let Ok(std::task::Poll::Ready(Err(error))) = answer else { panic!("{answer:?}") };
    assert!(!error.to_string().contains("panicked"), "{error}");
}
