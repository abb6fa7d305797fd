//! A fleet shares one session on Redis, and one refresh serves all of it.
//!
//! ```console
//! $ cargo run --example fleet --features endpoint-client,redis
//! ```
//!
//! It starts a `redis-server` of its own, four processes that make requests, and ends after eight
//! seconds. Give it `-- --redis redis://host:port` to use a Redis that runs already.

use std::{
    net::{Ipv4Addr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use bytes::Bytes;
use clap::Parser;
use futures::StreamExt;
use http::Request;
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, EndpointClient, Event, RedisStore, RefreshLayer, RefreshTokenGrant,
    ReplayBody, Session, TokenStore, map_body,
    testing::{AuthorizationServer, ResourceServer},
};

/// How long an access token lives here.
const LIFETIME: Duration = Duration::from_secs(2);

/// The session is called so on Redis.
const SESSION: &str = "fleet example";

#[derive(Parser)]
struct Arguments {
    /// A Redis that runs already.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// How many processes share the session.
    #[arg(long, default_value_t = 4)]
    replicas: usize,
    /// For how many seconds they make requests.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Be one of them, with this number, between these servers.
    #[arg(long, num_args = 3, value_names = ["NUMBER", "LOGIN", "API"], hide = true)]
    replica: Option<Vec<String>>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments = Arguments::parse();
    let time = Duration::from_secs(arguments.seconds);
    if let (Some(replica), Some(redis)) = (&arguments.replica, &arguments.redis) {
        let [number, login, api] = &replica[..] else { return Err("not the arguments".into()) };
        return share(number, redis, login, api, time).await;
    }

    let own = if arguments.redis.is_none() { Some(Redis::start().await?) } else { None };
    let redis = own.as_ref().map(Redis::url).or(arguments.redis).unwrap_or_default();
    let authorization = AuthorizationServer::new();
    authorization.lifetime(LIFETIME);
    let login = authorization.serve().await?;
    let api = ResourceServer::new(&authorization).serve().await?;
    let first = session("the login", &redis, &login.origin(), &api.origin())?;
    first.login(authorization.login()).await?;
    first.close().await?;

    let mut replicas = Vec::new();
    for number in 1..=arguments.replicas {
        let replica = Command::new(std::env::current_exe()?)
            .args(["--redis", &redis, "--seconds", &arguments.seconds.to_string(), "--replica"])
            .args([&number.to_string(), &login.origin(), &api.origin()])
            .spawn()?;
        replicas.push(replica);
    }
    for mut replica in replicas {
        // The servers that they talk to are in this process.
        let status = tokio::task::spawn_blocking(move || replica.wait()).await??;
        if !status.success() {
            return Err("a replica failed".into());
        }
    }
    let (refreshes, replicas) = (authorization.token_requests(), arguments.replicas);
    println!("{refreshes} refreshes served {replicas} replicas for {} s", arguments.seconds);
    // Tokens are replaced a little before they run out. Four sessions would need four times as many.
    let most = (1.4 * time.as_secs_f64() / LIFETIME.as_secs_f64()).ceil() + 1.0;
    if refreshes as f64 > most || authorization.reused() > 0 {
        return Err("a refresh token was spent by more than one of them".into());
    }
    Ok(())
}

/// The session: the same lines in every process that shares it.
fn session(who: &str, redis: &str, login: &str, api: &str) -> Result<Session, BoxError> {
    let asks = format!("{who} asks for new tokens");
    let client = ServiceBuilder::new()
        .map_request(move |request: Request<Full<Bytes>>| {
            println!("{asks}");
            request
        })
        .service(client()?);
    let grant = RefreshTokenGrant::new_insecure(&format!("{login}/token"), "my-app", client)?;
    let store = RedisStore::open(redis, SESSION)?.record_ttl(Duration::from_secs(3600));
    Ok(Session::builder(grant).store(store).insecure_origin(api).build()?)
}

/// Make requests for some time, and say what happens to the session.
async fn share(
    number: &str,
    redis: &str,
    login: &str,
    api: &str,
    time: Duration,
) -> Result<(), BoxError> {
    let who = format!("replica {number}");
    let session = session(&who, redis, login, api)?;
    let mut events = session.events();
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Event::Refreshed(_) => println!("{who} has new tokens"),
                other => println!("{who}: {other:?}"),
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

/// A Redis for this example alone, which ends with it.
struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    async fn start() -> Result<Self, BoxError> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("redis-server: {error}; install it, or give --redis"))?;
        let redis = Self { process, port };
        let store = RedisStore::open(&redis.url(), SESSION)?;
        for _ in 0..200 {
            if store.load().await.is_ok() {
                return Ok(redis);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("redis-server does not answer".into())
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
