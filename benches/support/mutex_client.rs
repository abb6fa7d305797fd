//! The client that people write by hand: one `tokio::sync::Mutex` around the tokens.
//!
//! It is a good one. The lock is held while it refreshes, so one refresh runs at a time, and a request
//! that was rejected refreshes only if the token that it carried is still the newest. What it does not
//! do: refresh early, survive being dropped in the middle of a refresh, or bound any wait.

use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::sync::Mutex;
use tower::{Service, ServiceExt};
use tower_reauth::BoxError;

use super::Fresh;

/// The newest token, as it is written into a request.
struct Tokens {
    header: HeaderValue,
    expires: Instant,
}

impl Tokens {
    // The library reads time in one place; this is another program's.
    #[allow(clippy::disallowed_methods)]
    fn now() -> Instant {
        Instant::now()
    }

    fn new(fresh: &Fresh) -> Result<Self, BoxError> {
        Ok(Self { header: fresh.header()?, expires: Self::now() + fresh.lifetime })
    }
}

/// Gives each request the newest token, and sends it again once if that was rejected. `refresh` gets a
/// new token.
#[derive(Clone)]
pub(crate) struct MutexClient<S, F> {
    inner: S,
    tokens: Arc<Mutex<Tokens>>,
    refresh: F,
}

impl<S, F, Fut> MutexClient<S, F>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Result<Fresh, BoxError>>,
{
    pub(crate) fn new(inner: S, first: &Fresh, refresh: F) -> Result<Self, BoxError> {
        Ok(Self { inner, tokens: Arc::new(Mutex::new(Tokens::new(first)?)), refresh })
    }
}

impl<S, F, Fut, B, R> Service<Request<B>> for MutexClient<S, F>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    F: Fn() -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Fresh, BoxError>> + Send,
    B: Clone + Send + 'static,
    R: Send + 'static,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let clone = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, clone);
        let tokens = self.tokens.clone();
        let refresh = self.refresh.clone();
        Box::pin(async move {
            let mut again = request.clone();
            let sent = {
                let mut tokens = tokens.lock().await;
                if tokens.expires <= Tokens::now() {
                    *tokens = Tokens::new(&refresh().await?)?;
                }
                tokens.header.clone()
            };
            request.headers_mut().insert(header::AUTHORIZATION, sent.clone());
            let response = inner.call(request).await.map_err(Into::into)?;
            if response.status() != StatusCode::UNAUTHORIZED {
                return Ok(response);
            }
            let newest = {
                let mut tokens = tokens.lock().await;
                if tokens.header == sent {
                    *tokens = Tokens::new(&refresh().await?)?;
                }
                tokens.header.clone()
            };
            again.headers_mut().insert(header::AUTHORIZATION, newest);
            inner.ready().await.map_err(Into::into)?.call(again).await.map_err(Into::into)
        })
    }
}
