//! The JWT bearer grant (RFC 7523 §2.1).

use super::{
    Grant,
    kind::{Fields, Sealed},
};
use crate::{Assertion, Audience, ClientAuthentication, Held, InvalidEndpoint, RefreshError};

/// Gets tokens for an assertion (RFC 7523 §2.1), as service accounts do; see [`Grant`] for what it is
/// made of.
///
/// ```
/// use tower_reauth::{Assertion, JwtBearer, RefreshError};
///
/// # async fn sign() -> Result<String, std::io::Error> { Ok("e30.e30.e30".into()) }
/// let assertion = Assertion::from_fn(|_| async {
///     sign().await.map_err(|_| RefreshError::transient())
/// });
/// # let client = ();
/// let source = JwtBearer::new("https://login.example.com/token", assertion, client)?;
/// # Ok::<(), tower_reauth::InvalidEndpoint>(())
/// ```
pub type JwtBearer<S> = Grant<S, WithAssertion>;

/// The kind of a [`JwtBearer`](crate::JwtBearer).
#[derive(Clone, Debug)]
pub struct WithAssertion(Assertion);

impl<S> Grant<S, WithAssertion> {
    /// A grant that shows `token_endpoint`, an `https` URI, an assertion.
    ///
    /// # Errors
    ///
    /// As for [`RefreshTokenGrant::new`](crate::RefreshTokenGrant::new).
    pub fn new(
        token_endpoint: &str,
        assertion: impl Into<Assertion>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::over(token_endpoint, false, nobody, service, WithAssertion(assertion.into()))
    }

    /// The same for endpoints over plain `http`, such as `http://127.0.0.1:8080/token`: whoever is on
    /// the path can read the assertion.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        token_endpoint: &str,
        assertion: impl Into<Assertion>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::over(token_endpoint, true, nobody, service, WithAssertion(assertion.into()))
    }

    /// A grant that asks where `issuer` says in its [metadata](Grant#discovery). This fetches nothing yet.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer is not an absolute `https` URI without user information, query
    /// and fragment.
    pub fn discover(
        issuer: &str,
        assertion: impl Into<Assertion>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::discovering(issuer, false, nobody, service, WithAssertion(assertion.into()))
    }

    /// The same for an issuer, or endpoints, over plain `http`: whoever is on the path can read
    /// the assertion.
    ///
    /// # Errors
    ///
    /// As for [`discover`](Self::discover), but for the scheme.
    pub fn discover_insecure(
        issuer: &str,
        assertion: impl Into<Assertion>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::discovering(issuer, true, nobody, service, WithAssertion(assertion.into()))
    }

    /// The client that shows the assertion.
    ///
    /// Default: none; the assertion says it all (RFC 7523 §3.1).
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientAuthentication>) -> Self {
        self.endpoint.set_client(client.into());
        self
    }
}

impl Sealed for WithAssertion {
    const NAME: &'static str = "JwtBearer";
    const GRANT_TYPE: &'static str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

    async fn fields(&self, _: &Held, audience: &Audience) -> Result<Fields, RefreshError> {
        Ok(vec![("assertion", self.0.text(audience).await?)])
    }
}
