//! The other client that people write: a `tower::retry` policy that refreshes when it sees a 401.
//!
//! A policy never sees the token that was rejected: what it is shown is the copy that was made before
//! the token was attached. So each rejected request refreshes, one after the other.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use tower::{
    Service,
    retry::{Policy, Retry},
};
use tower_reauth::BoxError;

use super::Fresh;

/// The newest token, as it is written into a request, and the turn to get another.
pub(crate) struct Tokens {
    header: RwLock<HeaderValue>,
    turn: tokio::sync::Mutex<()>,
}

impl Tokens {
    fn header(&self) -> HeaderValue {
        self.header.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn store(&self, fresh: &Fresh) {
        if let Ok(header) = fresh.header() {
            *self.header.write().unwrap_or_else(PoisonError::into_inner) = header;
        }
    }
}

/// Refreshes and retries, once for each request.
#[derive(Clone)]
pub(crate) struct RefreshOn401<F> {
    tokens: Arc<Tokens>,
    refresh: F,
    retried: bool,
}

impl<F, Fut, B, R, E> Policy<Request<B>, Response<R>, E> for RefreshOn401<F>
where
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Fresh, BoxError>> + Send,
    B: Clone,
{
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        _: &mut Request<B>,
        result: &mut Result<Response<R>, E>,
    ) -> Option<Self::Future> {
        let rejected = result.as_ref().is_ok_and(|it| it.status() == StatusCode::UNAUTHORIZED);
        if !rejected || self.retried {
            return None;
        }
        self.retried = true;
        let (tokens, refresh) = (self.tokens.clone(), self.refresh.clone());
        Some(Box::pin(async move {
            let _turn = tokens.turn.lock().await;
            // If it fails, the retry is rejected too, and that is the answer.
            if let Ok(fresh) = refresh().await {
                tokens.store(&fresh);
            }
        }))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

/// Writes the newest token into each request.
#[derive(Clone)]
pub(crate) struct Attach<S> {
    inner: S,
    tokens: Arc<Tokens>,
}

impl<S, B> Service<Request<B>> for Attach<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        request.headers_mut().insert(header::AUTHORIZATION, self.tokens.header());
        self.inner.call(request)
    }
}

/// The retry outside, and inside it what attaches the token.
pub(crate) type Retrying<S, F> = Retry<RefreshOn401<F>, Attach<S>>;

/// `refresh` gets a new token.
pub(crate) fn retrying<S, F>(
    inner: S,
    first: &Fresh,
    refresh: F,
) -> Result<Retrying<S, F>, BoxError> {
    let header = RwLock::new(first.header()?);
    let tokens = Arc::new(Tokens { header, turn: tokio::sync::Mutex::default() });
    let policy = RefreshOn401 { tokens: tokens.clone(), refresh, retried: false };
    Ok(Retry::new(policy, Attach { inner, tokens }))
}
