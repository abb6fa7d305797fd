//! The client credentials grant (RFC 6749 §4.4).

use super::{
    Grant,
    kind::{Fields, Sealed},
};
use crate::{Audience, ClientAuthentication, Held, InvalidEndpoint, RefreshError};

/// Gets tokens for the client itself (RFC 6749 §4.4): no user, no login, no refresh token; see
/// [`Grant`] for what it is made of.
///
/// ```
/// use tower_reauth::{ClientAuthentication, ClientCredentials, Session};
///
/// # let secret = String::from("s3cr3t");
/// # let client = tower_reauth::testing::AuthorizationServer::new();
/// let me = ClientAuthentication::basic("nightly-report", secret);
/// let source = ClientCredentials::new("https://login.example.com/token", me, client)?
///     .scope("reports:read")
///     .resource("https://api.example.com");
/// let session = Session::builder(source).origin("https://api.example.com").build()?;
/// # Ok::<(), tower_reauth::BoxError>(())
/// ```
pub type ClientCredentials<S> = Grant<S, AsClient>;

/// The kind of [`ClientCredentials`](crate::ClientCredentials).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct AsClient;

impl<S> Grant<S, AsClient> {
    /// A grant that asks `token_endpoint`, an `https` URI, for tokens of `client`, which must be a
    /// confidential one (RFC 6749 §4.4): a [`ClientAuthentication`] with more than a name.
    ///
    /// # Errors
    ///
    /// As for [`RefreshTokenGrant::new`](crate::RefreshTokenGrant::new).
    pub fn new(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::over(token_endpoint, false, client.into(), service, AsClient)
    }

    /// The same for endpoints over plain `http`, such as `http://127.0.0.1:8080/token`: whoever is on
    /// the path can read the secret.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::over(token_endpoint, true, client.into(), service, AsClient)
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
        Self::discovering(issuer, false, client.into(), service, AsClient)
    }

    /// The same for an issuer, or endpoints, over plain `http`: whoever is on the path can read
    /// the secret.
    ///
    /// # Errors
    ///
    /// As for [`discover`](Self::discover), but for the scheme.
    pub fn discover_insecure(
        issuer: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::discovering(issuer, true, client.into(), service, AsClient)
    }
}

impl Sealed for AsClient {
    const NAME: &'static str = "ClientCredentials";
    const GRANT_TYPE: &'static str = "client_credentials";

    async fn fields(&self, _: &Held, _: &Audience) -> Result<Fields, RefreshError> {
        Ok(Vec::new())
    }
}
