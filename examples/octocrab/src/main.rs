//! `octocrab` over the two layers: any client that takes a tower stack.
//!
//! octocrab attaches no credentials here; the layers do. Tokens are revoked between two pages, and under a
//! post.
//!
//! ```console
//! $ cargo run --manifest-path examples/octocrab/Cargo.toml
//! ```

mod stand_in;

use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use octocrab::{AuthState, OctocrabBuilder, Page, service::middleware::base_uri::BaseUriLayer};
use serde_json::{Value, json};
use tower::ServiceBuilder;
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, Session, testing::AuthorizationServer,
};

use self::stand_in::StandIn;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let github = StandIn::serve(&authorization).await?;

    let token_endpoint = authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&token_endpoint, "my-app", authorization.clone())?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(github.origin())
        .build()?;

    let stack = ServiceBuilder::new()
        .layer(BaseUriLayer::new(github.origin().parse()?)) // octocrab's requests are relative
        .layer(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
        .layer(AuthLayer::new(session.clone())) // attaches the newest access token
        .service(Client::builder(TokioExecutor::new()).build_http());
    let octocrab =
        OctocrabBuilder::new_empty().with_service(stack).with_auth(AuthState::None).build()?;

    let me: Value = octocrab.get("/user", None::<&()>).await?;
    println!("logged in as {}", me["login"].as_str().unwrap_or("nobody"));

    let mut page: Page<Value> = octocrab.get("/user/repos", None::<&()>).await?;
    let mut repositories = page.take_items();
    while page.next.is_some() {
        authorization.revoke_access_tokens();
        page = octocrab.get_page(&page.next).await?.ok_or("a page is missing")?;
        repositories.append(&mut page.take_items());
    }
    let names: Vec<_> =
        repositories.iter().filter_map(|repository| repository["name"].as_str()).collect();
    println!("repositories, though a token was revoked at each page: {names:?}");

    authorization.revoke_access_tokens();
    let gist: Value = octocrab.post("/gists", Some(&json!({ "description": "tea" }))).await?;
    println!("posted {gist}, sent twice");

    let (refused, refreshes) = (github.refused(), authorization.refreshes());
    println!(
        "{refused} requests were refused, {refreshes} refreshes ran, and octocrab saw none of it"
    );
    let posted = gist["description"].as_str();
    if (names.len(), posted, refused, refreshes) != (3, Some("tea"), 3, 3) {
        return Err("something else than that happened".into());
    }
    session.close().await?;
    Ok(())
}
