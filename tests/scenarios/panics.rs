//! Sources and stores that panic: a typed error, no hang, and no lost token.

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Wake, Waker},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower_reauth::{Entry, Event, TokenStore, testing::Fault};

use crate::{
    support::{World, get, send, settle, stored, told, unanswered, unsent},
    unruly::{Mood, PANICS, UnrulySource, UnrulyStore},
};

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_leaves_a_challenged_request_its_challenge() {
    for mood in PANICS {
        let world = World::new();
        let source = UnrulySource::new(world.grant());
        let session = world.builder_over(source.clone()).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        source.refresh.next([mood]);

        let response = send(&client, get("/")).await.unwrap();

        assert_eq!(response.status(), 401);
        assert_eq!(response.body(), "401 Unauthorized\n");
        assert!(unanswered(&response).retry_at().is_some());
        assert!(!unanswered(&response).needs_login());
        advance(Duration::from_secs(1)).await;
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(source.calls(), 2);
        assert_eq!(world.authorization.reused(), 0);
        assert_eq!(world.api.requests(), 1 + 1 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_on_revoking_fails_no_logout() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let source = UnrulySource::new(world.grant());
        let session = world.builder_over(source.clone()).store(store.clone()).build().unwrap();
        session.token().await.unwrap();
        let mut events = session.events();
        source.revoke.next([mood]);

        assert!(session.logout().await.is_ok(), "{mood:?}: the record is buried");

        assert_eq!(store.load().await.unwrap().unwrap().entry, Entry::Tombstone);
        let events = told(&mut events);
        assert!(
            matches!(events[..], [Event::LoggedOut, Event::RevokeFailed(_)]),
            "{mood:?}: {events:?}"
        );
        session.login(world.authorization.login()).await.unwrap();
        assert!(session.token().await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_on_revoking_what_lost_against_a_login_harms_nobody() {
    for mood in PANICS {
        let world = World::new();
        let source = UnrulySource::new(world.grant());
        let session = world.builder_over(source.clone()).build().unwrap();
        let old = session.token().await.unwrap();
        let answers = world.authorization.hold();
        assert!(session.refresh_after(&old).now_or_never().is_none());
        answers.until_held(1).await;
        let tokens = world.authorization.login();
        session.login(tokens.clone()).await.unwrap();
        source.revoke.next([mood]);

        answers.release();
        sleep(Duration::from_millis(10)).await;

        assert_eq!(session.peek().unwrap(), *tokens.access());
        assert_ne!(session.refresh_after(tokens.access()).await.unwrap(), *tokens.access());
        assert_eq!(world.authorization.token_requests(), 2);
        assert_eq!(world.authorization.reused(), 0);
    }
}

/// A store's panic is a store that cannot be used.
#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_read_at_first_gives_a_typed_error_and_is_read_again() {
    for mood in PANICS.into_iter().chain([Mood::Fail]) {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        store.load.next([mood]);

        let error = unsent(send(&client, get("/")).await);

        assert!(error.retry_at().is_some() && !error.needs_login(), "{mood:?}");
        advance(Duration::from_secs(1)).await;
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), 0);
        assert_eq!(world.api.requests(), 1);
    }
}

/// Before the refresh token is sent: for the lease, the reading, the mark.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_before_the_refresh_token_is_sent_keeps_it_unsent() {
    for mood in PANICS {
        for call in ["lease", "load", "swap"] {
            let world = World::new();
            let store = UnrulyStore::default();
            let session = world.builder().store(store.clone()).build().unwrap();
            let client = world.client(&session);
            send(&client, get("/")).await.unwrap();
            world.authorization.revoke_access_tokens();
            match call {
                "lease" => store.lease.next([mood]),
                "load" => store.load.next([mood]),
                _ => store.swap.next([mood]),
            }

            let response = send(&client, get("/")).await.unwrap();

            assert_eq!(response.status(), 401);
            assert!(unanswered(&response).retry_at().is_some(), "{call} {mood:?}");
            assert!(!unanswered(&response).was_ambiguous(), "{call} {mood:?}");
            assert_eq!(world.authorization.token_requests(), 0);
            advance(Duration::from_secs(1)).await;
            assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
            assert_eq!(world.authorization.token_requests(), 1);
            assert_eq!(world.authorization.reused(), 0);
        }
    }
}

/// After the rotation the new pair must not be lost: it is used, and saved later.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_when_the_new_pair_is_saved_loses_nothing() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        let mut events = session.events();
        // The mark, the save, and twice the save that is owed.
        store.swap.next([Mood::Obey, mood, mood, mood]);

        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

        let events_told = told(&mut events);
        assert!(
            matches!(events_told[..], [Event::PersistFailed(_), Event::Refreshed(_)]),
            "{events_told:?}"
        );
        let new = session.peek().unwrap();
        assert_ne!(*stored(&store.memory).await.unwrap().access(), new);
        sleep(Duration::from_secs(8)).await;
        assert!(matches!(told(&mut events)[..], [Event::Persisted]), "{mood:?}: saving is retried");
        assert_eq!(*stored(&store.memory).await.unwrap().access(), new);
        assert_eq!(world.authorization.token_requests(), 1);

        world.authorization.revoke_access_tokens();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.reused(), 0);
    }
}

/// The successor in memory is spent, not the pair in the store.
#[tokio::test(start_paused = true)]
async fn a_pair_whose_save_panicked_is_the_one_spent_next() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        store.swap.next([Mood::Obey, mood]);
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

        world.authorization.revoke_access_tokens();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

        assert_eq!(world.authorization.token_requests(), 2);
        assert_eq!(world.authorization.reused(), 0);
        assert_eq!(*stored(&store.memory).await.unwrap().access(), session.peek().unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_when_a_verdict_is_buried_still_learns_of_it() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_all();
        store.bury.next([mood, mood]);

        let response = send(&client, get("/")).await.unwrap();

        assert_eq!(response.status(), 401);
        assert!(unanswered(&response).is_session_ended(), "{mood:?}");
        sleep(Duration::from_secs(4)).await;
        assert_eq!(store.load().await.unwrap().unwrap().entry, Entry::Tombstone, "{mood:?}");
        assert_eq!(world.authorization.token_requests(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_on_a_logout_is_told_again_and_the_pair_is_revoked() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let endpoint = world.authorization.revocation_endpoint().to_string();
        let grant = world.grant().revocation_endpoint(&endpoint).unwrap();
        let session = world.builder_over(grant).store(store.clone()).build().unwrap();
        session.token().await.unwrap();
        store.bury.next([mood, mood]);

        assert!(session.logout().await.unwrap_err().is_unavailable());

        assert!(session.token().await.unwrap_err().is_logged_out());
        assert_eq!(world.authorization.revocations(), 1, "{mood:?}");
        sleep(Duration::from_secs(4)).await;
        assert_eq!(store.load().await.unwrap().unwrap().entry, Entry::Tombstone, "{mood:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_on_a_login_does_not_lose_it() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        session.token().await.unwrap();
        let tokens = world.authorization.login();
        store.swap.next([mood, mood]);

        assert!(session.login(tokens.clone()).await.unwrap_err().is_unavailable());

        assert_eq!(session.token().await.unwrap(), *tokens.access());
        sleep(Duration::from_secs(4)).await;
        assert_eq!(stored(&store.memory).await.unwrap().refresh(), tokens.refresh(), "{mood:?}");
        assert_eq!(world.authorization.token_requests(), 0);
    }
}

/// A refused refresh token is looked up in the store once more before the session ends.
#[tokio::test(start_paused = true)]
async fn a_store_that_panics_at_the_look_before_the_end_hangs_nobody() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        let invalid = r#"{"error":"invalid_grant"}"#.to_owned();
        world.authorization.fail_next(1, Fault::Json(http::StatusCode::BAD_REQUEST, invalid));
        store.load.next([Mood::Obey, mood]);

        let response = send(&client, get("/")).await.unwrap();

        assert_eq!(response.status(), 401);
        let _ = unanswered(&response);
        assert_eq!(world.authorization.token_requests(), 1);
        session.login(world.authorization.login()).await.unwrap();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_on_close_hands_the_unsaved_pair_out() {
    for mood in PANICS {
        let world = World::new();
        let store = UnrulyStore::default();
        let session = world.builder().store(store.clone()).build().unwrap();
        let old = session.token().await.unwrap();
        store.swap.next([Mood::Obey, Mood::Fail, mood]);
        let new = session.refresh_after(&old).await.unwrap();

        let unsaved = session.close().await.unwrap_err();

        assert_eq!(*unsaved.tokens().unwrap().access(), new);
        session.close().await.unwrap();
        assert_eq!(*stored(&store.memory).await.unwrap().access(), new);
        assert_eq!(world.authorization.token_requests(), 1);
    }
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("told to");
    }
}

/// Of several that wait, all are woken.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_keeps_nobody_else_asleep() {
    let world = World::new();
    let session = world.session();
    let refused = session.token().await.unwrap();
    let answers = world.authorization.hold();
    let waker = Waker::from(Arc::new(PanickingWaker));
    let mut panics = pin!(session.refresh_after(&refused));
    assert!(panics.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let mut waits = task::spawn(session.refresh_after(&refused));
    assert_pending!(waits.poll());
    let mut events = session.events();
    answers.release();
    settle().await;
    assert!(waits.is_woken());
    assert_ready_ok!(waits.poll());
    assert!(matches!(told(&mut events)[..], [Event::Refreshed(_)]));
}

/// A flight that goes down tells of it while it does: there another panic would end the program.
#[tokio::test(start_paused = true)]
async fn listeners_whose_wakers_panic_keep_nobody_else_asleep() {
    let world = World::new();
    let source = UnrulySource::new(world.grant());
    let session = world.builder_over(source.clone()).build().unwrap();
    let refused = session.token().await.unwrap();
    let waker = Waker::from(Arc::new(PanickingWaker));
    let mut panics = session.events();
    assert!(panics.poll_next_unpin(&mut Context::from_waker(&waker)).is_pending());
    let mut waits = task::spawn(session.events());
    assert_pending!(waits.poll_next());
    source.refresh.next([Mood::PanicAfterYield]);
    let error = session.refresh_after(&refused).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert!(waits.is_woken());
    assert!(matches!(assert_ready!(waits.poll_next()), Some(Event::RefreshFailed(_))));
}
