//! Where a session begins: from a record, from a seed, from nothing, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use tokio::time::sleep;
use tower_reauth::{
    Entry, Held, Record, RefreshError, Session, Status, TokenSet, TokenSource, source_fn,
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, access, expired, pair},
    support::{ORIGIN, World, get, send, settle, told, unsent},
};

/// Section 4.
#[tokio::test(start_paused = true)]
async fn without_record_or_seed_a_login_is_needed_and_nothing_is_asked_or_told() {
    let world = World::new();
    let store = FaultyStore::new();
    let session = Session::builder(world.grant()).origin(ORIGIN).store(store.clone());
    let session = session.build().unwrap();
    let client = world.client(&session);
    let mut events = session.events();
    assert_eq!(session.status(), Status::Loading);
    assert_eq!(store.calls(Op::Load), 0, "nothing is read before it is needed");

    for _ in 0..10 {
        let error = unsent(send(&client, get("/")).await);
        assert!(error.needs_login() && !error.is_session_ended() && !error.is_logged_out());
    }
    assert_eq!(session.status(), Status::LoginRequired);
    assert_eq!((world.authorization.token_requests(), world.api.requests()), (0, 0));
    assert!(told(&mut events).is_empty());
    assert_eq!((store.calls(Op::Load), store.entry()), (1, None));

    session.login(world.authorization.login()).await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Section 4: reading is the first thing a reload does, too.
#[tokio::test(start_paused = true)]
async fn a_reload_reads_the_store_for_the_first_time() {
    let store = FaultyStore::new();
    store.put(Entry::Live(Record::new(pair("stored", "r"))));
    let session =
        Session::builder(Scripted::new()).origin(ORIGIN).store(store.clone()).build().unwrap();
    session.reload().await.unwrap();
    assert_eq!(session.peek().unwrap().expose_secret(), "stored");
    assert_eq!(store.calls(Op::Load), 1);
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn many_first_requests_read_the_store_once() {
    let store = FaultyStore::new();
    store.delay(Op::Load, Duration::from_secs(1));
    store.put(Entry::Live(Record::new(pair("stored", "r"))));
    let source = Scripted::new();
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    for token in join_all((0..100).map(|_| session.token())).await {
        assert_eq!(token.unwrap().expose_secret(), "stored");
    }
    assert_eq!((store.calls(Op::Load), store.calls(Op::Lease), source.calls()), (1, 0, 0));
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn a_seed_is_stored_at_the_first_request_and_used() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source.clone())
        .tokens(pair("seed", "r-seed").scope("api"))
        .origin(ORIGIN)
        .store(store.clone())
        .issuer("https://auth.example.com")
        .account("alice")
        .build()
        .unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "seed");
    let record = store.record().unwrap();
    assert_eq!(record.tokens().access().expose_secret(), "seed");
    assert_eq!(record.tokens().granted_scope(), Some("api"));
    assert!(record.expiry().is_some(), "absolute, by the wall clock");
    assert_eq!(record.issued_by(), Some("https://auth.example.com"));
    assert_eq!(record.belongs_to(), Some("alice"));
    assert_eq!((record.spent_since(), source.calls()), (None, 0));
}

/// P12: an expired seed is on record before its refresh token is spent.
#[tokio::test(start_paused = true)]
async fn an_expired_seed_is_refreshed_first() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source.clone())
        .tokens(expired("seed", "r-seed"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["r-seed"]);
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// A server may answer with the very token that the local clock took for expired.
#[tokio::test(start_paused = true)]
async fn an_expired_seed_that_the_refresh_brings_again_is_used() {
    let source = Scripted::new();
    source.answer(Ok(pair("seed", "second")));
    let session = Session::builder(source.clone()).tokens(expired("seed", "r-seed"));
    let session = session.origin(ORIGIN).build().unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "seed");
    assert_eq!(source.spent(), ["r-seed"]);
}

/// P12: a seed that cannot be saved is used from memory.
#[tokio::test(start_paused = true)]
async fn a_seed_that_cannot_be_stored_is_used_and_stored_later() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.fail(Op::Save, 2);
    let session = Session::builder(source.clone())
        .tokens(pair("seed", "r-seed"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "seed");
    sleep(Duration::from_secs(5)).await;
    assert_eq!(store.refresh().as_deref(), Some("r-seed"));
}

/// Case 70: two processes with a seed each, at once.
#[tokio::test(start_paused = true)]
async fn a_seed_that_comes_second_gives_way_to_the_record() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.delay(Op::Save, Duration::from_secs(1));
    let start = |seed| {
        let builder = Session::builder(source.clone()).tokens(seed).store(store.clone());
        let session = builder.origin(ORIGIN).build().unwrap();
        async move { session.token().await.unwrap() }
    };
    let tokens =
        futures::future::join(start(pair("one", "r-one")), start(pair("other", "r-other"))).await;
    assert_eq!(tokens.0, tokens.1);
    assert_eq!(store.record().unwrap().tokens().access(), &tokens.0);
    assert_eq!(source.calls(), 0);
}

/// A seed without a refresh token serves until it dies.
#[tokio::test(start_paused = true)]
async fn an_access_token_alone_serves_until_it_expires() {
    let source = Scripted::new();
    let seed = TokenSet::new(access("alone")).expires_in(Duration::from_secs(100));
    let session = Session::builder(source.clone()).tokens(seed).origin(ORIGIN).build().unwrap();
    for _ in 0..80 {
        assert_eq!(session.token().await.unwrap().expose_secret(), "alone");
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(20)).await;
    assert!(session.token().await.unwrap_err().needs_login());
    assert_eq!(source.calls(), 0);
}

/// In the early window too: there is nothing to spend, and the token is still good.
#[tokio::test(start_paused = true)]
async fn an_access_token_alone_serves_through_its_early_window() {
    let source = Scripted::new();
    let seed = TokenSet::new(access("alone")).expires_in(Duration::from_secs(100));
    let session = Session::builder(source.clone()).tokens(seed).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    sleep(Duration::from_secs(85)).await;
    for _ in 0..4 {
        assert_eq!(session.token().await.unwrap().expose_secret(), "alone");
        settle().await;
    }
}

/// A source like client credentials, which counts its calls.
fn minting(calls: &Arc<AtomicUsize>) -> impl TokenSource {
    let calls = calls.clone();
    source_fn(move |held: Held| {
        let number = calls.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(held.refresh_token().is_none());
        async move {
            let token = access(&format!("minted-{number}"));
            Ok(TokenSet::new(token).expires_in(Duration::from_secs(100)))
        }
    })
    .from_nothing()
}

/// Section 4.
#[tokio::test(start_paused = true)]
async fn a_source_that_starts_from_nothing_fetches_at_the_first_request() {
    let (calls, store) = (Arc::default(), FaultyStore::new());
    let build = || Session::builder(minting(&calls)).origin(ORIGIN).store(store.clone());
    let session = build().build().unwrap();
    for token in join_all((0..50).map(|_| session.token())).await {
        assert_eq!(token.unwrap().expose_secret(), "minted-1");
    }
    let restarted = build().build().unwrap();
    assert_eq!(restarted.token().await.unwrap().expose_secret(), "minted-1", "from the store");

    sleep(Duration::from_secs(95)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "minted-2");
    assert_eq!(restarted.token().await.unwrap().expose_secret(), "minted-2");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(store.calls(Op::Mark), 0, "nothing is spent, so nothing is marked");
}

/// Section 4: what another session buried does not stop a source that needs no login.
#[tokio::test(start_paused = true)]
async fn a_source_that_starts_from_nothing_writes_over_a_tombstone() {
    let (calls, store) = (Arc::default(), FaultyStore::new());
    store.put(Entry::Tombstone);
    let session = Session::builder(minting(&calls)).origin(ORIGIN).store(store.clone());
    let session = session.build().unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "minted-1");
    assert_eq!(store.record().unwrap().tokens().access().expose_secret(), "minted-1");
}

/// The session cannot be begun by force either.
#[tokio::test(start_paused = true)]
async fn a_tombstone_without_a_seed_says_logged_out() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Tombstone);
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    let error: RefreshError = session.token().await.unwrap_err();
    assert!(error.is_logged_out() && error.needs_login());
    assert!(session.refresh_after(&access("any")).await.is_err());
    assert_eq!(source.calls(), 0);
    assert!(store.is_buried());
}

/// Section 4: a program may know the stored token, or the seed, before the session has read anything.
#[tokio::test(start_paused = true)]
async fn a_program_that_names_the_token_of_before_gets_another() {
    for stored in [true, false] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        if stored {
            store.put(Entry::Live(Record::new(pair("before", "r-before"))));
        }
        let session = Session::builder(source.clone())
            .tokens(pair("before", "r-before"))
            .origin(ORIGIN)
            .store(store.clone())
            .build()
            .unwrap();
        let token = session.refresh_after(&access("before")).await.unwrap();
        assert_eq!(token.expose_secret(), "access-1");
        assert_eq!(source.spent(), ["r-before"]);
    }
}
