//! A program that is about to end.

use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep, timeout};
use tower_reauth::{Event, RefreshError, Session, Status};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, World, get, paused, send, settle, told, unanswered, unsent},
};

fn over(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap()
}

/// Case 19, section 4.
#[tokio::test(start_paused = true)]
async fn close_joins_the_refresh_in_flight_and_waiters_get_its_result() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let answer = source.answer_later(Ok(pair("new", "second")));
    let waiter = tokio::spawn({
        let session = session.clone();
        async move { session.token().await }
    });
    settle().await;
    let mut closed = tokio_test::task::spawn({
        let session = session.clone();
        async move { session.close().await }
    });
    assert!(closed.poll().is_pending());
    sleep(Duration::from_secs(5)).await;
    assert!(closed.poll().is_pending());

    answer.send(()).unwrap();
    closed.await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("second"));
    assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "new");
}

/// Section 4: also where the flight fails.
#[tokio::test(start_paused = true)]
async fn after_close_waiters_of_a_failing_flight_get_its_error() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let answer = source.answer_later(Err(RefreshError::rejected()));
    let waiter = tokio::spawn({
        let session = session.clone();
        async move { session.token().await }
    });
    settle().await;
    let closed = tokio::spawn({
        let session = session.clone();
        async move { session.close().await }
    });
    settle().await;
    answer.send(()).unwrap();
    closed.await.unwrap().unwrap();
    assert!(waiter.await.unwrap().unwrap_err().is_session_ended());
    assert!(store.is_buried());
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn after_close_the_token_serves_until_it_expires() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(100));
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    session.clone().close().await.unwrap();

    for _ in 0..89 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    let Status::Active { .. } = session.status() else { panic!("{:?}", session.status()) };
    sleep(Duration::from_secs(2)).await;
    let error = unsent(send(&client, get("/")).await);
    assert!(error.is_closed() && !error.needs_login());
    assert_eq!(session.status(), Status::Closed);
    assert_eq!(world.authorization.token_requests(), 0, "not even an early refresh");
    assert!(session.reload().await.unwrap_err().is_closed());
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn after_close_a_challenge_comes_back_with_the_reason() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    session.close().await.unwrap();
    world.authorization.revoke_access_tokens();
    for _ in 0..3 {
        let response = send(&client, get("/")).await.unwrap();
        assert_eq!(response.status(), 401);
        assert!(unanswered(&response).is_closed());
    }
    assert_eq!(world.authorization.token_requests(), 0);
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn close_tries_an_owed_save_once_more() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.fail(Op::Save, 2);
    let session = over(&source, &store);
    session.token().await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("first"));
    let mut events = session.events();
    session.close().await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
    drop(session);
    assert!(matches!(told(&mut events)[..], [Event::Persisted]));
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn close_hands_back_what_was_not_saved() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    store.fail(Op::Save, usize::MAX);
    let token = session.token().await.unwrap();
    let unsaved = session.close().await.unwrap_err();
    let tokens = unsaved.tokens().unwrap();
    assert_eq!(tokens.access(), &token);
    assert_eq!(tokens.refresh().unwrap().expose_secret(), "refresh-1");
    assert!(!format!("{unsaved} {unsaved:?}").contains("refresh-1"));
    assert!(std::error::Error::source(&unsaved).is_some());

    let calls = store.calls(Op::Save);
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(store.calls(Op::Save), calls, "a closed session runs nothing in the background");
    store.recover();
    session.close().await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// Section 4: a tombstone is something to save, too.
#[tokio::test(start_paused = true)]
async fn close_says_that_a_logout_was_not_saved() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    store.fail(Op::Bury, usize::MAX);
    session.logout().await.unwrap_err();
    assert!(session.close().await.unwrap_err().tokens().is_none());
    store.recover();
    session.close().await.unwrap();
    assert!(store.is_buried());
}

/// Section 4: bounded.
#[tokio::test(start_paused = true)]
async fn close_waits_no_longer_than_a_refresh_and_a_save_may() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let _never = source.answer_later(Ok(pair("never", "second")));
    assert!(session.token().now_or_never().is_none());
    settle().await;
    store.delay(Op::Save, Duration::from_secs(3600));
    let started = Instant::now();
    session.close().await.unwrap();
    assert!(started.elapsed() <= Duration::from_secs(65), "{:?}", started.elapsed());
}

/// A session that was never used has nothing to do, and its store is left alone.
#[tokio::test(start_paused = true)]
async fn closing_an_idle_session_is_quiet() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let mut events = session.events();
    session.close().now_or_never().unwrap().unwrap();
    session.close().now_or_never().unwrap().unwrap();
    assert!(session.token().await.unwrap_err().is_closed());
    assert_eq!((store.calls(Op::Load), source.calls()), (0, 0));
    drop(session);
    assert!(told(&mut events).is_empty());
}

/// A closed session can still be logged out, and the logout is stored.
#[tokio::test(start_paused = true)]
async fn a_closed_session_can_be_logged_out() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    session.close().await.unwrap();
    session.logout().await.unwrap();
    assert!(store.is_buried());
    assert!(session.token().await.unwrap_err().is_logged_out());
}

/// Section 4: bounded, also where the runtime that the refresh is on stands still.
#[test]
fn close_ends_where_nobody_drives_the_refresh() {
    let (idle, driven) = (paused(), paused());
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .runtime(idle.handle().clone())
        .build()
        .unwrap();
    driven.block_on(async {
        assert!(session.token().now_or_never().is_none());
        let limit = Duration::from_secs(2 * 60 + 3 * 5);
        timeout(limit, session.close()).await.expect("it is bounded").unwrap();
    });
    assert_eq!((store.calls(Op::Load), source.calls()), (0, 0));
}

/// A lease that is given back in the background is given back by then; a store that dawdles is not waited for.
#[tokio::test(start_paused = true)]
async fn close_lets_the_store_settle_last_for_a_bounded_time() {
    for (delay, waited) in [(1, 1), (3600, 5)] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = over(&source, &store);
        session.token().await.unwrap();
        store.delay(Op::Settle, Duration::from_secs(delay));
        let before = Instant::now();
        session.close().await.unwrap();
        assert_eq!(before.elapsed().as_secs(), waited);
        assert_eq!(store.calls(Op::Settle), 1);
    }
}
