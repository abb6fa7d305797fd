//! From a login by the `oauth2` crate, or by `openidconnect` which stands on it, to a session.

use oauth2::{ExtraTokenFields, StandardTokenResponse, TokenResponse, TokenType};

use crate::{AccessToken, InvalidToken, RefreshToken, TokenSet, token::Flaw};

/// What a login with the [`oauth2`] crate brought, for [`Session::login`](crate::Session::login) or
/// [`SessionBuilder::tokens`](crate::SessionBuilder::tokens): `TokenSet::try_from(&response)?`.
///
/// It does for `openidconnect` too, whose token response is the same type with an ID token among its
/// extra fields; they stay behind. `expires_in` counts from when the set is handed to a session, so do
/// that at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
/// use oauth2::basic::BasicTokenResponse;
/// use tower_reauth::{RefreshTokenGrant, Session, TokenSet};
///
/// # let client = tower_reauth::testing::AuthorizationServer::new();
/// let grant = RefreshTokenGrant::new("https://login.example.com/token", "my-app", client)?;
/// let session = Session::builder(grant).origin("https://api.example.com").build()?;
///
/// # let answer = r#"{"access_token":"2YotnFZFEjr1zCsicMWpAA","token_type":"bearer",
/// #     "expires_in":3600,"refresh_token":"tGzv3JOkF0XG5Qx2TlKWIA"}"#;
/// # async fn exchange_code(answer: &str) -> Result<BasicTokenResponse, serde_json::Error> {
/// #     serde_json::from_str(answer)
/// # }
/// # let code = answer;
/// // … the authorization code flow with PKCE, by `oauth2` …
/// let response = exchange_code(code).await?;
/// session.login(TokenSet::try_from(&response)?).await?;
/// # assert_eq!(session.token().await?.expose_secret(), "2YotnFZFEjr1zCsicMWpAA");
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// [`InvalidToken`] if a token has a character that it cannot have, or the access token is no bearer
/// token (RFC 6749 §7.1).
#[cfg_attr(docsrs, doc(cfg(feature = "oauth2")))]
impl<EF, TT> TryFrom<&StandardTokenResponse<EF, TT>> for TokenSet
where
    EF: ExtraTokenFields,
    TT: TokenType,
{
    type Error = InvalidToken;

    fn try_from(response: &StandardTokenResponse<EF, TT>) -> Result<Self, InvalidToken> {
        // What a type is called is known to its serializer alone.
        let name = serde_json::to_value(response.token_type()).ok();
        let name = name.as_ref().and_then(serde_json::Value::as_str);
        if !name.is_some_and(|name| name.eq_ignore_ascii_case("bearer")) {
            return Err(InvalidToken(Flaw::NotBearer));
        }
        let mut tokens = Self::new(AccessToken::new(response.access_token().secret())?);
        // As in the answer to a refresh: what says nothing is as good as absent.
        let refresh = response.refresh_token().filter(|token| !token.secret().trim().is_empty());
        if let Some(token) = refresh {
            tokens = tokens.refresh_token(RefreshToken::new(token.secret())?);
        }
        if let Some(lifetime) = response.expires_in() {
            tokens = tokens.expires_in(lifetime);
        }
        let scopes = response.scopes().into_iter().flatten().map(|scope| scope.as_str());
        let scope = scopes.filter(|scope| !scope.is_empty()).collect::<Vec<_>>().join(" ");
        if !scope.is_empty() {
            tokens = tokens.scope(scope);
        }
        Ok(tokens)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use oauth2::basic::{BasicTokenResponse, BasicTokenType};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::token::Lifetime;

    fn tokens(answer: &str) -> Result<TokenSet, InvalidToken> {
        let response: BasicTokenResponse = serde_json::from_str(answer).expect(answer);
        TokenSet::try_from(&response)
    }

    #[test]
    fn a_whole_answer_becomes_a_whole_set() {
        let set = tokens(
            r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r 1",
                "scope":"openid api:read"}"#,
        )
        .unwrap();
        assert_eq!(set.access().expose_secret(), "a");
        assert_eq!(set.refresh().unwrap().expose_secret(), "r 1");
        assert_eq!(set.lifetime(), Some(Lifetime::In(Duration::from_secs(3600))));
        assert_eq!(set.granted_scope(), Some("openid api:read"));
    }

    #[test]
    fn what_an_answer_leaves_out_is_unknown() {
        for answer in [
            r#"{"access_token":"a","token_type":"bearer"}"#,
            r#"{"access_token":"a","token_type":"bearer","refresh_token":"","scope":""}"#,
            r#"{"access_token":"a","token_type":"bearer","refresh_token":null,"scope":null}"#,
        ] {
            let set = tokens(answer).unwrap();
            assert_eq!(set, TokenSet::new(AccessToken::new("a").unwrap()), "{answer}");
        }
    }

    #[test]
    fn what_cannot_be_attached_is_a_typed_error_without_a_word_of_the_server() {
        for answer in [
            r#"{"access_token":"a","token_type":"mac"}"#,
            r#"{"access_token":"a","token_type":"canary"}"#,
            r#"{"access_token":"canary canary","token_type":"bearer"}"#,
            r#"{"access_token":"","token_type":"bearer"}"#,
            r#"{"access_token":"a","token_type":"bearer","refresh_token":"canary\u0001"}"#,
        ] {
            let error = tokens(answer).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("canary"), "{answer}");
        }
    }

    /// As `openidconnect` has it.
    #[test]
    fn extra_fields_are_no_hindrance() {
        #[derive(Debug, Deserialize, Serialize)]
        struct IdToken {
            id_token: String,
        }
        impl ExtraTokenFields for IdToken {}
        let answer = r#"{"access_token":"a","token_type":"Bearer","id_token":"e30.e30."}"#;
        let response: StandardTokenResponse<IdToken, BasicTokenType> =
            serde_json::from_str(answer).unwrap();
        assert_eq!(TokenSet::try_from(&response).unwrap().access().expose_secret(), "a");
    }
}
