//! Runtimes that end with a refresh in flight, and another one afterwards.

use std::time::Duration;

use futures::{FutureExt, executor::block_on, future::join_all};
use tokio::runtime::Builder;
use tower_reauth::Event;

use crate::{
    support::{World, get, paused, post, send, send_all, stored, told, unanswered, unsent},
    unruly::{Mood, UnrulyStore},
};

/// Nothing was processed yet: the next runtime spends the same refresh token.
#[test]
fn a_refresh_that_ends_with_its_runtime_is_begun_anew_on_another() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    world.authorization.delay_before(Duration::from_secs(1));
    let first = paused();
    let requests = first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        let requests = send_all(&client, [get("/")]);
        tokio::time::sleep(Duration::from_millis(10)).await;
        requests
    });
    assert_eq!(world.authorization.token_requests(), 1);
    drop(first);
    assert!(join_all(requests).now_or_never().unwrap()[0].as_ref().unwrap_err().is_cancelled());

    paused().block_on(async {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(*stored(&store.memory).await.unwrap().access(), session.peek().unwrap());
    });

    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.rotations(), 1);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 1 + 1);
}

/// The server had rotated, and repeats the pair within its grace.
#[test]
fn a_pair_lost_with_its_runtime_is_asked_for_again_where_the_server_has_a_grace() {
    let world = World::new();
    world.authorization.grace(Duration::from_secs(3600));
    let session = world.session();
    let client = world.client(&session);
    let answers = world.authorization.hold();
    let first = paused();
    first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        send_all(&client, [get("/")]);
        answers.until_held(1).await;
    });
    drop(first);
    answers.release();

    paused().block_on(async {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    });

    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.repeats(), 1);
    assert_eq!(world.authorization.reused(), 0);
}

/// Without a grace the session was lost with the answer, and the error says how.
#[test]
fn a_pair_lost_with_its_runtime_at_a_strict_server_ends_the_session_as_ambiguous() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let answers = world.authorization.hold();
    let first = paused();
    first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        send_all(&client, [get("/")]);
        answers.until_held(1).await;
    });
    drop(first);
    answers.release();

    paused().block_on(async {
        let error = unsent(send(&client, get("/")).await);
        assert!(error.is_session_ended() && error.was_ambiguous());
        session.login(world.authorization.login()).await.unwrap();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    });

    assert_eq!(world.authorization.token_requests(), 2);
}

/// What came before the runtime ended is kept, saved or not.
#[test]
fn a_pair_whose_save_ended_with_its_runtime_is_used_and_saved_on_another() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    let mut events = session.events();
    let first = paused();
    first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        store.swap.next([Mood::Obey, Mood::Hang]);
        send_all(&client, [get("/")]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    drop(first);
    let new = session.peek().unwrap();
    let told = told(&mut events);
    assert!(
        matches!(told[..], [Event::Refreshed(_), Event::PersistFailed(_), Event::Refreshed(_)]),
        "{told:?}"
    );

    paused().block_on(async {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(session.peek().unwrap(), new);
        session.close().await.unwrap();
        assert_eq!(*stored(&store.memory).await.unwrap().access(), new);
    });

    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
}

#[test]
fn a_waiter_on_another_runtime_begins_the_refresh_anew() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    world.authorization.delay_before(Duration::from_secs(1));
    let (first, second) = (paused(), paused());
    first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        send_all(&client, [get("/first")]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    let waiters = second.block_on(async {
        let waiters = send_all(&client, [get("/second")]);
        tokio::task::yield_now().await;
        waiters
    });
    assert_eq!(world.authorization.token_requests(), 1);

    drop(first);

    let responses = second.block_on(join_all(waiters));
    assert_eq!(responses[0].as_ref().unwrap().as_ref().unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
    assert!(world.api.received().iter().filter(|sent| sent.uri.path() == "/second").count() == 1);
}

#[test]
fn a_session_with_a_runtime_of_its_own_refreshes_for_callers_outside_of_one() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let world = World::new();
    let session = world.builder().runtime(runtime.handle().clone()).build().unwrap();
    let client = world.client(&session);

    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(block_on(send(&client, post("/", "body"))).unwrap().body(), "body");
    let old = block_on(session.token()).unwrap();
    assert_ne!(block_on(session.refresh_after(&old)).unwrap(), old);
    block_on(session.reload()).unwrap();
    block_on(session.login(world.authorization.login())).unwrap();
    block_on(session.close()).unwrap();

    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 2);
}

#[test]
fn a_session_whose_own_runtime_has_ended_gives_a_typed_error() {
    let runtime = paused();
    let world = World::new();
    let session = world.builder().runtime(runtime.handle().clone()).build().unwrap();
    let client = world.client(&session);
    runtime.block_on(session.token()).unwrap();
    drop(runtime);
    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);
    world.authorization.revoke_access_tokens();

    let challenged = block_on(send(&client, get("/"))).unwrap();
    assert_eq!(challenged.status(), 401);
    assert!(!unanswered(&challenged).needs_login());
    assert!(!unsent(block_on(send(&client, get("/")))).needs_login());
    assert!(!unsent(paused().block_on(send(&client, get("/")))).needs_login());
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 2);
}

/// A future that was polled on a runtime that ended meanwhile.
#[test]
fn a_request_that_moves_from_a_runtime_that_ended_to_another_is_served() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    world.authorization.delay_before(Duration::from_secs(1));
    let first = paused();
    let mut request = Box::pin(send(&client, get("/")));
    first.block_on(async {
        session.token().await.unwrap();
        world.authorization.revoke_access_tokens();
        for _ in 0..10 {
            assert!(futures::poll!(request.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(world.authorization.token_requests(), 1);
    drop(first);

    assert_eq!(paused().block_on(request).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.api.requests(), 2);
}

/// Section 4: what cannot be saved is used all the same.
#[test]
fn a_login_where_the_sessions_own_runtime_has_ended_is_used_and_saved_by_close() {
    let runtime = paused();
    let (world, store) = (World::new(), UnrulyStore::default());
    let session =
        world.builder().store(store.clone()).runtime(runtime.handle().clone()).build().unwrap();
    let client = world.client(&session);
    drop(runtime);
    let tokens = world.authorization.login();

    assert!(block_on(session.login(tokens.clone())).unwrap_err().is_unavailable());

    assert_eq!(session.peek().unwrap(), *tokens.access());
    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);
    block_on(session.close()).unwrap();
    assert_eq!(block_on(stored(&store.memory)).unwrap().refresh(), tokens.refresh());
    assert_eq!(world.authorization.token_requests(), 0);
}
