//! Defence against forged requests, as far as a client has a part in it: a cookie echoed into a header.

use std::{borrow::Cow, error, fmt};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use zeroize::Zeroizing;

/// Which cookie a back end wants back in which header, to see that a request was not forged by another
/// site (the double submit, and what frameworks make of it).
///
/// The header goes with `POST` requests of a [`CookieGrant`](crate::CookieGrant), and with nothing else:
/// neither with the `GET` that fetches the cookie nor with requests of the program. Its value is that of
/// the cookie at that moment, percent-decoded as the scripts of web pages do it.
///
/// ```
/// use http::HeaderName;
/// use tower_reauth::Csrf;
///
/// let django = Csrf::django().path("/accounts/csrf");
/// let other = Csrf::new("csrf", HeaderName::from_static("x-csrf-token")).verbatim();
/// # let _ = (django, other);
/// ```
#[derive(Clone)]
pub struct Csrf {
    pub(super) cookie: Cow<'static, str>,
    pub(super) header: HeaderName,
    pub(super) path: Option<String>,
    verbatim: bool,
}

impl Csrf {
    /// The cookie `cookie`, in the header `header`.
    #[must_use]
    pub fn new(cookie: impl Into<Cow<'static, str>>, header: HeaderName) -> Self {
        Self { cookie: cookie.into(), header, path: None, verbatim: false }
    }

    /// `csrftoken` in `X-CSRFToken`, as Django has it.
    ///
    /// Over https Django looks at `Origin` or `Referer` too: see
    /// [`CookieGrant::page`](crate::CookieGrant::page).
    #[must_use]
    pub fn django() -> Self {
        Self::new("csrftoken", HeaderName::from_static("x-csrftoken"))
    }

    /// `XSRF-TOKEN` in `X-XSRF-TOKEN`: Angular's names, which axios, Spring Security and Laravel share.
    #[must_use]
    pub fn angular() -> Self {
        Self::new("XSRF-TOKEN", HeaderName::from_static("x-xsrf-token"))
    }

    /// The same with the [`path`](Self::path) of Laravel Sanctum, `/sanctum/csrf-cookie`.
    #[must_use]
    pub fn laravel() -> Self {
        Self::angular().path("/sanctum/csrf-cookie")
    }

    /// What a `GET` must ask for to be given the cookie: a path of the refresh endpoint's own origin. It is
    /// asked for where the cookie is missing, and once more where the back end refuses the one there is
    /// (403, or Laravel's 419).
    ///
    /// Default: nothing is asked for.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// The header has the cookie's value as it stands, `%` and all.
    ///
    /// Default: it is percent-decoded.
    #[must_use]
    pub fn verbatim(mut self) -> Self {
        self.verbatim = true;
        self
    }

    /// What the header says for this value of the cookie. What makes no header value once it is decoded
    /// goes as it stands.
    pub(super) fn echo(&self, value: &str) -> Option<HeaderValue> {
        let decoded = percent_encoding::percent_decode_str(value).decode_utf8().ok();
        let decoded = decoded.filter(|_| !self.verbatim).and_then(|text| header(&text));
        decoded.or_else(|| header(value))
    }
}

fn header(text: &str) -> Option<HeaderValue> {
    let text = Bytes::from_owner(Zeroizing::new(text.to_owned()));
    let mut value = HeaderValue::from_maybe_shared(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl fmt::Debug for Csrf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Csrf").field("header", &self.header).finish_non_exhaustive()
    }
}

/// The back end was asked for its CSRF cookie, and set none.
#[derive(Debug)]
pub(super) struct NoCookie;

impl fmt::Display for NoCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the back end set no CSRF cookie of the expected name; check name and path")
    }
}

impl error::Error for NoCookie {}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoed(csrf: &Csrf, value: &str) -> String {
        let value = csrf.echo(value).unwrap();
        assert!(value.is_sensitive());
        value.to_str().unwrap_or("not ASCII").to_owned()
    }

    #[test]
    fn a_value_is_percent_decoded_unless_it_goes_verbatim() {
        let csrf = Csrf::laravel();
        assert_eq!(echoed(&csrf, "eyJpdiI6Ik9%3D%3D"), "eyJpdiI6Ik9==");
        assert_eq!(echoed(&csrf, "a+b%20c"), "a+b c");
        assert_eq!(echoed(&csrf.verbatim(), "eyJpdiI6Ik9%3D"), "eyJpdiI6Ik9%3D");
    }

    #[test]
    fn what_makes_no_header_once_it_is_decoded_goes_as_it_stands() {
        for value in ["a%0d%0ax: y", "a%00", "%ff", "100%", "%zz"] {
            assert_eq!(echoed(&Csrf::django(), value), value);
        }
    }
}
