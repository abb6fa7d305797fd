//! Assertions: JWTs that speak for a client or for a service account (RFC 7523).

use std::{fmt, future::Future};

use zeroize::Zeroizing;

use super::fetch::Fetch;
use crate::RefreshError;
#[cfg(feature = "sign")]
use crate::{Clock, SignedAssertion};

/// A JWT that speaks for whoever signed it (RFC 7523): a new one for each attempt, because a server may
/// take each only once.
///
/// With feature `sign` it is made of a `SignedAssertion`.
#[derive(Clone)]
pub struct Assertion(Origin);

#[derive(Clone)]
enum Origin {
    Fetched(Fetch<Audience>),
    #[cfg(feature = "sign")]
    Signed(Box<SignedAssertion>),
}

impl Assertion {
    /// What a closure gives, such as one that asks a key service to sign.
    ///
    /// An error of it is one of the attempt: [`RefreshError::transient`] is tried again. Where the
    /// assertion says who the client is, it spends nothing and ends no session: any error that asks for a
    /// login is a configuration error there.
    ///
    /// ```
    /// use tower_reauth::{Assertion, Audience, RefreshError};
    ///
    /// # async fn sign(_: &str) -> Result<String, std::io::Error> { Ok("e30.e30.e30".into()) }
    /// let assertion = Assertion::from_fn(|audience: Audience| async move {
    ///     sign(audience.issuer()).await.map_err(|_| RefreshError::transient())
    /// });
    /// # let _ = assertion;
    /// ```
    pub fn from_fn<F, Fut>(fetch: F) -> Self
    where
        F: Fn(Audience) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self(Origin::Fetched(Fetch::new(fetch)))
    }

    pub(super) async fn text(
        &self,
        audience: &Audience,
    ) -> Result<Zeroizing<String>, RefreshError> {
        match &self.0 {
            Origin::Fetched(fetch) => fetch.text(audience.clone()).await,
            #[cfg(feature = "sign")]
            Origin::Signed(assertion) => assertion.sign(audience, Clock::system().now().wall),
        }
    }
}

#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
impl From<SignedAssertion> for Assertion {
    fn from(assertion: SignedAssertion) -> Self {
        Self(Origin::Signed(Box::new(assertion)))
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Origin::Fetched(_) => "Assertion(from_fn)",
            #[cfg(feature = "sign")]
            Origin::Signed(_) => "Assertion(signed)",
        })
    }
}

/// For whom an assertion is: one of its names goes into `aud` (RFC 7523 §3).
#[derive(Clone, PartialEq, Eq)]
pub struct Audience {
    pub(crate) issuer: String,
    pub(crate) token_endpoint: String,
}

impl fmt::Debug for Audience {
    /// The endpoint's query may hold what is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audience").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Audience {
    /// The authorization server's issuer identifier, which newer servers want to see alone: that of the
    /// grant, [`Grant::issuer`](crate::grant::Grant::issuer).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The token endpoint's URL, which some servers want to see instead.
    #[must_use]
    pub fn token_endpoint(&self) -> &str {
        &self.token_endpoint
    }
}
