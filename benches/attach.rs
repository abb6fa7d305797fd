//! What it costs to attach a valid token, in wall time, beside a constant header and the clients that
//! people write.
//!
//! ```console
//! $ cargo bench --bench attach
//! ```
//!
//! Criterion's report is at `target/criterion/report/index.html`. `cargo bench -- --test` runs each case
//! once. How many instructions it is, which does not depend on what else the machine does, is counted by
//! `benches/instructions`.

mod support;

use std::{
    hint,
    pin::pin,
    sync::Barrier,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{
    BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime,
};
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceBuilder, ServiceExt};
use tower_http::auth::AddAuthorizationLayer;
use tower_reauth::{AuthLayer, BoxError, RefreshLayer};

use crate::support::{
    Fresh,
    api::{Api, ORIGIN, request},
    loopback::{self, Protocol},
    mutex_client::MutexClient,
    retry_policy::retrying,
    session,
};

type Body = Full<Bytes>;

const LENGTHS: [usize; 2] = [40, 900];

fn accept(_: &HeaderMap) -> StatusCode {
    StatusCode::OK
}

/// The tokens of these benches stay valid.
async fn no_other() -> Result<Fresh, BoxError> {
    Err("there is no other token".into())
}

fn uri(origin: &str) -> Uri {
    format!("{origin}/v1/orders").parse().expect("an origin and a path make a URI")
}

/// One request in memory. Nothing in it waits, unless for a lock that another thread has.
fn once<S>(service: &mut S, uri: &Uri)
where
    S: Service<Request<Body>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let mut answer = pin!(service.call(request(uri.clone(), Body::default())));
    loop {
        match answer.as_mut().poll(cx) {
            Poll::Ready(answer) => return assert!(answer.is_ok()),
            Poll::Pending => hint::spin_loop(),
        }
    }
}

fn in_memory(criterion: &mut Criterion) {
    for length in LENGTHS {
        let fresh = Fresh::new('t', length);
        let session = session(ORIGIN, &fresh, no_other);
        let api = Api::new(accept);
        let uri = uri(ORIGIN);
        let mut group = criterion.benchmark_group(format!("attach in memory, {length} bytes"));
        group.throughput(Throughput::Elements(1));

        let mut constant = AddAuthorizationLayer::bearer(&fresh.token).layer(api.clone());
        group.bench_function("constant header", |bench| bench.iter(|| once(&mut constant, &uri)));

        let mut attached = AuthLayer::new(session).layer(api.clone());
        group.bench_function("AuthLayer", |bench| bench.iter(|| once(&mut attached, &uri)));

        let client = MutexClient::new(api.clone(), &fresh, no_other);
        let mut client = client.expect("letters make a header");
        group.bench_function("Mutex client", |bench| bench.iter(|| once(&mut client, &uri)));

        let mut retrying = retrying(api, &fresh, no_other).expect("letters make a header");
        group.bench_function("tower::retry", |bench| bench.iter(|| once(&mut retrying, &uri)));
    }
}

/// How long two threads take for `times` requests each, beginning together. Each has a target of its own,
/// whose count of holders they would fight for.
fn both<S>(service: &S, times: u64, run: impl Fn(&mut S, &Uri) + Sync) -> Duration
where
    S: Clone + Send + Sync,
{
    let start = Barrier::new(3);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let (mut service, uri) = (service.clone(), uri(ORIGIN));
                start.wait();
                (0..times).for_each(|_| run(&mut service, &uri));
            });
        }
        start.wait();
        start_of_clock()
    })
    .elapsed()
}

// The library reads time in one place; a bench is another program.
#[allow(clippy::disallowed_methods)]
fn start_of_clock() -> Instant {
    Instant::now()
}

/// A clone for each thread, which is what a connection's task has, and one for each request, which is
/// what `oneshot` makes.
fn on_two_threads<S>(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, service: &S)
where
    S: Service<Request<Body>> + Clone + Send + Sync,
{
    group.bench_function(format!("{name}, a clone for each thread"), |bench| {
        bench.iter_custom(|times| both(service, times, |mine, uri| once(mine, uri)));
    });
    group.bench_function(format!("{name}, a clone for each request"), |bench| {
        bench.iter_custom(|times| both(service, times, |mine, uri| once(&mut mine.clone(), uri)));
    });
}

fn two_threads(criterion: &mut Criterion) {
    let fresh = Fresh::new('t', 900);
    let session = session(ORIGIN, &fresh, no_other);
    let api = Api::new(accept);
    let mut group = criterion.benchmark_group("attach on two threads");
    group.throughput(Throughput::Elements(2));

    let constant = AddAuthorizationLayer::bearer(&fresh.token).layer(api.clone());
    on_two_threads(&mut group, "constant header", &constant);
    let auth = AuthLayer::new(session.clone());
    on_two_threads(&mut group, "AuthLayer", &auth.layer(api.clone()));
    let refresh = ServiceBuilder::new().layer(RefreshLayer::new(session)).layer(auth);
    on_two_threads(&mut group, "RefreshLayer over AuthLayer", &refresh.service(api.clone()));
    let client = MutexClient::new(api, &fresh, no_other).expect("letters make a header");
    on_two_threads(&mut group, "Mutex client", &client);
}

/// One request at a time on one connection, from head to head.
fn on_the_wire<S>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    service: &S,
    uri: &Uri,
) where
    S: Service<Request<Body>, Response = Response<Incoming>> + Clone,
{
    group.bench_function(name, |bench| {
        bench.to_async(runtime).iter(|| async {
            let answer = service.clone().oneshot(request(uri.clone(), Body::default())).await;
            assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
        });
    });
}

fn over_loopback(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let origin = loopback::serve(accept);
    let uri = uri(&origin);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for length in LENGTHS {
            let fresh = Fresh::new('t', length);
            let session = session(&origin, &fresh, no_other);
            let client = loopback::client::<Body>(protocol);
            let name = format!("attach over loopback, {protocol:?}, {length} bytes");
            let mut group = criterion.benchmark_group(name);

            let constant = AddAuthorizationLayer::bearer(&fresh.token).layer(client.clone());
            on_the_wire(&mut group, &runtime, "constant header", &constant, &uri);
            let attached = AuthLayer::new(session).layer(client.clone());
            on_the_wire(&mut group, &runtime, "AuthLayer", &attached, &uri);
            let locking = MutexClient::new(client.clone(), &fresh, no_other);
            let locking = locking.expect("letters make a header");
            on_the_wire(&mut group, &runtime, "Mutex client", &locking, &uri);
            let retrying = retrying(client, &fresh, no_other).expect("letters make a header");
            on_the_wire(&mut group, &runtime, "tower::retry", &retrying, &uri);
        }
    }
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = benches;
    config = short();
    targets = in_memory, two_threads, over_loopback
}
criterion_main!(benches);
