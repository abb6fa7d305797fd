//! The metadata document of an authorization server (RFC 8414 §2), as far as it matters here.

use std::{error, fmt};

use super::super::{
    address::{Address, InvalidEndpoint},
    response::Members,
};

/// Where one authorization server is asked.
pub(crate) struct Endpoints {
    pub(in super::super) token: Address,
    /// What is there and cannot be used is an error for who needs it, and for nobody else.
    pub(in super::super) revocation: Option<Result<Address, InvalidEndpoint>>,
    pub(in super::super) device: Option<Result<Address, InvalidEndpoint>>,
    /// How clients may say who they are; empty if that is not known.
    pub(in super::super) methods: Vec<String>,
}

impl Endpoints {
    /// Whether the metadata lists none of these ways to say who the client is.
    pub(in super::super) fn lists_none(&self, methods: &[&str]) -> bool {
        let listed = |method: &&str| self.methods.iter().any(|listed| listed == method);
        !self.methods.is_empty() && !methods.iter().any(listed)
    }
}

/// The endpoints of a metadata document. `mtls`: whether the client has a certificate to show, for
/// which a server may have endpoints apart.
pub(super) fn read(
    body: &[u8],
    issuer: &str,
    plain: bool,
    mtls: bool,
) -> Result<Endpoints, MetadataError> {
    let members = Members::parse(body).ok_or(MetadataError::NoDocument)?;
    // RFC 8414 §3.3: nothing in the document of another issuer may be used.
    if members.text("issuer").is_none_or(|named| *named != issuer) {
        return Err(MetadataError::OtherIssuer);
    }
    let aliases = members.object("mtls_endpoint_aliases").filter(|_| mtls);
    let endpoint = |name| {
        // RFC 8705 §5: an alias is preferred where there is one.
        let alias = aliases.as_ref().and_then(|aliases| aliases.text(name));
        let text = alias.or_else(|| members.text(name))?;
        Some(Address::parse(&text, plain))
    };
    let token = endpoint("token_endpoint").ok_or(MetadataError::NoTokenEndpoint)?;
    Ok(Endpoints {
        token: token.map_err(MetadataError::TokenEndpoint)?,
        revocation: endpoint("revocation_endpoint"),
        device: endpoint("device_authorization_endpoint"),
        // RFC 8414 §2: what is meant where nothing is said.
        methods: members
            .list("token_endpoint_auth_methods_supported")
            .unwrap_or_else(|| vec!["client_secret_basic".to_owned()]),
    })
}

/// What may be wrong where a server refuses the client. Lists are often incomplete, so it is no more
/// than a hint.
#[derive(Debug)]
pub(in super::super) struct NotListed;

impl fmt::Display for NotListed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the issuer's metadata does not list how this client says who it is")
    }
}

impl error::Error for NotListed {}

/// Why there is no metadata to use; a later one tells more than an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataError {
    NotFound,
    NoDocument,
    OtherIssuer,
    NoTokenEndpoint,
    TokenEndpoint(InvalidEndpoint),
}

impl MetadataError {
    pub(super) fn or(self, other: Self) -> Self {
        if other.telling() > self.telling() { other } else { self }
    }

    fn telling(self) -> u8 {
        match self {
            Self::NotFound => 0,
            Self::NoDocument => 1,
            Self::OtherIssuer => 2,
            Self::NoTokenEndpoint => 3,
            Self::TokenEndpoint(_) => 4,
        }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the issuer has no metadata at its well-known addresses",
            Self::NoDocument => "the issuer's metadata is no JSON object",
            Self::OtherIssuer => {
                "the metadata is of another issuer than the configured one; every character counts, a slash at the end too"
            }
            Self::NoTokenEndpoint => "the issuer's metadata names no token endpoint",
            Self::TokenEndpoint(_) => "the token endpoint in the issuer's metadata cannot be used",
        })
    }
}

impl error::Error for MetadataError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::TokenEndpoint(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://as.example/a";

    fn tokens(json: &str, mtls: bool) -> Result<String, MetadataError> {
        let endpoints = read(json.as_bytes(), ISSUER, false, mtls)?;
        Ok(endpoints.token.uri.to_string())
    }

    #[test]
    fn a_document_of_another_issuer_is_not_used() {
        for other in [
            r#""https://as.example/a/""#,
            r#""https://as.example/A""#,
            r#""https://AS.example/a""#,
            r#""https://as.example:443/a""#,
            r#"" https://as.example/a""#,
            r#""https://evil.example/a""#,
            r#"["https://as.example/a"]"#,
            "null",
            r#""""#,
        ] {
            let json = format!(r#"{{"issuer":{other},"token_endpoint":"https://as.example/t"}}"#);
            assert_eq!(tokens(&json, false), Err(MetadataError::OtherIssuer), "{other}");
        }
        let json = r#"{"token_endpoint":"https://as.example/t"}"#;
        assert_eq!(tokens(json, false), Err(MetadataError::OtherIssuer));
        let json =
            r#"{"issuer":"https://as.example/a","token_endpoint":"https://tokens.example/t?a=b"}"#;
        assert_eq!(tokens(json, false).unwrap(), "https://tokens.example/t?a=b");
    }

    #[test]
    fn every_endpoint_obeys_the_rules_of_a_configured_one() {
        for wrong in
            ["http://as.example/t", "https://as.example/t#a", "https://u@as.example/t", "/t"]
        {
            let json = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"{wrong}"}}"#);
            let error = tokens(&json, false).unwrap_err();
            assert!(matches!(error, MetadataError::TokenEndpoint(_)), "{wrong}");
            let json = format!(
                r#"{{"issuer":"{ISSUER}","token_endpoint":"https://as.example/t",
                "revocation_endpoint":"{wrong}","device_authorization_endpoint":"{wrong}"}}"#
            );
            let endpoints = read(json.as_bytes(), ISSUER, false, false).unwrap();
            assert!(endpoints.revocation.unwrap().is_err() && endpoints.device.unwrap().is_err());
        }
        let json = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":"http://as.example/t"}}"#);
        assert!(read(json.as_bytes(), ISSUER, true, false).is_ok());
    }

    #[test]
    fn what_is_no_document_of_an_authorization_server_is_told_apart() {
        assert_eq!(tokens("<html></html>", false), Err(MetadataError::NoDocument));
        assert_eq!(tokens("", false), Err(MetadataError::NoDocument));
        let json = format!(r#"{{"issuer":"{ISSUER}","token_endpoint":7}}"#);
        assert_eq!(tokens(&json, false), Err(MetadataError::NoTokenEndpoint));
        let (missing, other) = (MetadataError::NotFound, MetadataError::OtherIssuer);
        assert_eq!((missing.or(other), other.or(missing)), (other, other));
    }

    #[test]
    fn a_way_to_say_who_the_client_is_may_not_be_listed() {
        let endpoints = |list: &str| {
            let json = format!(
                r#"{{"issuer":"{ISSUER}","token_endpoint":"https://as.example/t","x":1{list}}}"#
            );
            read(json.as_bytes(), ISSUER, false, false).unwrap()
        };
        let both =
            endpoints(r#","token_endpoint_auth_methods_supported":["none","private_key_jwt"]"#);
        assert!(both.lists_none(&["client_secret_post"]) && !both.lists_none(&["a", "none"]));
        // RFC 8414 §2.
        let silent = endpoints("");
        assert!(silent.lists_none(&["none"]) && !silent.lists_none(&["client_secret_basic"]));
        assert!(!endpoints(r#","token_endpoint_auth_methods_supported":[]"#).lists_none(&["none"]));
    }

    #[test]
    fn the_aliases_are_for_a_client_with_a_certificate_and_hold_one_by_one() {
        let json = format!(
            r#"{{"issuer":"{ISSUER}","token_endpoint":"https://as.example/t","revocation_endpoint":
            "https://as.example/r","mtls_endpoint_aliases":{{"token_endpoint":"https://mtls.example/t"}}}}"#
        );
        assert_eq!(tokens(&json, false).unwrap(), "https://as.example/t");
        assert_eq!(tokens(&json, true).unwrap(), "https://mtls.example/t");
        let endpoints = read(json.as_bytes(), ISSUER, false, true).unwrap();
        assert_eq!(endpoints.revocation.unwrap().unwrap().uri, "https://as.example/r");
        let json = json.replace(r#"{"token_endpoint":"https://mtls.example/t"}"#, "[]");
        assert_eq!(tokens(&json, true).unwrap(), "https://as.example/t");
    }
}
