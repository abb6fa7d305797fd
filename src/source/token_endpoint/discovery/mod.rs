//! An authorization server that is known by its issuer (RFC 8414, OpenID Connect Discovery): where its
//! endpoints are is fetched when it is first needed, kept for a while, and fetched again when it no
//! longer holds.

mod fetch;
mod issuer;
mod metadata;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{Shared, WeakShared},
};
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

pub(crate) use self::metadata::Endpoints;
pub(super) use self::metadata::NotListed;
use self::{
    fetch::{LIMIT, LIMIT_OF_NEWER},
    issuer::Issuer,
};
use super::address::InvalidEndpoint;
use crate::{
    BoxError, Clock, RefreshError,
    sync::{Mutex, lock},
};

/// How long metadata is taken for true.
const LIFETIME: Duration = Duration::from_secs(60 * 60);

/// How much longer it serves while no newer can be had.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// How soon it may be fetched again when it seems not to hold, or could not be fetched.
const AGAIN: Duration = Duration::from_secs(10);

pub(super) struct Discovery {
    issuer: Issuer,
    /// Whether plain `http` will do.
    plain: bool,
    /// Whether the client has a certificate to show.
    mtls: bool,
    terms: Terms,
    cache: Mutex<Cache>,
}

/// How long metadata is used.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    /// As long it is taken for true.
    pub(super) lifetime: Duration,
    /// So much longer it serves while no newer can be had.
    pub(super) grace: Duration,
}

#[derive(Default)]
struct Cache {
    known: Option<Known>,
    /// When a fetch ended last, with success, without, or because nobody waited for it any longer.
    tried: Option<Instant>,
    /// The one fetch, for as long as anybody waits for it.
    fetching: Option<WeakShared<Fetching>>,
}

#[derive(Clone)]
struct Known {
    endpoints: Arc<Endpoints>,
    since: Instant,
}

type Fetched = Result<Arc<Endpoints>, RefreshError>;
type Fetching = Pin<Box<dyn Future<Output = Fetched> + Send>>;

impl Discovery {
    pub(super) fn new(issuer: &str, plain: bool, mtls: bool) -> Result<Self, InvalidEndpoint> {
        let issuer = Issuer::parse(issuer, plain)?;
        let terms = Terms { lifetime: LIFETIME, grace: GRACE };
        Ok(Self { issuer, plain, mtls, terms, cache: Mutex::default() })
    }

    pub(super) fn terms(&self) -> Terms {
        self.terms
    }

    /// The same with nothing known yet.
    pub(super) fn afresh(&self, mtls: bool, terms: Terms) -> Self {
        let (issuer, plain) = (self.issuer.clone(), self.plain);
        Self { issuer, plain, mtls, terms, cache: Mutex::default() }
    }

    /// Scheme, host and port of the issuer.
    pub(super) fn origin(&self) -> String {
        self.issuer.origin()
    }

    /// What is known without a fetch: while it is young, or while the issuer was just asked in vain.
    fn known(&self, now: Instant) -> Option<Arc<Endpoints>> {
        let cache = lock(&self.cache);
        let age = cache.age(now)?;
        let serves = age < self.terms.lifetime || cache.tried_lately(now) && self.terms.allow(age);
        cache.known.as_ref().filter(|_| serves).map(|known| known.endpoints.clone())
    }

    /// What was known before, as long as it may serve at all.
    fn stale(&self, now: Instant) -> Option<Arc<Endpoints>> {
        let cache = lock(&self.cache);
        let serves = self.terms.allow(cache.age(now)?);
        cache.known.as_ref().filter(|_| serves).map(|known| known.endpoints.clone())
    }

    fn learn(&self, fetched: &Fetched) {
        let since = Clock::system().now().mono;
        if let Ok(endpoints) = fetched {
            lock(&self.cache).known = Some(Known { endpoints: endpoints.clone(), since });
        }
    }
}

/// A fetch that everybody gave up on was in vain too: the next one must not wait for the same silence.
struct Tried<'a>(&'a Mutex<Cache>);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        lock(self.0).tried = Some(Clock::system().now().mono);
    }
}

impl Terms {
    fn allow(self, age: Duration) -> bool {
        age < self.lifetime.saturating_add(self.grace)
    }
}

impl Cache {
    fn age(&self, now: Instant) -> Option<Duration> {
        Some(now.saturating_duration_since(self.known.as_ref()?.since))
    }

    fn tried_lately(&self, now: Instant) -> bool {
        self.tried.is_some_and(|tried| now.saturating_duration_since(tried) < AGAIN)
    }
}

impl Discovery {
    /// Where the issuer's endpoints are.
    ///
    /// # Errors
    ///
    /// Nothing is known that may still serve, and nothing could be fetched: transient, or misconfigured.
    /// Nothing was spent.
    pub(super) async fn endpoints<S, B>(self: &Arc<Self>, service: &S) -> Fetched
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let now = Clock::system().now().mono;
        if let Some(known) = self.known(now) {
            return Ok(known);
        }
        let Some(stale) = self.stale(now) else {
            return self.fetch(service, LIMIT).await;
        };
        Ok(self.fetch(service, LIMIT_OF_NEWER).await.unwrap_or(stale))
    }

    /// Where they are now, if the token endpoint is no longer where `before` said.
    pub(super) async fn moved<S, B>(
        self: &Arc<Self>,
        before: &Endpoints,
        service: &S,
    ) -> Option<Arc<Endpoints>>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let elsewhere = |now: &Arc<Endpoints>| now.token.uri != before.token.uri;
        // Another session may have noticed first.
        let now = Clock::system().now().mono;
        if let Some(learnt) = self.stale(now).filter(elsewhere) {
            return Some(learnt);
        }
        if lock(&self.cache).tried_lately(now) {
            return None;
        }
        self.fetch(service, LIMIT).await.ok().filter(elsewhere)
    }

    /// Fetch once for everybody who waits. Nobody owns the fetch: whoever is left goes on with it.
    async fn fetch<S, B>(self: &Arc<Self>, service: &S, limit: Duration) -> Fetched
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let service = service.clone();
        self.join(|| {
            let this = self.clone();
            async move {
                let _tried = Tried(&this.cache);
                let fetched = this.ask(service, limit).await.map(Arc::new);
                this.learn(&fetched);
                fetched
            }
            .boxed()
        })
        .await
    }

    fn join(&self, begin: impl FnOnce() -> Fetching) -> Shared<Fetching> {
        let mut cache = lock(&self.cache);
        let joined = cache.fetching.as_ref().and_then(WeakShared::upgrade);
        // One that is over but not forgotten by all of its waiters is no answer to a new question.
        if let Some(fetching) = joined.filter(|fetching| fetching.peek().is_none()) {
            return fetching;
        }
        let fetching = begin().shared();
        cache.fetching = fetching.downgrade();
        fetching
    }
}
