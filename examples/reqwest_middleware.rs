//! `client.post(url).json(&order).send()` with silent refresh, by `reqwest-middleware`.
//!
//! ```console
//! $ cargo run --features reqwest-middleware --example reqwest_middleware
//! ```

use reqwest::redirect::Policy;
use reqwest_middleware::{ClientBuilder, Error};
use serde_json::{Value, json};
use tower_reauth::{
    AuthLayer, BoxError, NoAuth, RefreshError, RefreshLayer, RefreshTokenGrant, ReqwestService,
    Session,
    reqwest::redirect_policy,
    testing::{AuthorizationServer, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let login_socket = authorization.serve().await?;
    let api = ResourceServer::new(&authorization).serve().await?;

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

    let client = ClientBuilder::new(http)
        .with(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
        .with(AuthLayer::new(session.clone())) // attaches the newest access token
        .build();

    let orders = api.uri("/orders").to_string();
    for drink in ["tea", "coffee"] {
        let response = client.post(&orders).json(&json!({ "drink": drink })).send().await?;
        println!("{} for {}", response.status(), response.json::<Value>().await?);
        authorization.revoke_access_tokens();
    }
    println!("the access token was refreshed {} time(s)", authorization.refreshes());

    let public = client.get(&orders).with_extension(NoAuth).send().await?;
    println!("{} without a token, which was asked for", public.status());

    // The refresh token is revoked too: a challenge that cannot be answered, then an error.
    authorization.revoke_all();
    let challenged = client.get(&orders).send().await?;
    let error = challenged.extensions().get::<RefreshError>().ok_or("no error beside it")?;
    println!("{}: {error}", challenged.status());
    match client.get(&orders).send().await {
        Err(Error::Middleware(error)) => {
            let error = error.downcast_ref::<RefreshError>().ok_or("not the session's")?;
            println!("not sent: {error}; needs a login: {}", error.needs_login());
        }
        other => return Err(format!("the session lives: {other:?}").into()),
    }
    Ok(())
}
