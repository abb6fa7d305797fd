//! A private key as a JWK (RFC 7517; RFC 7518 §6; RFC 8037 §2).

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{
    SigningAlgorithm, der,
    key::{Flaw, InvalidKey},
};

/// The members that matter. Each is zeroized, the public ones too.
#[derive(Deserialize)]
struct Members {
    kty: String,
    alg: Option<String>,
    crv: Option<String>,
    kid: Option<String>,
    n: Option<Number>,
    e: Option<Number>,
    d: Option<Number>,
    p: Option<Number>,
    q: Option<Number>,
    dp: Option<Number>,
    dq: Option<Number>,
    qi: Option<Number>,
    x: Option<Number>,
    y: Option<Number>,
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Number(Zeroizing<Vec<u8>>);

impl TryFrom<String> for Number {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let text = Zeroizing::new(text);
        let number = BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('='));
        Ok(Self(number.map(Zeroizing::new).map_err(|_| "no base64url")?))
    }
}

/// The key, and its `kid`.
pub(super) fn read(
    algorithm: SigningAlgorithm,
    jwk: &str,
) -> Result<(EncodingKey, Option<String>), InvalidKey> {
    let unreadable = InvalidKey(Flaw::NotJwk);
    let members: Members = serde_json::from_str(jwk).map_err(|_| unreadable)?;
    let bytes = |number: &'_ Option<Number>| match number {
        Some(Number(bytes)) => Ok(bytes.clone()),
        None => Err(unreadable),
    };
    let fixed = |number: &'_ Option<Number>| {
        bytes(number).and_then(|bytes| if bytes.len() == 32 { Ok(bytes) } else { Err(unreadable) })
    };
    if members.alg.as_deref().is_some_and(|alg| alg != algorithm.name()) {
        return Err(InvalidKey(Flaw::OtherAlgorithm));
    }
    let key = match (algorithm, members.kty.as_str(), members.crv.as_deref()) {
        (SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256, "RSA", _) => {
            let Members { n, e, d, p, q, dp, dq, qi, .. } = &members;
            let [n, e, d, p] = [bytes(n)?, bytes(e)?, bytes(d)?, bytes(p)?];
            let [q, dp, dq, qi] = [bytes(q)?, bytes(dp)?, bytes(dq)?, bytes(qi)?];
            EncodingKey::from_rsa_der(&der::rsa([&n, &e, &d, &p, &q, &dp, &dq, &qi]))
        }
        (SigningAlgorithm::Es256, "EC", Some("P-256")) => {
            let (d, x, y) = (fixed(&members.d)?, fixed(&members.x)?, fixed(&members.y)?);
            EncodingKey::from_ec_der(&der::p256(&d, &x, &y))
        }
        (SigningAlgorithm::EdDsa, "OKP", Some("Ed25519")) => {
            EncodingKey::from_ed_der(&der::ed25519(&fixed(&members.d)?))
        }
        _ => return Err(InvalidKey(Flaw::OtherAlgorithm)),
    };
    Ok((key, members.kid))
}
