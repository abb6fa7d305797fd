//! What the token endpoint says stays between it and the session.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use tower::{ServiceExt, service_fn};
use tower_reauth::{RefreshError, RefreshTokenGrant, Session, testing::Fault};

use crate::support::{ORIGIN, World, get, post, send};

/// Case 59.
#[tokio::test(start_paused = true)]
async fn the_callers_answer_is_never_the_token_endpoints() {
    for (status, text) in [
        (400, r#"{"error":"invalid_grant","error_description":"canary"}"#),
        (400, r#"{"error":"invalid_scope","error_description":"canary"}"#),
        (401, r#"{"error":"invalid_client","error_description":"canary"}"#),
        (500, "canary"),
    ] {
        let world = World::new();
        let session = world.session();
        let client = world.client(&session);
        world.authorization.revoke_access_tokens();
        let mut fault = Response::new(Bytes::from(text));
        *fault.status_mut() = StatusCode::from_u16(status).unwrap();
        fault.headers_mut().insert("x-canary", "canary".parse().unwrap());
        world.authorization.fail_next(usize::MAX, Fault::Response(fault));

        let response = send(&client, post("/orders", "a body")).await.unwrap();

        assert_eq!(response.status(), 401, "{text}");
        assert!(!response.headers().contains_key("x-canary"));
        let error = response.extensions().get::<RefreshError>().unwrap();
        let printed = format!("{error} {error:?} {response:?}");
        assert!(!printed.contains("canary"), "{printed}");
        assert_eq!(response.into_body(), "401 Unauthorized\n");
    }
}

/// Case 59.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_sent_gets_an_error_and_not_the_token_endpoints_answer() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let client = world.client(&world.session());
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    tokio::time::sleep(Duration::from_secs(61)).await;
    let text = r#"{"error":"invalid_client","error_description":"canary"}"#;
    world.authorization.fail_next(usize::MAX, Fault::Json(StatusCode::BAD_REQUEST, text.into()));

    let error = send(&client, get("/orders")).await.unwrap_err();

    let error = error.downcast_ref::<RefreshError>().unwrap();
    assert!(error.is_misconfigured() && !error.needs_login());
    assert_eq!(error.oauth_code(), Some("invalid_client"));
    assert!(!format!("{error} {error:?}").contains("canary"));
    assert_eq!(world.api.requests(), 1);
}

/// Case 65.
#[tokio::test(start_paused = true)]
async fn a_redirect_of_the_token_endpoint_is_not_followed_and_the_session_is_kept() {
    for status in [301, 302, 303, 307, 308] {
        let world = World::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let endpoint = service_fn({
            let (asked, authorization) = (asked.clone(), world.authorization.clone());
            move |request: Request<Full<Bytes>>| {
                asked.lock().unwrap().push(request.uri().to_string());
                authorization.clone().oneshot(request)
            }
        });
        let address = world.authorization.token_endpoint().to_string();
        let session = Session::builder(RefreshTokenGrant::new(&address, "app", endpoint).unwrap())
            .tokens(world.authorization.login())
            .origin(ORIGIN)
            .build()
            .unwrap();
        let client = world.client(&session);
        world.authorization.revoke_access_tokens();
        let mut fault = Response::new(Bytes::new());
        *fault.status_mut() = StatusCode::from_u16(status).unwrap();
        let elsewhere = "https://elsewhere.example.net/token".parse().unwrap();
        fault.headers_mut().insert(header::LOCATION, elsewhere);
        world.authorization.fail_next(usize::MAX, Fault::Response(fault));

        let response = send(&client, get("/orders")).await.unwrap();

        assert_eq!(response.status(), 401, "{status}");
        assert!(!response.headers().contains_key(header::LOCATION));
        let error = response.extensions().get::<RefreshError>().unwrap();
        assert!(!error.needs_login(), "{status}: {error:?}");
        assert!(asked.lock().unwrap().iter().all(|uri| *uri == address), "{status}");

        world.authorization.recover();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200, "{status}");
        assert_eq!(world.authorization.reused(), 0);
    }
}
