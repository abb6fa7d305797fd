//! What a recorder of metrics is told, as Prometheus scrapes it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, LocalRecorderGuard, Metadata, Recorder, SharedString,
    Unit, set_default_local_recorder,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use tokio::time::sleep;
use tower_reauth::{MemoryStore, NoReplay, RefreshError, Session, describe_metrics};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, pair},
    support::{ORIGIN, World, get, post, send, send_all, settle},
};

fn recorder() -> PrometheusRecorder {
    PrometheusBuilder::new().set_buckets(&[0.5, 2.0]).expect("there are buckets").build_recorder()
}

/// The lines of a scrape that hold a value, in their order.
fn scrape(recorder: &PrometheusRecorder) -> Vec<String> {
    let text = recorder.handle().render();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut lines: Vec<_> = lines.map(str::to_owned).collect();
    lines.sort();
    lines
}

/// The same of the metrics whose names begin so.
fn scrape_of(recorder: &PrometheusRecorder, names: &str) -> Vec<String> {
    scrape(recorder).into_iter().filter(|line| line.starts_with(names)).collect()
}

async fn renew(session: &Session) -> Result<(), RefreshError> {
    let refused = session.peek().expect("there is a token");
    session.refresh_after(&refused).await.map(drop)
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_many_wait_for_is_counted_once() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    world.authorization.delay(Duration::from_secs(1));
    let refusals = world.api.hold_refusals();
    let requests = send_all(&client, (0..7).map(|_| get("/")));
    refusals.until_held(7).await;
    refusals.release();
    for response in join_all(requests).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    let expected = r#"
tower_reauth_refresh_duration_seconds_bucket{cause="challenged",outcome="refreshed",le="+Inf"} 1
tower_reauth_refresh_duration_seconds_bucket{cause="challenged",outcome="refreshed",le="0.5"} 0
tower_reauth_refresh_duration_seconds_bucket{cause="challenged",outcome="refreshed",le="2"} 1
tower_reauth_refresh_duration_seconds_bucket{cause="start",outcome="adopted",le="+Inf"} 1
tower_reauth_refresh_duration_seconds_bucket{cause="start",outcome="adopted",le="0.5"} 1
tower_reauth_refresh_duration_seconds_bucket{cause="start",outcome="adopted",le="2"} 1
tower_reauth_refresh_duration_seconds_count{cause="challenged",outcome="refreshed"} 1
tower_reauth_refresh_duration_seconds_count{cause="start",outcome="adopted"} 1
tower_reauth_refresh_duration_seconds_sum{cause="challenged",outcome="refreshed"} 1
tower_reauth_refresh_duration_seconds_sum{cause="start",outcome="adopted"} 0
tower_reauth_refresh_waiters_bucket{cause="challenged",le="+Inf"} 1
tower_reauth_refresh_waiters_bucket{cause="challenged",le="0.5"} 0
tower_reauth_refresh_waiters_bucket{cause="challenged",le="2"} 0
tower_reauth_refresh_waiters_bucket{cause="start",le="+Inf"} 1
tower_reauth_refresh_waiters_bucket{cause="start",le="0.5"} 0
tower_reauth_refresh_waiters_bucket{cause="start",le="2"} 1
tower_reauth_refresh_waiters_count{cause="challenged"} 1
tower_reauth_refresh_waiters_count{cause="start"} 1
tower_reauth_refresh_waiters_sum{cause="challenged"} 7
tower_reauth_refresh_waiters_sum{cause="start"} 1
tower_reauth_refreshes_total{cause="challenged",outcome="refreshed"} 1
tower_reauth_refreshes_total{cause="start",outcome="adopted"} 1
tower_reauth_replays_total{refreshed="true"} 7
"#;
    assert_eq!(scrape(&recorder).join("\n"), expected.trim());
}

#[tokio::test(start_paused = true)]
async fn each_cause_outcome_and_reason_is_a_series_of_its_own() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(1000));
    let store = MemoryStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/")).await.unwrap();

    // Early, then expired.
    sleep(Duration::from_secs(850)).await;
    send(&client, get("/")).await.unwrap();
    settle().await;
    sleep(Duration::from_secs(1000)).await;
    send(&client, get("/")).await.unwrap();

    // Not sent again.
    world.authorization.revoke_access_tokens();
    let mut request = get("/");
    request.extensions_mut().insert(NoReplay);
    send(&client, request).await.unwrap();
    settle().await;
    world.api.always_401("/sour");
    send(&client, get("/sour")).await.unwrap();
    send(&client, get("/sour")).await.unwrap();

    // Adopted from a neighbour, then ended, then a login is needed.
    let neighbour = Session::builder(world.grant()).store(store).origin(ORIGIN).build().unwrap();
    neighbour.token().await.unwrap();
    renew(&neighbour).await.unwrap();
    renew(&session).await.unwrap();
    world.authorization.revoke_all();
    send(&client, get("/")).await.unwrap();

    let counted = scrape_of(&recorder, "tower_reauth_re")
        .into_iter()
        .filter(|line| line.contains("_total"))
        .collect::<Vec<_>>()
        .join("\n");
    let expected = r#"
tower_reauth_refreshes_total{cause="challenged",outcome="adopted"} 1
tower_reauth_refreshes_total{cause="challenged",outcome="ended",error_type="rejected"} 1
tower_reauth_refreshes_total{cause="challenged",outcome="refreshed"} 3
tower_reauth_refreshes_total{cause="early",outcome="refreshed"} 1
tower_reauth_refreshes_total{cause="expired",outcome="refreshed"} 1
tower_reauth_refreshes_total{cause="start",outcome="adopted"} 2
tower_reauth_replays_refused_total{reason="asked"} 1
tower_reauth_replays_refused_total{reason="ended"} 1
tower_reauth_replays_refused_total{reason="refused"} 2
tower_reauth_replays_total{refreshed="true"} 1
"#;
    assert_eq!(counted, expected.trim());
}

/// P9, P11: on a good token, though its successor is due.
#[tokio::test(start_paused = true)]
async fn requests_on_a_token_whose_successor_is_due_are_counted_and_calm_ones_are_not() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let stale = || scrape_of(&recorder, "tower_reauth_stale_serves_total");
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(1000));
    let session = world.session();
    let client = world.client(&session);
    for _ in 0..10 {
        send(&client, get("/")).await.unwrap();
    }
    assert!(stale().is_empty());
    sleep(Duration::from_secs(850)).await;
    // One begins the refresh, nine go out beside it.
    let answers = world.authorization.hold();
    for _ in 0..10 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    }
    answers.release();
    settle().await;
    assert_eq!(stale(), ["tower_reauth_stale_serves_total 10"]);
    for _ in 0..10 {
        send(&client, post("/", "tea")).await.unwrap();
    }
    assert_eq!(stale(), ["tower_reauth_stale_serves_total 10"]);
    // While a session cools its challenged token serves those who take it.
    world.authorization.same_access_token(true);
    world.api.always_401("/sour");
    send(&client, get("/sour")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    }
    assert_eq!(stale(), ["tower_reauth_stale_serves_total 13"]);
}

/// P12.
#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_take_tokens_is_counted_each_time() {
    let recorder = recorder();
    let _guard = set_default_local_recorder(&recorder);
    let (source, store) = (Scripted::new(), FaultyStore::new());
    let session = Session::builder(source)
        .tokens(pair("seed", "first"))
        .origin(ORIGIN)
        .store(store.clone())
        .build()
        .unwrap();
    session.token().await.unwrap();
    store.fail(Op::Save, 1);
    renew(&session).await.unwrap();
    store.fail(Op::Bury, 1);
    session.logout().await.unwrap_err();
    let counted = scrape_of(&recorder, "tower_reauth_persist_failures_total");
    assert_eq!(counted, ["tower_reauth_persist_failures_total 2"]);
}

/// P16.
#[tokio::test(start_paused = true)]
async fn a_request_with_a_valid_token_calls_no_recorder() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    let recorder = Unruly::default();
    let _guard = set_default_local_recorder(&recorder);
    for _ in 0..100 {
        assert_eq!(send(&client, post("/", "tea")).await.unwrap().status(), 200);
        let _ = (session.token().await.unwrap(), session.status());
    }
    assert_eq!(recorder.0.load(Ordering::Relaxed), 0);
}

#[test]
fn every_metric_has_its_help() {
    let recorder = recorder();
    let text = {
        let _guard = set_default_local_recorder(&recorder);
        describe_metrics();
        tokio_test::block_on(async {
            let session = World::new().session();
            session.token().await.unwrap();
        });
        recorder.handle().render()
    };
    for name in ["refreshes_total", "refresh_duration_seconds", "refresh_waiters"] {
        assert!(text.contains(&format!("# HELP tower_reauth_{name} ")), "{text}");
    }
}

/// With the exporter's own naming rules nothing is renamed.
#[tokio::test(start_paused = true)]
async fn the_names_are_those_that_prometheus_recommends() {
    let recorder = PrometheusBuilder::new().with_recommended_naming(true).build_recorder();
    let _guard: LocalRecorderGuard<'_> = set_default_local_recorder(&recorder);
    describe_metrics();
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    send(&client, get("/")).await.unwrap();
    let text = scrape(&recorder).join("\n");
    for name in [
        "tower_reauth_refreshes_total{",
        "tower_reauth_refresh_duration_seconds_count{",
        "tower_reauth_refresh_waiters_count{",
        "tower_reauth_replays_total{",
    ] {
        assert!(text.contains(name), "{name}: {text}");
    }
}

/// Counts its calls, and panics in each.
#[derive(Default)]
struct Unruly(Arc<AtomicUsize>);

impl Unruly {
    fn called<T>(&self) -> T {
        self.0.fetch_add(1, Ordering::Relaxed);
        panic!("a recorder was called");
    }
}

impl Recorder for Unruly {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.called()
    }

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.called()
    }

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {
        self.called()
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        self.called()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        self.called()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        self.called()
    }
}

/// P3, P14: a recorder is the program's code.
#[tokio::test(start_paused = true)]
async fn a_recorder_that_panics_costs_no_token_and_no_answer() {
    let recorder = Unruly::default();
    let _guard = set_default_local_recorder(&recorder);
    let world = World::new();
    let store = FaultyStore::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    store.fail(Op::Save, 1);
    for response in join_all(send_all(&client, (0..5).map(|_| get("/")))).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    sleep(Duration::from_secs(5)).await;
    let held = session.peek().unwrap();
    assert_eq!(store.record().unwrap().tokens().access(), &held, "saved after all");
    world.authorization.revoke_all();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
    session.login(world.authorization.login()).await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    session.close().await.unwrap();
    assert!(recorder.0.load(Ordering::Relaxed) > 5);
}

/// Asks the session whenever it is called, as one that exports through it might.
struct Curious(Session);

impl Recorder for Curious {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        let _ = (self.0.status(), self.0.peek());
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        let _ = futures::FutureExt::now_or_never(self.0.token());
        Histogram::noop()
    }
}

/// P14: it is called under no lock.
#[tokio::test(start_paused = true)]
async fn a_recorder_may_ask_the_session() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let recorder = Curious(session.clone());
    let _guard = set_default_local_recorder(&recorder);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_all();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
}
