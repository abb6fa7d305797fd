//! How a client says who it is at the token endpoint (RFC 6749 §2.3).

use std::fmt;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::assertion::{Assertion, Audience};
use crate::{RefreshError, token::Secret};
#[cfg(feature = "sign")]
use crate::{SignedAssertion, SigningKey};

/// How a client says who it is, in every request to the token endpoint and to the revocation endpoint
/// (RFC 6749 §2.3).
///
/// | registered as (`token_endpoint_auth_method`) | constructor |
/// |---|---|
/// | `none`: a program that its users install, which cannot keep a secret (RFC 8252 §8.5) | [`none`](Self::none), or the `client_id` as a string |
/// | `client_secret_basic` | [`basic`](Self::basic), [`basic_raw`](Self::basic_raw) |
/// | `client_secret_post` | [`post`](Self::post) |
/// | `private_key_jwt` | with feature `sign` `private_key_jwt`, else [`assertion`](Self::assertion) |
/// | `tls_client_auth`, `self_signed_tls_client_auth` | [`mtls`](Self::mtls) |
///
/// One request uses one of them, and no parameter that the program adds can say otherwise. The secret is
/// zeroized when the last clone is dropped, and `Debug` does not show it.
///
/// ```
/// use tower_reauth::{ClientAuthentication, RefreshTokenGrant};
///
/// # let (client, secret) = ((), "s3cr3t".to_owned());
/// let grant = RefreshTokenGrant::new(
///     "https://login.example.com/token",
///     ClientAuthentication::basic("my-app", secret),
///     client,
/// )?;
/// # Ok::<(), tower_reauth::InvalidEndpoint>(())
/// ```
#[derive(Clone)]
pub struct ClientAuthentication {
    client_id: String,
    method: Method,
}

#[derive(Clone)]
enum Method {
    None,
    Basic(Secret),
    BasicRaw(Secret),
    Post(Secret),
    Assertion(Assertion),
    Mtls,
}

/// What one request shows.
#[derive(Default)]
pub(crate) struct Shown {
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) fields: Vec<(&'static str, Zeroizing<String>)>,
}

impl ClientAuthentication {
    /// The parameters that speak for the client, and that nobody else may set.
    pub(crate) const PARAMETERS: [&'static str; 4] =
        ["client_id", "client_secret", "client_assertion", "client_assertion_type"];

    fn new(client_id: impl Into<String>, method: Method) -> Self {
        Self { client_id: client_id.into(), method }
    }

    /// A public client: the `client_id` in the body, and no secret.
    #[must_use]
    pub fn none(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::None)
    }

    /// A secret in the `Authorization` header, both parts form-encoded first as RFC 6749 §2.3.1 says.
    ///
    /// Every server must support it; prefer it to [`post`](Self::post).
    #[must_use]
    pub fn basic(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new(client_id, Method::Basic(secret_of(secret)))
    }

    /// The same, neither part encoded: for servers that take HTTP's `Basic` (RFC 7617) as it is.
    ///
    /// It differs from [`basic`](Self::basic) only if one of the parts has other characters than letters,
    /// digits and `*-._`. A colon in the `client_id` cannot be told from the one that ends it.
    #[must_use]
    pub fn basic_raw(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new(client_id, Method::BasicRaw(secret_of(secret)))
    }

    /// A secret in the body: for servers that cannot take it in the header (RFC 6749 §2.3.1).
    #[must_use]
    pub fn post(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self::new(client_id, Method::Post(secret_of(secret)))
    }

    /// An assertion that is signed anew for each request (RFC 7523 §2.2), for the issuer of the grant,
    /// with a life of 60 s. A server that wants it otherwise gets one by [`assertion`](Self::assertion).
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    #[must_use]
    pub fn private_key_jwt(client_id: impl Into<String>, key: SigningKey) -> Self {
        let client_id = client_id.into();
        let assertion = SignedAssertion::of_client(client_id.as_str(), key);
        Self::assertion(client_id, assertion)
    }

    /// An assertion (RFC 7523 §2.2) that something else signs, or that is signed in another way: for the
    /// token endpoint's URL, say, as older servers want it. The client is its issuer and its subject.
    ///
    /// ```
    /// # #[cfg(feature = "sign")] {
    /// use tower_reauth::{ClientAuthentication, SignedAssertion, SigningKey};
    ///
    /// fn older_server(key: SigningKey) -> ClientAuthentication {
    ///     let assertion = SignedAssertion::of_client("my-app", key).audience_token_endpoint();
    ///     ClientAuthentication::assertion("my-app", assertion)
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn assertion(client_id: impl Into<String>, assertion: impl Into<Assertion>) -> Self {
        Self::new(client_id, Method::Assertion(assertion.into()))
    }

    /// A client that its certificate speaks for (RFC 8705 §2): the `client_id` in the body.
    ///
    /// The certificate is the connector's business: give the grant a client that presents it. A grant
    /// that discovers its endpoints prefers those that the issuer has for such clients (RFC 8705 §5).
    #[must_use]
    pub fn mtls(client_id: impl Into<String>) -> Self {
        Self::new(client_id, Method::Mtls)
    }

    /// Nobody: for grants that need no client, such as the exchange of a workload's token.
    pub(crate) fn anonymous() -> Self {
        Self::none(String::new())
    }

    /// The `token_endpoint_auth_method` that such a client may be registered with.
    pub(crate) fn registered_as(&self) -> &'static [&'static str] {
        match &self.method {
            Method::None => &["none"],
            Method::Basic(_) | Method::BasicRaw(_) => &["client_secret_basic"],
            Method::Post(_) => &["client_secret_post"],
            Method::Assertion(_) => &["private_key_jwt"],
            Method::Mtls => &["tls_client_auth", "self_signed_tls_client_auth"],
        }
    }

    pub(crate) fn is_assertion(&self) -> bool {
        matches!(self.method, Method::Assertion(_))
    }

    pub(crate) fn is_mtls(&self) -> bool {
        matches!(self.method, Method::Mtls)
    }

    /// The identifier that the authorization server gave to the client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What one request shows: made anew for each, because an assertion serves once (RFC 7523 §3).
    pub(crate) async fn show(&self, audience: &Audience) -> Result<Shown, RefreshError> {
        let client_id = || ("client_id", Zeroizing::new(self.client_id.clone()));
        let mut shown = Shown::default();
        match &self.method {
            Method::None | Method::Mtls => shown.fields.push(client_id()),
            Method::Basic(secret) => {
                shown.authorization = basic(&encoded(&self.client_id), &encoded(secret.expose()));
            }
            Method::BasicRaw(secret) => {
                shown.authorization = basic(&self.client_id, secret.expose());
            }
            Method::Post(secret) => {
                let secret = Zeroizing::new(secret.expose().to_owned());
                shown.fields.extend([client_id(), ("client_secret", secret)]);
            }
            Method::Assertion(assertion) => {
                const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                let type_ = Zeroizing::new(TYPE.to_owned());
                let assertion = assertion.text(audience).await;
                // A signer's own session may have ended, which is no verdict on this one (RFC 6749 §5.2).
                let assertion = assertion.map_err(RefreshError::before_sending)?;
                shown.fields.extend([
                    client_id(),
                    ("client_assertion_type", type_),
                    ("client_assertion", assertion),
                ]);
            }
        }
        Ok(shown)
    }
}

impl From<&str> for ClientAuthentication {
    /// A public client of this `client_id`.
    fn from(client_id: &str) -> Self {
        Self::none(client_id)
    }
}

impl From<String> for ClientAuthentication {
    /// A public client of this `client_id`.
    fn from(client_id: String) -> Self {
        Self::none(client_id)
    }
}

impl fmt::Debug for ClientAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuthentication")
            .field("client_id", &self.client_id)
            .field("method", &self.registered_as().join(" or "))
            .finish_non_exhaustive()
    }
}

fn secret_of(secret: impl Into<String>) -> Secret {
    Secret::new(&Zeroizing::new(secret.into()))
}

/// RFC 6749 appendix B.
fn encoded(text: &str) -> Zeroizing<String> {
    // Room for every byte as `%XX`: a buffer that grew would leave a copy of the secret behind.
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    encoded.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    encoded
}

fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    const SCHEME: &str = "Basic ";
    let mut pair = Zeroizing::new(String::with_capacity(client_id.len() + 1 + secret.len()));
    pair.extend([client_id, ":", secret]);
    // Four digits for three bytes or fewer.
    let room = SCHEME.len() + pair.len().div_ceil(3) * 4;
    let mut text = Zeroizing::new(String::with_capacity(room));
    text.push_str(SCHEME);
    BASE64_STANDARD.encode_string(pair.as_bytes(), &mut text);
    // The bytes are zeroized when the last holder of the value lets go of them.
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    const CLIENT: &str = "my app:1";
    const SECRET: &str = "s3cr:t%+ /~";

    fn show(client: &ClientAuthentication) -> Shown {
        let audience = Audience {
            issuer: "https://as.example".into(),
            token_endpoint: "https://as.example/token".into(),
        };
        client.show(&audience).now_or_never().unwrap().unwrap()
    }

    fn fields(shown: &Shown) -> Vec<(&str, &str)> {
        shown.fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
    }

    fn authorization(client: &ClientAuthentication) -> String {
        let shown = show(client);
        assert!(shown.fields.is_empty(), "one method a request");
        let value = shown.authorization.unwrap();
        assert!(value.is_sensitive());
        let pair = value.to_str().unwrap().strip_prefix("Basic ").unwrap().to_owned();
        String::from_utf8(BASE64_STANDARD.decode(pair).unwrap()).unwrap()
    }

    #[test]
    fn a_public_client_gives_its_name_in_the_body() {
        for client in [
            ClientAuthentication::none(CLIENT),
            ClientAuthentication::mtls(CLIENT),
            CLIENT.into(),
            CLIENT.to_owned().into(),
        ] {
            let shown = show(&client);
            assert_eq!(fields(&shown), [("client_id", CLIENT)]);
            assert!(shown.authorization.is_none());
        }
    }

    #[test]
    fn basic_form_encodes_both_parts_first() {
        let client = ClientAuthentication::basic(CLIENT, SECRET);
        assert_eq!(authorization(&client), "my+app%3A1:s3cr%3At%25%2B+%2F%7E");
        let value = show(&client).authorization.unwrap();
        assert_eq!(value, "Basic bXkrYXBwJTNBMTpzM2NyJTNBdCUyNSUyQislMkYlN0U=");
    }

    #[test]
    fn raw_basic_encodes_neither() {
        let client = ClientAuthentication::basic_raw(CLIENT, SECRET);
        assert_eq!(authorization(&client), "my app:1:s3cr:t%+ /~");
    }

    #[test]
    fn post_gives_the_secret_in_the_body() {
        let shown = show(&ClientAuthentication::post(CLIENT, SECRET));
        assert_eq!(fields(&shown), [("client_id", CLIENT), ("client_secret", SECRET)]);
        assert!(shown.authorization.is_none());
    }

    #[test]
    fn its_debug_names_the_client_and_no_secret() {
        for client in [
            ClientAuthentication::basic("app", "canary"),
            ClientAuthentication::basic_raw("app", "canary"),
            ClientAuthentication::post("app", "canary"),
        ] {
            let printed = format!("{client:?}");
            assert!(printed.contains("\"app\"") && !printed.contains("canary"), "{printed}");
            assert!(!format!("{:?}", show(&client).authorization).contains("Basic"));
        }
    }
}
