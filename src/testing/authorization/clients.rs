//! Who asks: clients that are registered, and accounts whose assertions are believed.

use std::collections::{HashMap, HashSet};

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderValue, Response, StatusCode, header};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::Jwk};
use serde::Deserialize;

use super::{AuthorizationServer, State, TokenRequest, endpoint::error};
use crate::testing::{ResponseBody, jwt::Millis};

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

#[derive(Default)]
pub(super) struct Clients {
    /// Anybody will do while there are none.
    registered: HashMap<String, Proof>,
    accounts: HashMap<String, DecodingKey>,
    /// The `jti` of every assertion that was taken.
    seen: HashSet<String>,
}

enum Proof {
    Secret(String),
    Key(DecodingKey),
}

/// What an assertion must say (RFC 7523 §3).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    jti: String,
    exp: f64,
}

/// Clients and accounts.
impl AuthorizationServer {
    /// Register a client with a secret, which it may show by `Basic`, form-encoded, or in the body. From
    /// then on only registered clients are served.
    ///
    /// Default: none is registered, and any client will do.
    pub fn client_secret(&self, client_id: &str, secret: &str) {
        let proof = Proof::Secret(secret.into());
        self.state().clients.registered.insert(client_id.into(), proof);
    }

    /// Register a client with a public key, a JWK, for which it shows an assertion each time another
    /// (`private_key_jwt`). From then on only registered clients are served.
    ///
    /// Default: none is registered, and any client will do.
    ///
    /// # Panics
    ///
    /// If the key is no public JWK.
    pub fn client_key(&self, client_id: &str, public_jwk: &str) {
        let proof = Proof::Key(decoding(public_jwk));
        self.state().clients.registered.insert(client_id.into(), proof);
    }

    /// Believe assertions of `issuer` that are signed with this key, a public JWK (the grant of
    /// RFC 7523 §2.1). Each is taken once.
    ///
    /// Default: nobody is believed.
    ///
    /// # Panics
    ///
    /// If the key is no public JWK.
    pub fn account_key(&self, issuer: &str, public_jwk: &str) {
        self.state().clients.accounts.insert(issuer.into(), decoding(public_jwk));
    }
}

fn decoding(public_jwk: &str) -> DecodingKey {
    let jwk: Jwk = serde_json::from_str(public_jwk).expect("a JWK");
    DecodingKey::from_jwk(&jwk).expect("a public key of RSA, P-256 or Ed25519")
}

impl State {
    /// The refusal of a client that does not say who it is, or cannot prove it.
    pub(super) fn refuses(
        &mut self,
        request: &TokenRequest,
        now: Millis,
    ) -> Option<Response<ResponseBody>> {
        let unknown = |why| Some(error(StatusCode::UNAUTHORIZED, "invalid_client", why));
        if self.clients.registered.is_empty() {
            // What these show speaks for itself.
            let grant = request.parameter("grant_type");
            let alone = matches!(grant, Some(JWT_BEARER | TOKEN_EXCHANGE));
            return if alone || request.names_client() {
                None
            } else {
                unknown("no client is named")
            };
        }
        if let Some((client_id, secret)) = basic(request) {
            let proof = self.clients.registered.get(&client_id);
            let right = matches!(proof, Some(Proof::Secret(expected)) if *expected == secret);
            let alone = ["client_secret", "client_assertion"]
                .iter()
                .all(|name| request.parameter(name).is_none());
            let mut refusal = unknown("Basic")?;
            refusal.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"clients\""),
            );
            return (!right || !alone).then_some(refusal);
        }
        let Some(client_id) = request.parameter("client_id") else { return unknown("nobody") };
        let right = match self.clients.registered.get(client_id) {
            Some(Proof::Secret(expected)) => request.parameter("client_secret") == Some(expected),
            Some(Proof::Key(key)) => {
                let key = key.clone();
                let known = request.parameter("client_assertion_type") == Some(CLIENT_ASSERTION);
                let assertion = request.parameter("client_assertion").filter(|_| known);
                let claims = assertion.and_then(|assertion| self.taken(assertion, &key, now));
                claims.is_some_and(|claims| claims.iss == client_id && claims.sub == client_id)
            }
            None => false,
        };
        if right { None } else { unknown("not this client") }
    }

    /// Whether this is an assertion of an account that is believed, and for the first time.
    pub(super) fn believes(&mut self, assertion: &str, now: Millis) -> bool {
        let Some(claims) =
            jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(assertion).ok()
        else {
            return false;
        };
        let Some(key) = self.clients.accounts.get(&claims.iss).cloned() else { return false };
        self.taken(assertion, &key, now).is_some()
    }

    /// What it says, if it is signed with this key, for this server, not expired, and new.
    fn taken(&mut self, assertion: &str, key: &DecodingKey, now: Millis) -> Option<Claims> {
        let algorithm = jsonwebtoken::decode_header(assertion).ok()?.alg;
        let known = [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
        if !known.contains(&algorithm) {
            return None;
        }
        let mut validation = Validation::new(algorithm);
        validation.validate_exp = false;
        let issuer = &self.settings.issuer;
        validation
            .set_audience(&[issuer.clone(), format!("{issuer}/{}", self.settings.token_name)]);
        validation.set_required_spec_claims(&["aud", "exp", "iss", "sub"]);
        let claims = jsonwebtoken::decode::<Claims>(assertion, key, &validation).ok()?.claims;
        let fresh = now < Millis::of_numeric_date(claims.exp);
        (fresh && self.clients.seen.insert(claims.jti.clone())).then_some(claims)
    }
}

/// RFC 6749 §2.3.1: both parts form-encoded.
fn basic(request: &TokenRequest) -> Option<(String, String)> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (client_id, secret) = pair.split_once(':')?;
    let decode = |text: &str| {
        let text = format!("{text}=");
        form_urlencoded::parse(text.as_bytes()).next().map(|(name, _)| name.into_owned())
    };
    Some((decode(client_id)?, decode(secret)?))
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::{BodyExt, Full};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    /// Status and body of the answer to this form, with this pair by `Basic`.
    async fn ask(
        server: &AuthorizationServer,
        path: &str,
        basic: Option<&str>,
        form: &str,
    ) -> (u16, Value) {
        let mut request =
            Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        if let Some(pair) = basic {
            request =
                request.header("authorization", format!("Basic {}", BASE64_STANDARD.encode(pair)));
        }
        let request = request.body(Full::<bytes::Bytes>::from(form.to_owned())).unwrap();
        let response = server.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let asks = response.headers().contains_key(header::WWW_AUTHENTICATE);
        assert_eq!(asks, status == 401 && basic.is_some());
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    #[tokio::test]
    async fn once_a_client_is_registered_it_must_prove_itself_in_one_way() {
        const GRANT: &str = "grant_type=client_credentials";
        let server = AuthorizationServer::new();
        assert_eq!(ask(&server, "/token", Some("any:thing"), GRANT).await.0, 200);
        server.client_secret("my app", "a:b +");
        for (basic, rest, status) in [
            (Some("my+app:a%3Ab+%2B"), "", 200),
            (None, "&client_id=my+app&client_secret=a%3Ab+%2B", 200),
            (Some("my app:a:b +"), "", 401),
            (Some("any:thing"), "", 401),
            (Some("my+app:a%3Ab+%2B"), "&client_secret=a%3Ab+%2B", 401),
            (None, "&client_id=my+app", 401),
            (None, "&client_id=other&client_secret=a%3Ab+%2B", 401),
            (None, "", 401),
        ] {
            let form = format!("{GRANT}{rest}");
            let (answered, body) = ask(&server, "/token", basic, &form).await;
            assert_eq!(answered, status, "{basic:?} {rest} {body}");
            assert!(status == 200 || body["error"] == "invalid_client");
            let token = format!("token=unknown{rest}");
            assert_eq!(ask(&server, "/revoke", basic, &token).await.0, status, "{basic:?} {rest}");
        }
    }

    #[tokio::test]
    async fn only_a_good_access_token_of_this_server_is_exchanged() {
        let server = AuthorizationServer::new();
        let token = server.login().access().expose_secret().to_owned();
        let type_ = "urn:ietf:params:oauth:token-type";
        let ask = async |token: &str, kind: &str| {
            let form = format!(
                "grant_type={TOKEN_EXCHANGE}&subject_token={token}&subject_token_type={type_}:{kind}\
                 &audience=a&audience=b&resource=urn:a&resource=urn:b"
            );
            ask(&server, "/token", None, &form).await
        };
        let (status, tokens) = ask(&token, "access_token").await;
        assert_eq!((status, &tokens["refresh_token"]), (200, &Value::Null));
        assert_eq!(tokens["issued_token_type"], format!("{type_}:access_token"));
        assert_eq!(ask(&token, "saml2").await.0, 400);
        assert_eq!(ask("other", "access_token").await.0, 400);
        server.revoke_access_tokens();
        assert_eq!(ask(&token, "access_token").await.1["error"], "invalid_request");
    }

    #[tokio::test]
    async fn nobody_is_believed_who_is_not_known() {
        let server = AuthorizationServer::new();
        let form = format!("grant_type={JWT_BEARER}&assertion=e30.e30.e30");
        let (status, body) = ask(&server, "/token", None, &form).await;
        assert_eq!((status, &body["error"]), (400, &Value::from("invalid_grant")));
    }
}
