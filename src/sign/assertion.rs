//! A JWT that says who signed it, for a short while and for one reader.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use zeroize::{Zeroize, Zeroizing};

use super::SigningKey;
use crate::{Audience, RefreshError, unique, wiped};

/// A JWT that is signed anew for each attempt (RFC 7523 §3): what a [`JwtBearer`](crate::JwtBearer)
/// shows, or by which a client [says who it is](crate::ClientAuthentication::assertion).
///
/// ```
/// use tower_reauth::{JwtBearer, SignedAssertion, SigningAlgorithm, SigningKey};
///
/// # let jwk = r#"{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}"#;
/// # let (client, _) = ((), ());
/// let key = SigningKey::from_jwk(SigningAlgorithm::EdDsa, jwk)?.key_id("2026");
/// let me = SignedAssertion::new("robot@project.example", key)
///     .claim("scope", "reports:read")
///     .audience_token_endpoint();
/// let source = JwtBearer::new("https://login.example.com/token", me, client)?;
/// # Ok::<(), tower_reauth::BoxError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SignedAssertion {
    key: SigningKey,
    type_: &'static str,
    issuer: String,
    subject: String,
    reader: Reader,
    lifetime: Duration,
    claims: Claims,
}

#[derive(Clone, Debug)]
enum Reader {
    Issuer,
    TokenEndpoint,
    Other(String),
}

/// Claims of the program, which may be secret.
#[derive(Clone)]
struct Claims(Map<String, Value>);

impl Drop for Claims {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl std::fmt::Debug for Claims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl SignedAssertion {
    /// An assertion of `issuer`, such as a service account's address, about itself.
    pub fn new(issuer: impl Into<String>, key: SigningKey) -> Self {
        let issuer = issuer.into();
        Self {
            key,
            type_: "JWT",
            subject: issuer.clone(),
            issuer,
            reader: Reader::Issuer,
            lifetime: Duration::from_secs(60),
            claims: Claims(Map::new()),
        }
    }

    /// An assertion of the client `client_id` about itself, to
    /// [say who it is](crate::ClientAuthentication::assertion) (RFC 7523 §3).
    pub fn of_client(client_id: impl Into<String>, key: SigningKey) -> Self {
        // draft-ietf-oauth-rfc7523bis: told apart from what else the key may sign.
        Self { type_: "client-authentication+jwt", ..Self::new(client_id, key) }
    }

    /// Whom the token is to speak for (`sub`), such as a user that the account may act for.
    ///
    /// Default: the issuer itself.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// For whom the assertion is (`aud`), and for nobody else.
    ///
    /// Default: the issuer of the grant that shows it, [`Grant::issuer`](crate::grant::Grant::issuer).
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.reader = Reader::Other(audience.into());
        self
    }

    /// Name the token endpoint's URL as the audience: for servers that accept nothing else.
    ///
    /// Default: the issuer of the grant.
    #[must_use]
    pub fn audience_token_endpoint(mut self) -> Self {
        self.reader = Reader::TokenEndpoint;
        self
    }

    /// How long after it was signed the assertion is good for (`exp`), in whole seconds. Not the life of
    /// the access token.
    ///
    /// Default: 60 s.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// One more claim, such as `scope` where the server reads it from here. None replaces `iss`, `sub`,
    /// `aud`, `iat`, `exp` or `jti`.
    ///
    /// Default: none.
    #[must_use]
    pub fn claim(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        if let Some(mut before) = self.claims.0.insert(name.into(), value.into()) {
            wipe(&mut before);
        }
        self
    }

    pub(crate) fn sign(
        &self,
        audience: &Audience,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, RefreshError> {
        let audience = match &self.reader {
            Reader::Issuer => audience.issuer(),
            Reader::TokenEndpoint => audience.token_endpoint(),
            Reader::Other(audience) => audience,
        };
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut claims = self.claims.clone();
        let mut claim = |name: &str, value: Value| {
            if let Some(mut before) = claims.0.insert(name.into(), value) {
                wipe(&mut before);
            }
        };
        claim("iss", self.issuer.as_str().into());
        claim("sub", self.subject.as_str().into());
        claim("aud", audience.into());
        claim("iat", now.into());
        claim("exp", now.saturating_add(self.lifetime.as_secs()).into());
        // Its one duty is to be another one each time (RFC 7523 §3).
        claim("jti", unique::word().into());

        let mut header = Map::new();
        header.insert("typ".into(), self.type_.into());
        header.insert("alg".into(), self.key.algorithm().name().into());
        if let Some(key_id) = self.key.id() {
            header.insert("kid".into(), key_id.into());
        }
        let (header, claims) = (wiped::json(&header), wiped::json(&claims.0));
        // A buffer that grew would leave a copy behind. The longest signature has 1024 bytes.
        let room = 4 * (header.len() + claims.len() + 1024) / 3 + 8;
        let mut signed = Zeroizing::new(String::with_capacity(room));
        BASE64_URL_SAFE_NO_PAD.encode_string(&*header, &mut signed);
        signed.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(&*claims, &mut signed);
        // The key has signed when it was read.
        let signature = self.key.sign(signed.as_bytes()).ok_or_else(RefreshError::misconfigured)?;
        signed.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut signed);
        Ok(signed)
    }
}

#[cfg(all(test, any(feature = "sign-rust-crypto", feature = "sign-aws-lc")))]
mod tests {
    use super::*;
    use crate::SigningAlgorithm;

    fn key() -> SigningKey {
        let pem = include_str!("../../tests/keys/ed25519.pem");
        SigningKey::from_pem(SigningAlgorithm::EdDsa, pem).unwrap()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn sign(assertion: &SignedAssertion, now: SystemTime) -> [Map<String, Value>; 2] {
        let audience = Audience {
            issuer: "https://as.example".into(),
            token_endpoint: "https://as.example/token".into(),
        };
        let signed = assertion.sign(&audience, now).unwrap();
        let part = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let [header, claims, signature] = signed.split('.').collect::<Vec<_>>().try_into().unwrap();
        // Ed25519 signs the same message with the same signature.
        let message = format!("{header}.{claims}");
        assert_eq!(part(signature), key().sign(message.as_bytes()).unwrap());
        [header, claims].map(|json| serde_json::from_slice(&part(json)).unwrap())
    }

    fn members(json: Value) -> Map<String, Value> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_client_speaks_of_itself_for_a_minute_and_to_the_issuer_alone() {
        let assertion = SignedAssertion::of_client("app", key());
        let [header, mut claims] = sign(&assertion, at(1_000));
        let jti = claims.remove("jti").unwrap();
        assert_eq!(jti.as_str().unwrap().len(), 32);
        let typ = "client-authentication+jwt";
        assert_eq!(header, members(serde_json::json!({"alg": "EdDSA", "typ": typ})));
        let expected = serde_json::json!(
            {"iss": "app", "sub": "app", "aud": "https://as.example", "iat": 1000, "exp": 1060}
        );
        assert_eq!(claims, members(expected));
    }

    #[test]
    fn an_account_may_say_more_but_not_who_it_is() {
        let mut assertion = SignedAssertion::new("robot", key().key_id("2026"))
            .subject("user")
            .audience("https://other.example")
            .lifetime(Duration::from_millis(3_600_900))
            .claim("scope", "read write");
        for name in ["iss", "sub", "aud", "iat", "exp", "jti"] {
            assertion = assertion.claim(name, "canary");
        }
        let [header, mut claims] = sign(&assertion, at(1_000));
        assert_ne!(claims.remove("jti").unwrap(), "canary");
        assert_eq!(
            header,
            members(serde_json::json!({"alg": "EdDSA", "typ": "JWT", "kid": "2026"}))
        );
        let expected = serde_json::json!({
            "iss": "robot", "sub": "user", "aud": "https://other.example",
            "iat": 1000, "exp": 4600, "scope": "read write"
        });
        assert_eq!(claims, members(expected));
        assert!(!format!("{assertion:?}").contains("canary"));
    }

    #[test]
    fn an_older_server_is_named_by_its_token_endpoint() {
        let assertion = SignedAssertion::of_client("app", key()).audience_token_endpoint();
        assert_eq!(sign(&assertion, at(0))[1]["aud"], "https://as.example/token");
    }

    #[test]
    fn no_assertion_is_like_another() {
        let assertion = SignedAssertion::of_client("app", key());
        let ids = (0..1000).map(|_| sign(&assertion, at(5))[1]["jti"].to_string());
        assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 1000);
    }

    #[test]
    fn no_buffer_grows_whatever_the_claims_are() {
        let claim = "\u{0}\"ä".repeat(1000);
        let assertion = SignedAssertion::new("robot", key()).claim("secret", claim.as_str());
        let text = wiped::json(&assertion.claims.0);
        assert_eq!(text.len(), text.capacity());
        let audience = Audience { issuer: "i".into(), token_endpoint: "t".into() };
        let signed = assertion.sign(&audience, at(0)).unwrap();
        assert!(signed.capacity() < signed.len() + 1500, "it grew");
        assert!(signed.len() > claim.len());
    }

    #[test]
    fn claims_are_wiped_within_lists_and_objects() {
        let mut value =
            serde_json::json!({"a": ["canary", {"b": "canary"}], "c": "canary", "d": 1});
        wipe(&mut value);
        assert_eq!(value, serde_json::json!({"a": ["", {"b": ""}], "c": "", "d": 1}));
    }

    #[test]
    fn no_clock_and_no_lifetime_make_it_panic() {
        let assertion = SignedAssertion::new("robot", key()).lifetime(Duration::MAX);
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(sign(&assertion, before)[1]["iat"], 0);
        assert_eq!(sign(&assertion, at(1))[1]["exp"], u64::MAX);
    }
}
