//! Sessions that share a store, and stores that fail. Two sessions with a clone of one store stand for
//! two processes.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{FutureExt, future::join};
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_reauth::{
    AmbiguousPolicy, Entry, Event, MemoryStore, Record, RefreshError, Session, SessionBuilder,
    Status, TokenStore, testing::Fault,
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, World, get, send, settle, told, unanswered, unsent},
};

const HOUR: Duration = Duration::from_secs(3600);

fn builder(source: &Scripted, store: &FaultyStore) -> SessionBuilder {
    Session::builder(source.clone()).origin(ORIGIN).store(store.clone())
}

fn session(source: &Scripted, store: &FaultyStore) -> Session {
    builder(source, store).build().unwrap()
}

fn live(access: &str, refresh: &str) -> Entry {
    Entry::Live(Record::new(pair(access, refresh)))
}

/// A record whose access token ran out long ago.
fn stale(refresh: &str) -> Record {
    Record::new(expired("old", refresh).expires_at(UNIX_EPOCH))
}

fn persist_failed(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::PersistFailed(_))).count()
}

/// Case 37, within one process.
#[tokio::test(start_paused = true)]
async fn two_sessions_over_one_store_make_one_call() {
    let world = World::new();
    let store = MemoryStore::new();
    let build = || world.builder().store(store.clone()).build().unwrap();
    let (one, other) = (build(), build());
    assert_eq!(one.token().await.unwrap(), other.token().await.unwrap(), "the record wins");
    let clients = (world.client(&one), world.client(&other));

    for calls in 1..=5 {
        world.authorization.revoke_access_tokens();
        let answers = join(send(&clients.0, get("/")), send(&clients.1, get("/"))).await;
        assert_eq!(answers.0.unwrap().status(), 200);
        assert_eq!(answers.1.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), calls);
        assert_eq!(one.peek(), other.peek());
    }
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 38.
#[tokio::test(start_paused = true)]
async fn tokens_that_another_process_fetched_long_ago_are_adopted_without_a_call() {
    let world = World::new();
    let store = MemoryStore::new();
    let build = || world.builder().store(store.clone()).build().unwrap();
    let (one, other) = (build(), build());
    one.token().await.unwrap();
    other.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&world.client(&other), get("/")).await.unwrap().status(), 200);
    sleep(HOUR / 2).await;

    assert_eq!(send(&world.client(&one), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Case 39.
#[tokio::test(start_paused = true)]
async fn after_a_wait_for_the_lease_the_record_is_read_again() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(expired("old", "first")).build().unwrap();
    let lease = store.lease().await.unwrap();
    let waiter = tokio::spawn({
        let session = session.clone();
        async move { session.token().await }
    });
    settle().await;
    store.put(live("theirs", "second"));
    drop(lease);

    assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "theirs");
    assert_eq!(source.calls(), 0);
}

/// A lease that is never given back: a typed error, and no hang.
#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_keeps_is_waited_for_within_bounds() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(expired("old", "first")).build().unwrap();
    let lease = store.lease().await.unwrap();
    assert!(session.token().await.unwrap_err().is_timeout());
    sleep(Duration::from_secs(60)).await;
    assert_ne!(session.status(), Status::Refreshing);
    drop(lease);
    sleep(Duration::from_secs(2)).await;
    assert!(session.token().await.is_ok());
    assert_eq!(source.calls(), 1);
}

/// Case 41.
#[tokio::test(start_paused = true)]
async fn tokens_that_cannot_be_saved_are_used_from_memory_and_saved_later() {
    let (world, store) = (World::new(), FaultyStore::new());
    world.authorization.lifetime(Duration::from_secs(100));
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    session.token().await.unwrap();
    let first = store.refresh();
    let mut events = session.events();
    store.fail(Op::Save, usize::MAX);

    for _ in 0..300 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    let calls = world.authorization.token_requests();
    assert!(calls >= 3, "{calls}");
    assert_eq!(world.authorization.reused(), 0);
    assert!(persist_failed(&told(&mut events)) >= 1);
    assert!(store.calls(Op::Save) > 6, "saving is tried again: {}", store.calls(Op::Save));

    store.recover();
    sleep(Duration::from_secs(60)).await;
    assert_ne!(store.refresh(), first);
    assert!(told(&mut events).iter().any(|event| matches!(event, Event::Persisted)));
    world.authorization.revoke_access_tokens();
    let restarted = Session::builder(world.grant()).origin(ORIGIN).store(store).build().unwrap();
    assert_eq!(send(&world.client(&restarted), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 41, where nothing at all can be written any more.
#[tokio::test(start_paused = true)]
async fn with_an_unsaved_successor_in_memory_a_refresh_needs_no_mark() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, usize::MAX);
    let second = session.refresh_after(&seed).await.unwrap();
    store.fail(Op::Mark, usize::MAX);
    let third = session.refresh_after(&second).await.unwrap();
    session.refresh_after(&third).await.unwrap();
    assert_eq!(source.spent(), ["first", "refresh-1", "refresh-2"]);
}

/// Section 5: the mark is written before the refresh token goes out.
#[tokio::test(start_paused = true)]
async fn with_a_saved_record_nothing_is_spent_without_a_mark() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Mark, 1);
    let error = session.refresh_after(&seed).await.unwrap_err();
    assert!(!error.needs_login() && !error.was_ambiguous() && error.retry_at().is_some());
    assert_eq!(source.calls(), 0);
    sleep(Duration::from_secs(1)).await;
    session.refresh_after(&seed).await.unwrap();
}

/// P12: saving is tried from 1 s, doubling to 60 s, for 15 min, and then with the next refresh.
#[tokio::test(start_paused = true)]
async fn an_owed_save_is_tried_in_growing_steps_for_a_quarter_of_an_hour() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, usize::MAX);
    let second = session.refresh_after(&seed).await.unwrap();
    settle().await;
    let begun = store.calls(Op::Save);
    let mut steps = Vec::new();
    let mut last = 0;
    for second in 1..=1200 {
        sleep(Duration::from_secs(1)).await;
        if store.calls(Op::Save) > begun + steps.len() {
            steps.push(second - last);
            last = second;
        }
    }
    assert_eq!(steps[..7], [1, 2, 4, 8, 16, 32, 60]);
    assert!(steps[7..].iter().all(|step| *step == 60) && (840..=900).contains(&last), "{steps:?}");

    store.recover();
    sleep(HOUR).await;
    assert_eq!(store.refresh().as_deref(), Some("first"), "nothing runs in the background");
    session.refresh_after(&second).await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-2"));
    assert_eq!(source.spent(), ["first", "refresh-1"]);
}

/// P12: new tokens wait 5 s to be saved, and are used then.
#[tokio::test(start_paused = true)]
async fn a_slow_store_delays_new_tokens_no_longer_than_five_seconds() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    for (delay, waits) in [(3, 3), (60, 5)] {
        store.delay(Op::Save, Duration::from_secs(delay));
        let started = Instant::now();
        session.refresh_after(&session.peek().unwrap()).await.unwrap();
        assert_eq!(started.elapsed().as_secs(), waits);
    }
    assert_ne!(session.peek(), Some(seed));
    store.delay(Op::Save, Duration::ZERO);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(store.refresh().as_deref(), Some("refresh-2"));
}

/// P12: saved before used.
#[tokio::test(start_paused = true)]
async fn new_tokens_are_not_used_before_they_are_saved() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.delay(Op::Save, Duration::from_secs(3));
    let refreshed = tokio::spawn({
        let (session, seed) = (session.clone(), seed.clone());
        async move { session.refresh_after(&seed).await }
    });
    sleep(Duration::from_secs(2)).await;
    assert_eq!((source.calls(), session.peek()), (1, Some(seed)));
    refreshed.await.unwrap().unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// Case 42.
#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_fails_a_refresh_before_anything_is_sent() {
    let world = World::new();
    let store = FaultyStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    session.token().await.unwrap();
    sleep(HOUR).await;
    store.fail(Op::Load, usize::MAX);

    let error = unsent(send(&client, get("/")).await);
    assert!(!error.needs_login() && !error.was_ambiguous() && error.retry_at().is_some());
    assert_eq!((world.authorization.token_requests(), world.api.requests()), (0, 0));
    store.recover();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Case 42, at the first start: "cannot look" is not "nothing there".
#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_at_first_does_not_let_the_seed_in() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(live("stored", "r-stored"));
    store.fail(Op::Load, 1);
    let session = builder(&source, &store).tokens(pair("seed", "r-seed")).build().unwrap();
    assert!(!session.token().await.unwrap_err().needs_login());
    assert_eq!(store.refresh().as_deref(), Some("r-stored"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "stored");
}

/// Case 42: a store that hangs is one that cannot be read.
#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_after_five_seconds() {
    for op in [Op::Load, Op::Mark] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        store.put(Entry::Live(stale("first")));
        let session = session(&source, &store);
        store.delay(op, HOUR);
        let started = Instant::now();
        let error = session.token().await.unwrap_err();
        assert!(!error.needs_login() && error.retry_at().is_some());
        assert_eq!((started.elapsed().as_secs(), source.calls()), (5, 0));
    }
}

/// Case 45.
#[tokio::test(start_paused = true)]
async fn a_login_during_a_slow_first_load_wins() {
    for stored in [true, false] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        if stored {
            store.put(live("stored", "r-stored"));
        }
        store.delay(Op::Load, Duration::from_secs(3));
        let session = builder(&source, &store).tokens(pair("seed", "r-seed")).build().unwrap();
        let waiter = tokio::spawn({
            let session = session.clone();
            async move { session.token().await }
        });
        settle().await;
        session.login(pair("login", "r-login")).await.unwrap();
        assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "login");

        sleep(Duration::from_secs(60)).await;
        assert_eq!(session.peek().unwrap().expose_secret(), "login");
        assert_eq!(store.refresh().as_deref(), Some("r-login"));
        assert_eq!(source.calls(), 0);
    }
}

/// P6: what was read after the login is its record, and no refresh of what was held before marks that.
#[tokio::test(start_paused = true)]
async fn a_login_while_a_refresh_reads_the_store_stays_as_it_is() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = session(&source, &store);
    session.login(pair("before", "first")).await.unwrap();
    let before = session.token().await.unwrap();
    store.delay(Op::Load, Duration::from_secs(3));
    let waiter = tokio::spawn({
        let session = session.clone();
        async move { session.refresh_after(&before).await }
    });
    settle().await;
    session.login(pair("login", "of-login")).await.unwrap();
    assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "login");

    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("of-login"));
    assert_eq!((store.calls(Op::Mark), source.calls()), (0, 0));
}

/// Case 46.
#[tokio::test(start_paused = true)]
async fn after_a_definite_failure_and_a_restart_the_session_works() {
    let (world, store) = (World::new(), FaultyStore::new());
    let before = world.builder().store(store.clone()).build().unwrap();
    before.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.fail_next(3, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let response = send(&world.client(&before), get("/")).await.unwrap();
    assert!(!unanswered(&response).was_ambiguous());
    assert_eq!(store.calls(Op::Mark), 1);
    assert_eq!(store.record().unwrap().spent_since(), None);
    drop(before);

    let after = Session::builder(world.grant())
        .origin(ORIGIN)
        .store(store.clone())
        .ambiguous(AmbiguousPolicy::Surface)
        .build()
        .unwrap();
    assert_eq!(send(&world.client(&after), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 4);
    assert_eq!(world.authorization.reused(), 0);
}

/// Section 5.
#[tokio::test(start_paused = true)]
async fn the_record_is_marked_while_its_refresh_token_is_being_spent_and_not_after() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    assert_eq!(store.record().unwrap().spent_since(), None);

    let answer = source.answer_later(Ok(pair("new", "second")));
    let refreshed = tokio::spawn({
        let session = session.clone();
        async move { session.refresh_after(&seed).await }
    });
    settle().await;
    let record = store.record().unwrap();
    assert!(record.spent_since().is_some());
    assert_eq!(record.tokens().refresh().unwrap().expose_secret(), "first");

    answer.send(()).unwrap();
    refreshed.await.unwrap().unwrap();
    let record = store.record().unwrap();
    assert_eq!(record.spent_since(), None);
    assert_eq!(record.tokens().refresh().unwrap().expose_secret(), "second");
}

/// Section 5.
#[tokio::test(start_paused = true)]
async fn an_ambiguous_failure_keeps_the_mark_and_any_other_takes_it_away() {
    for (error, kept) in [
        (RefreshError::ambiguous(), true),
        (RefreshError::transient(), false),
        (RefreshError::misconfigured(), false),
    ] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        store.put(Entry::Live(stale("first")));
        let session = session(&source, &store);
        for _ in 0..3 {
            source.answer(Err(error.clone()));
        }
        session.token().await.unwrap_err();
        assert_eq!(store.record().unwrap().spent_since().is_some(), kept, "{error:?}");
    }
}

/// Section 5: whoever left the mark may have spent the token, so it is tried once and no more.
#[tokio::test(start_paused = true)]
async fn a_successor_that_finds_the_mark_of_a_vanished_holder_tries_once() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(stale("first").spending_since(Some(SystemTime::UNIX_EPOCH))));
    let session = session(&source, &store);
    source.answer(Err(RefreshError::ambiguous()));
    assert!(session.token().await.unwrap_err().was_ambiguous());
    assert_eq!(source.calls(), 1, "the prompt retry was the vanished holder's");

    sleep(Duration::from_secs(1)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(store.record().unwrap().spent_since(), None);
}

/// Section 5.
#[tokio::test(start_paused = true)]
async fn a_verdict_after_the_mark_of_a_vanished_holder_says_that_it_was_ambiguous() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(stale("first").spending_since(Some(SystemTime::UNIX_EPOCH))));
    let session = session(&source, &store);
    source.answer(Err(RefreshError::rejected()));
    let error = session.token().await.unwrap_err();
    assert!(error.is_session_ended() && error.was_ambiguous());
}

/// Section 5.
#[tokio::test(start_paused = true)]
async fn by_policy_the_mark_of_a_vanished_holder_is_surfaced_and_never_blocks_for_good() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(stale("first").spending_since(Some(SystemTime::UNIX_EPOCH))));
    let session = builder(&source, &store).ambiguous(AmbiguousPolicy::Surface).build().unwrap();
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.needs_login());
    assert_eq!(source.calls(), 0);
    assert_eq!(store.record().unwrap().spent_since(), None);

    sleep(Duration::from_secs(1)).await;
    assert!(session.token().await.is_ok());
    assert_eq!(source.spent(), ["first"]);
}

/// Section 5: the mark is about the refresh token that was spent, not about its unsaved successor.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_replaced_refresh_token_says_nothing_of_its_unsaved_successor() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store)
        .tokens(pair("seed", "first"))
        .ambiguous(AmbiguousPolicy::Surface)
        .build()
        .unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, usize::MAX);
    let second = session.refresh_after(&seed).await.unwrap();
    assert!(store.record().unwrap().spent_since().is_some());

    session.refresh_after(&second).await.unwrap();
    assert_eq!(source.spent(), ["first", "refresh-1"]);
}

/// Case 48.
#[tokio::test(start_paused = true)]
async fn the_refresh_token_of_another_issuer_goes_nowhere() {
    let (world, store) = (World::new(), FaultyStore::new());
    let before = world.builder().store(store.clone()).build().unwrap();
    before.token().await.unwrap();
    let record = store.record();

    let elsewhere = World::new();
    elsewhere.authorization.issuer("https://elsewhere.example");
    let after = Session::builder(elsewhere.grant()).origin(ORIGIN).store(store.clone());
    let after = after.build().unwrap();
    let client = elsewhere.client(&after);
    sleep(2 * HOUR).await;
    let error = unsent(send(&client, get("/")).await);
    assert!(error.needs_login() && !error.is_session_ended());
    assert_eq!(elsewhere.authorization.token_requests(), 0);
    assert_eq!(store.record(), record, "left alone");

    after.login(elsewhere.authorization.login()).await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Case 48, for accounts.
#[tokio::test(start_paused = true)]
async fn the_record_of_another_account_is_left_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let alice = builder(&source, &store).account("alice").build().unwrap();
    alice.login(pair("of-alice", "r-alice")).await.unwrap();
    let bob = builder(&source, &store).account("bob").build().unwrap();
    assert!(bob.token().await.unwrap_err().needs_login());
    let anyone = session(&source, &store);
    assert_eq!(anyone.token().await.unwrap().expose_secret(), "of-alice");
    assert_eq!(store.refresh().as_deref(), Some("r-alice"));
}

/// Case 69.
#[tokio::test(start_paused = true)]
async fn a_record_that_vanished_is_written_again_from_memory() {
    let (world, store) = (World::new(), FaultyStore::new());
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    session.token().await.unwrap();
    store.lose();
    world.authorization.revoke_access_tokens();

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert!(store.record().is_some());
    world.authorization.revoke_access_tokens();
    let restarted = Session::builder(world.grant()).origin(ORIGIN).store(store).build().unwrap();
    assert_eq!(send(&world.client(&restarted), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 69.
#[tokio::test(start_paused = true)]
async fn a_tombstone_ends_other_holders_when_they_next_come_to_the_store() {
    let store = FaultyStore::new();
    let (source, theirs) = (Scripted::new(), Scripted::new());
    let one = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let other = session(&theirs, &store);
    one.token().await.unwrap();
    other.token().await.unwrap();
    let mut events = one.events();
    other.logout().await.unwrap();

    assert!(one.token().await.is_ok(), "with a warm token no store is touched");
    sleep(HOUR).await;
    assert!(one.token().await.unwrap_err().is_logged_out());
    assert_eq!(source.calls(), 0);
    assert!(matches!(told(&mut events)[..], [Event::LoggedOut]));
    assert_eq!(one.status(), Status::LoggedOut);
    assert!(store.is_buried());
}

/// Case 69, for a program that idles.
#[tokio::test(start_paused = true)]
async fn a_reload_notices_a_tombstone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    session.token().await.unwrap();
    session.reload().await.unwrap();
    assert!(session.peek().is_some());
    store.put(Entry::Tombstone);
    assert!(session.reload().await.unwrap_err().is_logged_out());
    assert_eq!(session.peek(), None);
}

/// Case 69.
#[tokio::test(start_paused = true)]
async fn a_login_in_another_process_revives_an_ended_session_at_a_request_or_a_reload() {
    for reload in [true, false] {
        for logout in [true, false] {
            let (source, store) = (Scripted::new(), FaultyStore::new());
            store.put(Entry::Live(stale("first")));
            let ours = session(&source, &store);
            if logout {
                ours.logout().await.unwrap();
            } else {
                source.answer(Err(RefreshError::rejected()));
                assert!(ours.token().await.unwrap_err().is_session_ended());
            }
            assert!(store.is_buried());
            let theirs = session(&Scripted::new(), &store);
            theirs.login(pair("theirs", "r-theirs")).await.unwrap();

            if reload {
                ours.reload().await.unwrap();
                assert_eq!(ours.peek().unwrap().expose_secret(), "theirs");
            } else {
                assert!(ours.token().await.is_err(), "a look-up is not due yet");
                sleep(Duration::from_secs(1)).await;
                assert_eq!(ours.token().await.unwrap().expose_secret(), "theirs");
            }
        }
    }
}

/// Case 69, P12: an older record that comes back with a new version is not spent again.
#[tokio::test(start_paused = true)]
async fn a_refresh_token_whose_successor_is_in_memory_is_never_spent_again() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, 1);
    let second = session.refresh_after(&seed).await.unwrap();
    // Another process marks the record, is turned away by the server, and takes the mark away.
    store.put(Entry::Live(stale("first")));

    session.refresh_after(&second).await.unwrap();
    assert_eq!(source.spent(), ["first", "refresh-1"]);
    assert_eq!(store.refresh().as_deref(), Some("refresh-2"));
}

/// P12: the same, found by the save that is owed.
#[tokio::test(start_paused = true)]
async fn an_owed_save_replaces_an_older_record_that_came_back() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, 1);
    session.refresh_after(&seed).await.unwrap();
    store.put(Entry::Live(stale("first")));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// P12: what somebody else stored since is newer than what we owe.
#[tokio::test(start_paused = true)]
async fn an_owed_save_leaves_newer_tokens_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, 1);
    let second = session.refresh_after(&seed).await.unwrap();
    store.put(live("theirs", "r-theirs"));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("r-theirs"));
    assert_eq!(session.refresh_after(&second).await.unwrap().expose_secret(), "theirs");
    assert_eq!(source.calls(), 1);
}

/// P12: a logout elsewhere wins over a save that is owed.
#[tokio::test(start_paused = true)]
async fn an_owed_save_leaves_a_tombstone_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    store.fail(Op::Save, 1);
    let second = session.refresh_after(&seed).await.unwrap();
    store.put(Entry::Tombstone);
    sleep(Duration::from_secs(60)).await;
    assert!(store.is_buried());
    assert!(session.refresh_after(&second).await.unwrap_err().is_logged_out());
    assert_eq!(source.calls(), 1);
}

/// Section 4: a login that cannot be saved is used, and says so.
#[tokio::test(start_paused = true)]
async fn a_login_that_cannot_be_saved_is_used_and_saved_later() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Tombstone);
    let session = session(&source, &store);
    let mut events = session.events();
    store.fail(Op::Save, 2);
    assert!(session.login(pair("login", "r-login")).await.unwrap_err().is_unavailable());
    assert_eq!(session.token().await.unwrap().expose_secret(), "login");
    assert_eq!(persist_failed(&told(&mut events)), 1);

    sleep(Duration::from_secs(4)).await;
    assert_eq!(store.refresh().as_deref(), Some("r-login"), "over the tombstone");
    assert!(matches!(told(&mut events)[..], [Event::Persisted]));
}

/// Section 4: a login overwrites, so an unsaved one is refreshed over whatever is there.
#[tokio::test(start_paused = true)]
async fn an_unsaved_login_is_refreshed_over_the_record_of_before() {
    for before in [live("before", "r-before"), Entry::Tombstone] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        store.put(before);
        let session = session(&source, &store);
        store.fail(Op::Save, usize::MAX);
        session.login(pair("login", "r-login")).await.unwrap_err();
        let login = session.token().await.unwrap();
        session.refresh_after(&login).await.unwrap();
        assert_eq!(source.spent(), ["r-login"]);
    }
}

/// P12: an owed save that is slow does not undo what a refresh has stored meanwhile.
#[tokio::test(start_paused = true)]
async fn a_slow_retry_of_a_login_does_not_overwrite_its_successor() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = session(&source, &store);
    store.fail(Op::Save, 1);
    session.login(pair("login", "r-login")).await.unwrap_err();
    let login = session.token().await.unwrap();
    store.delay(Op::Save, Duration::from_secs(4));
    // The retry is on its way.
    sleep(Duration::from_millis(1500)).await;
    store.delay(Op::Save, Duration::ZERO);
    session.refresh_after(&login).await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));

    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// P4: a session that is over looks at the store at most once per step of its cool-down.
#[tokio::test(start_paused = true)]
async fn an_ended_session_looks_at_the_store_at_most_once_per_step() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(stale("first")));
    let session = session(&source, &store);
    source.answer(Err(RefreshError::rejected()));
    assert!(session.token().await.unwrap_err().is_session_ended());
    let loads = store.calls(Op::Load);

    let mut steps = Vec::new();
    let mut last = 0;
    for tenth in 1..=3000 {
        sleep(Duration::from_millis(100)).await;
        let ask = || async { session.token().await.unwrap_err() };
        assert!(join(ask(), ask()).await.0.is_session_ended());
        if store.calls(Op::Load) > loads + steps.len() {
            steps.push((tenth - last + 5) / 10);
            last = tenth;
        }
    }
    assert_eq!(steps[..7], [1, 2, 4, 8, 16, 32, 60], "{steps:?}");
    assert_eq!(source.calls(), 1);
}

/// P4: a cooling session finds what another process has fetched, before its cool-down is over.
#[tokio::test(start_paused = true)]
async fn a_cooling_session_finds_newer_tokens_in_the_store() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(stale("first")));
    let session = session(&source, &store);
    source.answer(Err(RefreshError::transient().with_retry_after(Duration::from_secs(600))));
    assert!(session.token().await.is_err());
    let loads = store.calls(Op::Load);
    for _ in 0..100 {
        assert!(session.token().await.is_err());
    }
    assert_eq!(store.calls(Op::Load), loads);

    store.put(live("theirs", "r-theirs"));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
    assert_eq!(store.calls(Op::Load), loads + 1);
    assert_eq!(source.calls(), 1);
}

/// P4: a look-up that hangs holds a request up for no longer than the store's own limit.
#[tokio::test(start_paused = true)]
async fn a_look_up_that_fails_changes_nothing() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = session(&source, &store);
    session.logout().await.unwrap();
    store.delay(Op::Load, HOUR);
    sleep(Duration::from_secs(1)).await;
    let started = Instant::now();
    assert!(session.token().await.unwrap_err().is_logged_out());
    assert_eq!(started.elapsed().as_secs(), 5);
    assert!(session.token().now_or_never().unwrap().unwrap_err().is_logged_out());
    assert!(session.reload().await.is_err());
    assert_eq!(session.status(), Status::LoggedOut);
}

/// Case 70.
#[tokio::test(start_paused = true)]
async fn a_record_in_the_store_wins_over_the_seed_on_every_restart() {
    let world = World::new();
    let store = FaultyStore::new();
    let seed = world.authorization.login();
    for restart in 0..5 {
        let session = world.builder().tokens(seed.clone()).store(store.clone()).build().unwrap();
        assert_eq!(send(&world.client(&session), get("/")).await.unwrap().status(), 200);
        assert_eq!(session.peek().as_ref() == Some(seed.access()), restart == 0);
        world.authorization.revoke_access_tokens();
        assert_eq!(send(&world.client(&session), get("/")).await.unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 5);
    assert_eq!(world.authorization.reused(), 0);
}

/// Case 70.
#[tokio::test(start_paused = true)]
async fn a_seed_beside_a_tombstone_or_a_foreign_record_is_refused_aloud() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let foreign = Record::new(pair("theirs", "r")).account(Some("bob"));
    let elsewhere = Record::new(pair("theirs", "r")).issuer(Some("https://elsewhere.example"));
    for entry in [Entry::Tombstone, Entry::Live(foreign), Entry::Live(elsewhere)] {
        store.put(entry.clone());
        let session = builder(&source, &store)
            .tokens(pair("seed", "r-seed"))
            .account("alice")
            .build()
            .unwrap();
        let mut events = session.events();
        let error = session.token().await.unwrap_err();
        assert!(error.needs_login());
        assert_eq!(error.is_logged_out(), entry == Entry::Tombstone);
        let refused = told(&mut events)
            .into_iter()
            .filter(|event| matches!(event, Event::SeedRefused))
            .count();
        assert_eq!(refused, 1);
        assert_eq!(store.entry(), Some(entry), "left alone");

        session.login(pair("login", "r-login")).await.unwrap();
        assert_eq!(session.token().await.unwrap().expose_secret(), "login");
    }
    assert_eq!(source.calls(), 0);
}

/// Case 37, P1: many sessions, one store, one call per expiry.
#[tokio::test(start_paused = true)]
async fn a_fleet_over_one_store_refreshes_once() {
    let store = FaultyStore::new();
    let source = Arc::new(Scripted::new());
    store.put(Entry::Live(stale("first")));
    let tokens = (0..50).map(|_| {
        let session = session(&source, &store);
        tokio::spawn(async move { session.token().await })
    });
    for token in futures::future::join_all(tokens).await {
        assert_eq!(token.unwrap().unwrap().expose_secret(), "access-1");
    }
    assert_eq!(source.spent(), ["first"]);
}
