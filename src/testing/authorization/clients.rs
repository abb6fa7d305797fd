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
