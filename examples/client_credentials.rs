//! A program that calls an API on its own behalf: no user, no login, no refresh token.
//!
//! ```console
//! $ cargo run --example client_credentials --features endpoint-client
//! $ CLIENT_SECRET=… cargo run --example client_credentials --features endpoint-client -- \
//!     --issuer https://login.example.com --client-id nightly-report --scope reports:read \
//!     --api https://api.example.com/reports
//! ```
//!
//! Without arguments it brings its own servers.

use bytes::Bytes;
use clap::Parser;
use http::{Request, Uri, uri::Scheme};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, ClientAuthentication, ClientCredentials, EndpointClient, RefreshLayer,
    ReplayBody, Session, map_body,
    testing::{AuthorizationServer, ResourceServer},
};

#[derive(Parser)]
struct Arguments {
    /// The issuer to ask, as its metadata names it. The secret is read from `CLIENT_SECRET`.
    #[arg(long, requires = "api")]
    issuer: Option<String>,
    /// The client, as it is registered there.
    #[arg(long, default_value = "nightly-report")]
    client_id: String,
    /// What to ask for.
    #[arg(long, default_value = "")]
    scope: String,
    /// For which service, where the issuer wants to know by name.
    #[arg(long, default_value = "")]
    audience: String,
    /// The same by its URI (RFC 8707).
    #[arg(long)]
    resource: Option<String>,
    /// What to GET.
    #[arg(long, requires = "issuer")]
    api: Option<Uri>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();

    // The servers that come with the program.
    let authorization = AuthorizationServer::new();
    let login = authorization.serve().await?;
    authorization.issuer(&login.origin());
    authorization.client_secret("nightly-report", "s3cr:t%+ /~");
    let api = ResourceServer::new(&authorization).serve().await?;

    let (issuer, secret, api) = match (arguments.issuer, arguments.api) {
        (Some(issuer), Some(api)) => {
            (issuer, std::env::var("CLIENT_SECRET").map_err(|_| "no CLIENT_SECRET")?, api)
        }
        _ => (login.origin(), "s3cr:t%+ /~".into(), api.uri("/reports")),
    };

    // `allow_loopback_http` and `discover_insecure` are for servers on this machine, as the embedded ones.
    let client = EndpointClient::builder().allow_loopback_http().build()?;
    let me = ClientAuthentication::basic(arguments.client_id, secret);
    let mut source = ClientCredentials::discover_insecure(&issuer, me, client.clone())?
        .scope(arguments.scope)
        .audience(arguments.audience);
    if let Some(resource) = arguments.resource {
        source = source.resource(resource);
    }
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
