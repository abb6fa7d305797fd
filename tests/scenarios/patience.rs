//! Refreshes that do not end: everybody's wait does, and no second flight begins beside the first.

use std::time::{Duration, SystemTime};

use futures::future::join_all;
use tokio::time::{advance, sleep};
use tower_reauth::{
    BoxError, RefreshTokenGrant, Session, SessionBuilder, Status,
    testing::{AuthorizationServer, ManualClock},
};

use crate::{
    support::{Client, World, get, send, send_all, stored, unanswered, unsent},
    unruly::{Mood, UnrulySource, UnrulyStore},
};

/// A session whose token has expired.
struct Hanging {
    world: World,
    session: Session,
    client: Client,
    source: UnrulySource<RefreshTokenGrant<AuthorizationServer>>,
    store: UnrulyStore,
    clock: ManualClock,
    start: SystemTime,
}

impl Hanging {
    async fn new(set_up: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Self {
        let world = World::new();
        world.authorization.lifetime(Duration::from_secs(60));
        let (source, store) = (UnrulySource::new(world.grant()), UnrulyStore::default());
        let builder = world.builder_over(source.clone()).store(store.clone());
        let session = set_up(builder).build().unwrap();
        let client = world.client(&session);
        send(&client, get("/")).await.unwrap();
        advance(Duration::from_secs(60)).await;
        let clock = ManualClock::new();
        let start = clock.wall();
        Self { world, session, client, source, store, clock, start }
    }

    /// Whole seconds since the token was found to have expired.
    fn seconds(&self) -> u64 {
        (self.clock.wall().duration_since(self.start).unwrap() + Duration::from_millis(100))
            .as_secs()
    }

    async fn ask(&self) -> Result<http::Response<bytes::Bytes>, BoxError> {
        send(&self.client, get("/")).await
    }
}

/// Case 20.
#[tokio::test(start_paused = true)]
async fn everyone_who_waits_for_a_refresh_that_hangs_has_a_patience_of_their_own() {
    let hanging = Hanging::new(|builder| builder).await;
    hanging.source.refresh.next([Mood::Hang]);
    let early = send_all(&hanging.client, (0..20).map(|_| get("/")));
    sleep(Duration::from_secs(5)).await;
    let late = send_all(&hanging.client, [get("/")]);

    for result in join_all(early).await {
        assert!(unsent(result.unwrap()).is_timeout());
    }
    assert_eq!(hanging.seconds(), 10);
    assert!(late.iter().all(|request| !request.is_finished()));
    for result in join_all(late).await {
        assert!(unsent(result.unwrap()).is_timeout());
    }
    assert_eq!(hanging.seconds(), 15);
    assert!(unsent(hanging.ask().await).is_timeout(), "it joins the same refresh");
    assert_eq!(hanging.seconds(), 25);
    assert_eq!(hanging.session.status(), Status::Refreshing);
    assert_eq!(hanging.source.calls(), 1);

    let given_up = unsent(hanging.ask().await);
    assert_eq!(hanging.seconds(), 30, "the source was listened to for 30 s");
    assert!(!given_up.is_timeout() && given_up.was_ambiguous() && !given_up.needs_login());
    assert_eq!(hanging.source.calls(), 1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hanging.ask().await.unwrap().status(), 200);
    assert_eq!(hanging.source.calls(), 2);
    assert_eq!(hanging.source.most_at_once(), 1);
    assert_eq!(hanging.world.api.requests(), 2);
}

/// Case 20, challenged.
#[tokio::test(start_paused = true)]
async fn a_challenged_request_gets_its_challenge_when_its_patience_ends() {
    let world = World::new();
    let source = UnrulySource::new(world.grant());
    let session = world.builder_over(source.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    source.refresh.next([Mood::Hang]);
    let clock = ManualClock::new();
    let start = clock.wall();

    let response = send(&client, get("/")).await.unwrap();

    assert_eq!(response.status(), 401);
    assert_eq!(response.body(), "401 Unauthorized\n");
    assert!(unanswered(&response).is_timeout());
    assert_eq!(clock.wall().duration_since(start).unwrap().as_secs(), 10);
    assert_eq!(source.calls(), 1);
    assert_eq!(world.api.requests(), 2);
}

/// Case 20, the whole flight.
#[tokio::test(start_paused = true)]
async fn a_flight_is_given_up_after_a_minute_whatever_it_waits_for() {
    let hanging = Hanging::new(|builder| builder.answer_timeout(Duration::from_secs(3600))).await;
    hanging.source.refresh.next([Mood::Hang]);
    let mut waits = Vec::new();
    let last = loop {
        let error = unsent(hanging.ask().await);
        if !error.is_timeout() {
            break error;
        }
        waits.push(hanging.seconds());
    };

    assert_eq!(waits[..5], [10, 20, 30, 40, 50]);
    assert_eq!(hanging.seconds(), 60);
    assert!(last.was_ambiguous());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hanging.ask().await.unwrap().status(), 200);
    assert_eq!(hanging.source.calls(), 2);
    assert_eq!(hanging.source.most_at_once(), 1);
}

/// Case 20, before anything is spent: a refresh token is sent only with time left for the answer.
#[tokio::test(start_paused = true)]
async fn a_lease_that_never_comes_is_given_up_while_an_answer_could_still_be_heard() {
    let hanging = Hanging::new(|builder| builder.patience(Duration::from_secs(100))).await;
    hanging.store.lease.next([Mood::Hang]);

    let error = unsent(hanging.ask().await);

    assert_eq!(hanging.seconds(), 60 - 30);
    assert!(!error.was_ambiguous() && error.retry_at().is_some());
    assert_eq!(hanging.source.calls(), 0);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(hanging.ask().await.unwrap().status(), 200);
    assert_eq!(hanging.source.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_before_the_refresh_token_is_sent_costs_five_seconds() {
    for at_load in [true, false] {
        let hanging = Hanging::new(|builder| builder).await;
        let moods = if at_load { &hanging.store.load } else { &hanging.store.swap };
        moods.next([Mood::Hang]);

        let error = unsent(hanging.ask().await);

        assert_eq!(hanging.seconds(), 5);
        assert!(!error.was_ambiguous() && error.retry_at().is_some());
        assert_eq!(hanging.source.calls(), 0);
        sleep(Duration::from_secs(1)).await;
        assert_eq!(hanging.ask().await.unwrap().status(), 200);
        assert_eq!(hanging.world.authorization.reused(), 0);
    }
}

/// A bounded wait before use, then from memory.
#[tokio::test(start_paused = true)]
async fn a_save_that_hangs_holds_the_new_token_up_for_five_seconds() {
    let hanging = Hanging::new(|builder| builder).await;
    hanging.store.swap.next([Mood::Obey, Mood::Hang]);

    assert_eq!(hanging.ask().await.unwrap().status(), 200);

    assert_eq!(hanging.seconds(), 5);
    assert_eq!(hanging.source.calls(), 1);
    hanging.session.close().await.unwrap();
    let saved = stored(&hanging.store.memory).await.unwrap();
    assert_eq!(*saved.access(), hanging.session.peek().unwrap());
}

/// Case 20, and an answer that comes late.
#[tokio::test(start_paused = true)]
async fn an_answer_after_the_patience_of_those_who_waited_serves_those_who_come() {
    let hanging = Hanging::new(|builder| builder).await;
    hanging.world.authorization.delay(Duration::from_secs(15));
    assert!(unsent(hanging.ask().await).is_timeout());
    assert_eq!(hanging.seconds(), 10);

    assert_eq!(hanging.ask().await.unwrap().status(), 200);

    assert_eq!(hanging.seconds(), 15);
    assert_eq!(hanging.source.calls(), 1);
    assert_eq!(hanging.world.authorization.reused(), 0);
    assert_eq!(hanging.world.api.requests(), 2);
}

/// Login and logout never queue behind a refresh that hangs.
#[tokio::test(start_paused = true)]
async fn a_login_ends_the_wait_for_a_refresh_that_hangs() {
    let hanging = Hanging::new(|builder| builder).await;
    hanging.source.refresh.next([Mood::Hang]);
    let waiting = send_all(&hanging.client, (0..5).map(|_| get("/")));
    sleep(Duration::from_secs(1)).await;

    hanging.session.login(hanging.world.authorization.login()).await.unwrap();

    for response in join_all(waiting).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(hanging.seconds(), 1);
    hanging.world.authorization.revoke_access_tokens();
    assert_eq!(hanging.ask().await.unwrap().status(), 200);
    assert_eq!(hanging.seconds(), 1, "its lease was given back");
    assert_eq!(hanging.source.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn close_waits_for_a_refresh_that_hangs_no_longer_than_the_refresh_may_take() {
    let hanging = Hanging::new(|builder| builder).await;
    hanging.source.refresh.next([Mood::Hang]);
    let waiting = send_all(&hanging.client, [get("/")]);
    sleep(Duration::from_secs(1)).await;

    hanging.session.close().await.unwrap();

    assert_eq!(hanging.seconds(), 30);
    assert!(waiting[0].is_finished());
    assert!(unsent(hanging.ask().await).retry_at().is_some());
    sleep(Duration::from_secs(1)).await;
    assert!(unsent(hanging.ask().await).is_closed());
    assert_eq!(hanging.source.calls(), 1);
}
