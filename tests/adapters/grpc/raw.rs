//! What no tonic server or client can be made to send.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    future::ready,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status, body::Body};
use tower::{Layer, ServiceExt, service_fn};
use tower_reauth::{
    RefreshError, Verdict, classify_fn,
    testing::Fault,
    tonic::{ReauthLayer, refresh_error},
};

use super::world::World;

fn request(body: impl Into<Bytes>) -> Request<Body> {
    Request::post("/test.Chat/Say").body(Body::new(Full::new(body.into()))).unwrap()
}

fn refused() -> Response<Body> {
    Status::unauthenticated("no").into_http()
}

#[tokio::test]
async fn a_compressed_message_is_sent_again_as_it_is() {
    let world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = service_fn({
        let seen = seen.clone();
        move |request: Request<Body>| {
            let seen = seen.clone();
            async move {
                let encoding = request.headers()["grpc-encoding"].clone();
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let mut seen = seen.lock().unwrap();
                seen.push((encoding, body));
                Ok::<_, Infallible>(if seen.len() == 1 { refused() } else { Response::default() })
            }
        }
    });
    // The first byte of a message says that it is compressed.
    let message = &b"\x01\x00\x00\x00\x04\x1f\x8b\xff\x00"[..];
    let mut request = request(message);
    request.headers_mut().insert("grpc-encoding", "gzip".parse().unwrap());

    let stack = ReauthLayer::new(world.session()).layer(server);
    stack.oneshot(request).await.unwrap();
    let expected = ("gzip".parse().unwrap(), Bytes::from(message));
    assert_eq!(*seen.lock().unwrap(), [expected.clone(), expected]);
}

#[tokio::test]
async fn details_that_tonic_cannot_read_are_no_panic() {
    for (details, expected) in [("%%%", "later"), ("d2h5", "no"), ("d2g=", "no"), ("d2g", "no")] {
        let world = World::new();
        world.authorization.fail_next(usize::MAX, Fault::Status(http::StatusCode::BAD_REQUEST));
        let server = service_fn(move |_: Request<Body>| {
            let mut response = refused();
            response.headers_mut().insert("grpc-status-details-bin", details.parse().unwrap());
            ready(Ok::<_, Infallible>(response))
        });
        let stack = ReauthLayer::new(world.session()).layer(server);
        let error = stack.oneshot(request("")).await.unwrap_err();
        let status = error.downcast::<Status>().unwrap();
        assert_eq!(status.code(), Code::Unauthenticated);
        let error = refresh_error(&status).unwrap().to_string();
        let expected = if expected == "no" { "no" } else { &error };
        assert_eq!(status.message(), expected, "{details}");
    }
}

#[tokio::test]
async fn an_error_beneath_is_passed_on_as_it_is() {
    let world = World::new();
    let server = service_fn(|_: Request<Body>| {
        ready(Err::<Response<Body>, _>(std::io::Error::other("beneath")))
    });
    let stack = ReauthLayer::new(world.session()).layer(server);
    let error = stack.oneshot(request("")).await.unwrap_err();
    assert!(error.downcast_ref::<std::io::Error>().is_some());
}

#[tokio::test]
async fn a_challenge_of_the_programs_own_never_ends_in_a_status_that_says_ok() {
    let world = World::new();
    world.authorization.fail_next(usize::MAX, Fault::Status(http::StatusCode::BAD_REQUEST));
    let server = service_fn(|_: Request<Body>| {
        ready(Ok::<_, Infallible>(Status::new(Code::Ok, "").into_http::<Body>()))
    });
    let always = classify_fn(|_| Verdict::Challenge);
    let stack = ReauthLayer::new(world.session()).classifier(always).layer(server);
    let error = stack.oneshot(request("")).await.unwrap_err();
    let status = error.downcast::<Status>().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(refresh_error(&status).is_some());
}

#[tokio::test]
async fn a_request_without_room_for_a_token_is_an_invalid_argument() {
    let world = World::new();
    let server = service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(refused())));
    let mut full = request("");
    // As many as a map can hold.
    for number in 0.. {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        if full.headers_mut().try_append(name, http::HeaderValue::from_static("")).is_err() {
            break;
        }
    }
    let stack = ReauthLayer::new(world.session()).layer(server);
    let error = stack.oneshot(full).await.unwrap_err();
    assert_eq!(error.downcast::<Status>().unwrap().code(), Code::InvalidArgument);
}

/// What a layer in between makes of an error.
#[derive(Debug)]
struct Wrapped(RefreshError);

impl fmt::Display for Wrapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrapped")
    }
}

impl Error for Wrapped {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

#[test]
fn the_reason_is_found_behind_what_wraps_it() {
    let mut status = Status::internal("no reason");
    assert!(refresh_error(&status).is_none());
    status.set_source(Arc::new(Wrapped(RefreshError::rejected())));
    assert!(refresh_error(&status).unwrap().needs_login());
}
