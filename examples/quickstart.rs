//! Two layers, and the program forgets about tokens.
//!
//! ```console
//! $ cargo run --example quickstart
//! ```

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, Session,
    testing::{AuthorizationServer, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // What a program has from elsewhere: the two servers, two HTTP clients, the tokens of a login.
    let authorization = AuthorizationServer::new();
    let login_socket = authorization.serve().await?;
    let api = ResourceServer::new(&authorization).serve().await?;
    let token_endpoint = login_socket.uri("/token").to_string();
    let endpoint_client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let hyper_client = Client::builder(TokioExecutor::new()).build_http();
    let first_tokens = authorization.login();

    // `new` and `origin` are for `https`; over plain `http` the program must say that it knows.
    let grant = RefreshTokenGrant::new_insecure(&token_endpoint, "my-app", endpoint_client)?;
    let session = Session::builder(grant)
        .tokens(first_tokens) // from the login
        .insecure_origin(api.origin()) // the only place the access token may go
        .build()?;

    let mut client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
        .layer(AuthLayer::new(session.clone())) // attaches the newest access token
        .service(hyper_client);

    for drink in ["tea", "coffee"] {
        let order = Request::post(api.uri("/orders")).body(Full::new(Bytes::from(drink)))?;
        let response = client.ready().await?.call(order).await?;
        println!("{} for {drink}", response.status());
        println!("  the body came back: {:?}", response.into_body().collect().await?.to_bytes());

        // The server forgets the access token. The next request does not notice.
        authorization.revoke_access_tokens();
    }
    println!("the access token was refreshed {} time(s)", authorization.refreshes());

    session.close().await?; // a program that ends: joins a refresh in flight and the last save
    Ok(())
}
