//! A store that is down while tokens run out, and what the session does then by its policy.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::time::sleep;
use tower_reauth::{
    Entry, Event, Expected, Held, OutagePolicy, Record, RefreshError, Session, SessionBuilder,
    Swap, TokenSet, TokenStore, source_fn,
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, access, expired, pair},
    support::{ORIGIN, told},
};

const ALWAYS: usize = usize::MAX;
const HOUR: Duration = Duration::from_secs(3600);

/// What a store can refuse while a refresh needs it.
const PARTS: [&[Op]; 4] =
    [&[Op::Lease], &[Op::Load], &[Op::Mark, Op::Save], &[Op::Lease, Op::Load, Op::Mark, Op::Save]];

fn builder(source: &Scripted, store: &FaultyStore) -> SessionBuilder {
    Session::builder(source.clone()).origin(ORIGIN).store(store.clone())
}

/// A session that goes on without its store.
fn going_on(source: &Scripted, store: &FaultyStore) -> Session {
    builder(source, store)
        .tokens(pair("seed", "first"))
        .store_outage(OutagePolicy::GoOn)
        .build()
        .unwrap()
}

fn uncoordinated(events: &[Event]) -> usize {
    events.iter().filter(|event| matches!(event, Event::Uncoordinated(_))).count()
}

/// Case 42: by default nothing is sent.
#[tokio::test(start_paused = true)]
async fn by_default_a_refresh_waits_until_the_store_is_back() {
    for part in PARTS {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
        let seed = session.token().await.unwrap();
        part.iter().for_each(|op| store.fail(*op, ALWAYS));
        let error = session.refresh_after(&seed).await.unwrap_err();
        assert!(!error.needs_login() && source.calls() == 0, "{part:?}");

        store.recover();
        sleep(HOUR / 2).await;
        assert_eq!(session.refresh_after(&seed).await.unwrap().expose_secret(), "access-1");
        assert_eq!(source.spent(), ["first"]);
    }
}

/// P12: it says so, and what came is saved when the store is back.
#[tokio::test(start_paused = true)]
async fn a_session_that_was_told_to_goes_on_from_memory_and_saves_later() {
    for part in PARTS {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = going_on(&source, &store);
        let seed = session.token().await.unwrap();
        let mut events = session.events();
        part.iter().for_each(|op| store.fail(*op, ALWAYS));
        let second = session.refresh_after(&seed).await.unwrap();
        let third = session.refresh_after(&second).await.unwrap();
        assert_eq!(third.expose_secret(), "access-2");
        assert_eq!(source.spent(), ["first", "refresh-1"], "{part:?}: none is sent twice");
        // Once for each refresh that did without; a mark is missed only while the store is not behind.
        assert!(uncoordinated(&told(&mut events)) > 0, "{part:?}");

        store.recover();
        sleep(HOUR / 4).await;
        assert_eq!(store.refresh().as_deref(), Some("refresh-2"), "{part:?}");
        assert_eq!(store.record().unwrap().spent_since(), None);
    }
}

/// A store that goes down under a lease cannot renew it either.
#[tokio::test(start_paused = true)]
async fn a_lease_that_runs_out_while_the_store_is_down_keeps_nobody_from_going_on() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store)
        .tokens(pair("seed", "first"))
        .store_outage(OutagePolicy::GoOn)
        .build()
        .unwrap();
    let seed = session.token().await.unwrap();
    store.next_lease(|| false);
    [Op::Load, Op::Mark, Op::Save].iter().for_each(|op| store.fail(*op, ALWAYS));
    let mut events = session.events();
    assert_eq!(session.refresh_after(&seed).await.unwrap().expose_secret(), "access-1");
    assert_eq!((source.spent(), uncoordinated(&told(&mut events))), (vec!["first".into()], 1));
}

/// Busy is not unavailable: somebody is spending the refresh token just now.
#[tokio::test(start_paused = true)]
async fn no_policy_goes_on_while_somebody_else_holds_the_lease() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = going_on(&source, &store);
    let seed = session.token().await.unwrap();
    let lease = store.lease().await.unwrap();
    assert!(session.refresh_after(&seed).await.unwrap_err().is_timeout());
    sleep(HOUR / 60).await;
    assert_eq!(source.calls(), 0);
    drop(lease);
}

/// A seed may have been spent by an earlier run, and the store cannot be asked.
#[tokio::test(start_paused = true)]
async fn no_policy_spends_a_seed_that_the_store_was_not_asked_about() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store)
        .tokens(expired("seed", "first"))
        .store_outage(OutagePolicy::GoOn)
        .build()
        .unwrap();
    store.fail(Op::Load, 1);
    assert!(!session.token().await.unwrap_err().needs_login());
    assert_eq!(source.calls(), 0);
    store.put(Entry::Live(Record::new(pair("theirs", "second"))));
    sleep(HOUR / 60).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
}

/// P5: without a second reading there is no verdict.
#[tokio::test(start_paused = true)]
async fn a_verdict_while_the_store_is_down_does_not_end_the_session() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = going_on(&source, &store);
    let seed = session.token().await.unwrap();
    PARTS[3].iter().for_each(|op| store.fail(*op, ALWAYS));
    source.answer(Err(RefreshError::rejected()));
    assert!(!session.refresh_after(&seed).await.unwrap_err().needs_login());

    // A neighbour had spent it, and stored what it got.
    store.recover();
    store.put(Entry::Live(Record::new(pair("theirs", "second"))));
    sleep(HOUR / 4).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
}

/// Where nothing is spent an outage of the store is nobody's matter.
#[tokio::test(start_paused = true)]
async fn a_source_that_spends_nothing_always_goes_on() {
    for part in PARTS {
        let store = FaultyStore::new();
        part.iter().for_each(|op| store.fail(*op, ALWAYS));
        let minted = AtomicUsize::new(0);
        let source = source_fn(move |_: Held| {
            let number = minted.fetch_add(1, Ordering::Relaxed);
            async move { Ok(TokenSet::new(access(&format!("minted-{number}")))) }
        })
        .from_nothing();
        let session = Session::builder(source).origin(ORIGIN).store(store.clone()).build().unwrap();
        let first = session.token().await.unwrap();
        let second = session.refresh_after(&first).await.unwrap();
        assert_ne!(first, second);
        assert!(!store.is_buried());
    }
}

/// P12: a neighbour's newer tokens, stored during the outage, are not written over.
#[tokio::test(start_paused = true)]
async fn what_was_refreshed_without_the_store_does_not_replace_what_is_newer_there() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = going_on(&source, &store);
    let seed = session.token().await.unwrap();
    PARTS[3].iter().for_each(|op| store.fail(*op, ALWAYS));
    assert_eq!(session.refresh_after(&seed).await.unwrap().expose_secret(), "access-1");
    store.recover();
    let theirs = Record::new(pair("theirs", "second"));
    let swap = store.compare_and_store(Expected::Any, theirs).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)));
    sleep(HOUR / 4).await;
    assert_eq!(store.refresh().as_deref(), Some("second"));
}

/// P12: a neighbour that was behind, and wrote its record again, has nothing newer.
#[tokio::test(start_paused = true)]
async fn what_was_replaced_long_ago_is_known_when_it_comes_back_with_the_store() {
    for refreshes in [1, 2, 3, 50] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = builder(&source, &store)
            .tokens(pair("seed", "first"))
            .store_outage(OutagePolicy::GoOn)
            .build()
            .unwrap();
        let seed = session.token().await.unwrap();
        let behind = store.entry().unwrap();
        PARTS[3].iter().for_each(|op| store.fail(*op, ALWAYS));
        let mut token = seed;
        for _ in 0..refreshes {
            token = session.refresh_after(&token).await.unwrap();
        }
        store.put(behind);
        store.recover();
        assert_ne!(session.refresh_after(&token).await.unwrap().expose_secret(), "seed");
        let spent = source.spent();
        assert_eq!(spent.iter().filter(|it| *it == "first").count(), 1, "{spent:?}");
        assert_eq!(store.refresh(), Some(format!("refresh-{}", refreshes + 1)));
    }
}
