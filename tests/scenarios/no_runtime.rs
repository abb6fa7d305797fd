//! Calls from outside of any runtime: what needs no refresh works, the rest gets a typed error.

use std::time::Duration;

use futures::executor::block_on;
use tokio_test::{assert_pending, task};
use tower_reauth::{
    Entry, NoReplay, TokenStore,
    testing::{AuthorizationServer, ManualClock, ResourceServer},
};

use crate::{
    support::{World, get, paused, post, send, stored, unanswered, unsent},
    unruly::{Mood, UnrulyStore},
};

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
