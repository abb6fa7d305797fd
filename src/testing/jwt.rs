//! Access tokens: real JWTs, signed and verified with a random key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto::rust_crypto};
use serde::{Deserialize, Serialize};
use serde_json::Number;

/// Milliseconds of a server's wall clock since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Millis(i64);

impl Millis {
    pub(super) fn of(wall: SystemTime) -> Self {
        Self(match wall.duration_since(UNIX_EPOCH) {
            Ok(since) => millis(since),
            Err(before) => -millis(before.duration()),
        })
    }

    pub(super) fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1000)))
    }

    pub(super) fn after(self, time: Duration) -> Self {
        Self(self.0.saturating_add(millis(time)))
    }

    pub(super) fn before(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(millis(time)))
    }

    /// The time from `earlier` to this moment, or zero.
    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// A `NumericDate` (RFC 7519 §2): seconds, with a fraction where there is one.
    fn numeric_date(self) -> Number {
        if self.0 % 1000 == 0 {
            return Number::from(self.0 / 1000);
        }
        Number::from_f64(self.0 as f64 / 1000.0).unwrap_or_else(|| Number::from(self.0 / 1000))
    }

    pub(super) fn of_numeric_date(seconds: f64) -> Self {
        Self((seconds * 1000.0).round() as i64)
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What an access token is to say.
pub(super) struct Claims<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    pub(super) scope: &'a str,
    pub(super) id: &'a str,
    pub(super) issued: Millis,
    pub(super) expiry: Millis,
}

/// What a token with a good signature says.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) id: String,
    pub(super) expiry: Millis,
}

/// The key of one server.
pub(super) struct Key {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Key {
    pub(super) fn random() -> Self {
        // With both of jsonwebtoken's back ends compiled in, it panics unless one was installed. An
        // error only means that the program has installed one, and that is as good.
        let _ = rust_crypto::DEFAULT_PROVIDER.install_default();
        let secret: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
        Self {
            encoding: EncodingKey::from_secret(&secret),
            decoding: DecodingKey::from_secret(&secret),
        }
    }

    pub(super) fn sign(&self, claims: &Claims<'_>) -> String {
        #[derive(Serialize)]
        struct Payload<'a> {
            iss: &'a str,
            sub: &'a str,
            scope: &'a str,
            jti: &'a str,
            iat: Number,
            exp: Number,
        }
        let payload = Payload {
            iss: claims.issuer,
            sub: claims.subject,
            scope: claims.scope,
            jti: claims.id,
            iat: claims.issued.numeric_date(),
            exp: claims.expiry.numeric_date(),
        };
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &payload, &self.encoding)
            .expect("HS256 takes a secret of any length, and numbers and strings are JSON")
    }

    /// `None` unless this key signed `token` for `issuer`. Its expiry is the caller's to judge:
    /// jsonwebtoken would judge it by the system's clock, in whole seconds.
    pub(super) fn verify(&self, token: &str, issuer: &str) -> Option<Verified> {
        #[derive(Deserialize)]
        struct Payload {
            jti: String,
            exp: f64,
        }
        let mut validation = Validation::new(Algorithm::HS256);
        validation.validate_exp = false;
        validation.set_issuer(&[issuer]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        let payload =
            jsonwebtoken::decode::<Payload>(token, &self.decoding, &validation).ok()?.claims;
        Some(Verified { id: payload.jti, expiry: Millis::of_numeric_date(payload.exp) })
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::dangerous::insecure_decode_claims;
    use serde_json::Value;

    use super::*;

    fn claims(expiry: i64) -> Claims<'static> {
        Claims {
            issuer: "https://auth.example.com",
            subject: "alice",
            scope: "api",
            id: "1",
            issued: Millis(1_893_456_000_000),
            expiry: Millis(expiry),
        }
    }

    #[test]
    fn a_token_is_a_jwt_whose_expiry_is_exact_to_the_millisecond() {
        for expiry in [1_893_456_000_001, 1_893_456_000_999, 1_893_459_600_000] {
            let key = Key::random();
            let token = key.sign(&claims(expiry));
            let verified = key.verify(&token, "https://auth.example.com").unwrap();
            assert_eq!(verified.expiry, Millis(expiry));
        }
    }

    #[test]
    fn whole_seconds_are_told_as_an_integer() {
        let token = Key::random().sign(&claims(1_893_459_600_000));
        let payload: Value = insecure_decode_claims(&token).unwrap();
        assert_eq!(payload["exp"].as_u64(), Some(1_893_459_600));
        assert_eq!(payload["iat"].as_u64(), Some(1_893_456_000));
        assert_eq!(payload["sub"], "alice");
    }

    #[test]
    fn another_key_or_issuer_or_a_changed_token_is_refused() {
        let key = Key::random();
        let token = key.sign(&claims(1_893_459_600_000));
        assert!(Key::random().verify(&token, "https://auth.example.com").is_none());
        assert!(key.verify(&token, "https://auth.example.org").is_none());
        assert!(key.verify(&token[..token.len() - 2], "https://auth.example.com").is_none());
        assert!(key.verify("opaque", "https://auth.example.com").is_none());
    }

    #[test]
    fn times_out_of_range_stay_at_its_ends() {
        let late = Millis::of(UNIX_EPOCH).after(Duration::MAX);
        assert_eq!(late, Millis(i64::MAX));
        assert_eq!(Millis(i64::MIN).before(Duration::MAX), Millis(i64::MIN));
        assert_eq!(Millis(0).since(Millis(5)), Duration::ZERO);
        assert_eq!(Millis::of(UNIX_EPOCH - Duration::from_secs(1)), Millis(-1000));
    }
}
