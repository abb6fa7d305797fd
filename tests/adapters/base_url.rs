//! `BaseUrlLayer` above the other layers, between them and beneath.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BaseUrlLayer, BoxError, InvalidBaseUrl, RefreshError, RefreshLayer,
    RefreshTokenGrant, Session, SessionBuilder, UnresolvedUri,
    testing::{AuthorizationServer, ResourceServer, ResponseBody},
};

const BASE: &str = "https://api.example.com/v2/";

type Body = Full<Bytes>;
type Client = BoxCloneSyncService<Request<Body>, Response<ResponseBody>, BoxError>;

#[derive(Clone, Copy, Debug)]
enum Place {
    Outside,
    Between,
    Beneath,
}
use Place::{Beneath, Between, Outside};

struct World {
    authorization: AuthorizationServer,
    api: ResourceServer,
}

impl World {
    fn new() -> Self {
        let authorization = AuthorizationServer::new();
        let api = ResourceServer::new(&authorization);
        Self { authorization, api }
    }

    fn builder(&self) -> SessionBuilder {
        let endpoint = self.authorization.token_endpoint().to_string();
        let grant = RefreshTokenGrant::new(&endpoint, "app", self.authorization.clone()).unwrap();
        let tokens = self.authorization.login();
        Session::builder(grant).tokens(tokens).origin("https://api.example.com")
    }

    fn client(&self, place: Place, session: &Session) -> Client {
        let base = BaseUrlLayer::new(BASE).unwrap();
        let refresh = RefreshLayer::new(session.clone());
        let auth = AuthLayer::new(session.clone());
        let api = self.api.clone();
        match place {
            Outside => BoxCloneSyncService::new(
                ServiceBuilder::new().layer(base).layer(refresh).layer(auth).service(api),
            ),
            Between => BoxCloneSyncService::new(
                ServiceBuilder::new().layer(refresh).layer(base).layer(auth).service(api),
            ),
            Beneath => BoxCloneSyncService::new(
                ServiceBuilder::new().layer(refresh).layer(auth).layer(base).service(api),
            ),
        }
    }
}

fn get(uri: &str) -> Request<Body> {
    Request::get(uri).body(Full::default()).unwrap()
}

async fn status(client: &Client, request: Request<Body>) -> u16 {
    let response = client.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    response.into_body().collect().await.unwrap();
    status
}

#[tokio::test(start_paused = true)]
async fn outside_of_the_session_a_relative_request_gets_the_token_and_its_refresh() {
    let world = World::new();
    let client = world.client(Outside, &world.builder().build().unwrap());
    world.authorization.revoke_access_tokens();

    assert_eq!(status(&client, get("/orders?open=1")).await, 200);

    let received = world.api.received();
    let uris: Vec<_> = received.iter().map(|request| request.uri.to_string()).collect();
    assert_eq!(uris, ["https://api.example.com/v2/orders?open=1"; 2]);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn between_the_layers_a_relative_request_gets_the_token_that_is_there_and_no_refresh() {
    let world = World::new();
    let session = world.builder().build().unwrap();
    let client = world.client(Between, &session);
    let error = client.clone().oneshot(get("/orders")).await.unwrap_err();
    assert!(error.is::<RefreshError>());
    assert_eq!(world.api.requests(), 0);

    session.token().await.unwrap();
    assert_eq!(status(&client, get("/orders")).await, 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(status(&client, get("/orders")).await, 401);
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn beneath_the_layers_a_relative_request_has_no_origin_and_gets_no_token() {
    let world = World::new();
    let client = world.client(Beneath, &world.builder().build().unwrap());
    assert_eq!(status(&client, get("/orders")).await, 401);
    assert_eq!(world.api.received()[0].authorizations(), 0);
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_told_what_a_relative_request_means_does_with_the_base_anywhere() {
    for place in [Outside, Between, Beneath] {
        let world = World::new();
        let session = world.builder().assume_origin("https://api.example.com").build().unwrap();
        let client = world.client(place, &session);
        world.authorization.revoke_access_tokens();
        assert_eq!(status(&client, get("/orders")).await, 200, "{place:?}");
        assert_eq!(world.authorization.token_requests(), 1, "{place:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_absolute_request_passes_and_is_judged_by_its_own_origin() {
    let world = World::new();
    let client = world.client(Outside, &world.builder().build().unwrap());
    assert_eq!(status(&client, get("https://elsewhere.example.net/v2/orders")).await, 401);
    assert_eq!(status(&client, get("https://api.example.com/v1/orders")).await, 200);
    let received = world.api.received();
    assert_eq!(
        (received[0].uri.to_string(), received[0].authorizations()),
        ("https://elsewhere.example.net/v2/orders".into(), 0)
    );
    assert_eq!(
        (received[1].uri.to_string(), received[1].authorizations()),
        ("https://api.example.com/v1/orders".into(), 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_would_lead_away_fails_unsent() {
    let world = World::new();
    let client = world.client(Outside, &world.builder().build().unwrap());
    for uri in
        ["//evil.test/x", "/\\evil.test", "/../v1", "/%2e%2e/v1", "orders", "evil.test:443", "*"]
    {
        let error = client.clone().oneshot(get(uri)).await.unwrap_err();
        assert!(error.is::<UnresolvedUri>(), "{uri}");
    }
    assert_eq!(world.api.requests(), 0);
}

#[tokio::test]
async fn a_tunnel_passes_as_it_is() {
    let inner = service_fn(async |request: Request<()>| {
        Ok::<_, BoxError>(Response::new(request.uri().to_string()))
    });
    let client = BaseUrlLayer::new(BASE).unwrap().layer(inner);
    let request = Request::connect("proxy.example.com:443").body(()).unwrap();
    let response = client.oneshot(request).await.unwrap();
    assert_eq!(response.into_body(), "proxy.example.com:443");
}

#[test]
fn a_base_with_a_secret_in_it_is_an_error_that_does_not_tell_it() {
    let error: InvalidBaseUrl =
        BaseUrlLayer::new("https://user:canary@api.example.com/").unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}
