//! A relative URI behind a base, and what may not stand there.

use std::{error, fmt};

use http::{
    Uri,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use super::{BaseFlaw, InvalidBaseUrl};
use crate::origin::Origin;

/// A place to stay beneath.
#[derive(Clone)]
pub(super) struct Base {
    scheme: Scheme,
    authority: Authority,
    /// Empty, or with a slash before and none behind.
    path: Box<str>,
}

impl Base {
    pub(super) fn parse(text: &str) -> Result<Self, InvalidBaseUrl> {
        // `http::Uri` would drop a fragment without a word.
        if text.contains(['?', '#']) {
            return Err(InvalidBaseUrl(BaseFlaw::Beyond));
        }
        let not_absolute = InvalidBaseUrl(BaseFlaw::NotAbsolute);
        let uri: Uri = text.parse().map_err(|_| not_absolute)?;
        Origin::of(&uri).ok_or(not_absolute)?;
        let path = uri.path().strip_suffix('/').unwrap_or(uri.path()).into();
        if flaw(uri.path()).is_some() {
            return Err(InvalidBaseUrl(BaseFlaw::Path));
        }
        let Parts { scheme, authority, .. } = uri.into_parts();
        Ok(Self {
            scheme: scheme.ok_or(not_absolute)?,
            authority: authority.ok_or(not_absolute)?,
            path,
        })
    }

    /// The absolute URI of one that has no scheme.
    pub(super) fn join(&self, relative: &Uri) -> Result<Uri, UnresolvedUri> {
        if relative.authority().is_some() {
            return Err(UnresolvedUri(Flaw::Authority));
        }
        let path = relative.path();
        if path == "*" {
            return Err(UnresolvedUri(Flaw::Asterisk));
        }
        if let Some(flaw) = flaw(path) {
            return Err(UnresolvedUri(flaw));
        }
        let too_long = UnresolvedUri(Flaw::TooLong);
        let mut parts = Parts::default();
        parts.path_and_query = Some(self.beneath(path, relative).map_err(|_| too_long)?);
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        Uri::from_parts(parts).map_err(|_| too_long)
    }

    fn beneath(&self, path: &str, relative: &Uri) -> Result<PathAndQuery, http::uri::InvalidUri> {
        if let Some(whole) = relative.path_and_query().filter(|_| path.starts_with('/'))
            && self.path.is_empty()
        {
            return Ok(whole.clone());
        }
        let query = relative.query();
        let mut joined =
            String::with_capacity(self.path.len() + path.len() + query.map_or(0, str::len) + 2);
        joined.push_str(&self.path);
        if !path.starts_with('/') {
            joined.push('/');
        }
        joined.push_str(path);
        if let Some(query) = query {
            joined.push('?');
            joined.push_str(query);
        }
        PathAndQuery::from_maybe_shared(joined.into_bytes())
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}/", self.scheme, self.authority, self.path)
    }
}

/// What in a path could lead away from where it stands.
fn flaw(path: &str) -> Option<Flaw> {
    if path.contains('\\') {
        Some(Flaw::Backslash)
    } else if path.starts_with("//") {
        Some(Flaw::Network)
    } else if climbs(path.as_bytes()) {
        Some(Flaw::Climbs)
    } else {
        None
    }
}

/// Whether a segment is `..`, in whatever way some server on the way may read it: with its dots or its
/// slashes encoded, with a backslash for a slash, or with parameters behind (`..;a`).
fn climbs(path: &[u8]) -> bool {
    // How many dots the segment has, while it has nothing else.
    let mut dots = Some(0_usize);
    let mut rest = path;
    while let Some((byte, behind)) = decoded(rest) {
        rest = behind;
        if matches!(byte, b'/' | b'\\' | b';') && dots == Some(2) {
            return true;
        }
        dots = match (byte, dots) {
            (b'/' | b'\\', _) => Some(0),
            (b'.', Some(dots)) => Some(dots + 1),
            _ => None,
        };
    }
    dots == Some(2)
}

/// The next byte, decoded once, and what is behind it.
fn decoded(path: &[u8]) -> Option<(u8, &[u8])> {
    if let [b'%', high, low, behind @ ..] = path
        && let Some(high) = char::from(*high).to_digit(16)
        && let Some(low) = char::from(*low).to_digit(16)
        && let Ok(byte) = u8::try_from(high * 16 + low)
    {
        return Some((byte, behind));
    }
    path.split_first().map(|(byte, behind)| (*byte, behind))
}

/// A request's URI that cannot be resolved against the base: nothing was sent.
///
/// ```
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
/// use tower_reauth::{BaseUrlLayer, UnresolvedUri};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
/// # let client = service_fn(async |_: Request<()>| Ok::<_, std::io::Error>(Response::new(())));
/// let client = BaseUrlLayer::new("https://api.example.com/v2/")?.layer(client);
/// let error = client.oneshot(Request::get("/../v1/keys").body(())?).await.unwrap_err();
/// assert!(error.is::<UnresolvedUri>());
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnresolvedUri(Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Authority,
    Network,
    Climbs,
    Backslash,
    Asterisk,
    TooLong,
}

impl fmt::Display for UnresolvedUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::Authority => {
                "a relative request begins with a slash, as in `/orders`; a bare word names a host"
            }
            Flaw::Network => "a relative request that begins with two slashes names another host",
            Flaw::Climbs => "a relative request has no `..`, which could lead out of the base URL",
            Flaw::Backslash => {
                "the path of a relative request has no backslash; encode it as `%5C`"
            }
            Flaw::Asterisk => {
                "`*` is about a server, and not about what is beneath a base URL; send it with an absolute URI"
            }
            Flaw::TooLong => "the base URL and the relative request are too long together",
        })
    }
}

impl error::Error for UnresolvedUri {}

#[cfg(test)]
mod tests;
