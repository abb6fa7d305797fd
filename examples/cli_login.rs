//! A command-line program logs its user in on another device, then calls an API.
//!
//! The user opens a page on a phone, say, and enters the code that the program shows (RFC 8628). What the
//! login brings goes into the session and its file, which keep the user logged in from then on: the next run
//! needs no login, nor does a second one at the same time.
//!
//! ```console
//! $ cargo run --example cli_login --features endpoint-client
//! $ cargo run --example cli_login --features endpoint-client -- --issuer https://login.example.com \
//!     --client-id my-cli --scope "openid offline_access" --api https://api.example.com/me \
//!     --store ~/.config/my-cli/session.json
//! ```
//!
//! Without arguments it brings its own servers, and a user who takes three seconds; it runs twice, the second
//! time on what the first one kept, and logs out.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use http::{Request, Uri, uri::Scheme};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, DeviceAuthorization, EndpointClient, FileStore, RefreshLayer,
    RefreshTokenGrant, ReplayBody, Session, map_body,
    testing::{AuthorizationServer, Loopback, ResourceServer},
};

#[derive(Parser)]
struct Arguments {
    /// The issuer to log in at, as its metadata names it.
    #[arg(long, requires = "api")]
    issuer: Option<String>,
    /// The client, as it is registered there: a public one that may use the device flow.
    #[arg(long, default_value = "my-cli")]
    client_id: String,
    /// What to ask for. Many servers give a refresh token only with `offline_access`.
    #[arg(long, default_value = "")]
    scope: String,
    /// What to GET once logged in.
    #[arg(long, requires = "issuer")]
    api: Option<Uri>,
    /// Where to keep the tokens. Without it they last as long as the program.
    #[arg(long)]
    store: Option<PathBuf>,
    /// Log out at the end.
    #[arg(long)]
    logout: bool,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let embedded = Embedded::new().await?;
    let own = tempfile::tempdir()?;
    let path = arguments.store.clone().unwrap_or_else(|| own.path().join("session.json"));

    let session = run(&arguments, &embedded, &path).await?;
    if arguments.issuer.is_none() && arguments.store.is_none() {
        session.close().await?;
        println!("The same program, started again:");
        run(&arguments, &embedded, &path).await?.logout().await?;
        println!("Logged out, here and at the issuer.");
    } else if arguments.logout {
        session.logout().await?;
        println!("Logged out, here and at the issuer.");
    } else {
        session.close().await?;
        println!("Still logged in, by {}", path.display());
    }
    Ok(())
}

/// What one run does: log in if that is needed, and call the API.
async fn run(arguments: &Arguments, embedded: &Embedded, path: &Path) -> Result<Session, BoxError> {
    let client = EndpointClient::builder().allow_loopback_http().build()?;
    let client_id = arguments.client_id.as_str();
    let (issuer, api) = match (&arguments.issuer, &arguments.api) {
        (Some(issuer), Some(api)) => (issuer.clone(), api.clone()),
        _ => (embedded.issuer(), embedded.api.uri("/me")),
    };
    // The embedded servers speak plain `http`, which a program must say that it means. This client speaks it
    // to servers on this machine alone; where none is meant, leave out `_insecure` and `allow_loopback_http`.
    let grant = RefreshTokenGrant::discover_insecure(&issuer, client_id, client.clone())?;
    let device = DeviceAuthorization::discover_insecure(&issuer, client_id, client.clone())?;

    let builder = Session::builder(grant).store(FileStore::open(path)?);
    let authority = api.authority().ok_or("the API's address has no host")?;
    let session = match api.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => {
            builder.insecure_origin(format!("http://{authority}"))
        }
        _ => builder.origin(format!("https://{authority}")),
    }
    .build()?;

    match session.token().await {
        Ok(_) => println!("Already logged in."),
        Err(error) if error.needs_login() => {
            log_in(&session, device.scope(arguments.scope.as_str()), embedded).await?;
        }
        Err(error) => return Err(error.into()),
    }

    let call = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        // A GET has no body. A program that sends some has a client of its own here.
        .layer(map_body(|_: ReplayBody<Full<Bytes>>| Full::<Bytes>::default()))
        .service(client);
    for _ in 0..2 {
        let request = Request::get(api.clone()).body(Full::<Bytes>::default())?;
        let response = call.clone().oneshot(request).await?;
        let (status, body) = (response.status(), response.into_body().collect().await?.to_bytes());
        println!("{status}, {} bytes", body.len());
        // The embedded server forgets the access token; the next call does not notice.
        embedded.authorization.revoke_access_tokens();
    }
    Ok(session)
}

async fn log_in(
    session: &Session,
    device: DeviceAuthorization<EndpointClient>,
    embedded: &Embedded,
) -> Result<(), BoxError> {
    let mut login = device.start().await?;
    println!("Open {} and enter {}", login.verification_uri(), login.user_code());
    println!("({} s left)", login.expires_in().as_secs());
    embedded.approve_later(login.user_code());
    session.login(login.tokens().await?).await?;
    println!("Logged in.");
    Ok(())
}

/// The servers that come with the program.
struct Embedded {
    authorization: AuthorizationServer,
    login: Loopback,
    api: Loopback,
}

impl Embedded {
    async fn new() -> Result<Self, BoxError> {
        let authorization = AuthorizationServer::new();
        authorization.device_interval(Some(Duration::from_secs(1)));
        let login = authorization.serve().await?;
        authorization.issuer(&login.origin());
        let api = ResourceServer::new(&authorization).serve().await?;
        Ok(Self { authorization, login, api })
    }

    fn issuer(&self) -> String {
        self.login.origin()
    }

    /// What the user does elsewhere.
    fn approve_later(&self, user_code: &str) {
        let (authorization, user_code) = (self.authorization.clone(), user_code.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3)).await;
            authorization.approve_device(&user_code);
        });
    }
}
