//! `kube` over the two layers: any client that takes a tower stack.
//!
//! kube attaches no credentials here; the layers do. Tokens are revoked under a list, and under a watch.
//!
//! ```console
//! $ cargo run --manifest-path examples/kube/Cargo.toml
//! ```

mod stand_in;

use std::pin::pin;

use futures::TryStreamExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Config, ResourceExt,
    api::{ListParams, PostParams, WatchEvent, WatchParams},
    client::ConfigExt,
};
use tower::ServiceBuilder;
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, Session, testing::AuthorizationServer,
};

use self::stand_in::StandIn;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let cluster = StandIn::serve(&authorization).await?;

    let token_endpoint = authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&token_endpoint, "kubectl", authorization.clone())?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(cluster.origin())
        .build()?;

    let config = Config::new(cluster.origin().parse()?);
    let stack = ServiceBuilder::new()
        .layer(config.base_uri_layer()) // kube's requests are relative; the layers want an origin
        .layer(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
        .layer(AuthLayer::new(session.clone())) // attaches the newest access token
        .service(Client::builder(TokioExecutor::new()).build_http());
    let client = kube::Client::new(stack, "default");

    println!("Kubernetes {}", client.apiserver_version().await?.git_version);

    let pods: Api<Pod> = Api::default_namespaced(client);
    authorization.revoke_access_tokens();
    let names: Vec<_> =
        pods.list(&ListParams::default()).await?.iter().map(Pod::name_any).collect();
    println!("pods, though the token had been revoked: {names:?}");

    authorization.revoke_access_tokens();
    let pod = Pod {
        metadata: kube::core::ObjectMeta { name: Some("kettle".into()), ..Default::default() },
        ..Default::default()
    };
    let created = pods.create(&PostParams::default(), &pod).await?;
    println!("created {}, its body sent twice", created.name_any());

    authorization.revoke_access_tokens();
    let mut events = pin!(pods.watch(&WatchParams::default(), "0").await?);
    let mut watched = 0;
    while let Some(event) = events.try_next().await? {
        if let WatchEvent::Added(pod) = event {
            println!("watched: {} was added", pod.name_any());
            watched += 1;
        }
    }

    let (refused, refreshes) = (cluster.refused(), authorization.refreshes());
    println!("{refused} requests were refused, {refreshes} refreshes ran, and kube saw none of it");
    if (names.len(), watched, refused, refreshes) != (2, 2, 3, 3) {
        return Err("something else than that happened".into());
    }
    session.close().await?;
    Ok(())
}
