use std::{error, fmt};

use http::StatusCode;
use serde_json::Value;

use super::{ClassifyBody, suspicion};
use crate::{ResponseHead, Verdict};

/// A [`ClassifyBody`] for JSON errors: the value that a JSON pointer (RFC 6901) points at says what the
/// answer means.
///
/// It reads JSON bodies (`application/json`, and types that end in `+json`) of client errors, 400 to 499;
/// [`also`](Self::also) adds others. Of several pairs any is enough.
///
/// ```
/// use http::Response;
/// use tower_reauth::{ClassifyBody, JsonPointer, ResponseHead, Verdict};
///
/// let invalid = JsonPointer::new("/message", "Invalid JWT")?.or("/error/code", "4011")?;
///
/// let response = Response::builder()
///     .status(403)
///     .header("content-type", "application/json")
///     .body(())?;
/// let head = ResponseHead::new(&response);
/// assert!(invalid.suspects(&head));
/// assert_eq!(invalid.classify(&head, br#"{"message":"Invalid JWT"}"#), Some(Verdict::Challenge));
/// assert_eq!(invalid.classify(&head, br#"{"error":{"code":4011}}"#), Some(Verdict::Challenge));
/// assert_eq!(invalid.classify(&head, br#"{"message":"Not yours"}"#), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The default classifier takes a bare 401 for a challenge. Where a server answers 401 for more than dead
/// tokens, a veto sorts out what no new token would change:
///
/// ```
/// use tower_reauth::{JsonPointer, Verdict};
///
/// let veto = JsonPointer::new("/message", "Invalid API key")?.verdict(Verdict::Answer);
/// # let _ = veto;
/// # Ok::<(), tower_reauth::InvalidPointer>(())
/// ```
#[derive(Clone)]
pub struct JsonPointer {
    expected: Vec<Expected>,
    also: Vec<StatusCode>,
    verdict: Verdict,
}

impl JsonPointer {
    /// A body in which `pointer` points at `value`.
    ///
    /// A string must equal `value`; a number, a boolean or `null` must be written so. The empty pointer
    /// is the whole body.
    ///
    /// # Errors
    ///
    /// [`InvalidPointer`] if `pointer` is not a JSON pointer.
    pub fn new(pointer: &str, value: &str) -> Result<Self, InvalidPointer> {
        let expected = vec![Expected::new(pointer, value)?];
        Ok(Self { expected, also: Vec::new(), verdict: Verdict::Challenge })
    }

    /// Or in which this one does.
    ///
    /// # Errors
    ///
    /// [`InvalidPointer`] if `pointer` is not a JSON pointer.
    pub fn or(mut self, pointer: &str, value: &str) -> Result<Self, InvalidPointer> {
        self.expected.push(Expected::new(pointer, value)?);
        Ok(self)
    }

    /// Read the bodies of this status, too. May be called several times.
    ///
    /// Default: 400 to 499.
    #[must_use]
    pub fn also(mut self, status: StatusCode) -> Self {
        self.also.push(status);
        self
    }

    /// What such a body means.
    ///
    /// Default: [`Verdict::Challenge`].
    #[must_use]
    pub fn verdict(mut self, verdict: Verdict) -> Self {
        self.verdict = verdict;
        self
    }
}

impl ClassifyBody for JsonPointer {
    fn suspects(&self, head: &ResponseHead<'_>) -> bool {
        let status = head.status();
        (status.is_client_error() || self.also.contains(&status)) && suspicion::is_json(head)
    }

    fn classify(&self, _: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict> {
        let body = serde_json::from_slice(body).ok()?;
        let is_met = self.expected.iter().any(|expected| expected.is_in(&body));
        is_met.then(|| self.verdict.clone())
    }
}

/// The value is what a server says.
impl fmt::Debug for JsonPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonPointer").field("verdict", &self.verdict).finish_non_exhaustive()
    }
}

/// A value at a place.
#[derive(Clone)]
pub(super) struct Expected {
    pointer: Box<str>,
    value: Box<str>,
}

impl Expected {
    pub(super) fn new(pointer: &str, value: &str) -> Result<Self, InvalidPointer> {
        // RFC 6901 §3: empty, or tokens that each begin with a slash; `~` is `~0`, a slash `~1`.
        let mut escapes = pointer.split('~').skip(1);
        if !(pointer.is_empty() || pointer.starts_with('/'))
            || !escapes.all(|escaped| escaped.starts_with(['0', '1']))
        {
            return Err(InvalidPointer(()));
        }
        Ok(Self::known(pointer, value))
    }

    /// A pointer that is one.
    pub(super) fn known(pointer: &str, value: &str) -> Self {
        Self { pointer: pointer.into(), value: value.into() }
    }

    pub(super) fn is_in(&self, json: &Value) -> bool {
        match json.pointer(&self.pointer) {
            Some(Value::String(text)) => **text == *self.value,
            Some(other @ (Value::Number(_) | Value::Bool(_) | Value::Null)) => {
                let written = other.to_string();
                *written == *self.value
            }
            _ => false,
        }
    }
}

/// A text that is no JSON pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidPointer(());

impl fmt::Display for InvalidPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "a JSON pointer is empty, or begins with a slash, as in `/error/code`; in it, `~` is written `~0` and a slash in a name `~1`",
        )
    }
}

impl error::Error for InvalidPointer {}

#[cfg(test)]
mod tests {
    use http::Response;

    use super::*;

    fn judge(pointer: &JsonPointer, body: &str) -> Option<Verdict> {
        pointer.classify(&ResponseHead::new(&Response::new(())), body.as_bytes())
    }

    #[test]
    fn a_value_is_found_where_the_pointer_says_and_nowhere_else() {
        let nested = JsonPointer::new("/errors/1/a~1b/~0", "expired").unwrap();
        assert!(judge(&nested, r#"{"errors":[0,{"a/b":{"~":"expired"}}]}"#).is_some());
        for other in [
            r#"{"errors":[{"a/b":{"~":"expired"}}]}"#,
            r#"{"errors":[0,{"a/b":{"~":"Expired"}}]}"#,
            r#"{"errors":[0,{"a/b":{"~":["expired"]}}]}"#,
            r#"{"errors":{"a/b":{"~":"expired"}}}"#,
            r#"{}"#,
            r#""expired""#,
        ] {
            assert_eq!(judge(&nested, other), None, "{other}");
        }
    }

    #[test]
    fn numbers_booleans_and_null_are_compared_as_they_are_written() {
        for (value, body) in [
            ("4011", r#"{"x":4011}"#),
            ("4011", r#"{"x":"4011"}"#),
            ("true", r#"{"x":true}"#),
            ("null", r#"{"x":null}"#),
            ("-1", r#"{"x":-1}"#),
        ] {
            assert!(judge(&JsonPointer::new("/x", value).unwrap(), body).is_some(), "{body}");
        }
        let pointer = JsonPointer::new("/x", "1").unwrap();
        for body in [r#"{"x":true}"#, r#"{"x":[1]}"#, r#"{"x":11}"#, r#"{"x":"1 "}"#, r#"{"y":1}"#]
        {
            assert_eq!(judge(&pointer, body), None, "{body}");
        }
    }

    #[test]
    fn the_empty_pointer_is_the_whole_body() {
        let pointer = JsonPointer::new("", "expired").unwrap();
        assert!(judge(&pointer, r#" "expired" "#).is_some());
    }

    #[test]
    fn any_of_several_pairs_is_enough_and_the_verdict_can_be_set() {
        let pointer = JsonPointer::new("/a", "1").unwrap().or("/b", "2").unwrap();
        let pointer = pointer.verdict(Verdict::Answer);
        assert_eq!(judge(&pointer, r#"{"b":2}"#), Some(Verdict::Answer));
        assert_eq!(judge(&pointer, r#"{"a":1}"#), Some(Verdict::Answer));
        assert_eq!(judge(&pointer, r#"{"a":2,"b":1}"#), None);
    }

    #[test]
    fn only_json_of_a_client_error_is_suspicious_unless_a_status_was_added() {
        let pointer = JsonPointer::new("/x", "1").unwrap();
        let suspects = |pointer: &JsonPointer, status: u16, of: &str| {
            let response = Response::builder().status(status).header("content-type", of);
            pointer.suspects(&ResponseHead::new(&response.body(()).unwrap()))
        };
        assert!(suspects(&pointer, 401, "application/json"));
        assert!(suspects(&pointer, 499, "application/problem+json"));
        assert!(!suspects(&pointer, 401, "text/plain"));
        assert!(!suspects(&pointer, 200, "application/json"));
        assert!(!suspects(&pointer, 500, "application/json"));
        assert!(suspects(&pointer.also(StatusCode::OK), 200, "application/json"));
    }

    #[test]
    fn what_is_no_pointer_is_a_typed_error() {
        for text in ["message", "#/message", "/a~", "/a~2", "/~/b", " /a"] {
            assert!(Expected::new(text, "").is_err(), "{text}");
        }
        for text in ["", "/", "/a", "/a~0~1b", "//", "/0"] {
            assert!(Expected::new(text, "").is_ok(), "{text}");
        }
    }

    #[test]
    fn garbage_says_nothing() {
        let pointer = JsonPointer::new("", "expired").unwrap();
        let deep = "[".repeat(60_000);
        for body in ["", "{", "\"expired", "expired", "\"expired\" x", "\u{feff}\"expired\"", &deep]
        {
            assert_eq!(judge(&pointer, body), None);
        }
        let head = Response::new(());
        assert_eq!(pointer.classify(&ResponseHead::new(&head), b"\"\xff\""), None);
    }
}
