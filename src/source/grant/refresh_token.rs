//! The refresh token grant (RFC 6749 §6).

use zeroize::Zeroizing;

use super::{
    Grant,
    kind::{Fields, Sealed},
};
use crate::{Audience, ClientAuthentication, Held, InvalidEndpoint, RefreshError, error::Kind};

/// Spends a refresh token at a token endpoint (RFC 6749 §6); see [`Grant`] for what it is made of.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::{Client, Error}, rt::TokioExecutor};
/// use tower_reauth::RefreshTokenGrant;
///
/// # let https = hyper_util::client::legacy::connect::HttpConnector::new();
/// let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
/// let grant = RefreshTokenGrant::new("https://login.example.com/token", "my-app", client)?
///     .not_sent(|error| error.downcast_ref().is_some_and(Error::is_connect));
/// # Ok::<(), tower_reauth::InvalidEndpoint>(())
/// ```
pub type RefreshTokenGrant<S> = Grant<S, WithRefreshToken>;

/// The kind of a [`RefreshTokenGrant`](crate::RefreshTokenGrant).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WithRefreshToken;

impl<S> Grant<S, WithRefreshToken> {
    /// A grant that asks `token_endpoint`, an `https` URI, for tokens of `client`: a public client's
    /// `client_id`, or a [`ClientAuthentication`].
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not an absolute URI, has user information or a fragment, or is
    /// plain `http`. A query is kept (RFC 6749 §3.2).
    pub fn new(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::over(token_endpoint, false, client.into(), service, WithRefreshToken)
    }

    /// The same for endpoints over plain `http`, such as `http://127.0.0.1:8080/token`: whoever is on
    /// the path can read the refresh token.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::over(token_endpoint, true, client.into(), service, WithRefreshToken)
    }

    /// A grant that asks where `issuer` says in its [metadata](Grant#discovery). This fetches nothing yet.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer is not an absolute `https` URI without user information, query
    /// and fragment.
    pub fn discover(
        issuer: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::discovering(issuer, false, client.into(), service, WithRefreshToken)
    }

    /// The same for an issuer, or endpoints, over plain `http`: whoever is on the path can read
    /// the refresh token.
    ///
    /// # Errors
    ///
    /// As for [`discover`](Self::discover), but for the scheme.
    pub fn discover_insecure(
        issuer: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::discovering(issuer, true, client.into(), service, WithRefreshToken)
    }
}

impl Sealed for WithRefreshToken {
    const NAME: &'static str = "RefreshTokenGrant";
    const GRANT_TYPE: &'static str = "refresh_token";
    const SPENDS_REFRESH_TOKEN: bool = true;

    async fn fields(&self, held: &Held, _: &Audience) -> Result<Fields, RefreshError> {
        let Some(token) = held.refresh_token() else {
            return Err(RefreshError::new(Kind::LoginRequired));
        };
        Ok(vec![("refresh_token", Zeroizing::new(token.expose_secret().to_owned()))])
    }
}
