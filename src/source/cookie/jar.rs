//! The cookies of one session, as text that a store keeps and as `cookie_store` keeps them.
//!
//! Between two calls there is only the text: base64url of JSON, fit for a refresh token. What
//! `cookie_store` does not know is decided here: the prefixes of names, `SameSite=None`, and limits.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookieStore, RawCookie};
use http::{
    HeaderMap, HeaderValue,
    header::{DATE, SET_COOKIE},
};
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::{Zeroize, Zeroizing};

use crate::{InvalidToken, RefreshToken};

/// The least that RFC 6265 §6.1 asks of a client, and the most that browsers take.
const LONGEST: usize = 4096;

/// RFC 6265 §6.1: at least 50 for a domain.
const MOST: usize = 64;

/// 9999-12-31T23:59:59Z, beyond which there are no dates.
const LAST: u64 = 253_402_300_799;

#[derive(Clone, Default)]
pub(super) struct Jar(CookieStore);

/// One cookie, as it is written down.
#[derive(Serialize, Deserialize)]
struct Kept {
    name: String,
    value: String,
    domain: String,
    path: String,
    /// Seconds since 1970; without it the cookie lives as long as the session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<u64>,
    /// It came without `Domain`, so it goes to that very host alone.
    #[serde(default, skip_serializing_if = "is_false")]
    host_only: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    secure: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    http_only: bool,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

#[derive(Serialize, Deserialize)]
struct Document {
    cookies: Vec<Kept>,
}

fn is_false(it: &bool) -> bool {
    !it
}

impl Jar {
    /// What [`text`](Self::text) wrote, for requests to the host of `url`. `None`: it was something else.
    pub(super) fn read(text: &str, url: &Url) -> Option<Self> {
        let json = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(text).ok()?);
        let document: Document = serde_json::from_slice(&json).ok()?;
        let mut jar = Self::default();
        for kept in &document.cookies {
            if let Some(cookie) = kept.restore(url) {
                // One of another host is left out.
                let _ = jar.0.insert(cookie, url);
            }
        }
        Some(jar)
    }

    /// All that have not expired, always in the same order.
    pub(super) fn text(&self, now: SystemTime) -> Result<RefreshToken, InvalidToken> {
        let mut cookies: Vec<_> = self.living(now).map(Kept::of).collect();
        cookies.sort_by(|a, b| (&a.domain, &a.path, &a.name).cmp(&(&b.domain, &b.path, &b.name)));
        // A buffer that grew would leave a copy behind. A control character takes six bytes in JSON.
        let room = |it: &Kept| {
            256 + 6 * (it.name.len() + it.value.len() + it.domain.len() + it.path.len())
        };
        let room = 64 + cookies.iter().map(room).sum::<usize>();
        let mut json = Zeroizing::new(Vec::with_capacity(room));
        if serde_json::to_writer(&mut *json, &Document { cookies }).is_err() {
            // Strings and numbers alone; there is nothing in them that JSON cannot hold.
            json.clear();
        }
        RefreshToken::new(&*Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(&*json)))
    }

    /// Take what an answer from `url` sets, and drop what it deletes.
    pub(super) fn receive(&mut self, headers: &HeaderMap, url: &Url, now: SystemTime) {
        self.take(headers, url, now, |_| true);
    }

    /// Take what an answer from `url` sets, and keep what it deletes.
    pub(super) fn receive_living(&mut self, headers: &HeaderMap, url: &Url, now: SystemTime) {
        self.take(headers, url, now, |cookie| lives(cookie, now));
    }

    fn take(
        &mut self,
        headers: &HeaderMap,
        url: &Url,
        now: SystemTime,
        is_taken: impl Fn(&Cookie<'static>) -> bool,
    ) {
        let theirs = headers.get(DATE).and_then(|date| date.to_str().ok());
        let theirs = theirs.and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        for value in headers.get_all(SET_COOKIE) {
            let Some(cookie) = parse(value, url) else { continue };
            let cookie = by_our_clock(cookie, theirs.unwrap_or(now), now);
            if is_taken(&cookie) {
                self.insert(cookie, url);
            }
        }
    }

    /// One that came by another way than a header, for this very host and all of its paths.
    pub(super) fn set(&mut self, name: &str, value: &str, url: &Url) -> bool {
        let secure = if url.scheme() == "https" { "; Secure" } else { "" };
        let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if name.is_empty() || name.contains('=') || !fits(name) || !fits(value) {
            return false;
        }
        let text = Zeroizing::new(format!("{name}={value}; Path=/; HttpOnly{secure}"));
        let header = HeaderValue::from_str(&text).ok();
        header.and_then(|header| parse(&header, url)).is_some_and(|cookie| self.insert(cookie, url))
    }

    fn insert(&mut self, cookie: Cookie<'static>, url: &Url) -> bool {
        let is_new = || {
            self.0.iter_any().all(|it| {
                it.name() != cookie.name() || it.path != cookie.path || it.domain != cookie.domain
            })
        };
        if self.0.iter_any().count() >= MOST && is_new() {
            return false;
        }
        self.0.insert(cookie, url).is_ok()
    }

    /// The `Cookie` header of a request to `url`. `None`: there is none to send.
    pub(super) fn header(&self, url: &Url, now: SystemTime) -> Option<HeaderValue> {
        let cookies = self.matching(url, now);
        let room = cookies.iter().map(|it| it.name().len() + it.value().len() + 3).sum();
        let mut text = Zeroizing::new(String::with_capacity(room));
        for cookie in &cookies {
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(cookie.name());
            text.push('=');
            text.push_str(cookie.value());
        }
        if text.is_empty() {
            return None;
        }
        let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The value that a request to `url` would carry now.
    pub(super) fn value(
        &self,
        name: &str,
        url: &Url,
        now: SystemTime,
    ) -> Option<Zeroizing<String>> {
        let cookies = self.matching(url, now);
        let found = cookies.into_iter().find(|cookie| cookie.name() == name)?;
        Some(Zeroizing::new(found.value().to_owned()))
    }

    /// Whether a request to `url` would carry any but the one of that name.
    pub(super) fn has_beside(&self, name: Option<&str>, url: &Url, now: SystemTime) -> bool {
        self.matching(url, now).iter().any(|cookie| Some(cookie.name()) != name)
    }

    pub(super) fn is_empty(&self, now: SystemTime) -> bool {
        self.living(now).next().is_none()
    }

    /// RFC 6265 §5.4: longer paths come first.
    fn matching(&self, url: &Url, now: SystemTime) -> Vec<&Cookie<'static>> {
        let mut cookies: Vec<_> = self.living(now).filter(|cookie| cookie.matches(url)).collect();
        cookies.sort_by(|a, b| {
            let order = |it: &Cookie<'_>| (usize::MAX - it.path.len(), it.name().to_owned());
            order(a).cmp(&order(b))
        });
        cookies
    }

    fn living(&self, now: SystemTime) -> impl Iterator<Item = &Cookie<'static>> {
        self.0.iter_any().filter(move |cookie| lives(cookie, now))
    }
}

fn lives(cookie: &Cookie<'_>, now: SystemTime) -> bool {
    match cookie.expires {
        CookieExpiration::AtUtc(at) => SystemTime::from(at) > now,
        CookieExpiration::SessionEnd => true,
    }
}

impl Kept {
    fn of(cookie: &Cookie<'static>) -> Self {
        let expires = match cookie.expires {
            CookieExpiration::AtUtc(at) => Some(u64::try_from(at.unix_timestamp()).unwrap_or(0)),
            CookieExpiration::SessionEnd => None,
        };
        Self {
            name: cookie.name().to_owned(),
            value: cookie.value().to_owned(),
            domain: String::from(&cookie.domain),
            path: String::from(&cookie.path),
            expires,
            host_only: matches!(cookie.domain, CookieDomain::HostOnly(_)),
            secure: cookie.secure() == Some(true),
            http_only: cookie.http_only() == Some(true),
        }
    }

    fn restore(&self, url: &Url) -> Option<Cookie<'static>> {
        let raw = RawCookie::build((self.name.clone(), self.value.clone()))
            .path(self.path.clone())
            .secure(self.secure)
            .http_only(self.http_only)
            .build();
        let mut cookie = Cookie::try_from_raw_cookie(&raw, url).ok()?;
        cookie.domain = if self.host_only {
            CookieDomain::HostOnly(self.domain.clone())
        } else {
            CookieDomain::Suffix(self.domain.clone())
        };
        if let Some(seconds) = self.expires {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
            cookie.expires = CookieExpiration::AtUtc(at.into());
        }
        Some(cookie)
    }
}

/// A cookie that may be kept, by what `cookie_store` does not look at (RFC 6265bis §5.7).
fn parse(header: &HeaderValue, url: &Url) -> Option<Cookie<'static>> {
    let text = str::from_utf8(header.as_bytes()).ok()?;
    let cookie = Cookie::parse(text, url).ok()?.into_owned();
    let secure = cookie.secure() == Some(true);
    let name = cookie.name().to_ascii_lowercase();
    let host_only = matches!(cookie.domain, CookieDomain::HostOnly(_));
    let at_root = cookie.path() == Some("/");
    let none = cookie.same_site().is_some_and(|it| it.is_none());
    let allowed = name.len() + cookie.value().len() <= LONGEST
        && (secure || !none)
        && (secure || !name.starts_with("__secure-"))
        && (secure && host_only && at_root || !name.starts_with("__host-"));
    allowed.then_some(cookie)
}

/// `Expires` is by the server's clock, and ours may be wrong. `Max-Age` is counted by ours as it is.
fn by_our_clock(
    mut cookie: Cookie<'static>,
    theirs: SystemTime,
    ours: SystemTime,
) -> Cookie<'static> {
    if let (None, CookieExpiration::AtUtc(at)) = (cookie.max_age(), &cookie.expires) {
        let at = SystemTime::from(*at);
        let last = SystemTime::UNIX_EPOCH + Duration::from_secs(LAST);
        let corrected = match at.duration_since(theirs) {
            Ok(left) => ours.checked_add(left).filter(|at| *at < last).unwrap_or(last),
            Err(_) => SystemTime::UNIX_EPOCH,
        };
        cookie.expires = CookieExpiration::AtUtc(corrected.into());
    }
    cookie
}

#[cfg(test)]
mod tests;
