//! What a response leads to, through the whole stack.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use http_body_util::Full;
use tower::{ServiceBuilder, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BearerClassifier, Classify, Event, GrpcClassifier, RefreshError, RefreshLayer,
    ReplayBody, Session, Verdict, classify_fn,
};

use crate::support::{Body, World, get, send};

/// Sends one request to a server that gives `first` for its first answer and 200 ever after. Returns the
/// answer, how often it was sent, and how many refreshes ran.
async fn answered(
    first: Response<Full<Bytes>>,
    classifier: impl Classify + Clone,
) -> (Response<Bytes>, usize, usize) {
    let world = World::new();
    answered_in(&world, &world.session(), first, classifier).await
}

async fn answered_in(
    world: &World,
    session: &Session,
    first: Response<Full<Bytes>>,
    classifier: impl Classify + Clone,
) -> (Response<Bytes>, usize, usize) {
    let sends = Arc::new(AtomicUsize::new(0));
    let inner = service_fn({
        let sends = sends.clone();
        move |_: Request<ReplayBody<Body>>| {
            let is_first = sends.fetch_add(1, Ordering::Relaxed) == 0;
            let response = if is_first { first.clone() } else { Response::default() };
            std::future::ready(Ok::<_, Infallible>(response))
        }
    });
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).classifier(classifier))
        .layer(AuthLayer::new(session.clone()));
    let client = BoxCloneSyncService::new(layers.service(inner));
    let response = send(&client, get("/")).await.unwrap();
    (response, sends.load(Ordering::Relaxed), world.authorization.token_requests())
}

fn challenge(status: u16, lines: &[&[u8]]) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from("the reason"));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for line in lines {
        let line = HeaderValue::from_bytes(line).unwrap();
        response.headers_mut().append(WWW_AUTHENTICATE, line);
    }
    response
}

/// Case 63.
#[tokio::test(start_paused = true)]
async fn an_answer_that_no_refresh_would_change_is_handed_on_after_one_send() {
    for (status, line) in [
        (403, None),
        (403, Some(r#"Bearer error="insufficient_scope", scope="admin""#)),
        (403, Some(r#"Bearer error="invalid_token""#)),
        (401, Some(r#"Bearer error="insufficient_user_authentication", acr_values="gold""#)),
        (401, Some(r#"Bearer error="insufficient_claims", claims="e30=""#)),
        (401, Some(r#"Bearer error="invalid_request""#)),
        (401, Some(r#"DPoP error="use_dpop_nonce""#)),
        (401, Some(r#"Basic realm="staff""#)),
        (401, Some("Negotiate")),
        (407, Some(r#"Bearer error="invalid_token""#)),
        (400, Some(r#"Bearer error="invalid_token""#)),
        (500, None),
        (302, None),
    ] {
        let lines: Vec<&[u8]> = line.iter().map(|line| line.as_bytes()).collect();
        let first = challenge(status, &lines);
        let (response, sends, calls) = answered(first, BearerClassifier::new()).await;
        assert_eq!((response.status().as_u16(), sends, calls), (status, 1, 0), "{line:?}");
        assert!(response.extensions().get::<RefreshError>().is_none());
        assert_eq!(response.into_body(), "the reason");
    }
}

/// Case 63.
#[tokio::test(start_paused = true)]
async fn permission_denied_is_an_answer_and_unauthenticated_is_a_challenge() {
    for (status, expected) in [("7", (1, 0)), ("16", (2, 1)), ("0", (1, 0)), ("160", (1, 0))] {
        let mut first = Response::new(Full::default());
        first.headers_mut().insert("grpc-status", status.parse().unwrap());
        let (_, sends, calls) = answered(first, GrpcClassifier::default()).await;
        assert_eq!((sends, calls), expected, "grpc-status: {status}");
    }
}

/// Case 64.
#[tokio::test(start_paused = true)]
async fn challenges_are_found_among_others_however_they_are_written() {
    for lines in [
        &[][..],
        &[&b"Bearer"[..]],
        &[br#"Bearer realm="a, b\", error=\"insufficient_scope", error="invalid_token""#],
        &[b"bEaReR ERROR = invalid_token"],
        &[br#"Basic realm="x, Bearer y", Bearer error="invalid_token", Negotiate"#],
        &[b"Negotiate YWJjZA==, Bearer error=invalid_token"],
        &[b"Negotiate", b"Basic realm=staff", br#"Bearer error="invalid_token""#],
        &[br#"Bearer error="some_other_code""#],
        &[b",, ,Bearer , ,error=invalid_token"],
        &[b"\xff\xfe\"\\"],
        &[b"=\"\"\"=,=,\x80", b"Bearer error=invalid_token"],
    ] {
        let (response, sends, calls) =
            answered(challenge(401, lines), BearerClassifier::new()).await;
        let lines: Vec<_> = lines.iter().map(|line| String::from_utf8_lossy(line)).collect();
        assert_eq!((response.status().as_u16(), sends, calls), (200, 2, 1), "{lines:?}");
    }
}

/// Case 64.
#[tokio::test(start_paused = true)]
async fn an_error_code_belongs_to_the_scheme_that_it_follows() {
    for line in [
        r#"Basic error="invalid_token""#,
        r#"Bearer error="invalid_request", Basic error="invalid_token""#,
        r#"Custom x="Bearer error=invalid_token""#,
    ] {
        let first = challenge(401, &[line.as_bytes()]);
        let (response, sends, calls) = answered(first, BearerClassifier::new()).await;
        assert_eq!((response.status().as_u16(), sends, calls), (401, 1, 0), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_demand_for_more_authority_is_told_with_its_parameters() {
    for (status, line, parameter) in [
        (
            403,
            r#"Bearer error="insufficient_scope", scope="admin write""#,
            ("scope", "admin write"),
        ),
        (
            401,
            r#"Bearer error="insufficient_user_authentication", acr_values="gold", max_age=5"#,
            ("acr_values", "gold"),
        ),
    ] {
        let world = World::new();
        let session = world.session();
        session.token().await.unwrap();
        let mut events = session.events();
        let first = challenge(status, &[line.as_bytes()]);
        answered_in(&world, &session, first, BearerClassifier::new()).await;

        let told = events.next().now_or_never().flatten();
        let Some(Event::StepUpRequired(challenge)) = told else { panic!("{told:?}") };
        assert_eq!(challenge.param(parameter.0), Some(parameter.1));
        assert!(events.next().now_or_never().is_none());
        assert_eq!(world.authorization.token_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_the_server_wants_is_told_and_leads_to_no_refresh() {
    let world = World::new();
    let session = world.session();
    session.token().await.unwrap();
    world.api.insufficient_scope("/admin", "admin");
    let mut events = session.events();

    let response = send(&world.client(&session), get("/admin")).await.unwrap();

    assert_eq!((response.status().as_u16(), world.api.requests()), (403, 1));
    let told = events.next().now_or_never().flatten();
    let Some(Event::StepUpRequired(challenge)) = told else { panic!("{told:?}") };
    assert_eq!(challenge.param("scope"), Some("admin"));
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_of_the_programs_own_has_the_last_word() {
    let never = classify_fn(|_| Verdict::Answer);
    let first = challenge(401, &[br#"Bearer error="invalid_token""#]);
    assert_eq!(answered(first, never).await.0.status(), 401);

    let teapot = classify_fn(|head| match head.status() {
        StatusCode::IM_A_TEAPOT => Verdict::Challenge,
        _ => Verdict::Answer,
    });
    let (response, sends, calls) = answered(challenge(418, &[]), teapot).await;
    assert_eq!((response.status().as_u16(), sends, calls), (200, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_classifier_that_calls_everything_a_challenge_is_bounded() {
    let world = World::new();
    let session = world.session();
    let always = classify_fn(|_| Verdict::Challenge);
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).classifier(always))
        .layer(AuthLayer::new(session));
    let client = BoxCloneSyncService::new(layers.service(world.api.clone()));

    let response = send(&client, get("/")).await.unwrap();
    assert_eq!((response.status().as_u16(), world.api.requests()), (200, 2));
    assert!(response.extensions().get::<RefreshError>().unwrap().is_braked());
    for _ in 0..20 {
        send(&client, get("/")).await.unwrap();
    }
    assert!(world.authorization.token_requests() <= 5);
}
