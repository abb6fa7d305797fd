//! Where a token may go: scheme, host and port (RFC 9110 §4.3.1, RFC 6454).

use std::{error, fmt};

use http::{Uri, uri::Scheme};

/// The origins that an access token may go to.
///
/// The URI of a request decides, its `Host` header never. A URI that names no authority has no origin,
/// unless one was assumed for it.
///
/// ```
/// use tower_reauth::Origins;
///
/// let origins = Origins::new("https://api.example.com")?.and("https://files.example.com:8443")?;
///
/// assert!(origins.contain(&"https://api.example.com/v1/me".parse()?));
/// assert!(!origins.contain(&"http://api.example.com/v1/me".parse()?));
/// assert!(!origins.contain(&"https://api.example.com.evil.test/".parse()?));
/// assert!(!origins.contain(&"/v1/me".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origins {
    named: Vec<Origin>,
    assumed: bool,
}

/// One origin. It prints as RFC 6454 §6.2 writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    /// In lower case, without the port where it is the scheme's own.
    authority: Box<str>,
    host: Box<str>,
    port: u16,
}

impl Origins {
    /// One `https` origin, such as `https://api.example.com` or `https://localhost:8443`.
    ///
    /// # Errors
    ///
    /// [`InvalidOrigin`] if it is not an absolute URI, has a path, a query or user information, or is
    /// plain `http`.
    pub fn new(origin: &str) -> Result<Self, InvalidOrigin> {
        Self::none().and(origin)
    }

    /// One plain `http` origin, such as `http://127.0.0.1:8080`: whoever is on the path can read the token.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); an `https` origin is allowed here too.
    pub fn new_insecure(origin: &str) -> Result<Self, InvalidOrigin> {
        Self::none().and_insecure(origin)
    }

    pub(crate) fn none() -> Self {
        Self { named: Vec::new(), assumed: false }
    }

    /// One more `https` origin.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new).
    pub fn and(self, origin: &str) -> Result<Self, InvalidOrigin> {
        let origin = Origin::parse(origin)?;
        if !origin.secure {
            return Err(InvalidOrigin(Flaw::Insecure));
        }
        Ok(self.with(origin))
    }

    /// One more plain `http` origin: whoever is on the path can read the token.
    ///
    /// # Errors
    ///
    /// As for [`new_insecure`](Self::new_insecure).
    pub fn and_insecure(self, origin: &str) -> Result<Self, InvalidOrigin> {
        Ok(self.with(Origin::parse(origin)?))
    }

    /// Take a URI that names no authority (`/v1/me`) for one of an allowed origin: for clients that
    /// resolve it further down, against a base that is known to be allowed.
    ///
    /// Default: such a URI gets no token.
    #[must_use]
    pub fn assume_relative(mut self) -> Self {
        self.assumed = true;
        self
    }

    /// Whether a token may go to this URI.
    #[must_use]
    #[inline]
    pub fn contain(&self, uri: &Uri) -> bool {
        self.have(uri)
    }

    /// In every request's way, twice.
    #[inline(always)]
    pub(crate) fn have(&self, uri: &Uri) -> bool {
        let Some(authority) = uri.authority() else {
            return self.assumed && uri.scheme().is_none();
        };
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return false,
        };
        // Nearly every URI is spelled as the origin was: one comparison, and no port to parse.
        let spelled = |origin: &Origin| {
            origin.secure == secure
                && *origin.authority.as_bytes() == *authority.as_str().as_bytes()
        };
        self.named.iter().any(spelled) || self.contain_by_parts(secure, uri)
    }

    #[cold]
    fn contain_by_parts(&self, secure: bool, uri: &Uri) -> bool {
        // `host` is without the user information, whatever it holds.
        let host = uri.host().unwrap_or_default();
        let Some(port) = port(uri, secure) else { return false };
        self.named.iter().any(|origin| {
            origin.secure == secure && origin.port == port && origin.host.eq_ignore_ascii_case(host)
        })
    }

    fn with(mut self, origin: Origin) -> Self {
        if !self.named.contains(&origin) {
            self.named.push(origin);
        }
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.named.is_empty()
    }
}

impl Origin {
    fn parse(origin: &str) -> Result<Self, InvalidOrigin> {
        let uri: Uri = origin.parse().map_err(|_| InvalidOrigin(Flaw::NotAbsolute))?;
        let origin = Self::of(&uri).ok_or(InvalidOrigin(Flaw::NotAbsolute))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(InvalidOrigin(Flaw::HasPath));
        }
        Ok(origin)
    }

    /// `None` where the URI is not absolute, names user information or no true port, or is not of HTTP.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return None,
        };
        let authority = uri.authority()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let port = port(uri, secure)?;
        let host = authority.host().to_ascii_lowercase();
        let authority =
            if port == default_port(secure) { host.clone() } else { format!("{host}:{port}") };
        Some(Self { secure, authority: authority.into(), host: host.into(), port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.secure { "https" } else { "http" }, self.authority)
    }
}

/// `None` where the URI names a port that is none.
fn port(uri: &Uri, secure: bool) -> Option<u16> {
    let authority = uri.authority()?;
    let text = authority.as_str();
    let after_user = text.rsplit_once('@').map_or(text, |(_, rest)| rest);
    let after_host = after_user.strip_prefix(authority.host())?;
    match after_host {
        // RFC 3986 §6.2.3: an empty port is the default one.
        "" | ":" => Some(default_port(secure)),
        _ => authority.port_u16(),
    }
}

fn default_port(secure: bool) -> u16 {
    if secure { 443 } else { 80 }
}

/// A text that is no origin to send tokens to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidOrigin(Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NotAbsolute,
    HasPath,
    Insecure,
}

impl fmt::Display for InvalidOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::NotAbsolute => "an origin is a scheme, a host and perhaps a port, as in `https://api.example.com`",
            Flaw::HasPath => "an origin has no path and no query; a token cannot be kept to a part of a host",
            Flaw::Insecure => "a token over plain `http` can be read on the way; name the origin by `insecure_origin` if that is meant",
        })
    }
}

impl error::Error for InvalidOrigin {}

#[cfg(test)]
mod tests {
    use super::*;

    fn api() -> Origins {
        Origins::new("https://API.example.com").unwrap()
    }

    fn contains(origins: &Origins, uri: &str) -> bool {
        origins.contain(&uri.parse().unwrap())
    }

    #[test]
    fn host_case_and_default_port_do_not_matter() {
        for uri in [
            "https://api.example.com",
            "https://api.example.com/",
            "https://api.example.com:443/a?b",
            "https://Api.Example.Com/a",
            "https://api.example.com:/a",
            "https://somebody@api.example.com/a",
        ] {
            assert!(contains(&api(), uri), "{uri}");
        }
    }

    #[test]
    fn another_scheme_host_or_port_is_another_origin() {
        for uri in [
            "http://api.example.com/",
            "http://api.example.com:443/",
            "https://api.example.com:8443/",
            "https://example.com/",
            "https://api.example.com.evil.test/",
            "https://api.example.com@evil.test/",
            "https://api.example.com./",
            "ftp://api.example.com/",
            "api.example.com:443",
            "/v1/me",
            "*",
        ] {
            assert!(!contains(&api(), uri), "{uri}");
        }
    }

    #[test]
    fn an_ipv6_origin_is_told_from_its_port() {
        let origins = Origins::new("https://[::1]:8443").unwrap();
        assert!(contains(&origins, "https://[::1]:8443/a"));
        assert!(!contains(&origins, "https://[::1]/a"));
    }

    #[test]
    fn a_port_is_told_from_a_host_of_digits() {
        let origins = Origins::new("https://8").unwrap();
        assert!(contains(&origins, "https://8:443/a"));
        for uri in ["https://8:18/a", "https://8:8/a", "https://8@8:18/a"] {
            assert!(!contains(&origins, uri), "{uri}");
        }
    }

    #[test]
    fn a_relative_uri_has_an_origin_only_where_one_is_assumed() {
        assert!(contains(&api().assume_relative(), "/v1/me"));
        assert!(!contains(&api().assume_relative(), "evil.test:443"));
    }

    #[test]
    fn what_is_no_origin_is_a_typed_error() {
        for text in [
            "",
            "api.example.com",
            "/v1",
            "https://",
            "https://a b",
            "ftp://api.example.com",
            "https://user:pass@api.example.com",
            "https://api.example.com/v1",
            "https://api.example.com?x",
            "https://api.example.com:99999",
            "http://api.example.com",
        ] {
            assert!(Origins::new(text).is_err(), "{text}");
        }
        assert!(Origins::new_insecure("http://127.0.0.1:8080").is_ok());
    }
}
