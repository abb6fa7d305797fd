//! What another process does to the store while a refresh runs here.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower_reauth::{AccessToken, Entry, Record, RefreshError, Session, TokenSource};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, settle},
    unruly::{Mood, UnrulySource},
};

/// A session whose token has run out.
fn worn_out(source: impl TokenSource, store: &FaultyStore) -> Session {
    Session::builder(source)
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap()
}

fn ask(session: &Session) -> JoinHandle<Result<AccessToken, RefreshError>> {
    let session = session.clone();
    tokio::spawn(async move { session.token().await })
}

/// P6: the tokens of the login are there, and the issuer learns of the others in its own time.
#[tokio::test(start_paused = true)]
async fn a_login_elsewhere_during_a_refresh_serves_waiters_before_what_lost_is_revoked() {
    let (scripted, store) = (Scripted::new(), FaultyStore::new());
    let source = UnrulySource::new(scripted.clone());
    let session = worn_out(source.clone(), &store);
    let answer = scripted.answer_later(Ok(pair("new", "second")));
    source.revoke.next([Mood::Slow(Duration::from_secs(5))]);
    let waiter = ask(&session);
    settle().await;
    let neighbour = worn_out(Scripted::new(), &store);
    neighbour.login(pair("theirs", "of-login")).await.unwrap();

    let started = Instant::now();
    answer.send(()).unwrap();
    assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "theirs");
    assert_eq!(started.elapsed(), Duration::ZERO, "nobody waited for the revocation");
    assert!(scripted.revoked().is_empty());
    sleep(Duration::from_secs(6)).await;
    assert_eq!(scripted.revoked(), ["new"]);
    assert_eq!(store.refresh().as_deref(), Some("of-login"));
}

/// A server ends a whole family: what lost to another refresh of the same login is not revoked.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_lost_to_one_of_the_same_login_revokes_nothing() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(source.clone(), &store);
    let answer = source.answer_later(Ok(pair("new", "second")));
    let waiter = ask(&session);
    settle().await;
    // Somebody who had a lease that was lost has stored the successor first.
    let family = store.record().unwrap().family_id();
    assert!(family.is_some());
    store.put(Entry::Live(Record::new(pair("theirs", "successor")).family(family)));

    answer.send(()).unwrap();
    assert_eq!(waiter.await.unwrap().unwrap().expose_secret(), "theirs");
    sleep(Duration::from_secs(60)).await;
    assert!(source.revoked().is_empty());
    assert_eq!(store.refresh().as_deref(), Some("successor"));
}

/// P5: the store that cannot be read again may hold a newer refresh token.
#[tokio::test(start_paused = true)]
async fn without_a_second_reading_there_is_no_verdict() {
    for moved_late in [false, true] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = worn_out(source.clone(), &store);
        let answer = source.answer_later(Err(RefreshError::rejected()));
        let waiter = ask(&session);
        settle().await;
        store.delay(Op::Bury, Duration::from_secs(1));
        let move_on = || {
            store.put(Entry::Live(Record::new(pair("theirs", "second"))));
            store.fail(Op::Load, 1);
        };
        if moved_late {
            // The reading finds nothing new, and then the record moves.
            answer.send(()).unwrap();
            settle().await;
            move_on();
        } else {
            move_on();
            answer.send(()).unwrap();
        }

        let error = waiter.await.unwrap().unwrap_err();
        assert!(!error.needs_login() && error.retry_at().is_some(), "{error:?}");
        assert_eq!(store.calls(Op::Bury), usize::from(moved_late));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
        assert_eq!(source.calls(), 1);
    }
}
