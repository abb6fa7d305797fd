//! The span of each refresh, and the events of replays, refusals and sessions.

use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, future::join_all, stream};
use http::{Request, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, MemoryStore, NoReplay, RefreshError, RefreshLayer, Session,
    SessionBuilder, testing::Fault,
};
use tracing::{
    Event, Id, Instrument, Level, Span, Subscriber,
    span::{Attributes, Record},
};
use tracing_subscriber::{
    Registry,
    layer::{Context, SubscriberExt},
};

use crate::{
    capture::{Capture, Told},
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, pair},
    support::{Body, ORIGIN, World, get, paused, post, send, send_all, settle},
    unruly::{Mood, UnrulySource},
};

fn scripted(source: &Scripted) -> SessionBuilder {
    Session::builder(source.clone()).tokens(pair("seed", "first")).origin(ORIGIN)
}

/// A session whose first look at the store is over.
async fn begun(session: Session, capture: &Capture) -> Session {
    session.token().await.unwrap();
    settle().await;
    capture.clear();
    session
}

async fn renew(session: &Session) -> Result<String, RefreshError> {
    let refused = session.peek().unwrap();
    session.refresh_after(&refused).await.map(|token| token.expose_secret().to_owned())
}

fn told<'a>(events: &'a [Told], message: &str) -> Vec<&'a Told> {
    events.iter().filter(|told| told.message.contains(message)).collect()
}

/// P1: one refresh, one span; P16: entered only while it is polled.
#[tokio::test(start_paused = true)]
async fn a_refresh_is_one_span_however_many_wait_and_each_replay_is_an_event() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    world.authorization.revoke_access_tokens();
    let refusals = world.api.hold_refusals();
    let answers = world.authorization.hold();
    let requests = send_all(&client, (0..5).map(|n| get(&format!("/secret/{n}?key=hidden"))));
    refusals.until_held(5).await;
    refusals.release();
    answers.until_held(1).await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(capture.refreshes()[0].inside, 0, "nothing is held across a wait");
    answers.release();
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }

    let span = capture.one_refresh();
    assert_eq!((span.name, span.parent), ("refresh", None));
    assert_eq!(span.story(), "challenged refreshed 1 5");
    assert_eq!(span.field("generation"), "2");
    assert!(span.field("duration_seconds").starts_with("1.5"), "{span:?}");
    assert!(!span.fields.contains_key("error.type"));
    assert!(span.closed && span.inside == 0 && span.entered > 1, "{span:?}");

    let events = capture.events();
    let replays = told(&events, "a challenged request is sent again");
    assert_eq!(replays.len(), 5);
    for replay in replays {
        assert_eq!((replay.level, replay.within), (Level::DEBUG, None));
        let fields: Vec<_> = replay.fields.iter().map(|(name, it)| (*name, &**it)).collect();
        let expected = [
            ("generation", "2"),
            ("http.request.method", "GET"),
            ("http.request.resend_count", "1"),
            ("http.response.status_code", "401"),
            ("refreshed", "true"),
            ("server.address", "api.example.com"),
            ("server.port", "443"),
        ];
        assert_eq!(fields, expected);
    }
    let [used] = told(&events, "a new access token is in use")[..] else { panic!("{events:#?}") };
    assert_eq!((used.level, used.within), (Level::DEBUG, Some("refresh")));
    assert_eq!(events.len(), 6, "{events:#?}");
    assert!(events.iter().all(|told| told.level >= Level::DEBUG), "a challenge is no error");
}

/// Also where the first step runs in the request itself.
#[tokio::test(start_paused = true)]
async fn a_refresh_follows_from_the_request_that_began_it_and_has_no_parent() {
    let (capture, _guard) = Capture::start();
    let session = begun(scripted(&Scripted::new()).build().unwrap(), &capture).await;
    let request = tracing::info_span!("request");
    let id = request.id().unwrap().into_u64();
    {
        let _entered = request.enter();
        // The scripted source answers at once, so the whole refresh is in this poll.
        assert_eq!(renew(&session).now_or_never().unwrap().unwrap(), "access-1");
        assert_eq!(Span::current().id(), request.id(), "it was left as it was entered");
    }
    let span = capture.one_refresh();
    assert_eq!((span.parent, span.follows.as_slice()), (None, &[id][..]));
    assert_eq!(span.story(), "challenged refreshed 1 1");
}

#[tokio::test(start_paused = true)]
async fn every_cause_has_its_name() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(1000));
    let session = world.session();
    session.token().await.unwrap();
    let start = capture.one_refresh();
    assert_eq!(start.story(), "start adopted 0 1");
    assert_eq!(start.field("generation"), "1");
    sleep(Duration::from_secs(850)).await;
    session.token().await.unwrap();
    settle().await;
    assert_eq!(capture.one_refresh().story(), "early refreshed 1 0");
    sleep(Duration::from_secs(1000)).await;
    session.token().await.unwrap();
    assert_eq!(capture.one_refresh().story(), "expired refreshed 1 1");
    session.reload().await.unwrap();
    assert_eq!(capture.one_refresh().story(), "look_up unchanged 0 0");
}

/// Case 38.
#[tokio::test(start_paused = true)]
async fn tokens_that_another_process_fetched_are_adopted_without_an_attempt() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let store = MemoryStore::new();
    let ours = world.builder().store(store.clone()).build().unwrap();
    let ours = begun(ours, &capture).await;
    let theirs = Session::builder(world.grant()).store(store).origin(ORIGIN).build().unwrap();
    let theirs = begun(theirs, &capture).await;
    renew(&theirs).await.unwrap();
    capture.clear();
    renew(&ours).await.unwrap();
    assert_eq!(capture.one_refresh().story(), "challenged adopted 0 1");
}

#[tokio::test(start_paused = true)]
async fn a_failure_names_its_type_and_a_cooling_session_refuses_replays() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    world.authorization.fail_next(3, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    let span = capture.one_refresh();
    assert_eq!(span.story(), "challenged failed 3 1");
    assert_eq!(span.field("error.type"), "transient");
    assert_eq!(span.field("generation"), "1", "that of the token which is still held");

    let events = capture.events();
    let again = told(&events, "the token source is asked again");
    assert_eq!(again.iter().map(|it| it.field("attempt")).collect::<Vec<_>>(), ["1", "2"]);
    assert!(again.iter().all(|it| it.field("error.type") == "transient"));
    let [failed] = told(&events, "a refresh failed")[..] else { panic!("{events:#?}") };
    assert_eq!((failed.level, failed.within), (Level::WARN, Some("refresh")));
    assert_eq!(failed.field("error.type"), "transient");
    assert_eq!(failed.field("retry_in_seconds"), "1.0");
    assert!(failed.field("error").contains("try again later"));
    let [refused] = told(&events, "is not sent again")[..] else { panic!("{events:#?}") };
    assert_eq!((refused.level, refused.field("reason")), (Level::INFO, "failed"));
    assert_eq!(refused.field("error.type"), "transient");
    assert_eq!(events.len(), 4, "{events:#?}");

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    assert!(capture.refreshes().is_empty());
    let events = capture.events();
    let [refused] = &events[..] else { panic!("{events:#?}") };
    assert_eq!(refused.field("reason"), "cooling");
    assert_eq!(refused.field("http.request.method"), "GET");
    assert_eq!(refused.field("server.address"), "api.example.com");
}

/// P9.
#[tokio::test(start_paused = true)]
async fn an_early_refresh_that_fails_is_no_warning() {
    let (capture, _guard) = Capture::start();
    let source = Scripted::new();
    let session = begun(scripted(&source).build().unwrap(), &capture).await;
    sleep(Duration::from_secs(3400)).await;
    source.answer(Err(RefreshError::misconfigured()));
    session.token().await.unwrap();
    settle().await;
    assert_eq!(capture.one_refresh().story(), "early failed 1 0");
    let events = capture.events();
    let [failed] = &events[..] else { panic!("{events:#?}") };
    assert_eq!((failed.level, failed.field("error.type")), (Level::INFO, "misconfigured"));
    assert!(failed.message.contains("early"));
}

#[tokio::test(start_paused = true)]
async fn every_reason_not_to_send_again_has_its_name() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    let mut reasons = Vec::new();
    let mut note = || {
        let events = capture.events();
        let refused = told(&events, "is not sent again");
        let [refused] = refused[..] else { panic!("{events:#?}") };
        reasons.push(refused.field("reason").to_owned());
    };

    let mut asked = get("/");
    asked.extensions_mut().insert(NoReplay);
    world.authorization.revoke_access_tokens();
    send(&client, asked).await.unwrap();
    note();
    settle().await;

    let none = RefreshLayer::new(session.clone())
        .replays(0, 0)
        .layer(AuthLayer::new(session.clone()).layer(world.api.clone()));
    world.authorization.revoke_access_tokens();
    none.oneshot(get("/")).await.unwrap();
    note();
    settle().await;

    for n in 0..5 {
        let path = format!("/sour/{n}");
        world.api.always_401(&path);
        send(&client, get(&path)).await.unwrap();
        if n == 0 {
            note();
        } else {
            capture.clear();
        }
    }
    world.api.always_401("/sour/5");
    send(&client, get("/sour/5")).await.unwrap();
    note();

    sleep(Duration::from_secs(60)).await;
    world.authorization.revoke_all();
    send(&client, get("/")).await.unwrap();
    note();
    assert_eq!(reasons, ["asked", "exhausted", "refused", "braked", "ended"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_outgrew_what_is_kept_is_not_sent_again_because_of_its_body() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let layered = RefreshLayer::new(session.clone())
        .keep_bytes(10)
        .layer(AuthLayer::new(session.clone()).layer(world.api.clone()));
    world.authorization.revoke_access_tokens();
    world.api.read_before_refusal(u64::MAX);
    let frames = (0..3).map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"0123456789"))));
    let body = StreamBody::new(stream::iter(frames.collect::<Vec<_>>()));
    let request = Request::post(format!("{ORIGIN}/upload")).body(body).unwrap();
    let response = layered.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 401);
    let events = capture.events();
    let [refused] = told(&events, "is not sent again")[..] else { panic!("{events:#?}") };
    assert_eq!((refused.field("reason"), refused.field("http.request.method")), ("body", "POST"));
}

/// P5.
#[tokio::test(start_paused = true)]
async fn a_verdict_is_one_warning_and_the_requests_that_wait_are_none() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    world.authorization.revoke_all();
    world.authorization.delay(Duration::from_secs(1));
    let refusals = world.api.hold_refusals();
    let requests = send_all(&client, (0..50).map(|_| get("/")));
    refusals.until_held(50).await;
    refusals.release();
    join_all(requests).await;
    let span = capture.one_refresh();
    assert_eq!(span.story(), "challenged ended 1 50");
    assert_eq!(span.field("error.type"), "rejected");
    let events = capture.events();
    let warnings: Vec<_> = events.iter().filter(|told| told.level == Level::WARN).collect();
    let [ended] = warnings[..] else { panic!("{warnings:#?}") };
    assert!(ended.message.contains("the session ended"));
    assert_eq!((ended.within, ended.field("error.type")), (Some("refresh"), "rejected"));
    assert_eq!(ended.field("ambiguous"), "false");
    assert_eq!(told(&events, "is not sent again").len(), 50);
}

/// P6.
#[tokio::test(start_paused = true)]
async fn a_login_and_a_logout_are_told_and_a_refresh_that_loses_is_superseded() {
    let (capture, _guard) = Capture::start();
    let source = Scripted::new();
    let session = begun(scripted(&source).build().unwrap(), &capture).await;
    let answer = source.answer_later(Ok(pair("late", "late")));
    let refused = session.peek().unwrap();
    let mut waiting = task::spawn(session.refresh_after(&refused));
    assert_pending!(waiting.poll());
    session.login(pair("again", "second")).await.unwrap();
    drop(waiting);
    answer.send(()).unwrap();
    settle().await;
    let span = capture.one_refresh();
    assert_eq!(span.story(), "challenged superseded 1 0");
    assert_eq!(span.field("generation"), "2", "that of the login");
    session.logout().await.unwrap();
    let events = capture.events();
    let story: Vec<_> = events.iter().map(|told| (told.level, told.message.as_str())).collect();
    assert_eq!(
        story,
        [
            (Level::INFO, "logged in"),
            (Level::DEBUG, "a login or a logout came before the refresh ended"),
            (Level::INFO, "logged out"),
        ]
    );
}

/// P12.
#[tokio::test(start_paused = true)]
async fn a_save_that_fails_is_a_warning_and_one_that_was_owed_is_told() {
    let (capture, _guard) = Capture::start();
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = begun(scripted(&source).store(store.clone()).build().unwrap(), &capture).await;
    store.fail(Op::Save, 1);
    renew(&session).await.unwrap();
    assert_eq!(capture.one_refresh().story(), "challenged refreshed 1 1");
    sleep(Duration::from_secs(5)).await;
    let events = capture.events();
    let story: Vec<_> = events.iter().map(|it| (it.level, it.within)).collect();
    assert_eq!(
        story,
        [(Level::WARN, Some("refresh")), (Level::DEBUG, Some("refresh")), (Level::INFO, None),],
        "{events:#?}"
    );
    assert_eq!(events[0].field("error.type"), "store");
}

/// P3.
#[tokio::test(start_paused = true)]
async fn the_span_goes_on_when_the_one_who_began_it_is_gone() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    world.authorization.revoke_access_tokens();
    let answers = world.authorization.hold();
    let mut leaving = task::spawn(client.clone().oneshot(get("/")));
    assert_pending!(leaving.poll());
    drop(leaving);
    answers.release();
    settle().await;
    let span = capture.one_refresh();
    assert_eq!(span.story(), "challenged refreshed 1 0");
    assert!(span.closed && span.inside == 0);
}

/// Case 7.
#[tokio::test(start_paused = true)]
async fn a_source_that_panics_leaves_its_span_closed() {
    let (capture, _guard) = Capture::start();
    for mood in [Mood::PanicAtOnce, Mood::PanicWhenPolled, Mood::PanicAfterYield] {
        let world = World::new();
        let source = UnrulySource::new(world.grant());
        let session = begun(world.builder_over(source.clone()).build().unwrap(), &capture).await;
        source.refresh.next([mood]);
        renew(&session).await.unwrap_err();
        settle().await;
        let span = capture.one_refresh();
        assert_eq!(span.story(), "challenged failed 1 1", "{mood:?}");
        assert_eq!(span.field("error.type"), "panicked");
        assert!(span.closed && span.inside == 0, "{span:?}");
        assert!(Span::current().is_none(), "it was left");
    }
}

#[test]
fn a_refresh_that_goes_down_with_its_runtime_is_abandoned() {
    let (capture, _guard) = Capture::start();
    let source = Scripted::new();
    let session = scripted(&source).build().unwrap();
    let runtime = paused();
    let _answer = runtime.block_on(async {
        session.token().await.unwrap();
        capture.clear();
        let answer = source.answer_later(Ok(pair("late", "late")));
        assert!(renew(&session).now_or_never().is_none());
        answer
    });
    drop(runtime);
    let span = capture.one_refresh();
    assert_eq!(span.story(), "challenged abandoned 1 0");
    assert!(span.closed && span.inside == 0);
    let events = capture.events();
    let [dropped] = &events[..] else { panic!("{events:#?}") };
    assert_eq!((dropped.level, dropped.within), (Level::WARN, Some("refresh")));
}

/// A store that cannot be looked at changes nothing, and whoever asked is told.
#[tokio::test(start_paused = true)]
async fn a_look_at_a_store_that_fails_is_a_failed_look() {
    let (capture, _guard) = Capture::start();
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = begun(scripted(&source).store(store.clone()).build().unwrap(), &capture).await;
    store.fail(Op::Load, 1);
    session.reload().await.unwrap_err();
    let span = capture.one_refresh();
    assert_eq!((&*span.story(), span.field("error.type")), ("look_up failed 0 0", "store"));
}

/// P16: with a valid token there is nothing to see.
#[tokio::test(start_paused = true)]
async fn a_request_with_a_valid_token_is_told_to_nobody() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = begun(world.session(), &capture).await;
    let client = world.client(&session);
    for _ in 0..100 {
        assert_eq!(send(&client, post("/", "tea")).await.unwrap().status(), 200);
        let _ = (session.token().await.unwrap(), session.peek(), session.status());
    }
    assert!(capture.is_empty());
}

/// Method and host are all that is told of a request.
#[tokio::test(start_paused = true)]
async fn a_method_of_ones_own_and_a_user_in_the_authority_are_not_told() {
    let (capture, _guard) = Capture::start();
    let world = World::new();
    let session = world.builder().insecure_origin("http://[::1]:8080").build().unwrap();
    let session = begun(session, &capture).await;
    let client = world.client(&session);
    world.authorization.revoke_access_tokens();
    let request = Request::builder()
        .method("HIDDEN")
        .uri("http://hidden:hidden@[::1]:8080/hidden?hidden#hidden")
        .body(Body::default())
        .unwrap();
    send(&client, request).await.unwrap();
    let events = capture.events();
    let [replay] = told(&events, "is sent again")[..] else { panic!("{events:#?}") };
    assert_eq!(replay.field("http.request.method"), "_OTHER");
    assert_eq!(replay.field("server.address"), "::1");
    assert_eq!(replay.field("server.port"), "8080");
    assert!(!format!("{events:?}{:?}", capture.refreshes()).to_lowercase().contains("hidden"));
}

/// Panics whenever it is told anything.
struct Unruly;

impl Subscriber for Unruly {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "tower_reauth"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {
        panic!("told of a field");
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {
        panic!("told of a span that another follows from");
    }

    fn event(&self, _: &Event<'_>) {
        panic!("told of an event");
    }

    fn enter(&self, _: &Id) {
        panic!("told to enter");
    }

    fn exit(&self, _: &Id) {
        panic!("told to leave");
    }

    fn try_close(&self, _: Id) -> bool {
        panic!("told that a span is gone");
    }
}

/// P3, P14: a subscriber is the program's code.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_costs_no_token_and_no_answer() {
    let _guard = tracing::subscriber::set_default(Unruly);
    let world = World::new();
    let source = UnrulySource::new(world.grant());
    let session = world.builder_over(source.clone()).build().unwrap();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    source.refresh.next([Mood::PanicAfterYield]);
    let error = renew(&session).await.unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    advance(Duration::from_secs(2)).await;
    renew(&session).await.unwrap();
    world.authorization.revoke_all();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    session.login(world.authorization.login()).await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    session.logout().await.unwrap();
    session.close().await.unwrap();
}

/// Panics when a span follows another, and again when the one is dropped for it.
struct Unfollowing;

impl<S: Subscriber> tracing_subscriber::Layer<S> for Unfollowing {
    fn on_follows_from(&self, _: &Id, _: &Id, _: Context<'_, S>) {
        panic!("told of a span that another follows from");
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        panic!("told that a span is gone");
    }
}

/// The second panic would end the program if it came while the first is under way.
#[tokio::test(start_paused = true)]
async fn a_subscriber_that_panics_at_a_span_of_the_requests_own_costs_no_token() {
    let _guard = tracing::subscriber::set_default(Registry::default().with(Unfollowing));
    let world = World::new();
    let session = world.session();
    let asked = tracing::info_span!("asked");
    // Held to the end, so that nothing but the refresh has a span to drop.
    std::mem::forget(asked.clone());
    world.authorization.revoke_access_tokens();
    let client = world.client(&session);
    let response = send(&client, get("/")).instrument(asked).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// Asks the session whenever it is told anything.
struct Curious(Session);

impl Curious {
    fn ask(&self) {
        let _ = (self.0.status(), self.0.peek(), self.0.token().now_or_never());
    }
}

impl<S: Subscriber> tracing_subscriber::Layer<S> for Curious {
    fn on_new_span(&self, _: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        self.ask();
    }

    fn on_enter(&self, _: &Id, _: Context<'_, S>) {
        self.ask();
    }

    fn on_event(&self, _: &Event<'_>, _: Context<'_, S>) {
        self.ask();
    }

    fn on_close(&self, _: Id, _: Context<'_, S>) {
        self.ask();
    }
}

/// P14: it is called under no lock.
#[tokio::test(start_paused = true)]
async fn a_subscriber_may_ask_the_session() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let curious = Registry::default().with(Curious(session.clone()));
    let _guard = tracing::subscriber::set_default(curious);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_all();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    session.logout().await.unwrap();
}
