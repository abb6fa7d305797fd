//! The token is revoked while many posts are on their way.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, GraphQlErrors, InspectLayer, RefreshLayer, RefreshTokenGrant, Session,
    testing::AuthorizationServer,
};

use super::server::GraphQl;

/// The server holds every post until all have arrived; then the token is revoked, and it judges them.
async fn revoked_in_flight(posts: usize, http2: bool) {
    let authorization = AuthorizationServer::new();
    let endpoint = authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&endpoint, "app", authorization.clone()).unwrap();
    let mut server = GraphQl::new(&authorization);
    server.hold();
    let (address, _serving) = server.serve().await;
    let origin = format!("http://{address}");
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(&origin)
        .build()
        .unwrap();
    let http_client = Client::builder(TokioExecutor::new()).http2_only(http2).build_http();
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .layer(InspectLayer::new(GraphQlErrors::new()))
        .service(http_client);

    let mut callers = JoinSet::new();
    for id in 0..posts {
        let query = json!({ "query": "mutation($id: Int!) { order(id: $id) { id } }", "variables": { "id": id } });
        let request = Request::post(format!("{origin}/graphql"))
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(query.to_string())))
            .unwrap();
        let client = client.clone();
        callers.spawn(async move {
            let response = client.oneshot(request).await.unwrap();
            assert_eq!(response.status(), 200);
            let answer = response.into_body().collect().await.unwrap().to_bytes();
            let answer: Value = serde_json::from_slice(&answer).unwrap();
            assert_eq!(answer, json!({ "data": { "order": { "id": id } } }));
        });
    }
    server.until_arrived(posts).await;
    assert_eq!(server.posts(), posts);
    authorization.revoke_access_tokens();
    server.release();

    let mut succeeded = 0;
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
        succeeded += 1;
    }
    assert_eq!((succeeded, authorization.token_requests()), (posts, 1));
    assert_eq!((server.posts(), authorization.reused()), (2 * posts, 0));
    session.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_posts_in_flight_when_the_token_is_revoked_lead_to_one_refresh_and_no_failure() {
    revoked_in_flight(1000, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posts_on_connections_of_their_own_do_too() {
    revoked_in_flight(100, false).await;
}
