//! Whole sessions over Redis: one refresh for all, and nobody logged out by what becomes of it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use tokio::runtime::Builder;
use tower_reauth::{
    Event, Events, Expected, Lease, OutagePolicy, Record, RedisStore, RefreshTokenGrant, Session,
    SessionBuilder, Status, StoreError, Stored, Swap, TokenSet, TokenStore,
    testing::AuthorizationServer,
};

use super::{server::Redis, stored};
use crate::support::{soon, told};

const SHORT: Duration = Duration::from_millis(300);
const HOUR: Duration = Duration::from_secs(3600);

fn builder(server: &AuthorizationServer, store: impl TokenStore) -> SessionBuilder {
    let endpoint = server.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&endpoint, "app", server.clone()).unwrap();
    Session::builder(grant).origin("https://api.example.com").store(store)
}

fn session(server: &AuthorizationServer, store: impl TokenStore) -> Session {
    builder(server, store).build().unwrap()
}

/// A session that anybody else with the same store can take part in.
async fn logged_in(server: &AuthorizationServer, store: RedisStore) -> Session {
    let session = session(server, store);
    session.login(server.login()).await.unwrap();
    session
}

/// The tokens of a login whose access token has run out.
fn worn(server: &AuthorizationServer) -> TokenSet {
    server.login().expires_at(SystemTime::UNIX_EPOCH)
}

async fn wait_for(events: &mut Events, wanted: impl Fn(&Event) -> bool) {
    use futures::StreamExt;
    soon(async {
        while let Some(event) = events.next().await {
            if wanted(&event) {
                return;
            }
        }
        panic!("the event never comes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_refresh_serves_all_replicas() {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    server.delay(Duration::from_millis(20));
    let first = logged_in(&server, redis.store("alice")).await;
    let mut replicas = vec![first];
    for _ in 0..7 {
        let replica = session(&server, redis.store("alice"));
        replica.token().await.unwrap();
        replicas.push(replica);
    }
    for round in 1..=3 {
        let challenged = replicas[0].token().await.unwrap();
        server.revoke_access_tokens();
        let tokens = replicas.iter().map(|replica| replica.refresh_after(&challenged));
        for token in soon(futures::future::join_all(tokens)).await {
            assert!(server.is_valid(&token.unwrap()));
        }
        assert_eq!(server.token_requests(), round);
    }
}

/// The next access to the store tells the others.
#[tokio::test]
async fn a_logout_ends_the_other_replicas() {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    let one = logged_in(&server, redis.store("alice")).await;
    let other = session(&server, redis.store("alice"));
    let token = other.token().await.unwrap();
    one.logout().await.unwrap();
    let error = other.refresh_after(&token).await.unwrap_err();
    assert!(error.needs_login() && !error.is_session_ended());
    assert_eq!(server.token_requests(), 0);
}

#[tokio::test]
async fn while_redis_is_down_the_token_held_serves_and_nobody_is_logged_out() {
    let (mut redis, server) = (Redis::start().await, AuthorizationServer::new());
    let session = logged_in(&server, redis.store("alice")).await;
    let token = session.token().await.unwrap();
    redis.kill().await;
    assert_eq!(session.token().await.unwrap(), token);
    let error = session.refresh_after(&token).await.unwrap_err();
    assert!(!error.needs_login() && !error.was_ambiguous());
    assert_eq!(server.token_requests(), 0, "nothing is spent without the lease");
    redis.run().await;
    let retried = soon(async {
        loop {
            match session.refresh_after(&token).await {
                Ok(token) => return token,
                Err(error) => {
                    assert!(!error.needs_login());
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    assert!(server.is_valid(&retried.await));
    assert_eq!(server.token_requests(), 1);
    let saved = stored(&redis.store("alice")).await;
    assert_eq!(saved.as_deref(), Some(session.token().await.unwrap().expose_secret()));
}

#[tokio::test]
async fn a_session_that_goes_on_without_redis_says_so_and_saves_when_it_is_back() {
    let (mut redis, server) = (Redis::start().await, AuthorizationServer::new());
    let session =
        builder(&server, redis.store("alice")).store_outage(OutagePolicy::GoOn).build().unwrap();
    session.login(server.login()).await.unwrap();
    let mut events = session.events();
    let token = session.token().await.unwrap();
    redis.kill().await;
    let new = session.refresh_after(&token).await.unwrap();
    assert!(server.is_valid(&new) && new != token);
    let told = told(&mut events);
    assert!(told.iter().any(|event| matches!(event, Event::Uncoordinated(_))), "{told:?}");
    redis.run().await;
    wait_for(&mut events, |event| matches!(event, Event::Persisted)).await;
    assert_eq!(stored(&redis.store("alice")).await.as_deref(), Some(new.expose_secret()));
}

/// Redis dies while the token request is on its way, and what comes back knows nothing.
#[tokio::test]
async fn tokens_that_come_while_redis_is_down_are_used_and_saved_later() {
    let (mut redis, server) = (Redis::start().await, AuthorizationServer::new());
    let session = logged_in(&server, redis.store("alice")).await;
    let mut events = session.events();
    let token = session.token().await.unwrap();
    let hold = server.hold();
    let refresh = tokio::spawn({
        let session = session.clone();
        async move { session.refresh_after(&token).await }
    });
    soon(async {
        while hold.held() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    redis.kill().await;
    hold.release();
    let new = soon(refresh).await.unwrap().unwrap();
    assert!(server.is_valid(&new));
    wait_for(&mut events, |event| matches!(event, Event::PersistFailed(_))).await;
    redis.run().await;
    wait_for(&mut events, |event| matches!(event, Event::Persisted)).await;
    assert_eq!(stored(&redis.store("alice")).await.as_deref(), Some(new.expose_secret()));
    assert_eq!((server.token_requests(), server.reused()), (1, 0));
}

#[tokio::test]
async fn a_redis_that_restarted_empty_is_written_again_from_memory() {
    let (mut redis, server) = (Redis::start().await, AuthorizationServer::new());
    let one = logged_in(&server, redis.store("alice")).await;
    let other = session(&server, redis.store("alice"));
    let token = other.token().await.unwrap();
    redis.restart_empty().await;
    let new = one.refresh_after(&token).await.unwrap();
    assert_eq!(other.refresh_after(&token).await.unwrap(), new, "the record was there again");
    assert_eq!((server.token_requests(), server.reused()), (1, 0));
    assert!(matches!(other.status(), Status::Active { .. }));
}

/// Another one could wait for an hour otherwise.
#[tokio::test]
async fn a_program_that_closed_its_session_has_given_its_lease_back() {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    let seed = session(&server, redis.store("alice"));
    seed.login(worn(&server)).await.unwrap();
    let ends = another_refreshes(&server, redis.store("alice").lease_duration(HOUR));
    std::thread::scope(|scope| scope.spawn(ends).join().unwrap());
    assert_eq!(redis.ask::<i64>(&["EXISTS", "tower-reauth:{alice}:lease"]).await, 0);
}

/// A process that stands still at one step of its refresh, while others go on.
#[derive(Clone)]
struct Stops {
    store: RedisStore,
    at: Step,
    meanwhile: Arc<Mutex<Option<Work>>>,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    Leased,
    Marked,
    BeforeSave,
}

impl Stops {
    fn new(store: RedisStore, at: Step, meanwhile: impl FnOnce() + Send + 'static) -> Self {
        let work: Work = Box::new(meanwhile);
        Self { store, at, meanwhile: Arc::new(Mutex::new(Some(work))) }
    }

    /// Nothing of this process runs in here: its one thread waits.
    fn reached(&self, step: Step) {
        if step == self.at
            && let Some(work) = self.meanwhile.lock().unwrap().take()
        {
            std::thread::scope(|scope| scope.spawn(work).join().unwrap());
        }
    }
}

impl TokenStore for Stops {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        self.store.load().await
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let lease = self.store.lease().await;
        self.reached(Step::Leased);
        lease
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        let marks = record.spent_since().is_some();
        if !marks && matches!(expected, Expected::Version(_)) {
            self.reached(Step::BeforeSave);
        }
        let swap = self.store.compare_and_store(expected, record).await;
        if marks {
            self.reached(Step::Marked);
        }
        swap
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.store.compare_and_bury(expected).await
    }

    async fn settle(&self) {
        self.store.settle().await;
    }
}

/// Another process refreshes, as soon as it gets the lease.
fn another_refreshes(server: &AuthorizationServer, store: RedisStore) -> impl FnOnce() + use<> {
    let server = server.clone();
    move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let session = session(&server, store);
            let token = soon(session.token()).await.unwrap();
            assert!(server.is_valid(&token));
            session.close().await.unwrap();
        });
    }
}

/// Two processes, one of which stops at `step` until the other has refreshed. Then the server, and who stopped.
async fn stopped_at(step: Step, grace: Duration) -> (AuthorizationServer, Session, Redis) {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    server.grace(grace);
    let work = another_refreshes(&server, redis.store("alice").lease_duration(HOUR));
    let store = Stops::new(redis.store("alice").lease_duration(SHORT), step, work);
    let session = builder(&server, store).tokens(worn(&server)).build().unwrap();
    let token = soon(session.token()).await.unwrap();
    assert!(server.is_valid(&token));
    assert_eq!(stored(&redis.store("alice")).await.as_deref(), Some(token.expose_secret()));
    (server, session, redis)
}

/// P1: the lease went to another process, whose tokens are adopted.
#[tokio::test]
async fn a_holder_that_stopped_before_it_read_the_record_sends_nothing() {
    let (server, ..) = stopped_at(Step::Leased, Duration::ZERO).await;
    assert_eq!((server.token_requests(), server.reused()), (1, 0));
}

/// The other one finds the mark of a holder that seems to have vanished, and asks at its own risk. It was not
/// sent yet: by the clocks of the holder it is too late for that.
#[tokio::test]
async fn a_holder_that_stopped_before_it_sent_anything_sends_nothing() {
    let (server, ..) = stopped_at(Step::Marked, Duration::ZERO).await;
    assert_eq!((server.token_requests(), server.reused()), (1, 0));
}

/// The one case that no client can avoid: it was sent, and looked as if its answer were lost.
#[tokio::test]
async fn the_late_save_of_a_holder_that_stopped_is_refused_once_the_record_moved_on() {
    let (server, session, redis) = stopped_at(Step::BeforeSave, Duration::from_secs(60)).await;
    assert_eq!((server.token_requests(), server.repeats(), server.reused()), (2, 1, 0));
    let token = session.token().await.unwrap();
    let new = session.refresh_after(&token).await.unwrap();
    assert!(server.is_valid(&new));
    assert_eq!(stored(&redis.store("alice")).await.as_deref(), Some(new.expose_secret()));
}

#[tokio::test]
async fn the_late_save_of_a_holder_that_stopped_is_taken_if_nobody_came_meanwhile() {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    let work = || std::thread::sleep(3 * SHORT);
    let store = Stops::new(redis.store("alice").lease_duration(SHORT), Step::BeforeSave, work);
    let session = builder(&server, store).tokens(worn(&server)).build().unwrap();
    let token = soon(session.token()).await.unwrap();
    assert!(server.is_valid(&token));
    assert_eq!(stored(&redis.store("alice")).await.as_deref(), Some(token.expose_secret()));
    assert_eq!(server.token_requests(), 1);
}

/// Tokens that a holder marked, and no lease is left of, are not blocked for good.
#[tokio::test]
async fn the_mark_of_a_killed_holder_is_found_after_its_lease() {
    let (redis, server) = (Redis::start().await, AuthorizationServer::new());
    let killed = redis.store("alice").lease_duration(SHORT);
    std::thread::scope(|scope| {
        let work = || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let session =
                    builder(&server, killed.clone()).tokens(worn(&server)).build().unwrap();
                let hold = server.hold();
                let refresh = tokio::spawn(async move { session.token().await });
                while hold.held() == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                hold.seal();
                std::mem::forget(refresh);
            });
        };
        scope.spawn(work).join().unwrap();
    });
    let heir = session(&server, redis.store("alice"));
    let _ = soon(heir.token()).await;
    assert_eq!(server.token_requests(), 2, "asked again, at its own risk");
}
