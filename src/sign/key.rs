//! A private key, and the algorithm that it signs with.

use std::{error, fmt, sync::Arc};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto::CryptoProvider, jwk::EllipticCurve};
use serde_json::{Map, Value};

use super::{back_end, der, jwk};

/// How an assertion is signed (RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSA, PKCS #1 v1.5, with SHA-256. Every server knows it.
    Rs256,
    /// RSA, PSS, with SHA-256.
    Ps256,
    /// ECDSA on the curve P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Its name in the `alg` member of a header or a key.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    fn known(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Ps256 => Algorithm::PS256,
            Self::Es256 => Algorithm::ES256,
            Self::EdDsa => Algorithm::EdDSA,
        }
    }
}

/// A private key that signs assertions.
///
/// Cheap to clone. `Debug` does not show the key, and what this crate holds of it is zeroized when the
/// last clone is dropped.
///
/// ```
/// use tower_reauth::{SigningAlgorithm, SigningKey};
///
/// let jwk = r#"{"kty":"OKP","crv":"Ed25519","kid":"2026",
///     "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
///     "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#; // RFC 8037, appendix A.1
/// let key = SigningKey::from_jwk(SigningAlgorithm::EdDsa, jwk)?;
/// assert!(key.public_jwk().contains("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"));
/// # Ok::<(), tower_reauth::InvalidKey>(())
/// ```
#[derive(Clone)]
pub struct SigningKey {
    inner: Arc<Inner>,
    key_id: Option<String>,
}

struct Inner {
    provider: &'static CryptoProvider,
    key: EncodingKey,
    algorithm: SigningAlgorithm,
    /// The members of the public JWK.
    public: Vec<(&'static str, String)>,
}

impl SigningKey {
    /// A key in PEM, not encrypted: PKCS #8 (`BEGIN PRIVATE KEY`), for RSA also PKCS #1
    /// (`BEGIN RSA PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// [`InvalidKey`] if it cannot be read, does not fit the algorithm, or is an RSA key of fewer than
    /// 2048 bits (RFC 7518 §3.3), and if no crypto back end is compiled in.
    pub fn from_pem(
        algorithm: SigningAlgorithm,
        pem: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidKey> {
        let pem = pem.as_ref();
        type Read = fn(&[u8]) -> jsonwebtoken::errors::Result<EncodingKey>;
        const RSA: Read = EncodingKey::from_rsa_pem;
        const EC: Read = EncodingKey::from_ec_pem;
        const ED: Read = EncodingKey::from_ed_pem;
        let (read, others) = match algorithm {
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => (RSA, [EC, ED]),
            SigningAlgorithm::Es256 => (EC, [RSA, ED]),
            SigningAlgorithm::EdDsa => (ED, [RSA, EC]),
        };
        let key = read(pem).map_err(|_| {
            let other = others.iter().any(|read| read(pem).is_ok());
            InvalidKey(if other { Flaw::OtherAlgorithm } else { Flaw::NotPem })
        })?;
        Self::checked(algorithm, key, None)
    }

    /// A private key as a JWK (RFC 7517), with all the members of its kind; its `kid` becomes the
    /// [key id](Self::key_id).
    ///
    /// # Errors
    ///
    /// As for [`from_pem`](Self::from_pem); also if the key is for another `alg`.
    pub fn from_jwk(algorithm: SigningAlgorithm, jwk: &str) -> Result<Self, InvalidKey> {
        let (key, key_id) = jwk::read(algorithm, jwk)?;
        Self::checked(algorithm, key, key_id)
    }

    /// By which name the server knows the public key: the `kid` of what is signed (RFC 7515 §4.1.4).
    ///
    /// Default: the `kid` of a JWK, none from PEM.
    #[must_use]
    pub fn key_id(mut self, key_id: impl Into<String>) -> Self {
        self.key_id = Some(key_id.into());
        self
    }

    /// The public key as a JWK (RFC 7517), to register at the server.
    #[must_use]
    pub fn public_jwk(&self) -> String {
        let mut members = Map::new();
        for (name, value) in &self.inner.public {
            members.insert((*name).into(), Value::from(value.as_str()));
        }
        members.insert("use".into(), "sig".into());
        members.insert("alg".into(), self.algorithm().name().into());
        if let Some(key_id) = &self.key_id {
            members.insert("kid".into(), key_id.as_str().into());
        }
        Value::Object(members).to_string()
    }

    /// A key that has signed once is one that can sign.
    fn checked(
        algorithm: SigningAlgorithm,
        key: EncodingKey,
        key_id: Option<String>,
    ) -> Result<Self, InvalidKey> {
        let provider = back_end::provider().ok_or(InvalidKey(Flaw::NoBackEnd))?;
        // Before anything else is done with it: the back ends may panic at a key that is too short.
        if matches!(algorithm, SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256) {
            let bits = der::modulus_bits(key.as_bytes()).ok_or(InvalidKey(Flaw::OtherAlgorithm))?;
            if bits < 2048 {
                return Err(InvalidKey(Flaw::TooShort));
            }
        }
        let public = public(provider, algorithm, &key).ok_or(InvalidKey(Flaw::OtherAlgorithm))?;
        let key = Self { inner: Arc::new(Inner { provider, key, algorithm, public }), key_id };
        key.sign(b"tower-reauth").ok_or(InvalidKey(Flaw::OtherAlgorithm))?;
        Ok(key)
    }

    pub(super) fn algorithm(&self) -> SigningAlgorithm {
        self.inner.algorithm
    }

    pub(super) fn id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let Inner { provider, key, algorithm, .. } = &*self.inner;
        let signer = (provider.signer_factory)(&algorithm.known(), key).ok()?;
        signer.try_sign(message).ok()
    }
}

fn public(
    provider: &CryptoProvider,
    algorithm: SigningAlgorithm,
    key: &EncodingKey,
) -> Option<Vec<(&'static str, String)>> {
    let text = |bytes: Vec<u8>| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let (of, key) = (&provider.key_utils, key.as_bytes());
    Some(match algorithm {
        SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => {
            let (n, e) = (of.rsa_pub_components_from_private_key)(key).ok()?;
            vec![("kty", "RSA".into()), ("n", text(n)), ("e", text(e))]
        }
        SigningAlgorithm::Es256 => {
            let (_, x, y) = (of.ec_pub_components_from_private_key)(key, Algorithm::ES256).ok()?;
            vec![("kty", "EC".into()), ("crv", "P-256".into()), ("x", text(x)), ("y", text(y))]
        }
        SigningAlgorithm::EdDsa => {
            let curve = EllipticCurve::Ed25519;
            let x = (of.ed_pub_components_from_private_key)(key, &curve).ok()?;
            vec![("kty", "OKP".into()), ("crv", "Ed25519".into()), ("x", text(x))]
        }
    })
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// A text that is no key to sign with.
///
/// It says what is wrong, and nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidKey(pub(super) Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NotPem,
    NotJwk,
    OtherAlgorithm,
    TooShort,
    NoBackEnd,
}

impl fmt::Display for InvalidKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::NotPem => {
                "this is no private key in PEM; convert it to PKCS #8 without a password (`openssl pkcs8 -topk8 -nocrypt`)"
            }
            Flaw::NotJwk => "this is no private key as a JWK with all its members (RFC 7518 section 6)",
            Flaw::OtherAlgorithm => "the key does not fit the algorithm",
            Flaw::TooShort => "an RSA key has at least 2048 bits (RFC 7518 section 3.3)",
            Flaw::NoBackEnd => {
                "nothing to sign with is compiled in; turn on feature `sign-rust-crypto` or `sign-aws-lc`"
            }
        })
    }
}

impl error::Error for InvalidKey {}

#[cfg(all(test, any(feature = "sign-rust-crypto", feature = "sign-aws-lc")))]
mod tests;

#[cfg(all(test, not(any(feature = "sign-rust-crypto", feature = "sign-aws-lc"))))]
mod tests {
    use super::*;

    #[test]
    fn without_a_back_end_a_key_is_a_typed_error() {
        let pem = include_str!("../../tests/keys/ed25519.pem");
        let error = SigningKey::from_pem(SigningAlgorithm::EdDsa, pem).unwrap_err();
        assert_eq!(error.0, Flaw::NoBackEnd);
        assert!(error.to_string().contains("sign-rust-crypto"));
    }
}
