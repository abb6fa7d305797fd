//! Calls of the handle that are dropped half-way: what they began goes on.

use std::time::Duration;

use futures::{FutureExt, StreamExt};
use tokio::time::sleep;
use tokio_test::{assert_pending, task};
use tower_reauth::{Entry, Event, Status, TokenStore};

use crate::{
    support::{World, get, send, stored, unsent},
    unruly::{Mood, UnrulyStore},
};

const SLOW: Mood = Mood::Slow(Duration::from_millis(20));

/// All that was begun has ended.
async fn later() {
    sleep(Duration::from_millis(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_dropped_is_saved_then_used() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let old = session.token().await.unwrap();
    let mut events = session.events();
    let tokens = world.authorization.login();
    store.swap.next([SLOW]);
    let mut login = task::spawn(session.login(tokens.clone()));
    assert_pending!(login.poll());

    drop(login);
    assert_eq!(session.peek().unwrap(), old, "saved before it is used");
    later().await;

    assert_eq!(session.peek().unwrap(), *tokens.access());
    assert_eq!(stored(&store.memory).await.unwrap().refresh(), tokens.refresh());
    assert!(matches!(events.next().await, Some(Event::LoggedIn)));
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_was_never_polled_is_none() {
    let world = World::new();
    let session = world.session();
    let old = session.token().await.unwrap();

    drop(session.login(world.authorization.login()));

    later().await;
    assert_eq!(session.peek().unwrap(), old);
}

/// Of two logins the later wins, whichever is dropped and however slow the store.
#[tokio::test(start_paused = true)]
async fn the_later_of_two_dropped_logins_wins() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    session.token().await.unwrap();
    let (first, second) = (world.authorization.login(), world.authorization.login());
    store.swap.next([SLOW, Mood::Obey]);

    assert!(session.login(first).now_or_never().is_none());
    tokio::task::yield_now().await;
    assert!(session.login(second.clone()).now_or_never().is_none());
    later().await;

    assert_eq!(session.peek().unwrap(), *second.access());
    assert_eq!(stored(&store.memory).await.unwrap().refresh(), second.refresh());
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_was_dropped_buries_and_revokes() {
    let world = World::new();
    let store = UnrulyStore::default();
    let endpoint = world.authorization.revocation_endpoint().to_string();
    let grant = world.grant().revocation_endpoint(&endpoint).unwrap();
    let session = world.builder_over(grant).store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    let token = session.peek().unwrap();
    store.bury.next([SLOW]);

    assert!(session.logout().now_or_never().is_none());
    assert!(session.peek().is_none(), "memory is cleared at once");
    assert!(unsent(send(&client, get("/")).await).is_logged_out());
    later().await;

    assert_eq!(store.load().await.unwrap().unwrap().entry, Entry::Tombstone);
    assert_eq!(world.authorization.revocations(), 1);
    assert!(!world.authorization.is_valid(&token));
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_the_store_goes_on_without_the_caller() {
    let world = World::new();
    let store = UnrulyStore::default();
    let one = world.builder().store(store.clone()).build().unwrap();
    let other = world.builder().store(store.clone()).build().unwrap();
    let old = one.token().await.unwrap();
    assert_eq!(other.token().await.unwrap(), old);
    let new = other.refresh_after(&old).await.unwrap();
    store.load.next([SLOW]);

    assert!(one.reload().now_or_never().is_none());
    assert_eq!(one.peek().unwrap(), old);
    later().await;

    assert_eq!(one.peek().unwrap(), new);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_close_has_closed_and_leaves_the_refresh_alone() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    let old = session.token().await.unwrap();
    world.authorization.delay(Duration::from_millis(50));
    assert!(session.refresh_after(&old).now_or_never().is_none());
    tokio::task::yield_now().await;

    assert!(session.close().now_or_never().is_none());
    later().await;

    let new = session.peek().unwrap();
    assert_ne!(new, old);
    assert_eq!(*stored(&store.memory).await.unwrap().access(), new);
    assert!(session.refresh_after(&new).await.unwrap_err().is_closed());
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_nobody_waits_for_any_more_is_fetched_all_the_same() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    world.authorization.delay(Duration::from_millis(50));
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let old = session.token().await.unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;

    assert!(session.token().now_or_never().is_none());
    assert_eq!(session.status(), Status::Refreshing);
    later().await;

    let new = session.peek().unwrap();
    assert_ne!(new, old);
    assert_eq!(*stored(&store.memory).await.unwrap().access(), new);
    assert_eq!(session.token().await.unwrap(), new);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
}

/// A login dropped while a refresh runs has won over it all the same.
#[tokio::test(start_paused = true)]
async fn a_dropped_login_takes_the_ticket_of_a_refresh_in_flight() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let old = session.token().await.unwrap();
    let answers = world.authorization.hold();
    assert!(session.refresh_after(&old).now_or_never().is_none());
    answers.until_held(1).await;
    let tokens = world.authorization.login();
    store.swap.next([SLOW]);

    assert!(session.login(tokens.clone()).now_or_never().is_none());
    answers.release();
    later().await;

    assert_eq!(session.peek().unwrap(), *tokens.access());
    assert_eq!(stored(&store.memory).await.unwrap().refresh(), tokens.refresh());
    assert_eq!(world.authorization.token_requests(), 1);
}
