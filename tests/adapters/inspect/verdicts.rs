//! What a verdict on a body leads to, through the whole stack, with the layer above and beneath attach.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BearerClassifier, BoxError, Challenge, Classify, ClassifyBody, Event, GraphQlErrors,
    GrpcClassifier, InspectLayer, InspectedBody, JsonPointer, NoAuth, NoReplay, NotReplayed,
    RefreshError, RefreshLayer, RefreshTokenGrant, ReplayBody, Session, Verdict, classify_body_fn,
    classify_fn,
    testing::{AuthorizationServer, Fault},
};

use super::server::GraphQl;

const ORIGIN: &str = "https://api.example.com";
const REFUSED: &str = r#"{"errors":[{"message":"m","extensions":{"code":"UNAUTHENTICATED"}}]}"#;
const QUERY: &str = r#"{"query":"{ order(id: 7) { id } }","variables":{"id":7}}"#;

type Body = Full<Bytes>;
type Client<R> = BoxCloneSyncService<Request<Body>, Response<InspectedBody<R>>, BoxError>;

#[derive(Clone, Copy, Debug)]
enum Order {
    Above,
    Beneath,
}
use Order::{Above, Beneath};

fn session(authorization: &AuthorizationServer) -> Session {
    let endpoint = authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&endpoint, "app", authorization.clone()).unwrap();
    Session::builder(grant).tokens(authorization.login()).origin(ORIGIN).build().unwrap()
}

/// `RefreshLayer` above, and this layer above or beneath `AuthLayer`.
fn stack<S, R>(
    order: Order,
    session: &Session,
    judge: impl ClassifyBody,
    classifier: impl Classify + Clone,
    inner: S,
) -> Client<R>
where
    S: tower::Service<
            Request<ReplayBody<Body>>,
            Response = Response<R>,
            Error: Into<BoxError>,
            Future: Send,
        > + Clone
        + Send
        + Sync
        + 'static,
    R: http_body::Body<Error: Send> + Send + 'static,
{
    let refresh = RefreshLayer::new(session.clone()).classifier(classifier);
    let auth = AuthLayer::new(session.clone());
    let inspect = InspectLayer::new(judge);
    match order {
        Above => BoxCloneSyncService::new(
            ServiceBuilder::new().layer(refresh).layer(inspect).layer(auth).service(inner),
        ),
        Beneath => BoxCloneSyncService::new(
            ServiceBuilder::new().layer(refresh).layer(auth).layer(inspect).service(inner),
        ),
    }
}

fn post(query: &'static str) -> Request<Body> {
    Request::post(format!("{ORIGIN}/graphql")).body(Full::from(query)).unwrap()
}

async fn send<R>(client: &Client<R>, request: Request<Body>) -> Response<Bytes>
where
    R: http_body::Body<Error: std::fmt::Debug>,
{
    let (head, body) = client.clone().oneshot(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

/// A response of JSON.
fn json(status: u16, body: &'static str) -> Response<Body> {
    let response = Response::builder().status(status).header("content-type", "application/json");
    response.body(Full::from(body)).unwrap()
}

/// Sends one request to a server that gives `first` for its first answer and an empty 200 ever after.
/// Returns the answer, how often it was sent, and how many refreshes ran.
async fn answered(
    order: Order,
    first: Response<Body>,
    judge: impl ClassifyBody,
    classifier: impl Classify + Clone,
    request: Request<Body>,
) -> (Response<Bytes>, usize, usize) {
    let authorization = AuthorizationServer::new();
    let session = session(&authorization);
    let sends = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let sends = sends.clone();
        move |_: Request<ReplayBody<Body>>| {
            let is_first = sends.fetch_add(1, Ordering::Relaxed) == 0;
            let response = if is_first { first.clone() } else { Response::default() };
            std::future::ready(Ok::<_, BoxError>(response))
        }
    });
    let client = stack(order, &session, judge, classifier, inner);
    let response = send(&client, request).await;
    (response, sends.load(Ordering::Relaxed), authorization.token_requests())
}

#[tokio::test(start_paused = true)]
async fn a_graphql_answer_that_refuses_a_dead_token_is_replayed_in_either_order() {
    for order in [Above, Beneath] {
        let authorization = AuthorizationServer::new();
        let session = session(&authorization);
        let server = GraphQl::new(&authorization);
        let judge = GraphQlErrors::new();
        let client = stack(order, &session, judge, BearerClassifier::new(), server.clone());
        for _ in 0..3 {
            authorization.revoke_access_tokens();
            let response = send(&client, post(QUERY)).await;
            assert_eq!(response.into_body(), r#"{"data":{"order":{"id":7}}}"#, "{order:?}");
        }
        assert_eq!((server.posts(), authorization.token_requests()), (6, 3), "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_the_layer_the_same_answer_is_an_answer() {
    let authorization = AuthorizationServer::new();
    let session = session(&authorization);
    let server = GraphQl::new(&authorization);
    authorization.revoke_access_tokens();
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session))
        .service(server.clone());
    let response = client.oneshot(post(QUERY)).await.unwrap();
    assert_eq!((response.status().as_u16(), server.posts()), (200, 1));
    assert_eq!(authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn whatever_the_head_is_classified_by_the_verdict_on_the_body_counts() {
    async fn counts(classifier: impl Classify + Clone) {
        for order in [Above, Beneath] {
            let judge = GraphQlErrors::new();
            let first = json(200, REFUSED);
            let (_, sends, calls) =
                answered(order, first, judge, classifier.clone(), post(QUERY)).await;
            assert_eq!((sends, calls), (2, 1), "{order:?}");
        }
    }
    counts(BearerClassifier::new()).await;
    counts(GrpcClassifier::default()).await;
    counts(classify_fn(|_| Verdict::Answer)).await;
}

#[tokio::test(start_paused = true)]
async fn every_status_of_a_graphql_refusal_is_one() {
    for status in [200, 400, 401, 403, 500] {
        let first = json(status, REFUSED);
        let judge = GraphQlErrors::new();
        let (response, sends, calls) =
            answered(Beneath, first, judge, BearerClassifier::new(), post(QUERY)).await;
        assert_eq!((response.status().as_u16(), sends, calls), (200, 2, 1), "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_says_nothing_leaves_the_word_to_the_head() {
    for (status, expected) in [(401, (2, 1)), (403, (1, 0)), (200, (1, 0))] {
        let first = json(status, r#"{"message":"other"}"#);
        let judge = JsonPointer::new("/message", "Invalid JWT").unwrap();
        let (_, sends, calls) =
            answered(Beneath, first, judge, BearerClassifier::new(), post(QUERY)).await;
        assert_eq!((sends, calls), expected, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_json_error_behind_a_pointer_is_a_challenge_or_by_choice_a_veto() {
    for order in [Above, Beneath] {
        let invalid = || JsonPointer::new("/message", "Invalid JWT").unwrap();
        let first = || json(403, r#"{"code":403,"message":"Invalid JWT"}"#);
        let (response, sends, calls) =
            answered(order, first(), invalid(), BearerClassifier::new(), post(QUERY)).await;
        assert_eq!((response.status().as_u16(), sends, calls), (200, 2, 1), "{order:?}");

        let veto = JsonPointer::new("/message", "Invalid API key").unwrap();
        let veto = veto.verdict(Verdict::Answer);
        let first = json(401, r#"{"message":"Invalid API key"}"#);
        let (response, sends, calls) =
            answered(order, first, veto, BearerClassifier::new(), post(QUERY)).await;
        assert_eq!((response.status().as_u16(), sends, calls), (401, 1, 0), "{order:?}");
        assert!(response.extensions().get::<RefreshError>().is_none());
        assert_eq!(response.into_body(), r#"{"message":"Invalid API key"}"#);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_may_ask_for_more_authority() {
    let mut headers = HeaderMap::new();
    let line = r#"Bearer error="insufficient_scope", scope="admin""#;
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(line));
    let asked = Challenge::parse_all(&headers).remove(0);
    let judge = classify_body_fn(
        |_: &_| true,
        move |_: &_, body: &[u8]| (body == b"more").then(|| Verdict::StepUp(asked.clone())),
    );
    let authorization = AuthorizationServer::new();
    let session = session(&authorization);
    session.token().await.unwrap();
    let mut events = session.events();
    let inner = service_fn(async |_: Request<ReplayBody<Body>>| {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("more")))
    });
    let client = stack(Beneath, &session, judge, BearerClassifier::new(), inner);

    assert_eq!(send(&client, post(QUERY)).await.into_body(), "more");

    let told = events.next().now_or_never().flatten();
    let Some(Event::StepUpRequired(challenge)) = told else { panic!("{told:?}") };
    assert_eq!(challenge.param("scope"), Some("admin"));
    assert_eq!(authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_refresh_fails_the_caller_gets_the_answer_whole_with_the_error_beside_it() {
    for order in [Above, Beneath] {
        let authorization = AuthorizationServer::new();
        let session = session(&authorization);
        session.token().await.unwrap();
        let server = GraphQl::new(&authorization);
        let client =
            stack(order, &session, GraphQlErrors::new(), BearerClassifier::new(), server.clone());
        authorization.revoke_access_tokens();
        authorization.fail_next(usize::MAX, Fault::Status(http::StatusCode::SERVICE_UNAVAILABLE));

        let response = send(&client, post(QUERY)).await;

        assert_eq!((response.status().as_u16(), server.posts()), (200, 1), "{order:?}");
        assert!(response.extensions().get::<RefreshError>().unwrap().retry_at().is_some());
        let answer: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(answer["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
        assert_eq!(answer["data"], serde_json::json!({ "order": null }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_always_refuses_gets_one_replay_and_the_caller_its_answer() {
    for order in [Above, Beneath] {
        let authorization = AuthorizationServer::new();
        let session = session(&authorization);
        let inner =
            service_fn(async |_: Request<ReplayBody<Body>>| Ok::<_, BoxError>(json(200, REFUSED)));
        let client = stack(order, &session, GraphQlErrors::new(), BearerClassifier::new(), inner);
        let response = send(&client, post(QUERY)).await;
        assert_eq!(response.body(), REFUSED);
        assert!(response.extensions().get::<RefreshError>().is_some());
        assert_eq!(authorization.token_requests(), 1, "{order:?}");
    }
}

/// P11: they share a path, so an answer to one lets the other challenge again. The brake stops that.
#[tokio::test(start_paused = true)]
async fn an_operation_that_is_always_refused_beside_others_is_braked_and_harms_none_of_them() {
    let authorization = AuthorizationServer::new();
    let session = session(&authorization);
    let inner = service_fn(async |request: Request<ReplayBody<Body>>| {
        let closed = request.headers().contains_key("x-closed");
        Ok::<_, BoxError>(json(200, if closed { REFUSED } else { r#"{"data":{"open":1}}"# }))
    });
    let client = stack(Beneath, &session, GraphQlErrors::new(), BearerClassifier::new(), inner);
    for _ in 0..20 {
        let mut closed = post(QUERY);
        closed.headers_mut().insert("x-closed", HeaderValue::from_static("1"));
        let response = send(&client, closed).await;
        assert_eq!(response.body(), REFUSED);
        assert!(response.extensions().get::<RefreshError>().unwrap().is_braked());
        assert_eq!(send(&client, post(QUERY)).await.body(), r#"{"data":{"open":1}}"#);
    }
    assert_eq!(authorization.token_requests(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_body_from_elsewhere_or_to_a_request_without_our_token_is_no_evidence() {
    let abroad = || Request::post("https://elsewhere.example.net/graphql");
    let home = || Request::post(format!("{ORIGIN}/graphql"));
    let requests: [&dyn Fn() -> http::request::Builder; 4] = [
        &abroad,
        &|| home().extension(NoAuth),
        &|| home().header("authorization", "Bearer theirs"),
        &|| Request::post("/graphql"),
    ];
    for order in [Above, Beneath] {
        for request in requests {
            let request = request().body(Full::from(QUERY)).unwrap();
            let uri = request.uri().clone();
            let judge = GraphQlErrors::new();
            let first = json(200, REFUSED);
            let (response, sends, calls) =
                answered(order, first, judge, BearerClassifier::new(), request).await;
            assert_eq!((sends, calls), (1, 0), "{order:?} {uri}");
            assert_eq!(response.into_body(), REFUSED);
        }
    }
}

/// A layer between sends the request elsewhere, where nothing is attached.
#[tokio::test(start_paused = true)]
async fn a_body_from_where_the_request_was_rewritten_to_is_no_evidence() {
    for order in [Above, Beneath] {
        let authorization = AuthorizationServer::new();
        let session = session(&authorization);
        let abroad = service_fn(async |request: Request<ReplayBody<Body>>| {
            assert!(!request.headers().contains_key("authorization"));
            Ok::<_, BoxError>(json(200, REFUSED))
        });
        let rewrite =
            tower::util::MapRequestLayer::new(|mut request: Request<ReplayBody<Body>>| {
                *request.uri_mut() = "https://elsewhere.example.net/graphql".parse().unwrap();
                request
            });
        let refresh = RefreshLayer::new(session.clone());
        let auth = AuthLayer::new(session.clone());
        let inspect = InspectLayer::new(GraphQlErrors::new());
        let client: Client<Body> = match order {
            Above => BoxCloneSyncService::new(
                refresh.layer(inspect.layer(rewrite.layer(auth.layer(abroad)))),
            ),
            Beneath => BoxCloneSyncService::new(
                refresh.layer(rewrite.layer(auth.layer(inspect.layer(abroad)))),
            ),
        };
        send(&client, post(QUERY)).await;
        assert_eq!(authorization.token_requests(), 0, "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_done_twice_gets_its_refusal_and_the_next_finds_a_new_token() {
    let authorization = AuthorizationServer::new();
    let session = session(&authorization);
    session.token().await.unwrap();
    let server = GraphQl::new(&authorization);
    let judge = GraphQlErrors::new();
    let client = stack(Beneath, &session, judge, BearerClassifier::new(), server.clone());
    authorization.revoke_access_tokens();

    let mut mutation = post(QUERY);
    mutation.extensions_mut().insert(NoReplay);
    let response = send(&client, mutation).await;
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Asked));
    assert!(response.body().starts_with(b"{\"data\":{\"order\":null}"));

    let response = send(&client, post(QUERY)).await;
    assert_eq!(response.into_body(), r#"{"data":{"order":{"id":7}}}"#);
    assert_eq!((server.posts(), authorization.token_requests()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn an_encoded_body_passes_unjudged() {
    let mut first = json(200, REFUSED);
    first.headers_mut().insert("content-encoding", HeaderValue::from_static("gzip"));
    let judge = GraphQlErrors::new();
    let (response, sends, calls) =
        answered(Beneath, first, judge, BearerClassifier::new(), post(QUERY)).await;
    assert_eq!((response.into_body(), sends, calls), (Bytes::from(REFUSED), 1, 0));
}
