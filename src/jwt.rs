//! `exp` and `iat` of a JWT, read without trust: a hint for when to refresh, and nothing else.
//!
//! RFC 9068 §6 tells clients not to look into an access token, so a session does it only if asked to.
//! Whatever cannot be read is unknown, and a token of unknown lifetime is used until it is refused.

use std::time::{Duration, SystemTime};

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::AccessToken;

/// No server takes a header field of this size, so no such token is worth decoding.
const LONGEST_TOKEN: usize = 64 * 1024;

/// The end of the year 9999: what lies beyond is no date.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// When a token says that it expires, and since when it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) expiry: SystemTime,
    pub(crate) issued: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Members {
    exp: Box<RawValue>,
    iat: Option<Box<RawValue>>,
}

/// `None` where the token is no JWT, is encrypted, or does not say when it expires.
pub(crate) fn read(token: &AccessToken) -> Option<Claims> {
    let token = token.expose_secret();
    // RFC 7516 §3.1: an encrypted one has five parts.
    if token.len() > LONGEST_TOKEN || token.matches('.').count() != 2 {
        return None;
    }
    let members: Members = insecure_decode_claims(token).ok()?;
    let expiry = numeric_date(&members.exp)?;
    let issued = members.iat.as_deref().and_then(numeric_date);
    Some(Claims { expiry, issued })
}

/// RFC 7519 §2: seconds since the epoch, perhaps with a fraction. Zero is how some issuers write "never".
fn numeric_date(raw: &RawValue) -> Option<SystemTime> {
    let seconds: f64 = raw.get().parse().ok()?;
    let since_epoch = Duration::try_from_secs_f64(seconds).ok()?;
    if since_epoch.is_zero() || since_epoch > LATEST {
        return None;
    }
    SystemTime::UNIX_EPOCH.checked_add(since_epoch)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn base64url(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let bits = group.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            for digit in 0..=group.len() {
                text.push(ALPHABET[(bits >> (18 - 6 * digit)) as usize & 63].into());
            }
        }
        text
    }

    fn jwt(claims: impl AsRef<[u8]>) -> AccessToken {
        let header = base64url(br#"{"alg":"RS256","typ":"at+jwt"}"#);
        AccessToken::new(format!("{header}.{}.c2ln", base64url(claims.as_ref()))).unwrap()
    }

    fn at(seconds: f64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs_f64(seconds)
    }

    fn token(text: &str) -> AccessToken {
        AccessToken::new(text).unwrap()
    }

    #[test]
    fn a_numeric_date_may_have_a_fraction() {
        for (claims, expiry, issued) in [
            (r#"{"exp":1700003600,"iat":1700000000}"#, 1_700_003_600.0, Some(1_700_000_000.0)),
            (
                r#"{"iat":1700000000.25,"exp":1700003600.5}"#,
                1_700_003_600.5,
                Some(1_700_000_000.25),
            ),
            (r#"{"exp":1.7e9,"sub":"a"}"#, 1_700_000_000.0, None),
            (r#"{"exp":1700003600,"iat":null}"#, 1_700_003_600.0, None),
            (r#"{"exp":1700003600,"iat":"yesterday"}"#, 1_700_003_600.0, None),
            (r#"{"exp":1700003600,"iat":1e400}"#, 1_700_003_600.0, None),
            (r#"{"exp":253402300799}"#, 253_402_300_799.0, None),
        ] {
            let expected = Claims { expiry: at(expiry), issued: issued.map(at) };
            assert_eq!(read(&jwt(claims)), Some(expected), "{claims}");
        }
    }

    #[test]
    fn case_25_an_absurd_expiry_is_unknown() {
        for claims in [
            r#"{"exp":"1700003600"}"#,
            r#"{"exp":-1}"#,
            r#"{"exp":0}"#,
            r#"{"exp":18446744073709551615}"#,
            r#"{"exp":253402300800}"#,
            r#"{"exp":1e400}"#,
            r#"{"exp":-1e400}"#,
            r#"{"exp":null}"#,
            r#"{"exp":true}"#,
            r#"{"exp":[1700003600]}"#,
            r#"{"exp":{}}"#,
            r#"{"exp":NaN}"#,
            r#"{"exp":1700003600,"exp":1700003600}"#,
            r#"{"iat":1700000000}"#,
            r#"{}"#,
            r#"[1700003600]"#,
            r#""exp""#,
            "",
            "exp",
        ] {
            assert_eq!(read(&jwt(claims)), None, "{claims}");
        }
    }

    #[test]
    fn what_is_no_readable_jwt_has_no_claims() {
        let claims = base64url(br#"{"exp":1700003600}"#);
        let long = format!("e30.{claims}.{}", "A".repeat(LONGEST_TOKEN));
        let encrypted = format!("e30.e30.e30.{claims}.e30");
        let unsigned = format!("e30.{claims}");
        for text in ["opaque", ".", "..", "...", "a.b", "a.b.c", &long, &encrypted, &unsigned] {
            assert_eq!(read(&token(text)), None, "{} bytes", text.len());
        }
        assert_eq!(read(&jwt([0xff, 0xfe, b'{'])), None);
        assert!(read(&token(&format!("..{claims}"))).is_none());
        assert!(
            read(&token(&format!(".{claims}."))).is_some(),
            "the signature is nobody's business"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(claims in prop::collection::vec(any::<u8>(), 0..200)) {
            read(&jwt(claims));
        }

        #[test]
        fn no_number_makes_it_panic(number in "-?[0-9]{1,25}(\\.[0-9]{1,25})?([eE][-+]?[0-9]{1,4})?") {
            if let Some(claims) = read(&jwt(format!(r#"{{"exp":{number},"iat":{number}}}"#))) {
                prop_assert!(claims.expiry > SystemTime::UNIX_EPOCH);
                prop_assert_eq!(claims.issued, Some(claims.expiry));
            }
        }

        #[test]
        fn no_token_makes_it_panic(text in "[A-Za-z0-9._~+/-]{1,300}={0,2}") {
            read(&token(&text));
        }
    }
}
