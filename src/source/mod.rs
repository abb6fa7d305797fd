//! Where tokens come from: spend what is held, return a new set, or say how it failed.

mod assertion;
mod client_authentication;
#[cfg(feature = "cookies")]
mod cookie;
mod departure;
mod device;
#[cfg(feature = "endpoint-client")]
mod endpoint_client;
mod fetch;
pub mod grant;
mod source_fn;
mod token_endpoint;

use std::{future::Future, pin::Pin};

use crate::{AccessToken, RefreshError, RefreshToken, TokenSet};

#[cfg(feature = "cookies")]
pub use self::cookie::{CookieGrant, Cookies, Csrf, InvalidCookies};
pub(crate) use self::departure::{Departure, NeverLeft};
pub use self::device::{DeviceAuthorization, DeviceError, DeviceLogin};
#[cfg(feature = "endpoint-client")]
pub use self::endpoint_client::{
    EndpointBody, EndpointClient, EndpointClientBuilder, EndpointClientError, InvalidTls,
};
pub use self::{
    assertion::{Assertion, Audience},
    client_authentication::ClientAuthentication,
    grant::{ClientCredentials, JwtBearer, RefreshTokenGrant, SecurityToken, TokenExchange},
    source_fn::{SourceFn, source_fn},
    token_endpoint::InvalidEndpoint,
};

/// Gets new tokens for a [`Session`](crate::Session).
///
/// One call is one attempt. The session sees to the rest: that one refresh runs however many requests
/// need it, that attempts are repeated where nothing can have been spent, that an answer is listened to
/// for a bounded time, and that what came back is saved before it is used.
///
/// The call runs on a task of its own; on a runtime with one thread its first step may be taken in a
/// request that waits for it, with that task's locals and spans (with the feature `tracing` in the span
/// of the refresh), and with a waker that wakes nobody. It is dropped only when the session gave up on it
/// or the runtime ends. A source must not send its request through the stack that it serves: the session
/// tells by a typed error if it does.
///
/// | how the attempt went | what to return |
/// |---|---|
/// | new tokens | `Ok`; what the answer leaves out (refresh token, scope) stays as it was |
/// | 429, 503, or the request never left | [`RefreshError::transient`], with the server's `Retry-After` |
/// | the grant is dead | [`RefreshError::rejected`] |
/// | it may have been processed, and no usable answer came | [`RefreshError::ambiguous`] |
/// | the client is at fault | [`RefreshError::misconfigured`] |
///
/// ```
/// use tower_reauth::{AccessToken, Held, RefreshError, TokenSet, TokenSource};
///
/// struct Vault;
///
/// impl TokenSource for Vault {
///     async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
///         # async fn ask_the_vault() -> Result<String, std::io::Error> { Ok("s.token".into()) }
///         let _role = held.scope();
///         let token = ask_the_vault().await.map_err(|_| RefreshError::transient())?;
///         let token = AccessToken::new(token).map_err(|_| RefreshError::misconfigured())?;
///         Ok(TokenSet::new(token))
///     }
///
///     fn spends_refresh_token(&self) -> bool {
///         false
///     }
/// }
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// Spend what is held, and return a new set.
    ///
    /// # Errors
    ///
    /// A [`RefreshError`] that says how the attempt failed, as in the table above.
    fn refresh(&self, held: Held) -> impl Future<Output = Result<TokenSet, RefreshError>> + Send;

    /// Tell the issuer that these tokens are no longer used (RFC 7009): after a logout, and for a pair
    /// that lost against a login or a logout. It is dropped after the session's
    /// [`revoke_timeout`](crate::SessionBuilder::revoke_timeout), 10 s.
    ///
    /// Default: nothing.
    ///
    /// # Errors
    ///
    /// A [`RefreshError`], which is reported as an event; the tokens are forgotten all the same.
    fn revoke(&self, _tokens: TokenSet) -> impl Future<Output = Result<(), RefreshError>> + Send {
        async { Ok(()) }
    }

    /// Whether a refresh spends a refresh token, so that there is something to lose: it cannot start
    /// from nothing, and its verdict ends the session.
    ///
    /// Default: `true`.
    fn spends_refresh_token(&self) -> bool {
        true
    }

    /// Whose tokens these are: a record of another issuer is left alone.
    ///
    /// Default: unknown, which matches only records that name none.
    fn issuer(&self) -> Option<String> {
        None
    }
}

/// What the session holds when it asks its source for a refresh.
#[derive(Clone, Debug)]
pub struct Held {
    tokens: Option<TokenSet>,
    departure: Departure,
}

impl Held {
    pub(crate) fn new(tokens: Option<TokenSet>) -> Self {
        Self { tokens, departure: Departure::default() }
    }

    pub(crate) fn departure(&self) -> &Departure {
        &self.departure
    }

    /// The refresh token to spend. Always there if [`TokenSource::spends_refresh_token`] says so.
    #[must_use]
    pub fn refresh_token(&self) -> Option<&RefreshToken> {
        self.tokens.as_ref()?.refresh()
    }

    /// The newest access token: it has expired, will soon, or was refused. `None` at a first start.
    #[must_use]
    pub fn access_token(&self) -> Option<&AccessToken> {
        Some(self.tokens.as_ref()?.access())
    }

    /// The scope that was granted, where it is known.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        self.tokens.as_ref()?.granted_scope()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// [`TokenSource`] behind a pointer, so that a session has no type parameter. The program's code runs when
/// the future is polled, not before.
pub(crate) trait DynSource: Send + Sync {
    fn refresh(&self, held: Held) -> BoxFuture<'_, Result<TokenSet, RefreshError>>;
    fn revoke(&self, tokens: TokenSet) -> BoxFuture<'_, Result<(), RefreshError>>;
    fn spends_refresh_token(&self) -> bool;
}

impl<S: TokenSource> DynSource for S {
    fn refresh(&self, held: Held) -> BoxFuture<'_, Result<TokenSet, RefreshError>> {
        Box::pin(async move { TokenSource::refresh(self, held).await })
    }

    fn revoke(&self, tokens: TokenSet) -> BoxFuture<'_, Result<(), RefreshError>> {
        Box::pin(async move { TokenSource::revoke(self, tokens).await })
    }

    fn spends_refresh_token(&self) -> bool {
        TokenSource::spends_refresh_token(self)
    }
}
