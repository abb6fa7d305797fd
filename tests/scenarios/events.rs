//! What a session tells, and how much of it waits for a listener.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::sleep;
use tokio_test::{assert_pending, assert_ready, task};
use tower_reauth::{Event, RefreshError, Session};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, World, get, send, settle, told},
};

fn over(source: &Scripted, store: &FaultyStore) -> Session {
    Session::builder(source.clone())
        .tokens(pair("seed", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap()
}

async fn refresh(session: &Session) {
    let token = session.token().await.unwrap();
    session.refresh_after(&token).await.unwrap();
}

/// Section 4: the oldest are dropped and counted.
#[tokio::test(start_paused = true)]
async fn a_listener_that_does_not_listen_misses_the_oldest_events_and_learns_how_many() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    let mut events = session.events();
    for _ in 0..100 {
        refresh(&session).await;
    }
    let told = told(&mut events);
    assert!(matches!(told[0], Event::Missed(36)), "{:?}", told[0]);
    assert_eq!(told.len(), 65);
    assert!(told[1..].iter().all(|event| matches!(event, Event::Refreshed(_))));

    refresh(&session).await;
    assert!(matches!(events.next().await, Some(Event::Refreshed(_))), "counted once");
}

/// Section 4: terminal events never.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_session_is_never_dropped() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    let mut events = session.events();
    session.logout().await.unwrap();
    session.login(pair("again", "second")).await.unwrap();
    source.answer(Err(RefreshError::rejected()));
    let token = session.token().await.unwrap();
    session.refresh_after(&token).await.unwrap_err();
    session.login(pair("anew", "third")).await.unwrap();
    for _ in 0..1000 {
        refresh(&session).await;
    }

    let told = told(&mut events);
    let missed: u64 =
        told.iter().map(|event| if let Event::Missed(number) = event { *number } else { 0 }).sum();
    assert_eq!(missed + told.len() as u64 - 1, 1004);
    assert_eq!(told.iter().filter(|event| matches!(event, Event::LoggedOut)).count(), 1);
    assert_eq!(told.iter().filter(|event| matches!(event, Event::SessionEnded(_))).count(), 1);
}

/// Each listener has its own stream, from when it began.
#[tokio::test(start_paused = true)]
async fn listeners_do_not_take_events_from_each_other() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let mut early = session.events();
    let dropped = session.events();
    refresh(&session).await;
    drop(dropped);
    let mut late = session.events();
    refresh(&session).await;
    // The first is the seed, put in place.
    assert_eq!(told(&mut early).len(), 3);
    assert_eq!(told(&mut late).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_listener_is_woken_by_an_event_and_by_the_end() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    let mut events = task::spawn(session.events());
    assert_pending!(events.poll_next());
    refresh(&session).await;
    assert!(events.is_woken());
    assert!(matches!(assert_ready!(events.poll_next()), Some(Event::Refreshed(_))));
    assert_pending!(events.poll_next());
    drop(session);
    settle().await;
    assert!(events.is_woken());
    assert!(assert_ready!(events.poll_next()).is_none());
}

/// One event for each thing that happens, in its order.
#[tokio::test(start_paused = true)]
async fn a_session_tells_its_story() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    let mut events = session.events();

    refresh(&session).await;
    source.answer(Err(RefreshError::misconfigured()));
    let token = session.token().await.unwrap();
    session.refresh_after(&token).await.unwrap_err();
    sleep(Duration::from_secs(1)).await;
    store.fail(Op::Save, 1);
    session.refresh_after(&token).await.unwrap();
    sleep(Duration::from_secs(2)).await;
    session.logout().await.unwrap();
    session.login(pair("again", "second")).await.unwrap();
    source.answer(Err(RefreshError::rejected()));
    let token = session.token().await.unwrap();
    session.refresh_after(&token).await.unwrap_err();

    let told = told(&mut events);
    assert!(
        matches!(
            told[..],
            [
                Event::Refreshed(_),
                Event::RefreshFailed(_),
                Event::PersistFailed(_),
                Event::Refreshed(_),
                Event::Persisted,
                Event::LoggedOut,
                Event::LoggedIn,
                Event::SessionEnded(_),
            ]
        ),
        "{told:?}"
    );
}

/// P3.
#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_with_a_refresh_in_flight_is_told() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let token = session.token().await.unwrap();
    let mut events = session.events();
    let answer = source.answer_later(Ok(pair("new", "second")));
    assert!(session.refresh_after(&token).now_or_never().is_none());
    settle().await;
    let clone = session.clone();
    drop(session);
    assert!(told(&mut events).is_empty());
    drop(clone);
    assert!(matches!(told(&mut events)[..], [Event::DroppedInFlight]));

    answer.send(()).unwrap();
    settle().await;
    assert_eq!(store.refresh().as_deref(), Some("second"), "saved all the same");
    assert!(matches!(told(&mut events)[..], [Event::Refreshed(_)]));
    assert!(events.next().await.is_none());
}

/// P3: nothing to report where nothing was in flight.
#[tokio::test(start_paused = true)]
async fn dropping_an_idle_session_is_silent() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    session.token().await.unwrap();
    let mut events = session.events();
    drop(session);
    assert!(events.next().await.is_none());
}

/// P3: a save that is owed is something to lose, too.
#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_with_a_save_owed_is_told_and_the_save_goes_on() {
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = over(&source, &store);
    let token = session.token().await.unwrap();
    store.fail(Op::Save, 2);
    session.refresh_after(&token).await.unwrap();
    let mut events = session.events();
    drop(session);
    assert!(matches!(told(&mut events)[..], [Event::DroppedInFlight]));
    sleep(Duration::from_secs(5)).await;
    assert_eq!(store.refresh().as_deref(), Some("refresh-1"));
}

/// A step-up is told with its parameters, and refreshes nothing.
#[tokio::test(start_paused = true)]
async fn a_request_for_more_scope_is_told_and_refreshes_nothing() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    let mut events = session.events();
    world.api.insufficient_scope("/admin", "admin");
    assert_eq!(send(&client, get("/admin")).await.unwrap().status(), 403);
    let told = told(&mut events);
    assert!(matches!(told[..], [Event::StepUpRequired(_)]), "{told:?}");
    assert_eq!(world.authorization.token_requests(), 0);
}

/// A revocation that fails is told, and nothing else comes of it.
#[tokio::test(start_paused = true)]
async fn a_revocation_that_hangs_is_given_up_and_told() {
    struct Unrevoked;
    impl tower_reauth::TokenSource for Unrevoked {
        async fn refresh(
            &self,
            _: tower_reauth::Held,
        ) -> Result<tower_reauth::TokenSet, RefreshError> {
            Ok(pair("new", "second"))
        }
        async fn revoke(&self, _: tower_reauth::TokenSet) -> Result<(), RefreshError> {
            std::future::pending().await
        }
    }
    let session =
        Session::builder(Unrevoked).tokens(expired("old", "first")).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    let mut events = session.events();
    let started = tokio::time::Instant::now();
    session.logout().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 10);
    let told = told(&mut events);
    assert!(matches!(told[..], [Event::LoggedOut, Event::RevokeFailed(_)]), "{told:?}");
}
