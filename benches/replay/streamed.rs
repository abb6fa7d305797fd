//! A valid token, and a body that comes in frames, whose end is not known before it comes.

use std::{
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::Request;
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, ServiceBuilder, filter::AsyncFilterLayer};
use tower_http::auth::AddAuthorizationLayer;
use tower_reauth::{BoxError, NoReplay};

use crate::{
    TOKEN, accept,
    frames::Frames,
    kept::{once, uri},
    no_other, stack,
    support::{
        Fresh,
        api::{Api, ORIGIN, request},
        mutex_client::MutexClient,
        retry_policy::retrying,
        session,
    },
};

const FRAMES: usize = 64;

/// Reads a request to its end, and hands on its head.
#[derive(Clone)]
struct Reading<S> {
    inner: S,
}

impl<S, B> Service<Request<B>> for Reading<S>
where
    S: Service<Request<()>>,
    B: Body,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, body) = request.into_parts();
        let mut body = pin!(body);
        let cx = &mut Context::from_waker(Waker::noop());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(cx) {
            assert!(black_box(frame).is_ok());
        }
        self.inner.call(Request::from_parts(head, ()))
    }
}

/// A stream cannot be cloned, so whoever clones requests has to have all of it first.
async fn collect(request: Request<Frames>) -> Result<Request<Full<Bytes>>, BoxError> {
    let (head, body) = request.into_parts();
    Ok(Request::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}

pub(crate) fn in_memory(criterion: &mut Criterion) {
    let fresh = Fresh::new('t', TOKEN);
    let session = session(ORIGIN, &fresh, no_other);
    let api = Reading { inner: Api::new(accept) };
    let (uri, frame) = (uri(ORIGIN), Bytes::from(vec![7; 1024]));
    let request = || request(uri.clone(), Frames { frame: frame.clone(), left: FRAMES });
    let mut group =
        criterion.benchmark_group(format!("replay in memory, {FRAMES} frames of 1 KiB"));
    group.throughput(Throughput::Elements(1));

    let mut constant = AddAuthorizationLayer::bearer(&fresh.token).layer(api.clone());
    group.bench_function("constant header", |bench| bench.iter(|| once(&mut constant, request())));

    let mut ours = stack(&session, api.clone());
    group.bench_function("RefreshLayer", |bench| bench.iter(|| once(&mut ours, request())));
    group.bench_function("RefreshLayer, NoReplay", |bench| {
        bench.iter(|| {
            let mut request = request();
            request.extensions_mut().insert(NoReplay);
            once(&mut ours, request);
        });
    });

    let client = MutexClient::new(api.clone(), &fresh, no_other).expect("letters make a header");
    let mut client = ServiceBuilder::new().layer(AsyncFilterLayer::new(collect)).service(client);
    group.bench_function("Mutex client", |bench| bench.iter(|| once(&mut client, request())));

    let retry = retrying(api, &fresh, no_other).expect("letters make a header");
    let mut retry = ServiceBuilder::new().layer(AsyncFilterLayer::new(collect)).service(retry);
    group.bench_function("tower::retry", |bench| bench.iter(|| once(&mut retry, request())));
}
