//! A process that was stopped for longer than its lease, and goes on.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::sleep;
use tower_reauth::{Entry, Expected, Record, RefreshError, Session, Swap, TokenStore};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::ORIGIN,
};

/// A session whose token has run out.
fn worn_out(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap()
}

/// P1: the refresh token goes out under a lease or not at all.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_lease_ran_out_before_it_sent_anything_waits_for_another() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.next_lease(|| false);
    let session = worn_out(&source, &store);
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["first"]);
    assert_eq!((store.calls(Op::Lease), store.calls(Op::Mark)), (2, 2));
}

/// P1: what another process did meanwhile is found before anything is sent.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_lease_went_to_another_process_adopts_what_that_one_stored() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let neighbour = store.clone();
    store.next_lease(move || {
        neighbour.put(Entry::Live(Record::new(pair("theirs", "second"))));
        false
    });
    let session = worn_out(&source, &store);
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
    assert_eq!(source.calls(), 0);
    assert_eq!(store.refresh().as_deref(), Some("second"));
}

/// Nothing was sent, so whoever comes next need not take the refresh token for spent.
#[tokio::test(start_paused = true)]
async fn the_mark_of_a_refresh_whose_lease_ran_out_is_taken_away() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    for _ in 0..4 {
        store.next_lease(|| false);
    }
    let session = worn_out(&source, &store);
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && !error.was_ambiguous());
    assert_eq!((source.calls(), store.calls(Op::Mark)), (0, 4));
    assert_eq!(store.record().unwrap().spent_since(), None);
}

/// P1: a second attempt needs the lease as the first did.
#[tokio::test(start_paused = true)]
async fn what_failed_is_not_tried_again_after_the_lease_ran_out() {
    for failure in [RefreshError::transient(), RefreshError::ambiguous()] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let mut asked = 0;
        store.next_lease(move || {
            asked += 1;
            asked == 1
        });
        source.answer(Err(failure.clone()));
        let session = worn_out(&source, &store);
        let error = session.token().await.unwrap_err();
        assert_eq!(error.was_ambiguous(), failure.was_ambiguous());
        assert_eq!(source.calls(), 1);
        let marked = store.record().unwrap().spent_since().is_some();
        assert_eq!(marked, failure.was_ambiguous(), "the mark stays where it may be spent");
    }
}

/// A pair that another process stored and that has run out since.
fn theirs() -> Record {
    Record::new(pair("theirs", "second").expires_at(UNIX_EPOCH))
}

/// Wait until the source was asked so often.
async fn until_asked(source: &Scripted, times: usize) {
    while source.calls() < times {
        sleep(Duration::from_millis(1)).await;
    }
}

/// As a process that took the holder of the lease for gone, and came no further.
async fn mark_again(store: &FaultyStore) {
    let version = store.load().await.unwrap().unwrap().version;
    let mark = store.record().unwrap().spending_since(Some(UNIX_EPOCH));
    let swap = store.compare_and_store(Expected::Version(version), mark).await;
    assert!(matches!(swap, Ok(Swap::Done(_))));
}

/// P12: nobody else has the successor of what was sent, whatever this process held before it read that.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_saved_over_the_mark_of_a_process_that_came_no_further() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let first = session.token().await.unwrap();
    store.put(Entry::Live(theirs()));
    let release = source.answer_later(Ok(pair("new", "third")));
    let (newer, ()) = tokio::join!(session.refresh_after(&first), async {
        until_asked(&source, 2).await;
        mark_again(&store).await;
        release.send(()).unwrap();
    });
    assert_eq!(newer.unwrap().expose_secret(), "new");
    assert_eq!(store.refresh().as_deref(), Some("third"));
    assert_eq!(source.spent(), ["first", "second"]);
}

/// P12: what came is used, and saved as soon as nobody is in the way.
#[tokio::test(start_paused = true)]
async fn a_late_answer_is_kept_though_the_mark_is_moved_time_and_again() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let first = session.token().await.unwrap();
    store.delay(Op::Save, Duration::from_millis(100));
    let release = source.answer_later(Ok(pair("new", "third")));
    let busy = async {
        until_asked(&source, 2).await;
        release.send(()).unwrap();
        for _ in 0..30 {
            // Between a look and the save that follows on it.
            mark_again(&store).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let (newer, ()) = tokio::join!(session.refresh_after(&first), busy);
    assert_eq!(newer.unwrap().expose_secret(), "new");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(store.refresh().as_deref(), Some("third"));
    assert_eq!(source.spent(), ["first", "refresh-1"]);
}

/// Who takes over from a process that was killed may be told of tokens that have run out meanwhile.
#[tokio::test(start_paused = true)]
async fn a_repeated_pair_that_has_run_out_is_refreshed_at_once() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    store.put(Entry::Live(theirs().spending_since(Some(UNIX_EPOCH))));
    let session =
        Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap();
    source.answer(Ok(expired("repeated", "third")));
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["second", "third"]);
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));

    // Once: a server whose tokens never live is another matter.
    source.answer(Err(RefreshError::ambiguous()));
    (0..2).for_each(|_| source.answer(Ok(expired("repeated", "more"))));
    let token = session.peek().unwrap();
    assert!(session.refresh_after(&token).await.is_err());
    assert_eq!(source.spent()[2..], ["refresh-1", "refresh-1", "more"]);
}

/// P5: a verdict on a refresh token ends the session though another process marked it once more.
#[tokio::test(start_paused = true)]
async fn a_verdict_counts_though_the_mark_was_moved() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let first = session.token().await.unwrap();
    store.put(Entry::Live(theirs()));
    let release = source.answer_later(Err(RefreshError::rejected()));
    let (answer, ()) = tokio::join!(session.refresh_after(&first), async {
        until_asked(&source, 2).await;
        mark_again(&store).await;
        release.send(()).unwrap();
    });
    assert!(answer.unwrap_err().needs_login());
    assert_eq!(source.spent(), ["first", "second"], "it is not sent again");
    sleep(Duration::from_secs(60)).await;
    assert!(store.is_buried());
}

/// P5: whoever took the lease may have the successor on its way, and then there is no verdict.
#[tokio::test(start_paused = true)]
async fn a_verdict_after_the_lease_ran_out_waits_for_who_has_it_now() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = worn_out(&source, &store);
    let first = session.token().await.unwrap();
    let mut asked = 0;
    store.next_lease(move || {
        asked += 1;
        asked == 1
    });
    let release = source.answer_later(Err(RefreshError::rejected()));
    let (newer, ()) = tokio::join!(session.refresh_after(&first), async {
        until_asked(&source, 2).await;
        mark_again(&store).await;
        store.delay(Op::Lease, Duration::from_secs(1));
        release.send(()).unwrap();
        sleep(Duration::from_millis(500)).await;
        store.put(Entry::Live(Record::new(pair("theirs", "third"))));
    });
    assert_eq!(newer.unwrap().expose_secret(), "theirs");
    assert_eq!(source.spent(), ["first", "refresh-1"]);
    assert_eq!(store.refresh().as_deref(), Some("third"));
}
