//! Logouts and what comes about them: a store that does not take them, a neighbour, a login.

use std::time::Duration;

use futures::{future::join, poll};
use tokio::time::sleep;
use tower_reauth::Session;

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, pair},
    support::{ORIGIN, paused, settle},
};

/// A session that begins with what the store has.
fn process(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone()).origin(ORIGIN).store(store.clone()).build().unwrap()
}

/// A store that an earlier run has left a record in.
async fn after_a_login() -> FaultyStore {
    let store = FaultyStore::new();
    process(&Scripted::new(), &store).login(pair("stored", "first")).await.unwrap();
    store
}

/// Section 4: a program may be started for nothing but its logout.
#[tokio::test(start_paused = true)]
async fn a_logout_revokes_the_pair_that_this_process_never_read() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    process(&source, &store).logout().await.unwrap();
    assert!(store.is_buried());
    assert_eq!(source.revoked(), ["stored"]);
}

/// Section 4: nor is a pair good any longer that the session would have begun with.
#[tokio::test(start_paused = true)]
async fn a_logout_before_the_first_request_revokes_the_seed() {
    for (store, revoked) in [(FaultyStore::new(), "seed"), (after_a_login().await, "stored")] {
        let source = Scripted::new();
        let builder = Session::builder(source.clone()).tokens(pair("seed", "r-seed"));
        let session = builder.origin(ORIGIN).store(store.clone()).build().unwrap();
        session.logout().await.unwrap();
        assert!(store.is_buried());
        assert_eq!(source.revoked(), [revoked]);
    }
}

/// P6: the record that could not be buried is not taken for another process's login.
#[tokio::test(start_paused = true)]
async fn a_logout_of_a_pair_never_read_is_not_undone_by_a_look_up() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    let session = process(&source, &store);
    store.fail(Op::Bury, 3);
    assert!(session.logout().await.unwrap_err().is_unavailable());
    let loads = store.calls(Op::Load);
    sleep(Duration::from_millis(1500)).await;
    assert!(session.token().await.unwrap_err().is_logged_out());
    assert!(store.calls(Op::Load) > loads, "it did look");

    sleep(Duration::from_secs(600)).await;
    assert!(store.is_buried());
    assert!(session.token().await.unwrap_err().is_logged_out());
    assert_eq!(source.calls(), 0);
}

/// P6: what another process makes of the same login is over with it.
#[tokio::test(start_paused = true)]
async fn a_logout_that_is_owed_buries_what_a_neighbour_refreshed_since() {
    let (source, theirs, store) = (Scripted::new(), Scripted::new(), after_a_login().await);
    let (session, neighbour) = (process(&source, &store), process(&theirs, &store));
    let token = session.token().await.unwrap();
    assert_eq!(neighbour.token().await.unwrap(), token);
    store.fail(Op::Bury, 3);
    session.logout().await.unwrap_err();
    neighbour.refresh_after(&token).await.unwrap();
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));

    sleep(Duration::from_millis(1200)).await;
    assert!(session.token().await.unwrap_err().is_logged_out(), "no login, and no news");
    sleep(Duration::from_secs(600)).await;
    assert!(store.is_buried());
    assert!(session.token().await.unwrap_err().is_logged_out());
    assert!(neighbour.reload().await.unwrap_err().is_logged_out());
}

/// P6: a login that could not be stored left the record of the one before where it was.
#[tokio::test(start_paused = true)]
async fn a_logout_that_is_owed_buries_what_an_unsaved_login_was_to_replace() {
    for is_looked_at in [true, false] {
        let (source, store) = (Scripted::new(), after_a_login().await);
        let session = process(&source, &store);
        session.token().await.unwrap();
        store.fail(Op::Save, 1);
        store.fail(Op::Load, usize::from(!is_looked_at));
        session.login(pair("login", "of-login")).await.unwrap_err();
        settle().await;
        store.fail(Op::Load, 1);
        session.logout().await.unwrap_err();

        sleep(Duration::from_secs(600)).await;
        assert!(session.token().await.unwrap_err().is_logged_out());
        assert!(store.is_buried());
    }
}

/// P6: the last word counts, and a logout says nothing of a login that came after it.
#[tokio::test(start_paused = true)]
async fn a_logout_that_is_owed_leaves_a_later_login_elsewhere_alone() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    let session = process(&source, &store);
    session.token().await.unwrap();
    store.fail(Op::Bury, 1);
    session.logout().await.unwrap_err();
    let neighbour = process(&Scripted::new(), &store);
    neighbour.login(pair("theirs", "of-login")).await.unwrap();

    sleep(Duration::from_secs(600)).await;
    assert_eq!(store.refresh().as_deref(), Some("of-login"));
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
}

/// P6: the login comes second and has the first turn at the store.
#[test]
fn a_login_that_follows_a_logout_at_once_is_not_buried_by_it() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let (first, second) = (paused(), paused());
    let session = first.block_on(async {
        let session = process(&source, &store);
        session.login(pair("before", "first")).await.unwrap();
        session
    });
    let mut logout = Box::pin(session.logout());
    // It is asked for, and its task waits for a runtime that stands still.
    first.block_on(async { assert!(poll!(logout.as_mut()).is_pending()) });
    assert_eq!(session.peek(), None);

    second.block_on(session.login(pair("login", "of-login"))).unwrap();
    first.block_on(logout).unwrap();

    assert_eq!(store.refresh().as_deref(), Some("of-login"));
    assert_eq!(store.calls(Op::Bury), 0);
    assert_eq!(session.peek().unwrap().expose_secret(), "login");
    assert_eq!(source.revoked(), ["before"], "the logout was one all the same");
}

/// P6: the logout has the first turn at a slow store, and buries or fails while the login waits.
#[tokio::test(start_paused = true)]
async fn a_login_that_waits_for_a_slow_logout_is_the_one_stored() {
    for failures in [0, 1] {
        let (source, store) = (Scripted::new(), after_a_login().await);
        let session = process(&source, &store);
        session.token().await.unwrap();
        store.delay(Op::Bury, Duration::from_secs(2));
        store.fail(Op::Bury, failures);

        let login = session.login(pair("login", "of-login"));
        let (logged_out, logged_in) = join(session.logout(), login).await;
        assert_eq!(logged_out.is_err(), failures == 1);
        logged_in.unwrap();
        assert_eq!(session.peek().unwrap().expose_secret(), "login");

        sleep(Duration::from_secs(600)).await;
        assert_eq!(store.refresh().as_deref(), Some("of-login"), "nothing is owed any more");
        assert_eq!(store.calls(Op::Bury), 1);
        assert_eq!(session.token().await.unwrap().expose_secret(), "login");
    }
}

/// P6: what the later logout cannot find, neither held nor stored, is revoked all the same.
#[tokio::test(start_paused = true)]
async fn a_login_that_lost_to_a_logout_before_it_was_stored_is_revoked() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    let session = process(&source, &store);
    store.delay(Op::Bury, Duration::from_secs(3));
    let logout = async || session.logout().await.unwrap();
    let login = async || {
        settle().await;
        session.login(pair("login", "of-login")).await.unwrap();
    };
    let again = async || {
        sleep(Duration::from_secs(1)).await;
        logout().await;
    };
    futures::join!(logout(), login(), again());
    settle().await;
    assert!(store.is_buried());
    assert_eq!(source.revoked(), ["stored", "login"]);
}

/// P6: what was logged out of is not sent afterwards.
#[tokio::test(start_paused = true)]
async fn a_refresh_whose_session_is_logged_out_while_it_marks_sends_nothing() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    let session = process(&source, &store);
    let token = session.token().await.unwrap();
    store.answer_late(Op::Mark, Duration::from_secs(2));
    let (refused, logout) = join(session.refresh_after(&token), async {
        sleep(Duration::from_secs(1)).await;
        session.logout().await
    })
    .await;
    assert!(refused.unwrap_err().is_logged_out());
    logout.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(source.calls(), 0);
    assert!(store.is_buried());
}

/// P6: also where the logout finds a tombstone, which the login before it could not replace.
#[tokio::test(start_paused = true)]
async fn a_mark_that_comes_after_the_logout_comes_too_late() {
    let (source, store) = (Scripted::new(), after_a_login().await);
    let session = process(&source, &store);
    session.logout().await.unwrap();
    store.fail(Op::Save, 1);
    session.login(pair("login", "of-login")).await.unwrap_err();
    settle().await;
    store.delay(Op::Mark, Duration::from_secs(2));
    let login = session.token().await.unwrap();
    let (refused, logout) = join(session.refresh_after(&login), async {
        settle().await;
        session.logout().await
    })
    .await;
    assert!(refused.unwrap_err().is_logged_out());
    logout.unwrap();
    sleep(Duration::from_secs(60)).await;
    assert_eq!((store.calls(Op::Mark), source.calls()), (1, 0));
    assert!(store.is_buried());
}
