//! The attaching layer alone: the newest token, or a typed error, and never a wait.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Method, Request, Response, header};
use tokio_test::{assert_ready, task};
use tower::{Layer, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AccessToken, AuthLayer, BoxError, Credential, NoAuth, Origins, RefreshError, Session,
};

use crate::support::{ABROAD, Body, Client, ORIGIN, World, get, send};

fn attaching<C>(layer: AuthLayer<C>, world: &World) -> Client
where
    C: Credential + Clone + Send + Sync + 'static,
{
    BoxCloneSyncService::new(layer.layer(world.api.clone()))
}

/// The layer over a session, and over a closure that gives a token of the same server.
async fn both(world: &World) -> [Client; 2] {
    let session = world.session();
    session.token().await.unwrap();
    let token = world.authorization.login().access().clone();
    let origins = Origins::new(ORIGIN).unwrap();
    let closure = AuthLayer::from_fn(origins, move || Some(token.clone()));
    [attaching(AuthLayer::new(session), world), attaching(closure, world)]
}

fn is_unattached(error: &tower_reauth::BoxError) -> bool {
    error.downcast_ref::<RefreshError>().is_some_and(|error| !error.needs_login())
}

#[tokio::test(start_paused = true)]
async fn the_token_goes_out_once_and_is_marked_sensitive() {
    let world = World::new();
    for client in both(&world).await {
        let response = send(&client, get("/orders")).await.unwrap();
        assert_eq!(response.status(), 200);
    }
    assert!(world.api.received().iter().all(|request| request.authorizations() == 1));

    let seen = Arc::new(Mutex::new(None));
    let inner = tower::service_fn({
        let seen = seen.clone();
        move |request: Request<Body>| {
            *seen.lock().unwrap() = request.headers().get(header::AUTHORIZATION).cloned();
            std::future::ready(Ok::<_, std::io::Error>(http::Response::new(Body::default())))
        }
    });
    let session = world.session();
    session.token().await.unwrap();
    AuthLayer::new(session).layer(inner).oneshot(get("/")).await.unwrap();
    assert!(seen.lock().unwrap().as_ref().unwrap().is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn a_challenge_is_handed_on_and_refreshes_nothing() {
    let world = World::new();
    let clients = both(&world).await;
    world.authorization.revoke_access_tokens();
    for client in clients {
        assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 401);
    }
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_not_loaded_yet_is_a_typed_error_at_once() {
    let world = World::new();
    let session = world.session();
    let client = attaching(AuthLayer::new(session.clone()), &world);

    let error = assert_ready!(task::spawn(client.clone().oneshot(get("/"))).poll()).unwrap_err();
    assert!(is_unattached(&error), "{error:?}");
    session.token().await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_expired_token_is_a_typed_error_and_is_not_sent() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    session.token().await.unwrap();
    let client = attaching(AuthLayer::new(session.clone()), &world);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    tokio::time::sleep(Duration::from_secs(60)).await;
    let error = assert_ready!(task::spawn(client.clone().oneshot(get("/"))).poll()).unwrap_err();
    assert!(is_unattached(&error), "{error:?}");
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1, 0));

    session.token().await.unwrap();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_session_without_a_login_attaches_nothing_and_sends_nothing() {
    let world = World::new();
    let session = Session::builder(world.grant()).origin(ORIGIN).build().unwrap();
    let logged_out = world.session();
    logged_out.token().await.unwrap();
    logged_out.logout().await.unwrap();
    for session in [session, logged_out] {
        let client = attaching(AuthLayer::new(session), &world);
        assert!(send(&client, get("/")).await.unwrap_err().is::<RefreshError>());
    }
    assert_eq!(world.api.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closure_without_a_token_is_a_typed_error() {
    let world = World::new();
    let tokens = Arc::new(Mutex::new(None::<AccessToken>));
    let layer = AuthLayer::from_fn(Origins::new(ORIGIN).unwrap(), {
        let tokens = tokens.clone();
        move || tokens.lock().unwrap().clone()
    });
    let client = attaching(layer, &world);

    let error = send(&client, get("/")).await.unwrap_err();
    assert!(is_unattached(&error), "{error:?}");
    assert_eq!(world.api.requests(), 0);

    *tokens.lock().unwrap() = Some(world.authorization.login().access().clone());
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_closure_is_asked_for_each_request_that_is_its_business_and_for_no_other() {
    let world = World::new();
    let token = world.authorization.login().access().clone();
    let asked = Arc::new(AtomicUsize::new(0));
    let layer = AuthLayer::from_fn(Origins::new(ORIGIN).unwrap(), {
        let asked = asked.clone();
        move || {
            asked.fetch_add(1, Ordering::Relaxed);
            Some(token.clone())
        }
    });
    let client = attaching(layer, &world);
    for _ in 0..3 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    }
    for request in left_alone() {
        send(&client, request).await.unwrap();
    }
    assert_eq!(asked.load(Ordering::Relaxed), 3);
}

fn at(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

fn left_alone() -> Vec<Request<Body>> {
    let mut requests: Vec<_> = ABROAD.into_iter().chain(["/orders"]).map(at).collect();
    let mut asks = get("/");
    asks.extensions_mut().insert(NoAuth);
    let mut brings = get("/");
    brings.headers_mut().insert(header::AUTHORIZATION, "Basic dXNlcjpwYXNz".parse().unwrap());
    let mut connects = get("/");
    *connects.method_mut() = Method::CONNECT;
    requests.extend([asks, brings, connects]);
    requests
}

/// Where a name has several values, and where it has one, what the caller set stays as it was.
#[tokio::test(start_paused = true)]
async fn the_callers_own_credentials_and_the_fields_around_them_arrive_in_order() {
    let world = World::new();
    let one = [("x-a", "1"), ("authorization", "Basic b3du"), ("x-b", "2")];
    let repeated = [("x-a", "1"), ("authorization", "Basic b3du"), ("x-a", "2"), ("x-b", "3")];
    let several = [("authorization", "Basic b3du"), ("x-a", "1"), ("authorization", "Digest b3du")];
    for client in both(&world).await {
        for fields in [&one[..], &repeated, &several] {
            let mut request = get("/");
            for (name, value) in fields {
                let name = header::HeaderName::from_static(name);
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let sent = request.headers().clone();
            assert!(send(&client, request).await.unwrap().status().is_client_error());
            let received = world.api.received();
            let received = &received.last().unwrap().headers;
            assert!(sent.iter().eq(received.iter()), "{received:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_with_fields_that_repeat_gets_its_token_beside_them() {
    let world = World::new();
    for client in both(&world).await {
        let mut request = get("/");
        for value in ["1", "2"] {
            request.headers_mut().append("x-a", value.parse().unwrap());
        }
        assert_eq!(send(&client, request).await.unwrap().status(), 200);
    }
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_credentials_need_no_token_of_ours() {
    let world = World::new();
    let session = world.session();
    session.logout().await.unwrap();
    let client = attaching(AuthLayer::new(session), &world);
    let mut request = get("/");
    request.headers_mut().insert(header::AUTHORIZATION, "Basic b3du".parse().unwrap());
    assert_eq!(send(&client, request).await.unwrap().status(), 401);
    assert_eq!(world.api.requests(), 1);
}

/// There is no room for one more field: an error, and no panic.
#[tokio::test(start_paused = true)]
async fn a_request_as_full_as_can_be_is_a_typed_error() {
    let world = World::new();
    for client in both(&world).await {
        let mut request = get("/");
        for field in 0.. {
            let name = header::HeaderName::try_from(format!("x-{field}")).unwrap();
            let value = header::HeaderValue::from_static("1");
            if request.headers_mut().try_insert(name, value).is_err() {
                break;
            }
        }
        let error = send(&client, request).await.unwrap_err();
        let error = error.downcast_ref::<RefreshError>().expect("a typed error");
        assert!(error.to_string().contains("fields"), "{error}");
    }
    assert_eq!(world.api.requests(), 0);
}

/// Even where there is no room for one more field, since none is added.
#[tokio::test(start_paused = true)]
async fn the_callers_own_credentials_in_a_request_as_full_as_can_be_pass() {
    let session = World::new().session();
    session.token().await.unwrap();
    let client = AuthLayer::new(session).layer(service_fn(|request: Request<Body>| async move {
        assert_eq!(request.headers()[header::AUTHORIZATION], "Basic b3du");
        Ok::<_, BoxError>(Response::new(Body::default()))
    }));
    let mut request = get("/");
    request.headers_mut().insert(header::AUTHORIZATION, "Basic b3du".parse().unwrap());
    for field in 0.. {
        let name = header::HeaderName::try_from(format!("x-{field}")).unwrap();
        let value = header::HeaderValue::from_static("1");
        if request.headers_mut().try_insert(name, value).is_err() {
            break;
        }
    }
    client.oneshot(request).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn strangers_no_auth_the_callers_own_header_and_connect_are_left_as_they_are() {
    let world = World::new();
    for client in both(&world).await {
        for request in left_alone() {
            let before = world.api.requests();
            let own = request.headers().get(header::AUTHORIZATION).cloned();
            let what = format!("{} {}", request.method(), request.uri());
            assert_eq!(send(&client, request).await.unwrap().status(), 401, "{what}");
            let received = world.api.received();
            assert_eq!(received[before].headers.get(header::AUTHORIZATION), own.as_ref(), "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn plain_http_gets_a_token_only_where_it_was_named() {
    let world = World::new();
    let token = world.authorization.login().access().clone();
    let origins = Origins::new_insecure("http://api.example.com").unwrap();
    let client = attaching(AuthLayer::from_fn(origins, move || Some(token.clone())), &world);
    assert_eq!(send(&client, at("http://api.example.com/")).await.unwrap().status(), 200);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_attached_from_the_next_request_on() {
    let world = World::new();
    let session = world.session();
    let client = attaching(AuthLayer::new(session.clone()), &world);
    let first = session.token().await.unwrap();
    send(&client, get("/")).await.unwrap();
    session.refresh_after(&first).await.unwrap();
    send(&client, get("/")).await.unwrap();
    let next = world.authorization.login();
    session.login(next.clone()).await.unwrap();
    send(&client, get("/")).await.unwrap();

    let received = world.api.received();
    let sent: Vec<_> = received.iter().map(|request| request.bearer().unwrap()).collect();
    assert_eq!(sent[0], first.expose_secret());
    assert_ne!(sent[1], sent[0]);
    assert_eq!(sent[2], next.access().expose_secret());
}
