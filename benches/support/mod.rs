//! What the benches share: servers that answer at once, our session, and the clients that people write.
//!
//! Beside these stands `tower_http`'s `AddAuthorizationLayer` with a constant token, called B: the least
//! that a request with a token can cost.

use std::{future::Future, time::Duration};

use http::HeaderValue;
use tower_reauth::{
    AccessToken, BoxError, Held, RefreshError, Session, TokenSet, TokenSource, source_fn,
};

pub(crate) mod api;
pub(crate) mod loopback;
pub(crate) mod mutex_client;
pub(crate) mod retry_policy;

/// What a token endpoint answers.
#[derive(Clone)]
pub(crate) struct Fresh {
    pub(crate) token: String,
    pub(crate) lifetime: Duration,
}

impl Fresh {
    /// A token of so many letters, all the same, that lives for an hour.
    pub(crate) fn new(letter: char, length: usize) -> Self {
        Self { token: letter.to_string().repeat(length), lifetime: Duration::from_secs(3600) }
    }

    /// As it is written into a request.
    pub(crate) fn header(&self) -> Result<HeaderValue, BoxError> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.token))?;
        header.set_sensitive(true);
        Ok(header)
    }

    fn tokens(&self) -> Result<TokenSet, RefreshError> {
        let token = AccessToken::new(&*self.token).map_err(|_| RefreshError::misconfigured())?;
        Ok(TokenSet::new(token).expires_in(self.lifetime))
    }
}

/// A session that holds `first`, and gets the next token from `refresh`.
pub(crate) fn session<F, Fut>(origin: &str, first: &Fresh, refresh: F) -> Session
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Fresh, BoxError>> + Send + 'static,
{
    let builder =
        Session::builder(source(refresh)).tokens(first.tokens().expect("letters make a token"));
    let builder = match origin.starts_with("https:") {
        true => builder.origin(origin),
        false => builder.insecure_origin(origin),
    };
    let session = builder.build().expect("the origin is one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime starts").block_on(session.token()).expect("the seed is valid");
    session
}

fn source<F, Fut>(refresh: F) -> impl TokenSource
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Fresh, BoxError>> + Send + 'static,
{
    source_fn(move |_: Held| {
        let fresh = refresh();
        async move { fresh.await.map_err(|_| RefreshError::transient())?.tokens() }
    })
    .from_nothing()
}
