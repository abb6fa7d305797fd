//! Who the issuer is, and where its metadata may be (RFC 8414 §3, OpenID Connect Discovery §4).

use http::Uri;

use super::super::address::{Address, InvalidEndpoint};

/// An issuer identifier: a URI that is compared as it is written, character by character.
#[derive(Clone)]
pub(super) struct Issuer {
    text: String,
    address: Address,
    /// Where to look for its metadata, in this order.
    pub(super) well_known: [Uri; 2],
}

impl Issuer {
    /// `plain`: whether `http` will do.
    pub(super) fn parse(text: &str, plain: bool) -> Result<Self, InvalidEndpoint> {
        // RFC 8414 §2: an issuer has neither.
        if text.contains('?') {
            return Err(InvalidEndpoint::query());
        }
        let address = Address::parse(text, plain)?;
        // RFC 8414 §3.1: a slash at the end is removed first.
        let path = address.uri.path().trim_end_matches('/');
        let at = |path: String| {
            let mut parts = address.uri.clone().into_parts();
            parts.path_and_query = Some(path.try_into().ok()?);
            Uri::from_parts(parts).ok()
        };
        let inserted = at(format!("/.well-known/oauth-authorization-server{path}"));
        let appended = at(format!("{path}/.well-known/openid-configuration"));
        let (Some(inserted), Some(appended)) = (inserted, appended) else {
            return Err(InvalidEndpoint::not_absolute());
        };
        Ok(Self { text: text.to_owned(), address, well_known: [inserted, appended] })
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        self.address.origin.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_well_known_path_is_inserted_before_the_issuers_own_or_appended_to_it() {
        for (issuer, inserted, appended) in [
            (
                "https://as.example",
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration",
            ),
            (
                "https://as.example:8443/",
                "https://as.example:8443/.well-known/oauth-authorization-server",
                "https://as.example:8443/.well-known/openid-configuration",
            ),
            (
                "https://as.example/realms/a",
                "https://as.example/.well-known/oauth-authorization-server/realms/a",
                "https://as.example/realms/a/.well-known/openid-configuration",
            ),
            (
                "https://as.example/a/",
                "https://as.example/.well-known/oauth-authorization-server/a",
                "https://as.example/a/.well-known/openid-configuration",
            ),
        ] {
            let parsed = Issuer::parse(issuer, false).unwrap();
            assert_eq!(parsed.well_known[0], inserted);
            assert_eq!(parsed.well_known[1], appended);
            assert_eq!(parsed.as_str(), issuer);
        }
    }

    #[test]
    fn an_issuer_has_neither_query_nor_fragment_and_is_https() {
        for wrong in [
            "",
            "as.example",
            "http://as.example",
            "https://as.example/?",
            "https://as.example/?tenant=a",
            "https://as.example/#a",
            "https://user@as.example/",
        ] {
            assert!(Issuer::parse(wrong, false).is_err(), "{wrong}");
        }
        assert!(Issuer::parse("http://127.0.0.1:8080/a", true).is_ok());
    }
}
