//! A token that something else keeps fresh: call this, put it in the header.
//!
//! The simplest client of all needs no session. A sidecar, an agent or a mounted file renews the token;
//! the program reads the newest one for each request, and it goes to the named origin only.
//!
//! ```console
//! $ cargo run --example attach_only
//! ```

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, Origins,
    testing::{AuthorizationServer, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let api = ResourceServer::new(&authorization).serve().await?;
    let elsewhere = ResourceServer::new(&authorization).serve().await?;

    // What the agent keeps fresh.
    let newest = Arc::new(ArcSwap::from_pointee(authorization.login().access().clone()));

    let token = newest.clone();
    let origins = Origins::new_insecure(&api.origin())?;
    let mut client = ServiceBuilder::new()
        .layer(AuthLayer::from_fn(origins, move || Some(token.load().as_ref().clone())))
        .service(Client::builder(TokioExecutor::new()).build_http());

    let mut status = async |uri: Uri| {
        let request = Request::get(uri).body(Full::<Bytes>::default())?;
        Ok::<_, BoxError>(client.ready().await?.call(request).await?.status())
    };
    println!("with the token:           {}", status(api.uri("/me")).await?);

    authorization.revoke_access_tokens();
    println!("with a revoked token:     {}", status(api.uri("/me")).await?);

    newest.store(Arc::new(authorization.login().access().clone()));
    println!("after the agent's visit:  {}", status(api.uri("/me")).await?);
    println!("elsewhere, without token: {}", status(elsewhere.uri("/me")).await?);
    Ok(())
}
