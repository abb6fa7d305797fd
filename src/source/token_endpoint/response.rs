//! The JSON of a token response (RFC 6749 §5.1 and §5.2), read member by member.

use std::{collections::HashMap, time::Duration};

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Nobody means a longer lifetime than a century.
const LONGEST_LIFETIME: Duration = Duration::from_secs(100 * 366 * 24 * 60 * 60);

/// The members of an object, none of them read yet: one odd member must not lose the tokens beside it.
#[derive(Deserialize)]
#[serde(transparent)]
pub(in crate::source) struct Members<'a>(#[serde(borrow)] HashMap<String, &'a RawValue>);

impl<'a> Members<'a> {
    /// `None` where this is no JSON object.
    pub(in crate::source) fn parse(body: &'a [u8]) -> Option<Self> {
        // RFC 8259 §8.1: a byte order mark may be ignored.
        serde_json::from_slice(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok()
    }

    /// A string that says something; anything else is as good as absent.
    pub(in crate::source) fn text(&self, name: &str) -> Option<Zeroizing<String>> {
        let text: String = serde_json::from_str(self.0.get(name)?.get()).ok()?;
        let text = Zeroizing::new(text);
        (!text.trim().is_empty()).then_some(text)
    }

    /// A list of strings.
    pub(super) fn list(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// An object within.
    pub(in crate::source) fn object(&self, name: &str) -> Option<Self> {
        Self::parse(self.0.get(name)?.get().as_bytes())
    }

    /// `expires_in`. What is no lifetime is unknown.
    pub(super) fn lifetime(&self) -> Option<Duration> {
        self.seconds("expires_in")
    }

    /// So many seconds: some servers write a fraction or a string.
    pub(in crate::source) fn seconds(&self, name: &str) -> Option<Duration> {
        let seconds: f64 = match self.text(name) {
            Some(text) => text.trim().parse().ok()?,
            None => self.0.get(name)?.get().parse().ok()?,
        };
        Duration::try_from_secs_f64(seconds).ok().filter(|lifetime| *lifetime <= LONGEST_LIFETIME)
    }

    /// `scope`: some servers write a list. What RFC 6749 §3.3 does not allow in one is no scope.
    pub(super) fn scope(&self) -> Option<String> {
        let scope = match self.text("scope") {
            Some(text) => text.trim().to_owned(),
            None => serde_json::from_str::<Vec<String>>(self.0.get("scope")?.get()).ok()?.join(" "),
        };
        let allowed = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        (!scope.is_empty() && scope.bytes().all(allowed)).then_some(scope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(json: &str) -> Members<'_> {
        Members::parse(json.as_bytes()).expect(json)
    }

    #[test]
    fn only_an_object_has_members() {
        for body in [
            &b""[..],
            b"null",
            b"[]",
            b"\"error\"",
            b"{",
            b"{\"a\":1",
            b"{\"a\":1}}",
            b"<html></html>",
            b"access_token=a&token_type=bearer",
            b"{\"a\":\"\xff\"}",
        ] {
            assert!(Members::parse(body).is_none(), "{}", String::from_utf8_lossy(body));
        }
        assert!(Members::parse(b"\xef\xbb\xbf {\"a\":[{\"b\":null}]}\n").is_some());
    }

    #[test]
    fn what_is_no_string_is_no_text() {
        let json =
            r#"{"a":"b\/c","n":null,"e":"","w":" ","i":1,"f":false,"o":{"a":"b"},"l":["a"]}"#;
        assert_eq!(members(json).text("a").unwrap().as_str(), "b/c");
        for name in ["n", "e", "w", "i", "f", "o", "l", "absent"] {
            assert!(members(json).text(name).is_none(), "{name}");
        }
    }

    #[test]
    fn an_odd_member_does_not_lose_the_others() {
        for odd in
            [r#""x":1e400"#, r#""x":{"y":[]}"#, r#""access_token":null"#, r#""expires_in":1e400"#]
        {
            let json = format!(r#"{{{odd},"access_token":"a"}}"#);
            assert_eq!(members(&json).text("access_token").unwrap().as_str(), "a", "{odd}");
        }
    }

    #[test]
    fn a_lifetime_is_seconds_however_they_are_written() {
        for (json, seconds) in [
            (r#"{"expires_in":3600}"#, Some(3600.0)),
            (r#"{"expires_in":3600.5}"#, Some(3600.5)),
            (r#"{"expires_in":3.6e3}"#, Some(3600.0)),
            (r#"{"expires_in":"3600"}"#, Some(3600.0)),
            (r#"{"expires_in":" 3600 "}"#, Some(3600.0)),
            (r#"{"expires_in":0}"#, Some(0.0)),
            (r#"{"expires_in":-0.0}"#, Some(0.0)),
            (r#"{"expires_in":3162240000}"#, Some(3_162_240_000.0)),
            (r#"{"expires_in":3162240001}"#, None),
            (r#"{"expires_in":-1}"#, None),
            (r#"{"expires_in":18446744073709551615}"#, None),
            (r#"{"expires_in":1e400}"#, None),
            (r#"{"expires_in":"inf"}"#, None),
            (r#"{"expires_in":"nan"}"#, None),
            (r#"{"expires_in":"an hour"}"#, None),
            (r#"{"expires_in":""}"#, None),
            (r#"{"expires_in":null}"#, None),
            (r#"{"expires_in":true}"#, None),
            (r#"{"expires_in":[3600]}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(members(json).lifetime(), seconds.map(Duration::from_secs_f64), "{json}");
        }
    }

    #[test]
    fn a_scope_is_a_string_or_a_list() {
        for (json, scope) in [
            (r#"{"scope":"a b:c"}"#, Some("a b:c")),
            (r#"{"scope":["a","b"]}"#, Some("a b")),
            (r#"{"scope":""}"#, None),
            (r#"{"scope":[]}"#, None),
            (r#"{"scope":null}"#, None),
            (r#"{"scope":[1]}"#, None),
            (r#"{"scope":"a\nb"}"#, None),
            (r#"{"scope":"a\"b"}"#, None),
            (r#"{}"#, None),
        ] {
            assert_eq!(members(json).scope().as_deref(), scope, "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            Members::parse(&body);
        }

        #[test]
        fn no_member_makes_it_panic(value in "[\"0-9a-zA-Z\\\\{}\\[\\]:,. +-]{0,30}") {
            let json = format!(r#"{{"access_token":{value},"expires_in":{value},"scope":{value}}}"#);
            if let Some(members) = Members::parse(json.as_bytes()) {
                members.text("access_token");
                members.lifetime();
                members.scope();
            }
        }
    }
}
