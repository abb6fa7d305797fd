//! A process that was stopped for longer than its lease, and goes on.

use tower_reauth::{Entry, Record, RefreshError, Session};

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
