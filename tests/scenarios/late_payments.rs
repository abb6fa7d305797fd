//! What the store is told late, and what happened in the meantime.

use std::time::Duration;

use tokio::time::sleep;
use tower_reauth::{Entry, Record, Session};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, pair},
    support::{ORIGIN, settle},
};

fn process(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap()
}

/// P12: the store has what was owed when the save began, and is owed its successor since.
#[tokio::test(start_paused = true)]
async fn saving_goes_on_for_a_successor_that_came_during_a_late_save() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = process(&source, &store);
    store.fail(Op::Save, 1);
    session.login(pair("login", "of-login")).await.unwrap_err();
    let login = session.token().await.unwrap();
    store.delay(Op::Save, Duration::from_secs(3));
    // The late save is on its way.
    sleep(Duration::from_millis(1100)).await;
    store.delay(Op::Save, Duration::ZERO);
    store.fail(Op::Mark, 1);
    store.fail(Op::Save, 1);
    session.refresh_after(&login).await.unwrap();
    assert_eq!(store.refresh(), None);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(store.refresh().as_deref(), Some("of-login"), "late, and no longer the newest");

    sleep(Duration::from_secs(10)).await;
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
    assert_eq!(source.spent(), ["of-login"]);
}

/// P6: a login wins over a refresh of what was there before it, here and elsewhere.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_owed_overwrites_what_a_neighbour_refreshed_since() {
    for refreshes_itself in [false, true] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let (other, theirs) = (Scripted::new(), pair("theirs", "of-theirs"));
        let neighbour = process(&other, &store);
        neighbour.login(pair("before", "of-before")).await.unwrap();
        let before = neighbour.token().await.unwrap();
        let session = process(&source, &store);
        store.fail(Op::Save, 1);
        session.login(pair("login", "of-login")).await.unwrap_err();
        let login = session.token().await.unwrap();
        other.answer(Ok(theirs));
        assert_eq!(neighbour.refresh_after(&before).await.unwrap().expose_secret(), "theirs");
        if refreshes_itself {
            assert_ne!(session.refresh_after(&login).await.unwrap().expose_secret(), "theirs");
            assert_eq!(source.spent(), ["of-login"]);
        }

        sleep(Duration::from_secs(60)).await;
        let ours = if refreshes_itself { "refresh-1" } else { "of-login" };
        assert_eq!(store.refresh().as_deref(), Some(ours));
    }
}

/// P12: a login may be in the store although its save was not answered in time, and a neighbour may have
/// spent its refresh token since.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_owed_does_not_overwrite_what_a_neighbour_made_of_it() {
    for (is_looked_at, refreshes_itself) in
        [(true, false), (true, true), (false, false), (false, true)]
    {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let session = process(&source, &store);
        store.answer_late(Op::Save, Duration::from_secs(6));
        store.fail(Op::Load, usize::from(!is_looked_at));
        session.login(pair("login", "of-login")).await.unwrap_err();
        let login = session.token().await.unwrap();
        store.answer_late(Op::Save, Duration::ZERO);
        settle().await;

        let other = Scripted::new();
        other.answer(Ok(pair("theirs", "of-theirs")));
        process(&other, &store).refresh_after(&login).await.unwrap();
        assert_eq!(other.spent(), ["of-login"]);
        if refreshes_itself {
            assert_eq!(session.refresh_after(&login).await.unwrap().expose_secret(), "theirs");
        }
        sleep(Duration::from_secs(60)).await;
        assert_eq!(store.refresh().as_deref(), Some("of-theirs"));
        assert!(source.spent().is_empty());
    }
}

/// P6: the last word counts, also where the login before it could not be saved.
#[tokio::test(start_paused = true)]
async fn a_login_that_is_owed_does_not_overwrite_a_later_logout_elsewhere() {
    for before in [None, Some(Entry::Live(Record::new(pair("before", "r-before"))))] {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        before.into_iter().for_each(|entry| store.put(entry));
        let session = process(&source, &store);
        store.fail(Op::Save, 1);
        session.login(pair("login", "of-login")).await.unwrap_err();
        process(&Scripted::new(), &store).logout().await.unwrap();

        sleep(Duration::from_secs(60)).await;
        assert!(store.is_buried());
        assert!(session.reload().await.unwrap_err().is_logged_out());
    }
}
