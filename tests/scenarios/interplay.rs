//! What one mechanism does to another: adopted tokens, owed burials, look-ups, runtimes that stand still.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};
use tower_reauth::{
    Entry, Event, Held, MemoryStore, NoReplay, Record, RefreshError, ReplayBody, Session, Status,
    TokenSet, source_fn,
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, access, expired, pair},
    support::{ORIGIN, World, get, paused, send, settle, stack, told},
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// P2, P11: the token that is adopted was not fetched for this challenge.
#[tokio::test(start_paused = true)]
async fn a_revoked_token_of_another_process_is_refreshed() {
    let world = World::new();
    let store = MemoryStore::new();
    let build = || world.builder().store(store.clone()).build().unwrap();
    let (one, other) = (build(), build());
    one.token().await.unwrap();
    other.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&world.client(&other), get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    let mut seen = vec![];
    for _ in 0..5 {
        seen.push(send(&world.client(&one), get("/")).await.unwrap().status().as_u16());
        sleep(secs(60)).await;
    }
    assert_eq!(seen, [200; 5], "token requests: {}", world.authorization.token_requests());
}

/// P5: nothing ends a session whose source spends no refresh token.
#[tokio::test(start_paused = true)]
async fn a_tombstone_does_not_end_a_cooling_session_that_can_start_from_nothing() {
    let store = FaultyStore::new();
    store.put(Entry::Tombstone);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let source = source_fn(move |_: Held| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if call == 0 {
                return Err(RefreshError::transient().with_retry_after(secs(60)));
            }
            Ok(TokenSet::new(access("fresh")))
        }
    })
    .from_nothing();
    let session = Session::builder(source).origin(ORIGIN).store(store).build().unwrap();
    session.token().await.unwrap_err();
    sleep(secs(2)).await;
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login(), "{error}");
    sleep(secs(60)).await;
    assert!(session.token().await.is_ok(), "{:?}", session.status());
    assert_ne!(session.status(), Status::LoggedOut);
}

/// Section 6, P6: tokens wait 5 s for the store, not 10.
#[tokio::test(start_paused = true)]
async fn a_login_waits_five_seconds_for_a_store_that_hangs() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    store.delay(Op::Save, secs(3600));
    store.delay(Op::Load, secs(3600));
    let start = Instant::now();
    session.login(pair("b", "s")).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 5);
}

/// P5: a verdict buries, whatever the retry of an owed save did to the mark.
#[tokio::test(start_paused = true)]
async fn an_owed_save_during_a_refresh_does_not_spare_the_record_of_a_verdict() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap();
    source.answer(Ok(pair("new", "second")));
    store.put(Entry::Live(Record::new(expired("old", "first").expires_at(UNIX_EPOCH))));
    store.fail(Op::Save, 1);
    let token = session.token().await.unwrap();
    assert_eq!(token.expose_secret(), "new");
    sleep(Duration::from_millis(500)).await;
    let answer = source.answer_later(Err(RefreshError::rejected()));
    let waiter = tokio::spawn({
        let session = session.clone();
        async move { session.refresh_after(&token).await }
    });
    settle().await;
    assert!(store.record().unwrap().spent_since().is_some());
    sleep(secs(2)).await; // the owed save is tried
    let mark = store.record().unwrap().spent_since();
    answer.send(()).unwrap();
    assert!(waiter.await.unwrap().unwrap_err().is_session_ended());
    sleep(secs(60)).await;
    assert!(store.is_buried(), "mark after the owed save: {mark:?}; {:?}", store.entry());
}

/// Section 6: an owed burial is retried from 1 s, for 15 min, whatever was owed before.
#[tokio::test(start_paused = true)]
async fn a_logout_that_is_owed_is_tried_for_its_own_time() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    store.fail(Op::Save, usize::MAX);
    store.fail(Op::Bury, usize::MAX);
    session.login(pair("b", "s")).await.unwrap_err();
    sleep(secs(14 * 60 + 50)).await;
    session.logout().await.unwrap_err();
    sleep(secs(60)).await;
    store.recover();
    sleep(secs(10 * 60)).await;
    assert!(store.is_buried(), "the logout is not tried again: {:?}", store.entry());
}

/// P6: a burial that is retried leaves later logins alone, also where nothing was held.
#[tokio::test(start_paused = true)]
async fn a_retried_logout_after_the_end_leaves_a_later_login_elsewhere_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    let other =
        Session::builder(Scripted::new()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    source.answer(Err(RefreshError::rejected()));
    session.refresh_after(&session.peek().unwrap()).await.unwrap_err();
    assert!(store.is_buried());
    store.fail(Op::Load, 1);
    session.logout().await.unwrap_err();
    other.login(pair("b", "s")).await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("s"), "{:?}", store.entry());
}

/// The same where the store was never read before.
#[tokio::test(start_paused = true)]
async fn a_retried_logout_of_an_unread_session_leaves_a_later_login_elsewhere_alone() {
    let store = FaultyStore::new();
    let build =
        || Session::builder(Scripted::new()).origin(ORIGIN).store(store.clone()).build().unwrap();
    let (session, other) = (build(), build());
    other.login(pair("a", "r")).await.unwrap();
    store.fail(Op::Bury, 1); // it is read, so it is known what the logout is about
    session.logout().await.unwrap_err();
    other.login(pair("b", "s")).await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("s"), "{:?}", store.entry());
}

/// P11: requests that are not kept, each to a path of its own.
#[tokio::test(start_paused = true)]
async fn requests_without_replay_to_many_paths_brake_too() {
    let world = World::new();
    let session = world.session();
    session.token().await.unwrap();
    let sour = tower::service_fn(async |_: Request<ReplayBody<Full<Bytes>>>| {
        Ok::<_, std::io::Error>(
            Response::builder().status(401).body(Full::<Bytes>::default()).unwrap(),
        )
    });
    let client = stack(&session, sour);
    for n in 0..25 {
        let mut request = get(&format!("/upload/{n}"));
        request.extensions_mut().insert(NoReplay);
        let _ = send(&client, request).await.unwrap();
        settle().await;
    }
    let calls = world.authorization.token_requests();
    assert!(calls <= 7, "{calls} refreshes in a moment");
}

/// P11: while a session cools requests go out on its challenged token.
#[tokio::test(start_paused = true)]
async fn a_look_up_while_cooling_holds_nobody_up() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    source.answer(Err(RefreshError::transient().with_retry_after(secs(600))));
    let held = session.peek().unwrap();
    session.refresh_after(&held).await.unwrap_err();
    sleep(secs(2)).await;
    store.delay(Op::Load, secs(4));
    let challenged = tokio::spawn({
        let (session, held) = (session.clone(), held.clone());
        async move { session.refresh_after(&held).await }
    });
    settle().await;
    let start = Instant::now();
    assert_eq!(session.token().await.unwrap(), held);
    assert_eq!(start.elapsed().as_secs(), 0);
    challenged.await.unwrap().unwrap_err();
}

/// Section 6: a waiter's patience is its own, whatever the session's runtime does.
#[test]
fn patience_ends_though_the_sessions_runtime_stands_still() {
    let still = paused();
    let world = World::new();
    let session = world.builder().runtime(still.handle().clone()).build().unwrap();
    paused().block_on(async {
        let waited = timeout(secs(3600), session.token()).await;
        assert!(waited.expect("it hangs").unwrap_err().is_timeout());
    });
}

/// A request that moves from a runtime that ended, while its challenge drains.
#[test]
fn a_draining_request_moves_to_another_runtime() {
    let world = World::new();
    let session = world.session();
    let calls = AtomicUsize::new(0);
    let calls = Arc::new(calls);
    let inner = tower::service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let body = Stall(first);
            Ok::<_, std::io::Error>(
                Response::builder().status(if first { 401 } else { 200 }).body(body).unwrap(),
            )
        }
    });
    let client = stack(&session, inner);
    let first = paused();
    let mut request = Box::pin(send(&client, get("/")));
    first.block_on(async {
        session.token().await.unwrap();
        for _ in 0..100 {
            assert!(request.as_mut().now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    });
    drop(first);
    let answer = std::panic::catch_unwind(AssertUnwindSafe(|| {
        paused().block_on(async { request.await.map(|answer| answer.status()) })
    }));
    assert_eq!(answer.expect("a panic").unwrap(), 200);
}

struct Stall(bool);
impl http_body::Body for Stall {
    type Data = Bytes;
    type Error = std::io::Error;
    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, std::io::Error>>> {
        if self.0 { std::task::Poll::Pending } else { std::task::Poll::Ready(None) }
    }
}

/// A waiter that moves from a runtime that ended to none.
#[test]
fn a_waiter_moves_from_a_runtime_that_ended_to_none() {
    let world = World::new();
    let session = world.session();
    world.authorization.delay_before(secs(5));
    let (one, two) = (paused(), paused());
    let mut waiter = Box::pin(session.token());
    two.block_on(async {
        session.token().now_or_never();
        world.authorization.revoke_access_tokens();
        let token = session.token().await.unwrap();
        let session = session.clone();
        tokio::spawn(async move { session.refresh_after(&token).await });
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    });
    one.block_on(async { assert!(waiter.as_mut().now_or_never().is_none()) });
    drop(one);
    let polled = std::panic::catch_unwind(AssertUnwindSafe(|| waiter.as_mut().now_or_never()));
    assert!(polled.is_ok(), "a panic");
    drop(two);
}

/// `reload` says that what the store holds cannot be used.
#[tokio::test(start_paused = true)]
async fn reload_tells_that_the_stores_newer_tokens_cannot_be_used() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    session.logout().await.unwrap();
    store.put(Entry::Live(Record::new(expired("x", "theirs").expires_at(UNIX_EPOCH))));
    source.answer(Err(RefreshError::misconfigured()));
    assert!(session.reload().await.is_err(), "{:?} {:?}", session.status(), source.spent());
}

/// Every debt that was told is told paid.
#[tokio::test(start_paused = true)]
async fn a_debt_that_a_look_up_pays_is_told() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    let mut events = session.events();
    store.fail(Op::Bury, 1);
    session.logout().await.unwrap_err();
    session.reload().await.unwrap();
    assert!(store.is_buried());
    sleep(secs(60)).await;
    let told = told(&mut events);
    assert!(told.iter().any(|event| matches!(event, Event::Persisted)), "{told:?}");
}

/// P6: the last word was a logout.
#[tokio::test(start_paused = true)]
async fn a_logout_that_could_not_have_its_turn_still_buries_the_login_before_it() {
    let (source, store) = (Scripted::new(), Late::default());
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.login(pair("a", "r")).await.unwrap();
    store.slow.store(true, Ordering::Relaxed);
    let login = tokio::spawn({
        let session = session.clone();
        async move { session.login(pair("b", "s")).await }
    });
    settle().await;
    let _ = session.logout().await;
    let _ = login.await.unwrap();
    store.slow.store(false, Ordering::Relaxed);
    sleep(secs(20 * 60)).await;
    assert!(store.store.is_buried(), "{:?}", store.store.entry());
}

/// Swaps happen at once and are answered after 6 s; loads take 2 s.
#[derive(Clone, Default)]
struct Late {
    store: FaultyStore,
    slow: Arc<std::sync::atomic::AtomicBool>,
}
impl Late {
    async fn wait(&self, seconds: u64) {
        if self.slow.load(Ordering::Relaxed) {
            sleep(secs(seconds)).await;
        }
    }
}
impl tower_reauth::TokenStore for Late {
    async fn load(&self) -> Result<Option<tower_reauth::Stored>, tower_reauth::StoreError> {
        self.wait(2).await;
        tower_reauth::TokenStore::load(&self.store).await
    }
    async fn lease(&self) -> Result<tower_reauth::Lease, tower_reauth::StoreError> {
        tower_reauth::TokenStore::lease(&self.store).await
    }
    async fn compare_and_store(
        &self,
        expected: tower_reauth::Expected,
        record: Record,
    ) -> Result<tower_reauth::Swap, tower_reauth::StoreError> {
        let swap = self.store.compare_and_store(expected, record).await;
        self.wait(6).await;
        swap
    }
    async fn compare_and_bury(
        &self,
        expected: tower_reauth::Expected,
    ) -> Result<tower_reauth::Swap, tower_reauth::StoreError> {
        let swap = self.store.compare_and_bury(expected).await;
        self.wait(6).await;
        swap
    }
}
