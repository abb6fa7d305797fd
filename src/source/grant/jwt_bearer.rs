//! The JWT bearer grant (RFC 7523 §2.1).

use std::{fmt, future::Future};

use zeroize::Zeroizing;

use super::{
    Grant,
    fetch::Fetch,
    kind::{Fields, Sealed},
};
use crate::{
    ClientAuthentication, Held, InvalidEndpoint, RefreshError,
    source::client_authentication::Recipient,
};

/// Gets tokens for an assertion (RFC 7523 §2.1), as service accounts do; see [`Grant`] for what it is
/// made of.
///
/// ```
/// use tower_reauth::{Assertion, JwtBearer, RefreshError};
///
/// # async fn sign() -> Result<String, std::io::Error> { Ok("e30.e30.e30".into()) }
/// let assertion = Assertion::from_fn(|| async {
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

    async fn fields(&self, _: &Held, recipient: &Recipient) -> Result<Fields, RefreshError> {
        Ok(vec![("assertion", self.0.text(recipient).await?)])
    }
}

/// A JWT that speaks for whoever signed it (RFC 7523), a new one for each attempt: most servers take
/// each only once.
#[derive(Clone)]
pub struct Assertion(Origin);

#[derive(Clone)]
enum Origin {
    Fetched(Fetch),
}

impl Assertion {
    /// What a closure gives, such as one that asks a key service to sign.
    pub fn from_fn<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self(Origin::Fetched(Fetch::new(fetch)))
    }

    async fn text(&self, _recipient: &Recipient) -> Result<Zeroizing<String>, RefreshError> {
        match &self.0 {
            Origin::Fetched(fetch) => fetch.text().await,
        }
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Origin::Fetched(_) => "Assertion(from_fn)",
        })
    }
}
