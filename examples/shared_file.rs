//! Two processes share one session, and one refresh serves both.
//!
//! ```console
//! $ cargo run --example shared_file --features endpoint-client
//! ```
//!
//! It starts a second process of its own, and ends after ten seconds. To watch it in two terminals, give one
//! `-- --serve`, and the other the command that the first one prints.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use futures::StreamExt;
use http::Request;
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, EndpointClient, Event, FileStore, RefreshLayer, RefreshTokenGrant,
    ReplayBody, Session, map_body,
    testing::{AuthorizationServer, ResourceServer},
};

/// How long an access token lives here.
const LIFETIME: Duration = Duration::from_secs(2);

#[derive(Parser)]
struct Arguments {
    /// Serve, and share the session with whoever joins, until Ctrl-C.
    #[arg(long)]
    serve: bool,
    /// Join the session in this folder.
    #[arg(long, value_name = "FOLDER", conflicts_with = "serve")]
    join: Option<PathBuf>,
    /// For how many seconds to make requests.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs(arguments.seconds);
    if let Some(folder) = arguments.join {
        return share(&folder, time).await;
    }

    let authorization = AuthorizationServer::new();
    authorization.lifetime(LIFETIME);
    let login = authorization.serve().await?;
    let api = ResourceServer::new(&authorization).serve().await?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::write(folder.join("servers"), format!("{}\n{}", login.origin(), api.origin()))?;
    let session = session(folder)?;
    session.login(authorization.login()).await?;
    session.close().await?;

    if arguments.serve {
        println!("In another terminal:\n");
        let join = format!("-- --join {}", folder.display());
        println!("  cargo run --example shared_file --features endpoint-client {join}\n");
        tokio::select! {
            shared = share(folder, Duration::MAX) => shared?,
            end = tokio::signal::ctrl_c() => end?,
        }
    } else {
        let mut other = Command::new(std::env::current_exe()?)
            .arg("--join")
            .arg(folder)
            .args(["--seconds", &arguments.seconds.to_string()])
            .spawn()?;
        share(folder, time).await?;
        if !other.wait()?.success() {
            return Err("the other process failed".into());
        }
        let refreshes = authorization.token_requests();
        println!("{refreshes} refreshes served both, in {} s", arguments.seconds);
        // Tokens are replaced a little before they run out. Two sessions would need twice as many.
        let lifetimes = time.as_secs_f64() / LIFETIME.as_secs_f64();
        let most = (1.4 * lifetimes).ceil() + 1.0;
        if refreshes as f64 > most || authorization.reused() > 0 {
            return Err("a refresh token was spent by each of them".into());
        }
    }
    Ok(())
}

/// Where the servers are, as the process that serves wrote it down.
fn servers(folder: &Path) -> io::Result<(String, String)> {
    let text = fs::read_to_string(folder.join("servers"))?;
    let (login, api) = text.split_once('\n').ok_or(io::ErrorKind::InvalidData)?;
    Ok((login.into(), api.into()))
}

/// The session: the same lines in every process that shares it.
fn session(folder: &Path) -> Result<Session, BoxError> {
    let (login, api) = servers(folder)?;
    let client = ServiceBuilder::new()
        .map_request(|request: Request<Full<Bytes>>| {
            say("asks for new tokens");
            request
        })
        .service(client()?);
    let grant = RefreshTokenGrant::new_insecure(&format!("{login}/token"), "my-app", client)?;
    let store = FileStore::open(folder.join("session.json"))?;
    Ok(Session::builder(grant).store(store).insecure_origin(api).build()?)
}

/// Make requests for some time, and say what happens to the session.
async fn share(folder: &Path, time: Duration) -> Result<(), BoxError> {
    let (_, api) = servers(folder)?;
    let session = session(folder)?;
    let mut events = session.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Refreshed(_) => say("has new tokens"),
                other => say(&format!("{other:?}")),
            }
        }
    });
    let stack = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .layer(map_body(|_: ReplayBody<Full<Bytes>>| Full::<Bytes>::default()))
        .service(client()?);
    let requests = async {
        loop {
            let request = Request::get(format!("{api}/")).body(Full::<Bytes>::default())?;
            let status = stack.clone().oneshot(request).await?.status();
            if !status.is_success() {
                return Err::<(), BoxError>(status.to_string().into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    if let Ok(ended) = tokio::time::timeout(time, requests).await {
        ended?;
    }
    session.close().await?;
    Ok(())
}

/// These servers speak plain `http`, which a program must say that it means.
fn client() -> Result<EndpointClient, BoxError> {
    Ok(EndpointClient::builder().allow_loopback_http().build()?)
}

fn say(what: &str) {
    println!("process {} {what}", process::id());
}
