//! Silent refresh of GraphQL, against Apollo Server.

use std::{path::Path, process::Stdio};

use bytes::Bytes;
use futures::future::join_all;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Child,
};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, GraphQlData, GraphQlErrors, InspectLayer, InspectedBody, RefreshLayer,
    RefreshTokenGrant, Session,
    testing::{AuthorizationServer, Loopback, ResourceServer},
};

use crate::support::{Body, plain, program, soon};

const APOLLO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/apollo");
const ME: &str = "{ me { name } }";
const ORDER: &str = r#"mutation { order(drink: "tea") { id } }"#;

type Client = BoxCloneSyncService<Request<Body>, Response<InspectedBody<Incoming>>, BoxError>;

/// A running server, which asks the resource server of the test kit about tokens.
struct Apollo {
    authorization: AuthorizationServer,
    origin: String,
    _introspection: Loopback,
    _process: Child,
}

impl Apollo {
    /// `refusal` as `server.mjs` reads it.
    async fn new(refusal: &str) -> Self {
        assert!(
            Path::new(APOLLO).join("node_modules").is_dir(),
            "the packages of tests/interop/apollo are missing: `tests/run interop` installs them"
        );
        let authorization = AuthorizationServer::new();
        let introspection = ResourceServer::new(&authorization).serve().await.unwrap();
        let mut command = program("node");
        command.args(["server.mjs", refusal, &introspection.uri("/").to_string()]);
        command.current_dir(APOLLO).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = soon(lines.next_line()).await.unwrap().expect("Apollo Server ended");
        let origin = format!("http://127.0.0.1:{port}");
        Self { authorization, origin, _introspection: introspection, _process: process }
    }

    /// A stack whose token was revoked since the login.
    async fn client(&self, graphql: GraphQlErrors) -> Client {
        let endpoint = self.authorization.token_endpoint().to_string();
        let grant = RefreshTokenGrant::new(&endpoint, "app", self.authorization.clone()).unwrap();
        let session = Session::builder(grant)
            .tokens(self.authorization.login())
            .insecure_origin(&self.origin)
            .build()
            .unwrap();
        session.token().await.unwrap();
        self.authorization.revoke_access_tokens();
        let layers = ServiceBuilder::new()
            .layer(RefreshLayer::new(session.clone()))
            .layer(AuthLayer::new(session))
            .layer(InspectLayer::new(graphql));
        BoxCloneSyncService::new(layers.service(plain()))
    }

    fn post(&self, asked: &Value) -> Request<Body> {
        Request::post(&self.origin)
            .header("content-type", "application/json")
            .body(Full::from(asked.to_string()))
            .unwrap()
    }

    fn query(&self, query: &str) -> Request<Body> {
        self.post(&json!({ "query": query }))
    }
}

/// The answer, and how often each field was done that does something.
struct Answer {
    status: u16,
    json: Value,
    done: Value,
}

impl Answer {
    async fn of<B>(response: Response<B>) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
    {
        let (head, body) = response.into_parts();
        let json = body.collect().await.unwrap().to_bytes();
        let done = head.headers.get("x-done").map_or(&b"null"[..], |done| done.as_bytes());
        Self {
            status: head.status.as_u16(),
            json: serde_json::from_slice(&json).unwrap(),
            done: serde_json::from_slice(done).unwrap(),
        }
    }
}

async fn send(client: &Client, request: Request<Body>) -> Answer {
    soon(async { Answer::of(client.clone().oneshot(request).await.unwrap()).await }).await
}

/// Without a token, and without any of our layers.
async fn bare(request: Request<Body>) -> Answer {
    soon(async { Answer::of(plain().request(request).await.unwrap()).await }).await
}

#[tokio::test]
async fn a_context_that_throws_is_a_challenge_whatever_status_apollo_gives_it() {
    for (refusal, status) in [("context", 500), ("context-401", 401)] {
        let apollo = Apollo::new(refusal).await;
        let refused = bare(apollo.query(ME)).await;
        assert_eq!(refused.status, status, "{refusal}");
        assert_eq!(refused.json["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(refused.json.get("data"), None);

        // Nothing was executed, so the most careful policy replays.
        let client = apollo.client(GraphQlErrors::new().data(GraphQlData::Absent)).await;
        let answer = send(&client, apollo.query(ME)).await;
        assert_eq!((answer.status, &answer.json["data"]["me"]["name"]), (200, &json!("Ada")));

        apollo.authorization.revoke_access_tokens();
        let answer = send(&client, apollo.query(ORDER)).await;
        assert_eq!(answer.json["data"]["order"]["id"], 1, "{refusal}");
        assert_eq!(apollo.authorization.token_requests(), 2);
    }
}

#[tokio::test]
async fn a_resolver_that_throws_is_a_challenge_for_queries_and_mutations() {
    let apollo = Apollo::new("resolver").await;
    let client = apollo.client(GraphQlErrors::new()).await;
    for (query, field, refused) in [
        (ME, "/me/name", json!(null)),
        ("{ maybe { name } }", "/maybe/name", json!({ "maybe": null })),
        (
            "{ one: maybe { name } two: maybe { name } }",
            "/two/name",
            json!({ "one": null, "two": null }),
        ),
        (ORDER, "/order/id", json!(null)),
    ] {
        let dead = bare(apollo.query(query)).await;
        assert_eq!((dead.status, &dead.json["data"]), (200, &refused), "{query}");

        apollo.authorization.revoke_access_tokens();
        let before = apollo.authorization.token_requests();
        let answer = send(&client, apollo.query(query)).await;
        assert!(answer.json["data"].pointer(field).is_some(), "{query}");
        assert_eq!(answer.json.get("errors"), None);
        assert_eq!(apollo.authorization.token_requests(), before + 1);
    }
    let answer = send(&client, apollo.query(ME)).await;
    assert_eq!(answer.done["order"], 1);
}

#[tokio::test]
async fn a_mutation_that_was_done_in_part_is_not_done_again() {
    let apollo = Apollo::new("resolver").await;
    for query in [
        // Done, and what was asked about it refused.
        "mutation { anonymous { id owner { name } } }",
        // Done, and it returns nothing.
        "mutation { note maybe: anonymous { owner { name } } }",
    ] {
        let client = apollo.client(GraphQlErrors::new()).await;
        let before = bare(apollo.query("{ version }")).await.done;
        let calls = apollo.authorization.token_requests();
        let answer = send(&client, apollo.query(query)).await;
        assert_eq!(answer.json["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        let anonymous = before["anonymous"].as_u64().unwrap() + 1;
        assert_eq!(answer.done["anonymous"], anonymous, "{query}");
        assert_eq!(apollo.authorization.token_requests(), calls);
    }
}

/// What the page of `GraphQlErrors` says that the default cannot tell.
#[tokio::test]
async fn an_open_mutation_beside_one_that_leaves_no_data_is_done_again_unless_data_must_be_absent()
{
    let apollo = Apollo::new("resolver").await;
    let query = r#"mutation { note order(drink: "tea") { id } }"#;
    let client = apollo.client(GraphQlErrors::new().data(GraphQlData::Absent)).await;
    let answer = send(&client, apollo.query(query)).await;
    assert_eq!((&answer.json["data"], &answer.done["note"]), (&json!(null), &json!(1)));
    assert_eq!(apollo.authorization.token_requests(), 0);

    let client = apollo.client(GraphQlErrors::new()).await;
    let answer = send(&client, apollo.query(query)).await;
    assert_eq!((&answer.json["data"]["order"]["id"], &answer.done["note"]), (&json!(1), &json!(3)));
}

#[tokio::test]
async fn partial_data_are_an_answer_and_by_choice_a_challenge() {
    let apollo = Apollo::new("resolver").await;
    let query = "{ version maybe { name } }";
    let client = apollo.client(GraphQlErrors::new()).await;
    let answer = send(&client, apollo.query(query)).await;
    assert_eq!(answer.json["data"], json!({ "version": "1", "maybe": null }));
    assert_eq!(apollo.authorization.token_requests(), 0);

    let client = apollo.client(GraphQlErrors::new().data(GraphQlData::Partial)).await;
    let answer = send(&client, apollo.query(query)).await;
    assert_eq!(answer.json["data"], json!({ "version": "1", "maybe": { "name": "Ada" } }));
    assert_eq!(apollo.authorization.token_requests(), 1);
}

#[tokio::test]
async fn the_media_type_of_graphql_and_queries_by_get_are_read_too() {
    let apollo = Apollo::new("resolver").await;
    let client = apollo.client(GraphQlErrors::new()).await;
    let mut request = apollo.query(ME);
    let accept = "application/graphql-response+json".parse().unwrap();
    request.headers_mut().insert("accept", accept);
    let answer = send(&client, request).await;
    assert_eq!(answer.json["data"]["me"]["name"], "Ada");

    apollo.authorization.revoke_access_tokens();
    let uri = format!("{}/?query=%7Bme%7Bname%7D%7D", apollo.origin);
    let request = Request::get(uri).header("apollo-require-preflight", "1");
    let answer = send(&client, request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.json["data"]["me"]["name"], "Ada");
    assert_eq!(apollo.authorization.token_requests(), 2);
}

#[tokio::test]
async fn a_batch_is_replayed_if_all_of_it_was_refused() {
    let apollo = Apollo::new("resolver").await;
    let client = apollo.client(GraphQlErrors::new()).await;
    let batch = |queries: [&str; 2]| apollo.post(&queries.map(|it| json!({ "query": it })).into());
    let answer = send(&client, batch([ME, "{ maybe { name } }"])).await;
    assert_eq!(answer.json[1]["data"]["maybe"]["name"], "Ada");
    assert_eq!(apollo.authorization.token_requests(), 1);

    apollo.authorization.revoke_access_tokens();
    let answer = send(&client, batch(["{ version }", ME])).await;
    assert_eq!(answer.json[0]["data"]["version"], "1");
    assert_eq!(answer.json[1]["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    assert_eq!(apollo.authorization.token_requests(), 1);
}

#[tokio::test]
async fn many_posts_on_a_revoked_token_lead_to_one_refresh() {
    let apollo = Apollo::new("resolver").await;
    let client = apollo.client(GraphQlErrors::new()).await;
    let posts = (0..100).map(|_| send(&client, apollo.query(ME)));
    for answer in join_all(posts).await {
        assert_eq!(answer.json["data"]["me"]["name"], "Ada");
    }
    assert_eq!(apollo.authorization.token_requests(), 1);
}
