//! Runtimes that end, another one afterwards, and none at all.

use std::time::Duration;

use futures::{FutureExt, executor::block_on};
use tokio::runtime::{Builder, Runtime};
use tokio_test::{assert_pending, task};
use tower_reauth::{
    Entry, Event, NoReplay, TokenStore,
    testing::{AuthorizationServer, ManualClock, ResourceServer},
};

use crate::{
    support::{World, get, post, send, send_all, stored, told, unanswered, unsent},
    unruly::{Mood, UnrulyStore},
};

fn paused() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Nothing was processed yet: the next runtime spends the same refresh token.
#[test]
fn a_refresh_that_ends_with_its_runtime_is_begun_anew_on_another() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    world.authorization.delay_before(Duration::from_secs(1));
    let first = paused();
    let request = first.block_on(async {
        send(&client, get("/")).await.unwrap();
        world.authorization.revoke_access_tokens();
        let request = send_all(&client, [get("/")]).pop().unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        request
    });
    assert_eq!(world.authorization.token_requests(), 1);
    drop(first);
    assert!(request.now_or_never().unwrap().unwrap_err().is_cancelled());

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
    let waiter = second.block_on(async {
        let waiter = send_all(&client, [get("/second")]).pop().unwrap();
        tokio::task::yield_now().await;
        waiter
    });
    assert_eq!(world.authorization.token_requests(), 1);

    drop(first);

    assert_eq!(second.block_on(waiter).unwrap().unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!(world.authorization.reused(), 0);
    assert!(world.api.received().iter().filter(|sent| sent.uri.path() == "/second").count() == 1);
}

#[test]
fn without_a_runtime_a_request_that_needs_a_refresh_gets_a_typed_error() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);

    let error = unsent(block_on(send(&client, get("/"))));

    assert!(error.is_misconfigured() && !error.needs_login());
    assert!(block_on(session.token()).unwrap_err().is_misconfigured());
    assert!(block_on(session.reload()).unwrap_err().is_misconfigured());
    assert!(block_on(session.close()).is_ok());
    assert_eq!(world.api.requests(), 0);
    assert_eq!(world.authorization.token_requests(), 0);
}

/// Nothing is latched by a request from outside.
#[test]
fn a_session_first_asked_without_a_runtime_works_on_one_afterwards() {
    let world = World::new();
    let client = world.client(&world.session());
    unsent(block_on(send(&client, get("/"))));

    assert_eq!(paused().block_on(send(&client, get("/"))).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 0);
}

#[test]
fn without_a_runtime_a_valid_token_serves_and_a_challenge_is_handed_out() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    paused().block_on(session.token()).unwrap();

    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    let response = block_on(send(&client, post("/", "body"))).unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.body(), "401 Unauthorized\n");
    assert!(unanswered(&response).is_misconfigured());
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 2);

    assert_eq!(paused().block_on(send(&client, get("/"))).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// It is refreshed for the next request, which has a runtime.
#[test]
fn without_a_runtime_a_challenge_that_is_not_replayed_is_remembered() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let runtime = paused();
    runtime.block_on(session.token()).unwrap();
    world.authorization.revoke_access_tokens();
    let mut request = get("/");
    request.extensions_mut().insert(NoReplay);

    assert_eq!(block_on(send(&client, request)).unwrap().status(), 401);
    assert_eq!(world.authorization.token_requests(), 0);

    assert_eq!(runtime.block_on(send(&client, get("/"))).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 1);
}

#[test]
fn without_a_runtime_requests_in_the_early_window_go_out() {
    let clock = ManualClock::new();
    let authorization = AuthorizationServer::with_clock(clock.clock());
    authorization.lifetime(Duration::from_secs(100));
    let world = World { api: ResourceServer::new(&authorization), authorization };
    let session = world.builder().clock(clock.clock()).build().unwrap();
    let client = world.client(&session);
    let runtime = paused();
    let old = runtime.block_on(session.token()).unwrap();
    clock.step(Duration::from_secs(85));

    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 0);

    runtime.block_on(async {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    assert_ne!(session.peek().unwrap(), old);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 2);
}

#[test]
fn without_a_runtime_login_and_logout_work() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    let tokens = world.authorization.login();

    block_on(session.login(tokens.clone())).unwrap();
    assert_eq!(block_on(session.token()).unwrap(), *tokens.access());
    assert_eq!(block_on(send(&client, get("/"))).unwrap().status(), 200);

    block_on(session.logout()).unwrap();
    assert!(unsent(block_on(send(&client, get("/")))).is_logged_out());
    assert_eq!(block_on(store.load()).unwrap().unwrap().entry, Entry::Tombstone);
    assert_eq!(world.authorization.token_requests(), 0);
}

/// There is no task that it could go on in: what was handed over is used, and saved by `close`.
#[test]
fn a_login_dropped_half_way_without_a_runtime_is_not_lost() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    let tokens = world.authorization.login();
    store.swap.next([Mood::Hang]);
    let mut login = task::spawn(session.login(tokens.clone()));
    assert_pending!(login.poll());

    drop(login);

    assert_eq!(session.peek().unwrap(), *tokens.access());
    block_on(session.close()).unwrap();
    assert_eq!(block_on(stored(&store.memory)).unwrap().refresh(), tokens.refresh());
}

#[test]
fn a_logout_dropped_half_way_without_a_runtime_is_buried_by_close() {
    let world = World::new();
    let store = UnrulyStore::default();
    let session = world.builder().store(store.clone()).build().unwrap();
    block_on(session.login(world.authorization.login())).unwrap();
    store.bury.next([Mood::Hang]);
    let mut logout = task::spawn(session.logout());
    assert_pending!(logout.poll());

    drop(logout);

    assert!(block_on(session.token()).unwrap_err().is_logged_out());
    block_on(session.close()).unwrap();
    assert_eq!(block_on(store.load()).unwrap().unwrap().entry, Entry::Tombstone);
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
