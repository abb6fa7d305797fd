//! What can be seen of refreshes: spans and events as log lines, and a scrape for Prometheus.
//!
//! A few workers send requests while tokens expire, while one is revoked, and while the authorization
//! server is down for a moment.
//!
//! ```console
//! $ cargo run --example metrics --features metrics,tracing
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures::future::try_join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, Session, describe_metrics,
    testing::{AuthorizationServer, Fault, ResourceServer},
};
use tracing::Level;
use tracing_subscriber::{filter::Targets, fmt::format::FmtSpan, prelude::*};

type Stack = BoxCloneSyncService<Request<Full<Bytes>>, StatusCode, BoxError>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Log lines: everything this crate tells from `INFO` on, and each span when it is over.
    let lines = tracing_subscriber::fmt::layer()
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .without_time();
    let ours = Targets::new().with_target("tower_reauth", Level::INFO);
    tracing_subscriber::registry().with(lines.with_filter(ours)).init();

    // Metrics: any recorder of the facade does. A program that is scraped has an HTTP listener instead.
    let duration = Matcher::Suffix("_seconds".into());
    let scrape = PrometheusBuilder::new()
        .set_buckets_for_metric(duration, &[0.01, 0.1, 1.0])?
        .set_buckets_for_metric(Matcher::Suffix("_waiters".into()), &[0.0, 1.0, 10.0])?
        .install_recorder()?;
    describe_metrics();

    let authorization = AuthorizationServer::new();
    authorization.lifetime(Duration::from_secs(1));
    let login = authorization.serve().await?;
    let api = ResourceServer::new(&authorization).serve().await?;
    let endpoint_client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let token_endpoint = login.uri("/token").to_string();
    let grant = RefreshTokenGrant::new_insecure(&token_endpoint, "my-app", endpoint_client)?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(api.origin())
        .build()?;
    let client = stack(&session);
    let orders = api.uri("/orders").to_string();

    println!("-- tokens live for a second, and requests go on");
    wave(&client, &orders, 40).await?;

    println!("-- nobody sends anything until the token has expired");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    wave(&client, &orders, 1).await?;

    println!("-- an administrator revokes the access token");
    authorization.lifetime(Duration::from_secs(60));
    session.refresh_after(&session.token().await?).await?;
    authorization.revoke_access_tokens();
    wave(&client, &orders, 5).await?;

    println!("-- the authorization server is down, and the token is revoked once more");
    authorization.fail_next(usize::MAX, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    authorization.revoke_access_tokens();
    wave(&client, &orders, 1).await?;
    authorization.recover();
    // The cool-down after one failure.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    wave(&client, &orders, 5).await?;

    session.logout().await?;
    session.close().await?;
    println!("-- the scrape");
    print!("{}", scrape.render());
    Ok(())
}

/// The layers over a hyper client. Bodies are read, so that connections are used again.
fn stack(session: &Session) -> Stack {
    let hyper_client = Client::builder(TokioExecutor::new()).build_http();
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(hyper_client);
    BoxCloneSyncService::new(layers.and_then(
        async |response: http::Response<hyper::body::Incoming>| {
            let (head, body) = response.into_parts();
            body.collect().await?;
            Ok::<_, BoxError>(head.status)
        },
    ))
}

/// So many rounds of four requests at once, 50 ms apart.
async fn wave(client: &Stack, url: &str, rounds: usize) -> Result<(), BoxError> {
    let mut answers = Vec::new();
    for _ in 0..rounds {
        let requests = (0..4).map(|_| async {
            let request = Request::post(url).body(Full::from("tea"))?;
            client.clone().oneshot(request).await
        });
        answers.extend(try_join_all(requests).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let well = answers.iter().filter(|status| status.is_success()).count();
    println!("{well} of {} requests were answered well", answers.len());
    Ok(())
}
