//! A closure as a source.

use std::{fmt, future::Future};

use super::{Held, TokenSource};
use crate::{RefreshError, TokenSet};

/// A [`TokenSource`] from a closure that gets what the session holds and returns a future.
///
/// It is taken for one that spends a refresh token; [`SourceFn::from_nothing`] says otherwise.
///
/// ```
/// use std::time::Duration;
/// use tower_reauth::{AccessToken, Held, RefreshError, TokenSet, source_fn};
///
/// # async fn exec(_: &str) -> Result<String, std::io::Error> { Ok("k8s.token".into()) }
/// let source = source_fn(|_held: Held| async {
///     let printed = exec("cluster-login").await.map_err(|_| RefreshError::transient())?;
///     let token = AccessToken::new(printed).map_err(|_| RefreshError::misconfigured())?;
///     Ok(TokenSet::new(token).expires_in(Duration::from_secs(900)))
/// })
/// .from_nothing();
/// # let _ = source;
/// ```
pub fn source_fn<F, Fut>(refresh: F) -> SourceFn<F>
where
    F: Fn(Held) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TokenSet, RefreshError>> + Send,
{
    SourceFn { refresh, spends_refresh_token: true }
}

/// A closure as a [`TokenSource`]; made by [`source_fn`].
#[derive(Clone, Copy)]
pub struct SourceFn<F> {
    refresh: F,
    spends_refresh_token: bool,
}

impl<F> SourceFn<F> {
    /// The closure needs no refresh token: it can start from nothing, and cannot end a session.
    ///
    /// Default: it spends the refresh token that is held.
    #[must_use]
    pub fn from_nothing(mut self) -> Self {
        self.spends_refresh_token = false;
        self
    }
}

impl<F, Fut> TokenSource for SourceFn<F>
where
    F: Fn(Held) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<TokenSet, RefreshError>> + Send,
{
    fn refresh(&self, held: Held) -> impl Future<Output = Result<TokenSet, RefreshError>> + Send {
        (self.refresh)(held)
    }

    fn spends_refresh_token(&self) -> bool {
        self.spends_refresh_token
    }
}

impl<F> fmt::Debug for SourceFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceFn")
            .field("spends_refresh_token", &self.spends_refresh_token)
            .finish_non_exhaustive()
    }
}
