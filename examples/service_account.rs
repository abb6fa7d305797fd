//! A service account: a key that signs an assertion for each access token (RFC 7523).
//!
//! ```console
//! $ cargo run --example service_account --features endpoint-client,sign-rust-crypto
//! $ cargo run --example service_account --features endpoint-client,sign-rust-crypto -- \
//!     --issuer https://login.example.com --account robot@project.example \
//!     --algorithm RS256 --key robot.pem --api https://api.example.com/me
//! ```
//!
//! Without arguments it brings its own servers, and a key that is worth nothing. Google's servers want
//! `--token-endpoint-audience` and `--scope`, which goes into the assertion there.

use bytes::Bytes;
use clap::Parser;
use http::{Request, Uri, uri::Scheme};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, EndpointClient, JwtBearer, RefreshLayer, ReplayBody, Session,
    SignedAssertion, SigningAlgorithm, SigningKey, map_body,
    testing::{AuthorizationServer, ResourceServer},
};

#[derive(Parser)]
struct Arguments {
    /// The issuer to ask, as its metadata names it.
    #[arg(long, requires_all = ["api", "key"])]
    issuer: Option<String>,
    /// The account, which is the assertion's issuer.
    #[arg(long, default_value = "robot")]
    account: String,
    /// For whom the account acts, if not for itself.
    #[arg(long)]
    subject: Option<String>,
    /// RS256, PS256, ES256 or EdDSA.
    #[arg(long, default_value = "EdDSA", value_parser = algorithm)]
    algorithm: SigningAlgorithm,
    /// A file with the private key, in PEM.
    #[arg(long)]
    key: Option<String>,
    /// By which name the server knows the key.
    #[arg(long)]
    key_id: Option<String>,
    /// What to ask for, in the request and in the assertion.
    #[arg(long)]
    scope: Option<String>,
    /// Sign for the token endpoint's URL instead of for the issuer.
    #[arg(long)]
    token_endpoint_audience: bool,
    /// What to GET.
    #[arg(long, requires = "issuer")]
    api: Option<Uri>,
}

fn algorithm(name: &str) -> Result<SigningAlgorithm, String> {
    use SigningAlgorithm::{EdDsa, Es256, Ps256, Rs256};
    let known = [Rs256, Ps256, Es256, EdDsa].into_iter().find(|known| known.name() == name);
    known.ok_or_else(|| "RS256, PS256, ES256 or EdDSA".into())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let pem = match &arguments.key {
        Some(path) => std::fs::read_to_string(path)?,
        None => include_str!("../tests/keys/ed25519.pem").into(),
    };
    let mut key = SigningKey::from_pem(arguments.algorithm, pem)?;
    if let Some(key_id) = arguments.key_id {
        key = key.key_id(key_id);
    }

    // The servers that come with the program. This one believes the account.
    let authorization = AuthorizationServer::new();
    let login = authorization.serve().await?;
    authorization.issuer(&login.origin());
    authorization.account_key("robot", &key.public_jwk());
    let api = ResourceServer::new(&authorization).serve().await?;

    let (issuer, api) = match (arguments.issuer, arguments.api) {
        (Some(issuer), Some(api)) => (issuer, api),
        _ => (login.origin(), api.uri("/me")),
    };

    let mut assertion = SignedAssertion::new(arguments.account, key);
    if let Some(subject) = arguments.subject {
        assertion = assertion.subject(subject);
    }
    if let Some(scope) = &arguments.scope {
        assertion = assertion.claim("scope", scope.as_str());
    }
    if arguments.token_endpoint_audience {
        assertion = assertion.audience_token_endpoint();
    }
    // `allow_loopback_http` and `discover_insecure` are for servers on this machine, as the embedded ones.
    let client = EndpointClient::builder().allow_loopback_http().build()?;
    let source = JwtBearer::discover_insecure(&issuer, assertion, client.clone())?
        .scope(arguments.scope.unwrap_or_default());
    let builder = Session::builder(source);
    let origin =
        format!("{}://{}", api.scheme_str().unwrap_or("https"), api.authority().ok_or("no host")?);
    let session = match api.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => builder.insecure_origin(origin),
        _ => builder.origin(origin),
    }
    .build()?;

    let call = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone())) // fetches once for all, sends again
        .layer(AuthLayer::new(session.clone())) // attaches the newest access token
        // A GET has no body. A program that sends some has a client of its own here.
        .layer(map_body(|_: ReplayBody<Full<Bytes>>| Full::<Bytes>::default()))
        .service(client);
    for _ in 0..2 {
        let request = Request::get(api.clone()).body(Full::<Bytes>::default())?;
        let response = call.clone().oneshot(request).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        println!("{status}, {} bytes", body.len());
        // The embedded server forgets the access token; the next call does not notice.
        authorization.revoke_access_tokens();
    }

    session.close().await?;
    Ok(())
}
