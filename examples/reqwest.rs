//! reqwest's client beneath the two layers, and what becomes of a redirect that it follows by itself.
//!
//! ```console
//! $ cargo run --features reqwest --example reqwest
//! ```

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use reqwest::redirect::Policy;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, ReqwestService, Session,
    reqwest::redirect_policy,
    testing::{AuthorizationServer, Fault, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let login_socket = authorization.serve().await?;
    let server = ResourceServer::new(&authorization);
    let api = server.serve().await?;
    let stranger = ResourceServer::new(&authorization);
    let files = stranger.serve().await?;

    let http = reqwest::Client::builder().redirect(redirect_policy()).build()?;
    // A redirect of the token endpoint would carry the refresh token away.
    let at_the_endpoint = reqwest::Client::builder().redirect(Policy::none()).build()?;

    let token_endpoint = login_socket.uri("/token").to_string();
    let endpoint_client = ReqwestService::new(at_the_endpoint);
    let grant = RefreshTokenGrant::new_insecure(&token_endpoint, "my-app", endpoint_client)?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(api.origin())
        .build()?;
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(ReqwestService::new(http));

    for drink in ["tea", "coffee"] {
        let order = Request::post(api.uri("/orders")).body(Full::new(Bytes::from(drink)))?;
        let response = client.clone().oneshot(order).await?;
        let response = reqwest::Response::from(response);
        print!("{} from {}: ", response.status(), response.url());
        println!("{}", response.text().await?);
        authorization.revoke_access_tokens();
    }
    println!("the access token was refreshed {} time(s)", authorization.refreshes());

    // The API sends the next request on to a stranger. reqwest follows, and leaves the token behind.
    let elsewhere = Response::builder()
        .status(302)
        .header(header::LOCATION, files.uri("/report").to_string())
        .body(Bytes::new())?;
    server.fail_next(1, Fault::Response(elsewhere));
    let request = Request::get(api.uri("/report")).body(Full::<Bytes>::default())?;
    let response = reqwest::Response::from(client.oneshot(request).await?);
    println!("{} from {}", response.status(), response.url());
    let carried: usize = stranger.received().iter().map(|request| request.authorizations()).sum();
    println!("the stranger was given {carried} token(s); its 401 refreshed nothing");
    assert_eq!((carried, authorization.refreshes()), (0, 1));

    session.close().await?;
    Ok(())
}
