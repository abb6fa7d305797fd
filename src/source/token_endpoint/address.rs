//! Where a token endpoint is.

use std::{error, fmt};

use http::Uri;

use crate::origin::Origin;

/// The address of an endpoint that may be sent secrets.
#[derive(Clone)]
pub(crate) struct Address {
    pub(in crate::source) uri: Uri,
    pub(in crate::source) origin: Origin,
}

impl Address {
    /// `plain`: whether `http` will do.
    pub(in crate::source) fn parse(address: &str, plain: bool) -> Result<Self, InvalidEndpoint> {
        // `Uri` drops a fragment without a word, and RFC 6749 §3.2 forbids one.
        if address.contains('#') {
            return Err(InvalidEndpoint(Flaw::Fragment));
        }
        let uri: Uri = address.parse().map_err(|_| InvalidEndpoint(Flaw::NotAbsolute))?;
        let origin = Origin::of(&uri).ok_or(InvalidEndpoint(Flaw::NotAbsolute))?;
        if !origin.secure && !plain {
            return Err(InvalidEndpoint(Flaw::Insecure));
        }
        Ok(Self { uri, origin })
    }

    /// Another one, by its path alone, so that it is of the same origin.
    #[cfg(feature = "cookies")]
    pub(in crate::source) fn beside(&self, path: &str) -> Result<Self, InvalidEndpoint> {
        if !path.starts_with('/') {
            return Err(InvalidEndpoint(Flaw::NotPath));
        }
        let beside = Self::parse(&format!("{}{path}", self.origin), true)?;
        if beside.origin == self.origin { Ok(beside) } else { Err(InvalidEndpoint(Flaw::NotPath)) }
    }

    /// As those read it who know `url` alone.
    #[cfg(feature = "cookies")]
    pub(in crate::source) fn url(&self) -> Result<url::Url, InvalidEndpoint> {
        url::Url::parse(&self.uri.to_string()).map_err(|_| InvalidEndpoint(Flaw::NotAbsolute))
    }
}

/// A text that is no address of an endpoint to send a refresh token to, or no issuer.
///
/// It says what is wrong, and nothing of the text.
///
/// ```
/// use tower_reauth::RefreshTokenGrant;
///
/// let error = RefreshTokenGrant::new("http://login.example.com/token", "app", ()).unwrap_err();
/// assert!(error.to_string().contains("plain `http`"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint(Flaw);

impl InvalidEndpoint {
    pub(super) fn not_absolute() -> Self {
        Self(Flaw::NotAbsolute)
    }

    /// An issuer with a query.
    pub(super) fn query() -> Self {
        Self(Flaw::Query)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NotAbsolute,
    Fragment,
    Query,
    Insecure,
    #[cfg(feature = "cookies")]
    NotPath,
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::NotAbsolute => {
                "an endpoint is an absolute URI without user information, as in `https://login.example.com/token`"
            }
            Flaw::Fragment => "an endpoint or issuer has no fragment (RFC 6749 section 3.2, RFC 8414 section 2)",
            Flaw::Query => "an issuer has no query (RFC 8414 section 2)",
            #[cfg(feature = "cookies")]
            Flaw::NotPath => "this is named by its path alone, as in `/auth/logout`, since it is of the same origin",
            Flaw::Insecure => {
                "a refresh token over plain `http` can be read on the way; use `new_insecure` or `discover_insecure` if that is meant"
            }
        })
    }
}

impl error::Error for InvalidEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(address: &str) -> Flaw {
        Address::parse(address, false).err().expect(address).0
    }

    #[test]
    fn the_query_of_an_endpoint_is_kept() {
        let address = Address::parse("https://AS.example:443/token?tenant=a%23b", false).unwrap();
        assert_eq!(address.uri.path_and_query().unwrap(), "/token?tenant=a%23b");
        assert_eq!(address.origin.to_string(), "https://as.example");
    }

    #[test]
    fn what_is_no_endpoint_is_a_typed_error() {
        for address in [
            "",
            "/token",
            "login.example.com/token",
            "https://",
            "https:///token",
            "https://login.example.com:99999/token",
            "https://app:secret@login.example.com/token",
            "https://login.example.com/a token",
            "ftp://login.example.com/token",
            "http://",
        ] {
            assert_eq!(flaw(address), Flaw::NotAbsolute, "{address}");
        }
        assert_eq!(flaw("https://login.example.com/token#"), Flaw::Fragment);
        assert_eq!(flaw("https://login.example.com/token#a"), Flaw::Fragment);
        assert_eq!(flaw("http://login.example.com/token"), Flaw::Insecure);
    }

    #[test]
    fn plain_http_must_be_meant() {
        let address = Address::parse("http://127.0.0.1:8080/token", true).unwrap();
        assert_eq!(address.origin.to_string(), "http://127.0.0.1:8080");
        assert!(Address::parse("ftp://127.0.0.1/", true).is_err());
    }
}
