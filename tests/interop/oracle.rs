//! Our token requests beside those of `oauth4webapi`, a certified client, at one recorder.
//!
//! They are equal in method, path, `Accept`, `Authorization` and parameters, each parameter as often. These
//! differences stand:
//!
//! - `Content-Type`: theirs has `charset=UTF-8`, which the media type does not define (RFC 6749 appendix B
//!   names the type alone).
//! - `Accept` of a revocation: theirs is `*/*`. Ours asks for JSON, which is what an error comes in
//!   (RFC 7009 §2.2.1).
//! - A device authorization request with a secret in the header: theirs says `client_id` in the body
//!   too, which is required only of clients that do not authenticate (RFC 8628 §3.1).
//! - An assertion is new for each request, so it is compared by its algorithm, key id, issuer, subject
//!   and audience, and its lifetime by its bound. Ours also says what type it is (RFC 7523bis), and does
//!   not say `nbf`, which clocks apart can only make fail.
//! - What each HTTP client adds of its own: `Host`, `Content-Length`, `User-Agent` and the headers of
//!   `fetch`.

use std::collections::BTreeSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, header};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tower_reauth::{
    AccessToken, Assertion, ClientAuthentication, ClientCredentials, DeviceAuthorization,
    JwtBearer, RefreshToken, RefreshTokenGrant, SecurityToken, Session, SigningAlgorithm,
    SigningKey, TokenExchange, TokenSet, TokenSource,
};

use crate::{
    provider::{SECRET, node},
    recorder::{Recorded, Recorder},
    support::{endpoint_client, soon},
};

const KEY_ID: &str = "the key";

const CLIENT: &str = "a client: of two words";

/// What a request says, apart from what may differ.
#[derive(Debug, PartialEq)]
struct Said {
    method: String,
    path: String,
    accept: Option<String>,
    content_type: String,
    authorization: Option<String>,
    parameters: Vec<(String, String)>,
    other_headers: BTreeSet<String>,
}

impl Said {
    fn by(request: &Recorded) -> Self {
        let text = |name| request.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let content_type = text(header::CONTENT_TYPE).unwrap();
        let is_revocation = request.path == "revoke";
        let parameters = form_urlencoded::parse(&request.body).into_owned();
        let mut parameters: Vec<_> = parameters
            .map(|(name, value)| match name.as_str() {
                "client_assertion" => (name, shape(&value)),
                _ => (name, value),
            })
            .collect();
        let authorization = text(header::AUTHORIZATION);
        if request.path == "device" && authorization.is_some() {
            parameters.retain(|(name, _)| name != "client_id");
        }
        parameters.sort();
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            accept: text(header::ACCEPT).filter(|_| !is_revocation),
            content_type: content_type.split(';').next().unwrap().to_owned(),
            authorization,
            parameters,
            other_headers: others(&request.headers),
        }
    }
}

fn others(headers: &HeaderMap) -> BTreeSet<String> {
    let compared = ["accept", "content-type", "authorization"];
    let of_the_client = [
        "host",
        "content-length",
        "connection",
        "user-agent",
        "accept-language",
        "accept-encoding",
        "sec-fetch-mode",
    ];
    let names = headers.keys().map(|name| name.to_string());
    names
        .filter(|name| {
            !compared.contains(&name.as_str()) && !of_the_client.contains(&name.as_str())
        })
        .collect()
}

/// What of an assertion is the same in every one of a client.
fn shape(assertion: &str) -> String {
    let parts: Vec<_> = assertion.split('.').collect();
    let part = |at: usize| -> Value {
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(parts[at]).unwrap()).unwrap()
    };
    let (head, claims) = (part(0), part(1));
    assert!(claims["jti"].as_str().is_some_and(|id| id.len() >= 16), "{claims}");
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert!((1..=300).contains(&lifetime), "{claims}");
    let known = ["jti", "exp", "iat", "nbf", "iss", "sub", "aud"];
    assert!(claims.as_object().unwrap().keys().all(|name| known.contains(&name.as_str())));
    json!([head["alg"], head["kid"], claims["iss"], claims["sub"], claims["aud"]]).to_string()
}

/// One request, as the other client is asked for it.
struct Case {
    name: String,
    request: &'static str,
    authentication: &'static str,
    parameters: Value,
}

impl Case {
    fn new(request: &'static str, authentication: &'static str, parameters: Value) -> Self {
        let name = format!("{request}-{authentication}");
        Self { name, request, authentication, parameters }
    }

    fn parameter(&self, name: &str) -> &str {
        self.parameters[name].as_str().unwrap()
    }
}

/// Both clients, and where they are heard.
struct Comparison {
    recorder: Recorder,
    /// What both sign with, as PEM.
    key: String,
}

impl Comparison {
    fn client(&self, case: &Case) -> ClientAuthentication {
        match case.authentication {
            "none" => ClientAuthentication::none(CLIENT),
            "basic" => ClientAuthentication::basic(CLIENT, SECRET),
            "post" => ClientAuthentication::post(CLIENT, SECRET),
            "private_key_jwt" => ClientAuthentication::private_key_jwt(CLIENT, self.signing_key()),
            other => panic!("{other}"),
        }
    }

    fn signing_key(&self) -> SigningKey {
        SigningKey::from_pem(SigningAlgorithm::Es256, &self.key).unwrap().key_id(KEY_ID)
    }

    fn uri(&self, case: &Case, path: &str) -> String {
        format!("{}/ours-{}/{path}", self.recorder.origin, case.name)
    }

    async fn make(&self, case: &Case) {
        let (client, http) = (self.client(case), endpoint_client());
        let token = self.uri(case, "token");
        match case.request {
            "refresh" => {
                let grant = RefreshTokenGrant::new_insecure(&token, client, http)
                    .unwrap()
                    .scope(case.parameter("scope"))
                    .resource(case.parameter("resource"));
                refreshed(grant, case.parameter("refresh_token")).await;
            }
            "revocation" => {
                let grant = RefreshTokenGrant::new_insecure(&token, client, http)
                    .unwrap()
                    .revocation_endpoint(&self.uri(case, "revoke"))
                    .unwrap();
                let session = held(grant, case.parameter("token"));
                session.token().await.unwrap();
                session.logout().await.unwrap();
            }
            "client_credentials" => {
                let grant = ClientCredentials::new_insecure(&token, client, http)
                    .unwrap()
                    .scope(case.parameter("scope"));
                let resources = case.parameters["resource"].as_array().unwrap();
                let grant = resources
                    .iter()
                    .fold(grant, |grant, resource| grant.resource(resource.as_str().unwrap()));
                fetched(grant).await;
            }
            "device" => {
                let device = self.uri(case, "device");
                let device = DeviceAuthorization::new_insecure(&device, &token, client, http);
                let device = device.unwrap().scope(case.parameter("scope"));
                device.start().await.unwrap().tokens().await.unwrap();
            }
            "generic" if self.is_exchange(case) => {
                let subject = case.parameter("subject_token").to_owned();
                let subject = SecurityToken::access_token(move || {
                    let subject = subject.clone();
                    async { Ok(subject) }
                });
                let grant = TokenExchange::new_insecure(&token, subject, http)
                    .unwrap()
                    .client(client)
                    .audience(case.parameter("audience"));
                fetched(grant).await;
            }
            "generic" => {
                let assertion = case.parameter("assertion").to_owned();
                let assertion = Assertion::from_fn(move |_| {
                    let assertion = assertion.clone();
                    async { Ok(assertion) }
                });
                fetched(JwtBearer::new_insecure(&token, assertion, http).unwrap().client(client))
                    .await;
            }
            other => panic!("{other}"),
        }
    }

    /// Let the other client make these requests.
    async fn let_them_make(&self, cases: &[Case]) {
        let asked: Vec<_> = cases
            .iter()
            .map(|case| {
                json!({
                    "name": format!("theirs-{}", case.name),
                    "request": case.request,
                    "authentication": case.authentication,
                    "client_id": CLIENT,
                    "parameters": case.parameters,
                })
            })
            .collect();
        let asked = json!({
            "issuer": self.recorder.origin,
            "origin": self.recorder.origin,
            "secret": SECRET,
            "key": &self.key,
            "kid": KEY_ID,
            "cases": asked,
        });
        let ended = soon(node("oracle.mjs").arg(asked.to_string()).status()).await.unwrap();
        assert!(ended.success());
    }

    fn is_exchange(&self, case: &Case) -> bool {
        case.parameter("grant_type").ends_with("token-exchange")
    }
}

fn held(source: impl TokenSource, refresh_token: &str) -> Session {
    let tokens = TokenSet::new(AccessToken::new("old").unwrap())
        .refresh_token(RefreshToken::new(refresh_token).unwrap());
    Session::builder(source).tokens(tokens).origin("https://api.example.com").build().unwrap()
}

async fn refreshed(source: impl TokenSource, refresh_token: &str) {
    let session = held(source, refresh_token);
    session.refresh_after(&AccessToken::new("old").unwrap()).await.unwrap();
}

async fn fetched(source: impl TokenSource) {
    let session = Session::builder(source).origin("https://api.example.com").build().unwrap();
    session.token().await.unwrap();
}

#[tokio::test]
async fn our_token_requests_are_those_of_a_certified_client() {
    let mut cases = Vec::new();
    for authentication in ["none", "basic", "post", "private_key_jwt"] {
        cases.push(Case::new(
            "refresh",
            authentication,
            json!({
                "refresh_token": "a/refresh+token=",
                "scope": "openid api:read",
                "resource": "https://api.example.com/v1?a=b&c",
            }),
        ));
        cases.push(Case::new(
            "revocation",
            authentication,
            json!({ "token": "a/refresh+token=", "token_type_hint": "refresh_token" }),
        ));
        cases.push(Case::new(
            "device",
            authentication,
            json!({ "scope": "openid offline_access", "device_code": "d" }),
        ));
        let grant_type = "urn:ietf:params:oauth:grant-type:token-exchange";
        let mut exchange = Case::new(
            "generic",
            authentication,
            json!({
                "grant_type": grant_type,
                "subject_token": "somebody's",
                "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "audience": "reports & more",
            }),
        );
        exchange.name = format!("exchange-{authentication}");
        cases.push(exchange);
        let grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer";
        let assertion = json!({ "grant_type": grant_type, "assertion": "e30.e30.c2ln" });
        cases.push(Case::new("generic", authentication, assertion));
    }
    for authentication in ["basic", "post", "private_key_jwt"] {
        cases.push(Case::new(
            "client_credentials",
            authentication,
            json!({ "scope": "api:read api:write", "resource": ["urn:one", "urn:two"] }),
        ));
    }

    let key = KeyPair::generate().unwrap().serialize_pem();
    let comparison = Comparison { recorder: Recorder::new().await, key };
    comparison.let_them_make(&cases).await;
    for case in &cases {
        soon(comparison.make(case)).await;
        let [ours, theirs] = ["ours", "theirs"].map(|who| {
            let requests = comparison.recorder.of(&format!("{who}-{}", case.name));
            requests.iter().map(Said::by).collect::<Vec<_>>()
        });
        assert_eq!(ours.len(), if case.request == "device" { 2 } else { 1 }, "{}", case.name);
        assert_eq!(ours, theirs, "{}", case.name);
    }
}
