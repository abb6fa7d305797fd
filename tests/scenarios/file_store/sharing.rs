//! Handles that wait for each other, and those that need not.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    pin::pin,
    sync::mpsc,
    task::Poll,
    thread,
    time::Duration,
};

use futures::{FutureExt, StreamExt, executor::block_on, future::poll_fn};
use tokio::{
    runtime::Builder,
    time::{Instant, timeout},
};
use tower_reauth::{Event, Expected, Session, Swap, TokenStore};

use super::{done, empty_place, found, open, place, record, save};
use crate::{
    scripted::{Scripted, expired, pair},
    support::ORIGIN,
};

const LONG: Duration = Duration::from_secs(30);

fn session(path: &Path, source: &Scripted) -> Session {
    Session::builder(source.clone()).store(open(path)).origin(ORIGIN).build().unwrap()
}

/// Somebody who stopped in the middle of a swap.
fn stopped_in_a_swap(path: &Path) -> File {
    let lock = path.with_file_name("session.json.lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(lock).unwrap();
    file.try_lock().unwrap();
    file
}

/// Cases 37 and 38.
#[tokio::test]
async fn one_refresh_serves_every_session_over_the_file() {
    let (_folder, path) = place();
    let sources = [Scripted::new(), Scripted::new(), Scripted::new()];
    let [one, two, three] = sources.each_ref().map(|source| session(&path, source));
    one.login(pair("first", "first")).await.unwrap();
    let old = two.token().await.unwrap();
    assert_eq!(three.token().await.unwrap(), old);

    let new = one.refresh_after(&old).await.unwrap();
    let (second, third) = futures::join!(two.refresh_after(&old), three.refresh_after(&old));

    assert_eq!([second.unwrap(), third.unwrap()], [new.clone(), new]);
    assert_eq!(sources.map(|source| source.calls()), [1, 0, 0]);
}

#[tokio::test]
async fn of_sessions_that_refresh_at_once_one_does() {
    let (_folder, path) = place();
    let source = Scripted::new();
    session(&path, &source).login(expired("old", "first")).await.unwrap();
    let sessions = [(); 8].map(|()| session(&path, &source));

    let tokens = futures::future::join_all(sessions.iter().map(Session::token)).await;

    assert!(tokens.iter().all(|token| token.as_ref().unwrap().expose_secret() == "access-1"));
    assert_eq!(source.spent(), ["first"]);
}

/// P6.
#[tokio::test]
async fn neither_login_nor_logout_waits_for_a_lease() {
    let (_folder, path) = place();
    let source = Scripted::new();
    let session = session(&path, &source);
    let held = open(&path).lease().await.unwrap();
    let calls = async {
        session.login(pair("one", "first")).await.unwrap();
        assert_eq!(found(&open(&path)).await.as_deref(), Some("one"));
        session.logout().await.unwrap();
        assert_eq!(found(&open(&path)).await.as_deref(), Some("tombstone"));
    };
    timeout(LONG, calls).await.unwrap();
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_somebody_keeps_is_busy_after_the_stores_patience() {
    let (_folder, path) = place();
    let held = open(&path).lease().await.unwrap();
    for (patience, store) in [
        (Duration::from_secs(20), open(&path)),
        (Duration::from_secs(7), open(&path).patience(Duration::from_secs(7))),
        (Duration::ZERO, open(&path).patience(Duration::ZERO)),
    ] {
        let started = Instant::now();
        assert!(store.lease().await.unwrap_err().is_busy());
        // A timer of tokio goes by whole milliseconds.
        assert!(started.elapsed() >= patience && started.elapsed() < patience + LONG / 10);
    }
    drop(held);
    drop(open(&path).patience(Duration::ZERO).lease().await.unwrap());
}

/// The others are told, and go on as soon as they can.
#[tokio::test(start_paused = true)]
async fn a_session_whose_lease_somebody_keeps_sends_nothing() {
    let (_folder, path) = place();
    let source = Scripted::new();
    let session = session(&path, &source);
    session.login(expired("old", "first")).await.unwrap();
    let held = open(&path).lease().await.unwrap();
    let mut events = session.events();

    let error = session.token().await.unwrap_err();
    assert!(error.is_timeout(), "the waiter's own patience is shorter: {error:?}");
    let refused = events.next().await;
    assert!(matches!(refused, Some(Event::RefreshFailed(_))), "{refused:?}");
    let error = session.token().await.unwrap_err();
    assert!(!error.is_timeout() && error.retry_at().is_some(), "{error:?}");
    assert_eq!(source.calls(), 0);

    drop(held);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
}

#[tokio::test(start_paused = true)]
async fn somebody_who_stopped_in_a_swap_makes_the_store_unavailable_for_swaps_alone() {
    let (_folder, path) = empty_place();
    let store = open(&path);
    done(save(&store, Expected::Absent, "one").await);
    let stopped = stopped_in_a_swap(&path);
    let started = Instant::now();

    assert!(save(&store, Expected::Any, "two").await.unwrap_err().is_unavailable());
    assert!(started.elapsed() >= Duration::from_secs(5) && started.elapsed() < LONG);
    assert_eq!(found(&store).await.as_deref(), Some("one"));
    drop(store.lease().await.unwrap());

    drop(stopped);
    done(save(&store, Expected::Any, "two").await);
}

/// A session that gave up on it has said so, and what came since must stay.
#[tokio::test]
async fn a_swap_that_was_dropped_while_it_waited_does_not_happen_later() {
    let (_folder, path) = empty_place();
    let store = open(&path);
    done(save(&store, Expected::Absent, "one").await);
    let stopped = stopped_in_a_swap(&path);
    let waits = timeout(Duration::from_millis(20), save(&store, Expected::Any, "late")).await;
    assert!(waits.is_err());

    drop(stopped);
    // Whatever was under way is over when others had their turn.
    for _ in 0..3 {
        assert_eq!(save(&open(&path), Expected::Absent, "none").await.unwrap(), Swap::Moved);
    }
    assert_eq!(found(&store).await.as_deref(), Some("one"));
}

#[tokio::test]
async fn a_call_dropped_at_any_poll_leaves_a_store_that_works() {
    let (_folder, path) = place();
    let store = open(&path);
    for polls in 0..12 {
        let version = done(save(&store, Expected::Any, "old").await);
        let calls = [
            store.load().map(|_| ()).boxed(),
            store.lease().map(|_| ()).boxed(),
            save(&store, Expected::Version(version), "new").map(|_| ()).boxed(),
            store.compare_and_bury(Expected::Version(version)).map(|_| ()).boxed(),
        ];
        for call in calls {
            let mut call = pin!(call);
            for _ in 0..polls {
                if poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_ready() {
                    break;
                }
                tokio::time::sleep(Duration::from_micros(50)).await;
            }
        }
        assert!(matches!(found(&store).await.as_deref(), Some("old" | "new" | "tombstone")));
        drop(timeout(LONG, store.lease()).await.unwrap().unwrap());
    }
}

#[test]
fn a_runtime_ends_while_its_tasks_wait_for_locks() {
    let (_folder, path) = empty_place();
    let held = block_on(open(&path).lease()).unwrap();
    let stopped = stopped_in_a_swap(&path);
    for runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = { runtime }.enable_time().build().unwrap();
        let (lease, swap) = (open(&path), open(&path));
        runtime.spawn(async move { lease.lease().await.map(drop) });
        runtime.spawn(async move { save(&swap, Expected::Any, "late").await.map(drop) });
        runtime.block_on(async { tokio::time::sleep(Duration::from_millis(20)).await });
        // It would wait for a thread that waits.
        drop(runtime);
    }

    drop((held, stopped));
    drop(block_on(open(&path).patience(Duration::ZERO).lease()).unwrap());
    assert_eq!(block_on(found(&open(&path))), None);
}

#[test]
fn without_a_runtime_a_store_works_and_waits_for_no_lease() {
    let (_folder, path) = place();
    let (store, other) = (open(&path), open(&path));
    let held = store.lease().now_or_never().unwrap().unwrap();
    let patient = open(&path).patience(Duration::from_secs(3600));
    let (tell, told) = mpsc::channel();
    thread::spawn(move || tell.send(patient.lease().now_or_never()));
    assert!(told.recv_timeout(LONG).unwrap().unwrap().unwrap_err().is_busy());
    drop(held);
    drop(other.lease().now_or_never().unwrap().unwrap());

    let version = done(save(&store, Expected::Absent, "one").now_or_never().unwrap());
    assert_eq!(other.load().now_or_never().unwrap().unwrap().unwrap().version, version);
    let bury = other.compare_and_bury(Expected::Version(version)).now_or_never().unwrap();
    done(bury);
    let swap = store.compare_and_store(Expected::Version(version), record("late"));
    assert_eq!(swap.now_or_never().unwrap().unwrap(), Swap::Moved);
}
