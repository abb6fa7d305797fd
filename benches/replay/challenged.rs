//! A request that is challenged while another token is there already: sent, rejected, sent again.
//!
//! A batch of requests goes out with one token and is held. The token is revoked, and one more request
//! gets the next. Then the answers come, and each of the batch has to find that it need not refresh.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use criterion::{Bencher, Criterion, Throughput};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, util::Oneshot};
use tower_http::auth::{AddAuthorization, AddAuthorizationLayer};
use tower_reauth::BoxError;

use crate::{
    Body, TOKEN,
    kept::uri,
    stack,
    support::{
        Fresh,
        api::{ORIGIN, answer, request},
        mutex_client::MutexClient,
        retry_policy::retrying,
        session,
    },
};

const BATCH: usize = 256;

/// Holds its answers until the first token is revoked. Then those that carry it are rejected.
#[derive(Clone)]
struct Api {
    first: HeaderValue,
    revoked: Arc<AtomicBool>,
}

struct Answer {
    status: StatusCode,
    revoked: Arc<AtomicBool>,
}

impl<B> Service<Request<B>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        let is_first = request.headers().get(header::AUTHORIZATION) == Some(&self.first);
        let status = if is_first { StatusCode::UNAUTHORIZED } else { StatusCode::OK };
        Answer { status, revoked: self.revoked.clone() }
    }
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        // Nobody has to be woken: the bench polls.
        match self.revoked.load(Ordering::Relaxed) {
            true => Poll::Ready(Ok(answer(self.status))),
            false => Poll::Pending,
        }
    }
}

fn first() -> Fresh {
    Fresh::new('t', TOKEN)
}

fn second() -> Fresh {
    Fresh::new('u', TOKEN)
}

async fn refresh() -> Result<Fresh, BoxError> {
    Ok(second())
}

/// How long it takes to send a batch, and to finish it once it is rejected and the next token is there.
fn batch<F, E>(
    runtime: &Runtime,
    revoked: &AtomicBool,
    size: usize,
    send: impl Fn() -> F,
) -> Duration
where
    F: Future<Output = Result<Response<Full<Bytes>>, E>>,
{
    let _runtime = runtime.enter();
    let cx = &mut Context::from_waker(Waker::noop());
    let mut begin = || {
        let mut request = Box::pin(send());
        assert!(request.as_mut().poll(cx).is_pending());
        request
    };
    let scout = begin();
    let sending = now();
    let batch: Vec<_> = (0..size).map(|_| begin()).collect();
    let sent = sending.elapsed();

    revoked.store(true, Ordering::Relaxed);
    let succeeded =
        |answer: Result<Response<_>, E>| answer.is_ok_and(|it| it.status() == StatusCode::OK);
    succeeded(runtime.block_on(scout));

    let finishing = now();
    for mut request in batch {
        let Poll::Ready(answer) = request.as_mut().poll(cx) else { panic!("it waits") };
        succeeded(answer);
    }
    sent + finishing.elapsed()
}

// The library reads time in one place; a bench is another program.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

/// Each batch has a client of its own, so that no session learns that this server revokes a lot.
fn in_batches<S, F, E>(
    bench: &mut Bencher<'_>,
    runtime: &Runtime,
    client: impl Fn(Api) -> S,
    send: impl Fn(&S) -> F,
) where
    F: Future<Output = Result<Response<Full<Bytes>>, E>>,
{
    let first = first().header().expect("letters make a header");
    bench.iter_custom(|times| {
        let sizes = (0..times as usize).step_by(BATCH).map(|done| BATCH.min(times as usize - done));
        let batches = sizes.map(|size| {
            let revoked = Arc::new(AtomicBool::new(false));
            let client = client(Api { first: first.clone(), revoked: revoked.clone() });
            batch(runtime, &revoked, size, || send(&client))
        });
        batches.sum()
    });
}

static TARGET: LazyLock<Uri> = LazyLock::new(|| uri(ORIGIN));

fn empty() -> Request<Body> {
    request(TARGET.clone(), Body::default())
}

fn oneshot<S>(client: &S) -> Oneshot<S, Request<Body>>
where
    S: Service<Request<Body>> + Clone,
{
    client.clone().oneshot(empty())
}

/// The least there is: two sends that know their tokens beforehand.
async fn twice(
    [first, second]: [AddAuthorization<Api>; 2],
) -> Result<Response<Full<Bytes>>, Infallible> {
    let rejected = first.oneshot(empty()).await?;
    assert_eq!(rejected.status(), StatusCode::UNAUTHORIZED);
    second.oneshot(empty()).await
}

pub(crate) fn in_memory(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = &runtime.expect("a runtime starts");
    let mut group = criterion.benchmark_group("challenged in memory, another token is there");
    group.throughput(Throughput::Elements(1));
    group.bench_function("constant headers, two sends", |bench| {
        let constant = |api: Api| {
            [first(), second()]
                .map(|fresh| AddAuthorizationLayer::bearer(&fresh.token).layer(api.clone()))
        };
        in_batches(bench, runtime, constant, |both| twice(both.clone()));
    });
    group.bench_function("RefreshLayer", |bench| {
        let ours = |api| stack(&session(ORIGIN, &first(), refresh), api);
        in_batches(bench, runtime, ours, oneshot);
    });
    group.bench_function("Mutex client", |bench| {
        let client = |api| MutexClient::new(api, &first(), refresh).expect("letters make a header");
        in_batches(bench, runtime, client, oneshot);
    });
    group.bench_function("tower::retry", |bench| {
        let retry = |api| retrying(api, &first(), refresh).expect("letters make a header");
        in_batches(bench, runtime, retry, oneshot);
    });
}
