//! Which requests are the session's business at all.

use http::{Method, Request, header};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{AuthLayer, NoAuth, NoReplay, RefreshError, RefreshLayer, ReplayBody, Session};

use crate::support::{ABROAD, Body, Client, ORIGIN, World, get, send, stack};

fn at(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

/// Sent once, without a token of ours, and its 401 is handed on as it is.
async fn assert_left_alone(world: &World, client: &Client, request: Request<Body>) {
    let before = world.api.requests();
    let own = request.headers().get(header::AUTHORIZATION).cloned();
    let what = format!("{} {}", request.method(), request.uri());
    let response = send(client, request).await.unwrap();
    assert_eq!(response.status(), 401, "{what}");
    assert!(response.extensions().get::<RefreshError>().is_none(), "{what}");
    assert_eq!(response.into_body(), "401 Unauthorized\n", "{what}");
    assert_eq!(world.api.requests(), before + 1, "{what}");
    let received = world.api.received();
    assert_eq!(received[before].headers.get(header::AUTHORIZATION), own.as_ref(), "{what}");
    assert_eq!(world.authorization.token_requests(), 0, "{what}");
}

/// Case 61.
#[tokio::test(start_paused = true)]
async fn another_scheme_host_or_port_gets_no_token() {
    let world = World::new();
    let client = world.client(&world.session());
    for uri in ABROAD.into_iter().chain([
        "http://api.example.com:443/",
        "https://api.example.com@elsewhere.example.net/",
        "https://example.com/",
        "https://api.example.com./",
        "ftp://api.example.com/",
    ]) {
        assert_left_alone(&world, &client, at(uri)).await;
    }
}

/// Case 61.
#[tokio::test(start_paused = true)]
async fn a_uri_without_authority_gets_a_token_only_where_an_origin_is_assumed() {
    let world = World::new();
    let client = world.client(&world.session());
    assert_left_alone(&world, &client, at("/orders")).await;

    let assuming = world.builder().assume_origin(ORIGIN).build().unwrap();
    let client = world.client(&assuming);
    assert_eq!(send(&client, at("/orders")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, at("/orders")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    // What names a stranger is not taken for the assumed origin.
    let before = world.api.requests();
    assert_eq!(send(&client, at(ABROAD[0])).await.unwrap().status(), 401);
    assert_eq!(world.api.received()[before].authorizations(), 0);
}

/// Case 61.
#[tokio::test(start_paused = true)]
async fn a_lying_host_header_changes_nothing() {
    let world = World::new();
    let client = world.client(&world.session());

    let mut stranger = at(ABROAD[0]);
    stranger.headers_mut().insert(header::HOST, "api.example.com".parse().unwrap());
    assert_left_alone(&world, &client, stranger).await;

    let mut relative = at("/orders");
    relative.headers_mut().insert(header::HOST, "api.example.com".parse().unwrap());
    assert_left_alone(&world, &client, relative).await;

    let mut home = get("/orders");
    home.headers_mut().insert(header::HOST, "elsewhere.example.net".parse().unwrap());
    assert_eq!(send(&client, home).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn user_information_in_a_uri_does_not_move_its_origin() {
    let world = World::new();
    let client = world.client(&world.session());
    let request = at("https://somebody:secret@api.example.com/orders");
    assert_eq!(send(&client, request).await.unwrap().status(), 200);
}

#[tokio::test(start_paused = true)]
async fn connect_is_for_a_proxy_and_gets_no_token() {
    let world = World::new();
    let assuming = world.builder().assume_origin(ORIGIN).build().unwrap();
    for session in [world.session(), assuming] {
        let client = world.client(&session);
        for uri in
            ["api.example.com:443", "https://api.example.com/", "https://api.example.com:443/"]
        {
            let mut request = at(uri);
            *request.method_mut() = Method::CONNECT;
            assert_left_alone(&world, &client, request).await;
        }
    }
}

/// Case 62.
#[tokio::test(start_paused = true)]
async fn a_request_that_asks_for_no_token_or_brings_its_own_is_left_alone() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);

    let mut asks = get("/orders");
    asks.extensions_mut().insert(NoAuth);
    assert_left_alone(&world, &client, asks).await;
    for own in ["Bearer of-its-own", "Basic dXNlcjpwYXNz", ""] {
        let mut request = get("/orders");
        request.headers_mut().insert(header::AUTHORIZATION, own.parse().unwrap());
        assert_left_alone(&world, &client, request).await;
    }
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 0);
}

/// Without `AuthLayer` beneath there is nobody else to see that the token was not ours.
#[tokio::test(start_paused = true)]
async fn a_challenge_to_the_callers_own_credentials_refreshes_nothing_even_without_attaching() {
    let world = World::new();
    let session = world.session();
    session.token().await.unwrap();
    let api = world.api.clone();
    let client = ServiceBuilder::new().layer(RefreshLayer::new(session)).service(api);
    let client = BoxCloneSyncService::new(client);
    for kept in [true, false] {
        let mut request = get("/orders");
        request.headers_mut().insert(header::AUTHORIZATION, "Basic b3du".parse().unwrap());
        if !kept {
            request.extensions_mut().insert(NoReplay);
        }
        assert_left_alone(&world, &client, request).await;
    }
}

/// Case 66.
#[tokio::test(start_paused = true)]
async fn a_request_without_a_token_to_be_had_fails_and_is_not_sent_anonymously() {
    let world = World::new();
    let never_logged_in = Session::builder(world.grant()).origin(ORIGIN).build().unwrap();
    let logged_out = world.session();
    logged_out.logout().await.unwrap();
    let ended = world.session();
    world.authorization.revoke_all();
    let revoked = ended.token().await.unwrap();
    assert!(ended.refresh_after(&revoked).await.unwrap_err().is_session_ended());

    for session in [never_logged_in, logged_out, ended] {
        let client = world.client(&session);
        let error = send(&client, get("/orders")).await.unwrap_err();
        assert!(error.downcast_ref::<RefreshError>().unwrap().needs_login());
        assert_eq!(world.api.requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_the_sessions_business_passes_even_when_it_is_logged_out() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    session.logout().await.unwrap();

    let mut asks = get("/public");
    asks.extensions_mut().insert(NoAuth);
    assert_left_alone(&world, &client, asks).await;
    assert_left_alone(&world, &client, at(ABROAD[0])).await;
}

#[tokio::test(start_paused = true)]
async fn a_uri_rewritten_between_the_layers_is_judged_by_what_it_became() {
    let world = World::new();
    let session = world.session();
    let inner = ServiceBuilder::new()
        .map_request(|mut request: Request<_>| {
            if request.uri().path() == "/abroad" {
                *request.uri_mut() = ABROAD[0].parse().unwrap();
            }
            request
        })
        .layer(AuthLayer::new(session.clone()))
        .service(world.api.clone());
    let client = BoxCloneSyncService::new(RefreshLayer::new(session).layer(inner));

    let response = send(&client, get("/abroad")).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(world.api.received()[0].authorizations(), 0);
    assert_eq!((world.api.requests(), world.authorization.token_requests()), (1, 0));
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
}

/// Each session learns that its own token was not attached, whichever layer says so last.
#[tokio::test(start_paused = true)]
async fn a_uri_rewritten_beneath_two_sessions_is_evidence_against_neither() {
    let (world, other) = (World::new(), World::new());
    let (session, another) = (world.session(), other.builder().origin(ABROAD[2]).build().unwrap());
    let inner = ServiceBuilder::new()
        .layer(RefreshLayer::new(another.clone()))
        .map_request(|mut request: Request<_>| {
            *request.uri_mut() = ABROAD[0].parse().unwrap();
            request
        })
        .layer(AuthLayer::new(session.clone()))
        .layer(AuthLayer::new(another))
        .service(world.api.clone());
    let client = BoxCloneSyncService::new(RefreshLayer::new(session).layer(inner));

    for request in [get("/orders"), at(ABROAD[2])] {
        assert_eq!(send(&client, request).await.unwrap().status(), 401);
    }
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(other.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn two_stacks_one_in_the_other_attach_one_token() {
    let world = World::new();
    let session = world.session();
    let client: Client = stack(&session, stack(&session, world.api.clone()));

    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!(world.api.received()[0].authorizations(), 1);
}

/// Each minds its own origin, and hands the other's requests on as they are.
#[tokio::test(start_paused = true)]
async fn two_sessions_in_one_stack_refresh_each_for_its_own_origin() {
    const OTHER: &str = "https://other.example.net";
    let (world, other) = (World::new(), World::new());
    let outer = world.session();
    let inner = Session::builder(other.grant())
        .tokens(other.authorization.login())
        .origin(OTHER)
        .build()
        .unwrap();
    let apis = (world.api.clone(), other.api.clone());
    let both = service_fn(move |request: Request<ReplayBody<ReplayBody<Body>>>| {
        let (api, other) = apis.clone();
        let abroad = request.uri().host() == Some("other.example.net");
        if abroad { other } else { api }.oneshot(request)
    });
    let client = stack(&outer, stack(&inner, both));
    let requests = || [at(OTHER), get("/orders")];
    for request in requests() {
        assert_eq!(send(&client, request).await.unwrap().status(), 200);
    }
    world.authorization.revoke_access_tokens();
    other.authorization.revoke_access_tokens();

    for request in requests() {
        assert_eq!(send(&client, request).await.unwrap().status(), 200);
    }

    for world in [world, other] {
        assert_eq!(world.authorization.token_requests(), 1);
        assert_eq!(world.api.requests(), 1 + 2);
        assert!(world.api.received().iter().all(|sent| sent.authorizations() == 1));
    }
}

/// A layer that stands twice in a stack speaks for the same session.
#[tokio::test(start_paused = true)]
async fn a_session_that_attaches_twice_still_refreshes() {
    let world = World::new();
    let session = world.session();
    let client = stack(&session, AuthLayer::new(session.clone()).layer(world.api.clone()));
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();

    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);

    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.api.requests(), 1 + 2);
    assert!(world.api.received().iter().all(|sent| sent.authorizations() == 1));
}
