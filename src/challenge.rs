//! The challenges of a response's `WWW-Authenticate` header lines (RFC 9110 §11.3, §11.6.1).
//!
//! Every scheme is read, and a parameter belongs to the scheme that it follows. What cannot be read is
//! left out; where it may have hidden a scheme, the parameters after it are left out too, up to the next
//! scheme that can be read. Time grows with the length of the lines, and what is kept is bounded.

use std::{fmt, mem};

use http::{HeaderMap, header::WWW_AUTHENTICATE};

#[cfg(test)]
mod tests;

/// Challenges read from one response; the rest is left out.
const MAX_CHALLENGES: usize = 32;

/// Parameters read from one challenge; the rest is left out.
const MAX_PARAMS: usize = 32;

/// One challenge of a `WWW-Authenticate` header: a scheme, and either parameters or a `token68`.
///
/// `Debug` names the scheme, the parameters and the error code as far as a standard defines them, and
/// shows nothing else: the rest is a server's text.
///
/// ```
/// use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
/// use tower_reauth::Challenge;
///
/// let mut headers = HeaderMap::new();
/// headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Negotiate, Basic realm=\"a, b\""));
/// headers.append(
///     WWW_AUTHENTICATE,
///     HeaderValue::from_static("bearer Error=\"insufficient_user_authentication\", acr_values=gold"),
/// );
///
/// let challenges = Challenge::parse_all(&headers);
/// let bearer = challenges.iter().find(|challenge| challenge.is("Bearer")).unwrap();
/// assert_eq!(challenges.len(), 3);
/// assert_eq!(bearer.scheme(), "bearer");
/// assert_eq!(bearer.param("acr_values"), Some("gold"));
/// assert_eq!(bearer.param("realm"), None);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: Box<str>,
    token68: Option<Box<str>>,
    params: Vec<(Box<str>, Box<str>)>,
}

impl Challenge {
    /// Every challenge of every `WWW-Authenticate` line, in the order sent.
    ///
    /// Malformed parts are left out. At most 32 challenges are read, and 32 parameters of each.
    #[must_use]
    pub fn parse_all(headers: &HeaderMap) -> Vec<Self> {
        let mut found = Vec::new();
        for line in headers.get_all(WWW_AUTHENTICATE) {
            parse_line(line.as_bytes(), &mut found);
        }
        found
    }

    /// The scheme, as sent.
    #[must_use]
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Whether this is a challenge of `scheme`, in any case (RFC 9110 §11.1).
    #[must_use]
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// The value of the parameter `name`, in any case (RFC 9110 §11.2), without quotes and escapes.
    ///
    /// A parameter may stand once in a challenge. Of several the first counts: what follows a text that
    /// its server failed to escape cannot change what was said before it. Bytes that are not UTF-8 read
    /// as U+FFFD.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        params.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &**value)
    }

    /// The `token68` that stands in the place of parameters, as in `Negotiate` (RFC 9110 §11.2).
    #[must_use]
    pub fn token68(&self) -> Option<&str> {
        self.token68.as_deref()
    }

    fn new(scheme: Box<str>) -> Self {
        Self { scheme, token68: None, params: Vec::new() }
    }

    fn add(&mut self, name: Box<str>, value: Box<str>) {
        if self.params.len() < MAX_PARAMS && self.param(&name).is_none() {
            self.params.push((name, value));
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SCHEMES: &[&str] =
            &["Bearer", "DPoP", "Basic", "Digest", "Negotiate", "NTLM", "OAuth"];
        const PARAMS: &[&str] = &[
            "realm",
            "scope",
            "error",
            "error_description",
            "error_uri",
            "acr_values",
            "max_age",
            "claims",
            "algs",
            "resource_metadata",
        ];
        const ERRORS: &[&str] = &[
            "invalid_request",
            "invalid_token",
            "insufficient_scope",
            "insufficient_user_authentication",
            "insufficient_claims",
            "use_dpop_nonce",
            "invalid_dpop_proof",
        ];
        // A scheme or a name can hold a token as well as a value can, so only our own words are printed.
        let known = |words: &[&'static str], text: &str| {
            let mut words = words.iter();
            *words.find(|word| word.eq_ignore_ascii_case(text)).unwrap_or(&"[other]")
        };
        let params: Vec<_> = self.params.iter().map(|(name, _)| known(PARAMS, name)).collect();
        f.debug_struct("Challenge")
            .field("scheme", &known(SCHEMES, &self.scheme))
            .field("params", &params)
            .field("error", &self.param("error").map(|error| known(ERRORS, error)))
            .finish_non_exhaustive()
    }
}

/// Read one line. A line is a list of whole challenges, so no parameter reaches across lines, and a
/// quoted-string that does not end takes no other line with it.
fn parse_line(line: &[u8], found: &mut Vec<Challenge>) {
    let mut members = Members { rest: line, after_scheme: false };
    // Whether a parameter that comes now is the last challenge's.
    let mut attached = false;
    while let Some(member) = members.next() {
        match member {
            Member::Scheme(_) if found.len() == MAX_CHALLENGES => return,
            Member::Scheme(scheme) => {
                found.push(Challenge::new(scheme));
                attached = true;
            }
            Member::Token68(text) => {
                if let Some(owner) = found.last_mut() {
                    owner.token68 = Some(text);
                }
                attached = false;
            }
            Member::Param(name, value) => {
                if attached && let Some(owner) = found.last_mut() {
                    owner.add(name, value);
                }
            }
            Member::Ignored => {}
            Member::Unreadable => attached = false,
        }
    }
}

/// What stands between two commas, apart from a scheme and its first parameter, which share a place.
enum Member {
    Scheme(Box<str>),
    /// Comes right after its scheme only.
    Token68(Box<str>),
    Param(Box<str>, Box<str>),
    /// A parameter with a value that cannot be read, and surely nothing more.
    Ignored,
    /// This may have hidden a scheme, or the end of a quoted-string.
    Unreadable,
}

struct Members<'a> {
    rest: &'a [u8],
    after_scheme: bool,
}

impl<'a> Members<'a> {
    fn next(&mut self) -> Option<Member> {
        let after_scheme = mem::take(&mut self.after_scheme);
        // RFC 9110 §5.6.1.2: empty list members are allowed, and count for nothing.
        self.take_while(|byte| is_space(byte) || byte == b',');
        if self.rest.is_empty() {
            return None;
        }
        if after_scheme && let Some(text) = self.token68() {
            return Some(Member::Token68(text));
        }
        let name = text(self.take_while(is_token));
        let spaced = !self.take_while(is_space).is_empty();
        Some(match self.rest.first() {
            _ if name.is_empty() => self.unreadable(),
            Some(b'=') => self.value(name),
            // Two words and no comma: the second is neither a parameter nor another scheme.
            _ if after_scheme => self.unreadable(),
            None | Some(b',') => Member::Scheme(name),
            Some(_) if spaced => {
                self.after_scheme = true;
                Member::Scheme(name)
            }
            Some(_) => self.unreadable(),
        })
    }

    /// What follows the name of a parameter (RFC 9110 §11.2).
    fn value(&mut self, name: Box<str>) -> Member {
        self.rest = &self.rest[1..]; // the `=` that the caller saw
        self.take_while(is_space);
        if self.rest.first() == Some(&b'"') {
            let Some(value) = self.quoted() else {
                self.rest = &[];
                return Member::Unreadable;
            };
            self.take_while(is_space);
            return if self.at_end() { Member::Param(name, value) } else { self.unreadable() };
        }
        let value = text(self.take_while(is_token));
        self.take_while(is_space);
        if self.at_end() && !value.is_empty() {
            return Member::Param(name, value);
        }
        // No value, or plain words that should have been quoted, are common and harmless. A quote or
        // another `=` among the words means that a comma is missing somewhere.
        let words = self.take_while(|byte| byte != b',');
        if words.iter().any(|byte| matches!(byte, b'"' | b'=')) {
            return Member::Unreadable;
        }
        Member::Ignored
    }

    /// A quoted-string (RFC 9110 §5.6.4) without quotes and escapes; `None` if it does not end.
    fn quoted(&mut self) -> Option<Box<str>> {
        let mut inside = self.rest.iter();
        inside.next();
        let mut value = Vec::new();
        loop {
            match inside.next()? {
                b'"' => break,
                b'\\' => value.push(*inside.next()?),
                byte => value.push(*byte),
            }
        }
        self.rest = inside.as_slice();
        Some(text(&value))
    }

    /// A `token68` (RFC 9110 §11.2), which is one only if the member ends with it. The scheme before it
    /// was read because neither a comma nor `=` nor the end comes now, so it is not empty.
    fn token68(&mut self) -> Option<Box<str>> {
        let start = self.rest;
        let body = self.take_while(is_token68).len();
        let padding = self.take_while(|byte| byte == b'=').len();
        self.take_while(is_space);
        if self.at_end() {
            return Some(text(&start[..body + padding]));
        }
        self.rest = start;
        None
    }

    /// Skip to the next comma, within quotes or not: it is unknown which quote would open and which close.
    fn unreadable(&mut self) -> Member {
        self.take_while(|byte| byte != b',');
        Member::Unreadable
    }

    fn at_end(&self) -> bool {
        matches!(self.rest.first(), None | Some(b','))
    }

    fn take_while(&mut self, fits: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|byte| !fits(*byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

fn text(bytes: &[u8]) -> Box<str> {
    String::from_utf8_lossy(bytes).into()
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_token68(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)
}
