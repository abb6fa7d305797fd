//! Envoy judges JWTs by itself, in front of an HTTP server and of a gRPC server that let everyone in.

use std::time::Duration;

use futures::{SinkExt, channel::mpsc, future::join_all, stream};
use http::Response;
use serde::Deserialize;
use serde_json::json;
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer;
use tower_reauth::{
    RefreshTokenGrant, Session, TokenSet,
    testing::{AuthorizationServer, Fault, Loopback, ResourceServer},
    tonic::{Reauth, ReauthLayer, refresh_error},
};

use super::{envoy::Envoy, words::Chat};
use crate::{
    link::Link,
    provider::{Listening, Provider},
    python::python,
    support::{endpoint_client, get, plain, send, soon, stack},
};

struct World {
    provider: Provider,
    envoy: Envoy,
    grpc: Link,
    _files: Loopback,
}

impl World {
    async fn new() -> Self {
        Self::with_lifetime(3600).await
    }

    /// Access tokens live so many seconds.
    async fn with_lifetime(seconds: u64) -> Self {
        let listening = Listening::new(json!({})).await;
        let issuer = format!("http://127.0.0.1:{}", listening.port);
        let authorization = listening.port;
        let options = json!({ "rotate": true, "accessTtl": seconds });
        let provider = listening.start(&issuer, options).await;

        #[derive(Deserialize)]
        struct Bound {
            port: u16,
        }
        let grpc = Link::to(python("grpc_server.py"), "the gRPC server");
        let Bound { port } = grpc.ask(json!({ "do": "listen" })).await;

        let files = ResourceServer::new(&AuthorizationServer::new());
        // For everyone.
        files.fail_next(usize::MAX, Fault::Response(Response::new("a file".into())));
        let files = files.serve().await.unwrap();
        let envoy = Envoy::new(&issuer, authorization, port, files.address().port()).await;
        Self { provider, envoy, grpc, _files: files }
    }

    /// A login whose refreshes bring tokens for `resource`. The access token it begins with is none that
    /// the gateway can read.
    async fn login(&self, resource: &str) -> TokenSet {
        self.provider.login_for("pub", Some(resource)).await
    }

    async fn session(&self) -> Session {
        self.session_with(self.login("urn:api").await)
    }

    fn session_with(&self, tokens: TokenSet) -> Session {
        self.session_at(&self.provider.uri("/token"), tokens)
    }

    fn session_at(&self, token_endpoint: &str, tokens: TokenSet) -> Session {
        let grant = RefreshTokenGrant::new_insecure(token_endpoint, "pub", endpoint_client());
        let builder = Session::builder(grant.unwrap()).tokens(tokens);
        builder.assume_insecure_origin(&self.envoy.origin).build().unwrap()
    }

    fn guarded(&self, session: &Session) -> Reauth<Channel> {
        let channel = Endpoint::from_shared(self.envoy.origin.clone()).unwrap().connect_lazy();
        ReauthLayer::new(session.clone()).layer(channel)
    }

    fn health(&self, session: &Session) -> HealthClient<Reauth<Channel>> {
        HealthClient::new(self.guarded(session))
    }

    fn chat(&self, session: &Session) -> Chat<Reauth<Channel>> {
        Chat::new(self.guarded(session))
    }

    async fn token_requests(&self) -> Vec<String> {
        self.provider.stats().await.token_requests()
    }

    async fn heard(&self) -> Vec<Vec<String>> {
        self.grpc.ask(json!({ "do": "heard" })).await
    }
}

#[tokio::test]
async fn an_http_request_that_envoy_refuses_is_sent_again() {
    let world = World::new().await;
    let session = world.session().await;
    let client = stack(&session);
    for _ in 0..2 {
        let answer = send(&client, get(&world.envoy.uri("/files"))).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    let log = world.envoy.log(3).await;
    assert!(log[0].starts_with("/files 401 - jwt_authn_access_denied"), "{log:?}");
    assert!(log[1..].iter().all(|line| line == "/files 200 - via_upstream"), "{log:?}");
    assert_eq!(world.token_requests().await, ["refresh_token 200"]);
}

#[tokio::test]
async fn a_call_that_envoy_refuses_is_sent_again() {
    let world = World::new().await;
    let session = world.session().await;
    let mut client = world.health(&session);
    for _ in 0..2 {
        let answer = soon(client.check(HealthCheckRequest::default())).await.unwrap();
        assert_eq!(answer.get_ref().status, 1);
    }
    let log = world.envoy.log(3).await;
    let check = "/grpc.health.v1.Health/Check 200";
    let refused = format!("{check} Unauthenticated jwt_authn_access_denied");
    assert!(log[0].starts_with(&refused), "{log:?}");
    assert!(log[1..].iter().all(|line| *line == format!("{check} OK via_upstream")), "{log:?}");
    assert_eq!(world.token_requests().await, ["refresh_token 200"]);
}

#[tokio::test]
async fn an_audience_that_envoy_does_not_allow_is_an_answer() {
    let world = World::new().await;
    let session = world.session_with(world.login("urn:other").await);
    let other = session.refresh_after(&session.token().await.unwrap()).await.unwrap();
    let answer = send(&stack(&session), get(&world.envoy.uri("/files"))).await.unwrap();
    assert_eq!((answer.status(), session.peek()), (403.try_into().unwrap(), Some(other)));

    let status = world.health(&session).check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(refresh_error(&status).is_none());
    let log = world.envoy.log(2).await;
    assert!(log[1].contains(" 200 PermissionDenied jwt_authn_access_denied"), "{log:?}");
    assert_eq!(world.token_requests().await, ["refresh_token 200"]);
}

/// By the gateway's own clock, for a client that does not know when its token expires.
#[tokio::test]
async fn a_token_that_expired_at_envoy_is_refreshed_over_http_and_over_grpc() {
    let world = World::with_lifetime(3).await;
    let uri = world.envoy.uri("/files");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let session = world.session().await;
        let unread = session.token().await.unwrap();
        kept.push(session.refresh_after(&unread).await.unwrap());
    }
    // Until both are refused.
    let refused = async || {
        for token in &kept {
            let mut request = get(&uri);
            let bearer = format!("Bearer {}", token.expose_secret()).parse().unwrap();
            request.headers_mut().insert("authorization", bearer);
            if plain().request(request).await.unwrap().status() != 401 {
                return false;
            }
        }
        true
    };
    soon(async {
        while !refused().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;

    for (token, by_grpc) in kept.into_iter().zip([false, true]) {
        let refresh = world.login("urn:api").await.refresh().unwrap().clone();
        let session = world.session_with(TokenSet::new(token.clone()).refresh_token(refresh));
        if by_grpc {
            soon(world.health(&session).check(HealthCheckRequest::default())).await.unwrap();
        } else {
            assert_eq!(send(&stack(&session), get(&uri)).await.unwrap().status(), 200);
        }
        assert_ne!(session.peek(), Some(token));
    }
    assert_eq!(world.token_requests().await, ["refresh_token 200 ×4"]);
}

#[tokio::test]
async fn calls_that_envoy_refuses_together_share_a_refresh() {
    let world = World::new().await;
    let session = world.session().await;
    let client = world.chat(&session);
    let calls = (0..100).map(|number| {
        let mut client = client.clone();
        async move { client.say(number.to_string()).await }
    });
    for (number, answer) in soon(join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), number.to_string());
    }
    assert_eq!(world.token_requests().await, ["refresh_token 200"]);
    assert_eq!(world.heard().await.len(), 100);
}

#[tokio::test]
async fn streams_that_envoy_refuses_arrive_whole_and_once() {
    let world = World::new().await;
    let mut client = world.chat(&world.session().await);
    let words = ["one", "two", "three"];
    let upload = stream::iter(words.map(String::from));
    assert_eq!(soon(client.tell(upload)).await.unwrap(), "one,two,three");

    let mut client = world.chat(&world.session().await);
    let (mut say, said) = mpsc::channel(8);
    let mut answers = soon(client.talk(said)).await.unwrap();
    for word in words {
        say.send(word.into()).await.unwrap();
        assert_eq!(soon(answers.message()).await.unwrap().as_deref(), Some(word));
    }
    drop(say);
    assert_eq!(soon(answers.message()).await.unwrap(), None);

    assert_eq!(world.heard().await, [words, words]);
    assert_eq!(world.token_requests().await, ["refresh_token 200 ×2"]);
    let log = world.envoy.log(4).await;
    let refused = log.iter().filter(|line| line.contains(" 200 Unauthenticated jwt_authn"));
    assert_eq!(refused.count(), 2, "{log:?}");
}

#[tokio::test]
async fn a_limit_of_envoy_at_the_token_endpoint_is_waited_out() {
    let world = World::new().await;
    let token_endpoint = world.envoy.uri("/token");
    let logins = [world.login("urn:api").await, world.login("urn:api").await];
    let calls = logins.map(|tokens| {
        let mut client = world.health(&world.session_at(&token_endpoint, tokens));
        async move { client.check(HealthCheckRequest::default()).await }
    });
    for answer in soon(join_all(calls)).await {
        answer.unwrap();
    }
    // Two refusals of calls and two answers, two answers with tokens, and what was too soon.
    let log = world.envoy.log(7).await;
    assert!(log.iter().any(|line| line.starts_with("/token 429 ")), "{log:?}");
    assert_eq!(world.token_requests().await, ["refresh_token 200 ×2"]);
}
