//! What a look at the store finds while a session cools or is over, and what comes of it.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::sleep;
use tower_reauth::{Entry, Record, RefreshError, Session, SessionBuilder};

use crate::{
    faulty_store::FaultyStore,
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, told},
};

fn builder(source: &Scripted, store: &FaultyStore) -> SessionBuilder {
    Session::builder(source.clone()).origin(ORIGIN).store(store.clone())
}

/// P4: a refresh token that is found may be one that cannot be spent now.
#[tokio::test(start_paused = true)]
async fn an_ended_session_spends_what_it_finds_at_most_once_per_step() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(expired("old", "first")).build().unwrap();
    source.answer(Err(RefreshError::rejected()));
    assert!(session.token().await.unwrap_err().is_session_ended());
    let theirs = expired("theirs", "second").expires_at(UNIX_EPOCH);
    store.put(Entry::Live(Record::new(theirs)));
    for _ in 0..100 {
        source.answer(Err(RefreshError::misconfigured()));
    }

    // At first no look is due; then after steps of 1 s, 2 s and 4 s.
    for calls in [0, 1, 1, 2, 2, 2, 2, 3] {
        for _ in 0..100 {
            assert!(session.token().await.unwrap_err().is_session_ended());
        }
        assert_eq!(source.calls(), 1 + calls);
        sleep(Duration::from_secs(1)).await;
    }
}

/// P5: what a look brought and could not spend yet is no less news at the next one.
#[tokio::test(start_paused = true)]
async fn an_ended_session_goes_on_with_the_refresh_token_that_its_last_look_brought() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).build().unwrap();
    session.logout().await.unwrap();
    store.put(Entry::Live(Record::new(expired("theirs", "first").expires_at(UNIX_EPOCH))));
    // The pair is repeated when it has run out, and its successor is not to be had now.
    source.answer(Err(RefreshError::ambiguous()));
    source.answer(Ok(expired("again", "second")));
    source.answer(Err(RefreshError::misconfigured()));
    session.reload().await.unwrap_err();
    assert!(session.token().await.unwrap_err().is_logged_out());

    session.reload().await.unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["first", "first", "second", "second"]);
}

/// The same access token beside another refresh token: only that is news.
#[tokio::test(start_paused = true)]
async fn a_look_that_finds_the_token_that_is_held_takes_its_refresh_token_alone() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    source.answer(Err(RefreshError::misconfigured()));
    session.refresh_after(&seed).await.unwrap_err();
    sleep(Duration::from_secs(2)).await;
    store.put(Entry::Live(Record::new(pair("seed", "second"))));
    let mut events = session.events();

    session.reload().await.unwrap();
    assert!(told(&mut events).is_empty(), "the refused token is no new one");
    assert_ne!(session.refresh_after(&seed).await.unwrap(), seed);
    assert_eq!(source.spent(), ["first", "second"]);
}

/// P4: a different refresh token in the store ends a cool-down, whatever access token it is with.
#[tokio::test(start_paused = true)]
async fn a_cooling_session_spends_another_refresh_token_that_it_finds() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = builder(&source, &store).tokens(pair("seed", "first")).build().unwrap();
    let seed = session.token().await.unwrap();
    source.answer(Err(RefreshError::transient().with_retry_after(Duration::from_secs(600))));
    session.refresh_after(&seed).await.unwrap_err();
    store.put(Entry::Live(Record::new(pair("seed", "second"))));
    sleep(Duration::from_secs(1)).await;

    assert_eq!(session.refresh_after(&seed).await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["first", "second"]);
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}
