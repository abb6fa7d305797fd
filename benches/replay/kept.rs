//! A valid token, and a request whose body is whole.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use http::{Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt};
use tower_http::auth::AddAuthorizationLayer;
use tower_reauth::NoReplay;

use crate::{
    Body, TOKEN, accept, no_other, stack,
    support::{
        Fresh,
        api::{Api, ORIGIN, request},
        loopback::{self, Protocol},
        mutex_client::MutexClient,
        retry_policy::retrying,
        session,
    },
};

const BODIES: [(&str, usize); 3] =
    [("empty body", 0), ("body of 1 KiB", 1024), ("body of 64 KiB", 64 * 1024)];

/// One request in memory, answered at its first poll.
pub(crate) fn once<S, B>(service: &mut S, request: Request<B>)
where
    S: Service<Request<B>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(service.poll_ready(cx).is_ready());
    let answer = pin!(service.call(request)).poll(cx);
    assert!(matches!(answer, Poll::Ready(Ok(_))));
}

pub(crate) fn uri(origin: &str) -> Uri {
    format!("{origin}/v1/orders").parse().expect("an origin and a path make a URI")
}

/// Requests whose bodies share their bytes: what a program does to make one is not measured.
fn requests(origin: &str, size: usize) -> impl Fn() -> Request<Body> {
    let (uri, bytes) = (uri(origin), Bytes::from(vec![7; size]));
    move || request(uri.clone(), Body::new(bytes.clone()))
}

pub(crate) fn in_memory(criterion: &mut Criterion) {
    let fresh = Fresh::new('t', TOKEN);
    let session = session(ORIGIN, &fresh, no_other);
    let api = Api::new(accept);
    for (name, size) in BODIES {
        let request = requests(ORIGIN, size);
        let mut group = criterion.benchmark_group(format!("replay in memory, {name}"));
        group.throughput(Throughput::Elements(1));

        let mut constant = AddAuthorizationLayer::bearer(&fresh.token).layer(api.clone());
        group.bench_function("constant header", |bench| {
            bench.iter(|| once(&mut constant, request()));
        });

        let mut ours = stack(&session, api.clone());
        group.bench_function("RefreshLayer", |bench| bench.iter(|| once(&mut ours, request())));
        group.bench_function("RefreshLayer, NoReplay", |bench| {
            bench.iter(|| {
                let mut request = request();
                request.extensions_mut().insert(NoReplay);
                once(&mut ours, request);
            });
        });

        let client = MutexClient::new(api.clone(), &fresh, no_other);
        let mut client = client.expect("letters make a header");
        group.bench_function("Mutex client", |bench| bench.iter(|| once(&mut client, request())));

        let retry = retrying(api.clone(), &fresh, no_other);
        let mut retry = retry.expect("letters make a header");
        group.bench_function("tower::retry", |bench| bench.iter(|| once(&mut retry, request())));
    }
}

/// One request at a time on one connection, until its answer's head has come.
fn on_the_wire<S>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    service: &S,
    request: &impl Fn() -> Request<Body>,
) where
    S: Service<Request<Body>, Response = Response<Incoming>> + Clone,
{
    group.bench_function(name, |bench| {
        bench.to_async(runtime).iter(|| async {
            let answer = service.clone().oneshot(request()).await;
            assert!(answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
        });
    });
}

pub(crate) fn over_loopback(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    let origin = loopback::serve(accept);
    let fresh = Fresh::new('t', TOKEN);
    let session = session(&origin, &fresh, no_other);
    for protocol in [Protocol::Http1, Protocol::Http2] {
        for (name, size) in BODIES {
            let request = requests(&origin, size);
            let client = loopback::client::<Body>(protocol);
            let name = format!("replay over loopback, {protocol:?}, {name}");
            let mut group = criterion.benchmark_group(name);

            let constant = AddAuthorizationLayer::bearer(&fresh.token).layer(client.clone());
            on_the_wire(&mut group, &runtime, "constant header", &constant, &request);
            let ours = stack(&session, loopback::client(protocol));
            on_the_wire(&mut group, &runtime, "RefreshLayer", &ours, &request);
            let locking = MutexClient::new(client.clone(), &fresh, no_other);
            let locking = locking.expect("letters make a header");
            on_the_wire(&mut group, &runtime, "Mutex client", &locking, &request);
            let retry = retrying(client, &fresh, no_other).expect("letters make a header");
            on_the_wire(&mut group, &runtime, "tower::retry", &retry, &request);
        }
    }
}
