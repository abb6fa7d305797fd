//! How a session ends, and what does not end it; logout and login during a refresh.

use std::time::Duration;

use futures::{FutureExt, future::join_all};
use http::{Response, StatusCode, header};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower_reauth::{
    AccessToken, Entry, Event, Held, Record, RefreshError, Session, Status, TokenSet, TokenSource,
    TokenStore, testing::Fault,
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, access, expired, pair},
    support::{ORIGIN, World, get, send, settle, told, unanswered, unsent},
};

/// A session whose token has run out, over a store and a source that the test holds.
fn worn_out(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap()
}

type Waiter = JoinHandle<Result<AccessToken, RefreshError>>;

fn waiters(session: &Session, number: usize) -> Vec<Waiter> {
    (0..number)
        .map(|_| {
            let session = session.clone();
            tokio::spawn(async move { session.token().await })
        })
        .collect()
}

fn logged_out(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::LoggedOut)).count()
}

fn ended(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::SessionEnded(_))).count()
}

/// Case 31.
#[tokio::test(start_paused = true)]
async fn a_logout_wins_over_a_refresh_that_then_succeeds() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let mut events = session.events();
    let answer = source.answer_later(Ok(pair("new", "second")));
    let waiters = waiters(&session, 5);
    settle().await;
    assert_eq!(source.calls(), 1);

    let started = Instant::now();
    session.logout().await.unwrap();
    for waiter in join_all(waiters).await {
        assert!(waiter.unwrap().unwrap_err().is_logged_out());
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody waited for the token endpoint");

    answer.send(()).unwrap();
    settle().await;
    assert!(store.is_buried());
    assert_eq!(session.status(), Status::LoggedOut);
    assert_eq!(session.peek(), None);
    assert_eq!(logged_out(&told(&mut events)), 1);
    assert_eq!(source.revoked(), ["old", "new"]);
}

/// Case 31, P6.
#[tokio::test(start_paused = true)]
async fn a_logout_gives_the_lease_back_while_the_refresh_still_hangs() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let _never = source.answer_later(Ok(pair("new", "second")));
    let waiters = waiters(&session, 1);
    settle().await;
    assert!(store.lease().now_or_never().is_none(), "the refresh has it");

    session.logout().await.unwrap();
    settle().await;
    assert!(store.lease().now_or_never().is_some());
    drop(waiters);
}

/// Case 31: the challenge comes back with the reason.
#[tokio::test(start_paused = true)]
async fn a_challenged_request_that_waits_learns_of_a_logout_at_once() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    let hold = world.authorization.hold();
    let request = tokio::spawn(async move { send(&client, get("/")).await });
    hold.until_held(1).await;

    session.logout().await.unwrap();
    let response = request.await.unwrap().unwrap();
    assert_eq!(response.status(), 401);
    assert!(unanswered(&response).is_logged_out());
    drop(hold);
}

/// Case 32.
#[tokio::test(start_paused = true)]
async fn a_logout_while_new_tokens_are_being_saved_leaves_a_tombstone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    source.answer(Ok(pair("new", "second")));
    settle().await;
    store.delay(Op::Save, Duration::from_secs(2));
    let waiters = waiters(&session, 3);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(store.calls(Op::Save), 2, "the seed, and the new tokens");

    let started = Instant::now();
    session.logout().await.unwrap();
    for waiter in join_all(waiters).await {
        assert!(waiter.unwrap().unwrap_err().is_logged_out());
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    sleep(Duration::from_secs(60)).await;
    assert!(store.is_buried());
    assert_eq!(session.status(), Status::LoggedOut);
    assert_eq!(source.revoked(), ["old", "new"]);
}

/// Case 32, where the save comes first and the tombstone is slow.
#[tokio::test(start_paused = true)]
async fn tokens_saved_before_a_slow_tombstone_are_buried_and_revoked() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    source.answer(Ok(pair("new", "second")));
    store.delay(Op::Save, Duration::from_secs(2));
    store.delay(Op::Bury, Duration::from_secs(4));
    let waiters = waiters(&session, 1);
    sleep(Duration::from_secs(3)).await;

    session.logout().await.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert!(store.is_buried());
    assert_eq!(session.peek(), None);
    let mut revoked = source.revoked();
    revoked.sort();
    // By the refresh that lost and by the logout, which does no harm (RFC 7009 section 2.2).
    revoked.dedup();
    assert_eq!(revoked, ["new", "old"]);
    drop(waiters);
}

/// Case 32: a save that is owed is owed no longer.
#[tokio::test(start_paused = true)]
async fn a_logout_forgets_a_save_that_was_owed() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    session.reload().await.unwrap_or_default();
    store.fail(Op::Save, usize::MAX);
    session.refresh_after(&session.token().await.unwrap()).await.unwrap();

    session.logout().await.unwrap();
    store.recover();
    sleep(Duration::from_secs(3600)).await;
    assert!(store.is_buried());
}

/// P6.
#[tokio::test(start_paused = true)]
async fn a_login_wins_over_a_refresh_that_then_succeeds() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let mut events = session.events();
    let answer = source.answer_later(Ok(pair("new", "second")));
    let waiters = waiters(&session, 5);
    settle().await;

    let started = Instant::now();
    session.login(pair("login", "of-login")).await.unwrap();
    for waiter in join_all(waiters).await {
        assert_eq!(waiter.unwrap().unwrap().expose_secret(), "login");
    }
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody waited for the token endpoint");
    assert!(store.lease().now_or_never().is_some(), "the lease is free");

    answer.send(()).unwrap();
    settle().await;
    assert_eq!(session.peek().unwrap().expose_secret(), "login");
    assert_eq!(store.refresh().as_deref(), Some("of-login"));
    assert_eq!(source.revoked(), ["new"]);
    let told = told(&mut events);
    assert!(matches!(told[..], [Event::LoggedIn]), "{told:?}");
}

/// P6: the verdict on the tokens of before is none on those of the login.
#[tokio::test(start_paused = true)]
async fn a_login_wins_over_a_refresh_that_is_then_rejected() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let answer = source.answer_later(Err(RefreshError::rejected()));
    let waiters = waiters(&session, 1);
    settle().await;
    session.login(pair("login", "of-login")).await.unwrap();

    answer.send(()).unwrap();
    settle().await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "login");
    assert_eq!((store.calls(Op::Bury), store.refresh().as_deref()), (0, Some("of-login")));
    drop(waiters);
}

/// P6: only what the answer itself brought is revoked. A refresh token that stayed is the login's too.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_lost_revokes_no_refresh_token_that_the_login_has() {
    let access_alone = TokenSet::new(access("new"));
    for answered in [access_alone, pair("new", "first")] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = worn_out(&source, &store);
        let answer = source.answer_later(Ok(answered));
        let waiters = waiters(&session, 1);
        settle().await;
        session.login(pair("login", "first")).await.unwrap();

        answer.send(()).unwrap();
        sleep(Duration::from_secs(60)).await;
        assert!(source.revoked().is_empty());
        assert_eq!(session.peek().unwrap().expose_secret(), "login");
        drop(waiters);
    }
}

/// P6: the last word counts, however slow the store is.
#[tokio::test(start_paused = true)]
async fn of_logins_and_logouts_at_once_the_last_is_the_one_stored() {
    for store_delay in [0, 1, 7] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = worn_out(&source, &store);
        let delay = Duration::from_secs(store_delay);
        store.delay(Op::Save, delay);
        store.delay(Op::Bury, delay / 2);
        let (first, second) = (session.clone(), session.clone());
        let first = tokio::spawn(async move { first.login(pair("one", "r-one")).await });
        tokio::task::yield_now().await;
        let out = tokio::spawn(async move { second.logout().await });
        tokio::task::yield_now().await;
        let _ = session.login(pair("two", "r-two")).await;
        let _ = (first.await, out.await);
        assert_eq!(session.token().await.unwrap().expose_secret(), "two");
        store.delay(Op::Save, Duration::ZERO);
        sleep(Duration::from_secs(120)).await;
        assert_eq!(store.refresh().as_deref(), Some("r-two"), "after {delay:?}");
    }
}

/// Case 33.
#[tokio::test(start_paused = true)]
async fn a_verdict_is_one_event_one_burial_and_one_error_for_everybody() {
    let world = World::new();
    let store = FaultyStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    session.token().await.unwrap();
    let mut events = session.events();
    world.authorization.revoke_all();
    let hold = world.api.hold_refusals();
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { send(&client, get("/")).await.unwrap() })
        })
        .collect();
    hold.until_held(50).await;
    hold.release();

    for response in join_all(requests).await {
        let response = response.unwrap();
        assert_eq!(response.status(), 401);
        let error = unanswered(&response);
        assert!(error.is_session_ended() && error.needs_login() && !error.was_ambiguous());
        assert_eq!(error.oauth_code(), Some("invalid_grant"));
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(ended(&told(&mut events)), 1);
    assert_eq!(store.calls(Op::Bury), 1);
    assert!(store.is_buried());
    assert_eq!(session.status(), Status::Ended);
}

/// Case 33: evidence against a generation that is gone.
#[tokio::test(start_paused = true)]
async fn a_late_challenge_from_before_the_verdict_does_not_touch_a_new_login() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_all();
    let hold = world.api.hold_refusals();
    let late = tokio::spawn({
        let client = client.clone();
        async move { send(&client, get("/late")).await.unwrap() }
    });
    hold.until_held(1).await;
    hold.seal();
    assert!(unanswered(&send(&client, get("/")).await.unwrap()).is_session_ended());
    session.login(world.authorization.login()).await.unwrap();
    let token = session.peek();

    hold.release();
    assert_eq!(late.await.unwrap().status(), 200, "replayed with the token of the login");
    assert_eq!(session.peek(), token);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// A page, as gateways make them.
fn page(status: StatusCode) -> Response<bytes::Bytes> {
    let mut response = Response::new("<html>bad gateway</html>".into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/html"));
    response
}

/// Case 34.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_verdict_keeps_the_session() {
    let json = |status, text: &str| Fault::Json(status, text.into());
    let server_error = StatusCode::INTERNAL_SERVER_ERROR;
    let oauth = |code: &str| format!(r#"{{"error":"{code}"}}"#);
    // What it is, whether it is ambiguous, and how often one refresh asks.
    let table = [
        (Fault::Response(page(StatusCode::BAD_GATEWAY)), true, 2),
        (Fault::Status(server_error), true, 2),
        (json(server_error, &oauth("invalid_grant")), true, 2),
        (Fault::Reset, true, 2),
        (json(StatusCode::OK, "<html>captive portal</html>"), true, 2),
        (json(StatusCode::UNAUTHORIZED, &oauth("invalid_client")), false, 1),
        (Fault::Status(StatusCode::TOO_MANY_REQUESTS), false, 3),
        (Fault::Status(StatusCode::SERVICE_UNAVAILABLE), false, 3),
    ];
    for (fault, ambiguous, calls) in table {
        let (world, store) = (World::new(), FaultyStore::new());
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        session.token().await.unwrap();
        let mut events = session.events();
        world.authorization.revoke_access_tokens();
        world.authorization.fail_next(calls, fault.clone());

        let response = send(&client, get("/")).await.unwrap();
        let error = unanswered(&response);
        assert!(!error.needs_login(), "{fault:?}: {error:?}");
        assert_eq!(error.was_ambiguous(), ambiguous, "{fault:?}");
        assert!(error.retry_at().is_some(), "{fault:?}");
        assert_eq!(world.authorization.token_requests(), calls, "{fault:?}");
        assert_eq!((ended(&told(&mut events)), store.calls(Op::Bury)), (0, 0), "{fault:?}");

        sleep(Duration::from_secs(2)).await;
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200, "{fault:?}");
        assert_eq!(world.authorization.reused(), 0);
    }
}

/// Case 34: the connection is cut in the middle of the answer.
#[tokio::test(start_paused = true)]
async fn an_answer_cut_short_is_asked_for_once_more() {
    let world = World::new();
    world.authorization.grace(Duration::from_secs(30));
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.fail_next(1, Fault::Truncated);

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!((world.authorization.rotations(), world.authorization.repeats()), (1, 1));
}

/// Case 34, P5.
#[tokio::test(start_paused = true)]
async fn a_verdict_on_a_source_that_spends_no_refresh_token_buries_nothing() {
    let store = FaultyStore::new();
    let calls = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = calls.clone();
    let source = tower_reauth::source_fn(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async { Err(RefreshError::rejected()) }
    });
    let session = Session::builder(source.from_nothing())
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap();
    let mut events = session.events();
    let error = session.token().await.unwrap_err();
    assert!(error.is_misconfigured() && !error.needs_login() && error.retry_at().is_some());
    assert_eq!((store.calls(Op::Bury), ended(&told(&mut events))), (0, 0));

    // A cool-down, not an end.
    assert!(session.token().await.is_err());
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 1);
    sleep(Duration::from_secs(1)).await;
    assert!(session.token().await.is_err());
    assert_eq!(calls.load(std::sync::atomic::Ordering::Relaxed), 2);
}

/// P5: nothing to bury.
#[tokio::test(start_paused = true)]
async fn a_logout_of_a_source_that_spends_no_refresh_token_is_local() {
    let store = FaultyStore::new();
    let build = || {
        let source = tower_reauth::source_fn(|_| async { Ok(pair("fresh", "none")) });
        let session = Session::builder(source.from_nothing()).origin(ORIGIN).store(store.clone());
        session.build().unwrap()
    };
    let (one, other) = (build(), build());
    one.token().await.unwrap();
    other.token().await.unwrap();
    one.logout().await.unwrap();
    assert!(one.token().await.unwrap_err().is_logged_out());
    sleep(Duration::from_secs(120)).await;
    assert!(one.token().await.unwrap_err().is_logged_out(), "its own tokens do not revive it");
    assert_eq!(store.calls(Op::Bury), 0);
    assert!(other.token().await.is_ok());
}

/// P5: a neighbour may hold the same access token.
#[tokio::test(start_paused = true)]
async fn a_logout_of_a_source_that_spends_no_refresh_token_revokes_nothing() {
    struct Spendless;
    impl TokenSource for Spendless {
        async fn refresh(&self, _: Held) -> Result<TokenSet, RefreshError> {
            Ok(pair("fresh", "none"))
        }

        async fn revoke(&self, _: TokenSet) -> Result<(), RefreshError> {
            panic!("the token is somebody else's too");
        }

        fn spends_refresh_token(&self) -> bool {
            false
        }
    }
    let session = Session::builder(Spendless).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    let mut events = session.events();
    session.logout().await.unwrap();
    assert!(matches!(told(&mut events)[..], [Event::LoggedOut]));
}

/// P5.
#[tokio::test(start_paused = true)]
async fn a_listed_code_is_a_verdict_too() {
    let world = World::new();
    let seed = world.authorization.login().expires_in(Duration::ZERO);
    let session = Session::builder(world.grant().verdict_code("bad_refresh_token"))
        .tokens(seed)
        .origin(ORIGIN)
        .build()
        .unwrap();
    let body = r#"{"error":"bad_refresh_token"}"#;
    world.authorization.fail_next(1, Fault::Json(StatusCode::OK, body.into()));
    let error = session.token().await.unwrap_err();
    assert!(error.is_session_ended());
    assert_eq!(error.oauth_code(), Some("bad_refresh_token"));
}

/// P5: before a verdict ends the session, the store is read again.
#[tokio::test(start_paused = true)]
async fn a_verdict_on_a_refresh_token_that_another_process_replaced_ends_nothing() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let mut events = session.events();
    let answer = source.answer_later(Err(RefreshError::rejected()));
    let waiters = waiters(&session, 3);
    settle().await;
    store.put(Entry::Live(Record::new(pair("theirs", "second"))));

    answer.send(()).unwrap();
    for waiter in join_all(waiters).await {
        assert_eq!(waiter.unwrap().unwrap().expose_secret(), "theirs");
    }
    assert_eq!(source.calls(), 1);
    assert_eq!((store.calls(Op::Bury), ended(&told(&mut events))), (0, 0));
    assert_eq!(store.refresh().as_deref(), Some("second"));
}

/// P5: where the newer record's access token has run out as well, its refresh token is spent.
#[tokio::test(start_paused = true)]
async fn a_verdict_is_answered_with_the_newer_refresh_token_of_the_store() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let answer = source.answer_later(Err(RefreshError::rejected()));
    let waiters = waiters(&session, 1);
    settle().await;
    let since = std::time::UNIX_EPOCH;
    store.put(Entry::Live(Record::new(pair("theirs", "second").expires_at(since))));

    answer.send(()).unwrap();
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "access-1");
    }
    assert_eq!(source.spent(), ["first", "second"]);
}

/// P5: a tombstone that could not be written for a verdict never buries somebody's later login.
#[tokio::test(start_paused = true)]
async fn an_owed_burial_leaves_the_login_of_another_process_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    source.answer(Err(RefreshError::rejected()));
    store.fail(Op::Bury, 2);
    assert!(session.token().await.unwrap_err().is_session_ended());
    store.put(Entry::Live(Record::new(pair("theirs", "of-login"))));

    sleep(Duration::from_secs(120)).await;
    assert_eq!(store.refresh().as_deref(), Some("of-login"));
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
}

/// P5: what could not be buried is buried later, and does not revive the session meanwhile.
#[tokio::test(start_paused = true)]
async fn a_burial_that_failed_is_owed() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    source.answer(Err(RefreshError::rejected()));
    store.fail(Op::Bury, 3);
    let mut events = session.events();
    assert!(session.token().await.unwrap_err().is_session_ended());
    assert!(!store.is_buried());

    sleep(Duration::from_secs(2)).await;
    assert!(session.token().await.unwrap_err().is_session_ended());
    assert_eq!(source.calls(), 1);
    sleep(Duration::from_secs(8)).await;
    assert!(store.is_buried());
    let told = told(&mut events);
    assert!(told.iter().any(|event| matches!(event, Event::PersistFailed(_))));
    assert!(matches!(told.last(), Some(Event::Persisted)));
    assert_eq!(ended(&told), 1);
}

/// Case 35.
#[tokio::test(start_paused = true)]
async fn after_the_verdict_nothing_is_asked_until_a_login() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_all();
    assert!(unanswered(&send(&client, get("/")).await.unwrap()).is_session_ended());
    let sent = world.api.requests();

    for _ in 0..1000 {
        assert!(unsent(send(&client, get("/")).await).is_session_ended());
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((world.authorization.token_requests(), world.api.requests()), (1, sent));

    session.login(world.authorization.login()).await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Case 36.
#[tokio::test(start_paused = true)]
async fn what_an_answer_leaves_out_stays_as_it_was() {
    let (world, store) = (World::new(), FaultyStore::new());
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    session.token().await.unwrap();
    let first = store.refresh();
    world.authorization.omit_refresh_token(true);
    world.authorization.omit(["scope"]);

    for calls in 1..=3 {
        world.authorization.revoke_access_tokens();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), calls);
        assert_eq!(store.refresh(), first);
        assert_eq!(store.record().unwrap().tokens().granted_scope(), Some("api"));
    }
}

/// P5: said twice, told once.
#[tokio::test(start_paused = true)]
async fn a_second_logout_is_no_second_event() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let mut events = session.events();
    session.logout().await.unwrap();
    session.logout().await.unwrap();
    assert_eq!(logged_out(&told(&mut events)), 1);
}

/// A logout that the store does not take says so, and is tried again.
#[tokio::test(start_paused = true)]
async fn a_logout_that_cannot_be_stored_is_owed() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    session.token().await.unwrap();
    store.fail(Op::Bury, 2);
    assert!(session.logout().await.unwrap_err().is_unavailable());
    assert!(session.token().await.unwrap_err().is_logged_out());
    sleep(Duration::from_secs(1)).await;
    assert!(session.token().await.unwrap_err().is_logged_out(), "its record does not revive it");
    sleep(Duration::from_secs(4)).await;
    assert!(store.is_buried());
}

/// A logout goes on when its caller goes away.
#[tokio::test(start_paused = true)]
async fn a_logout_that_is_dropped_is_finished() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    session.token().await.unwrap();
    store.delay(Op::Bury, Duration::from_secs(1));
    assert!(session.logout().now_or_never().is_none());
    assert_eq!(session.peek(), None, "memory is cleared at once");
    sleep(Duration::from_secs(2)).await;
    assert!(store.is_buried());
    assert_eq!(source.revoked(), ["access-1"]);
}
