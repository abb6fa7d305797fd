//! A server on gRPC's C core, which is also that of C++, Python, Ruby and PHP.

use futures::{SinkExt, channel::mpsc, future::join_all, stream};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use tonic::{
    Code, Request, Streaming,
    body::Body,
    client::GrpcService,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer;
use tower_reauth::{
    BoxError, RefreshTokenGrant, Session,
    testing::{AuthorizationServer, Loopback, ResourceServer},
    tonic::{Reauth, ReauthLayer, TrailersLayer, refresh_error},
};

use super::words::Chat;
use crate::{link::Link, python::python, support::soon};

/// An authorization server and the gRPC server, which asks a resource server about every token.
struct World {
    authorization: AuthorizationServer,
    judge: ResourceServer,
    _judging: Loopback,
    server: Link,
    origin: String,
}

#[derive(Deserialize)]
struct Seen {
    path: String,
    status: String,
    metadata: BTreeMap<String, String>,
}

impl World {
    async fn new() -> Self {
        let authorization = AuthorizationServer::new();
        let judge = ResourceServer::new(&authorization);
        let judging = judge.serve().await.unwrap();
        let server = Link::to(python("grpc_server.py"), "the gRPC server");

        #[derive(Deserialize)]
        struct Bound {
            port: u16,
        }
        let resource = judging.uri("/calls").to_string();
        let bound: Bound = server.ask(json!({ "do": "listen", "resource": resource })).await;
        let origin = format!("http://127.0.0.1:{}", bound.port);
        Self { authorization, judge, _judging: judging, server, origin }
    }

    async fn tell(&self, name: &str) {
        self.server.ask::<()>(json!({ "do": name })).await;
    }

    async fn ask<T: DeserializeOwned>(&self, name: &str) -> T {
        self.server.ask(json!({ "do": name })).await
    }

    /// What the server said to each call at the door, and how many refreshes ran.
    async fn told(&self) -> (Vec<String>, usize) {
        let seen: Vec<Seen> = self.ask("seen").await;
        let verdicts = seen.into_iter().map(|seen| seen.status).collect();
        (verdicts, self.authorization.token_requests())
    }

    fn session(&self) -> Session {
        let endpoint = self.authorization.token_endpoint().to_string();
        let grant = RefreshTokenGrant::new(&endpoint, "app", self.authorization.clone()).unwrap();
        let builder = Session::builder(grant).tokens(self.authorization.login());
        builder.assume_insecure_origin(&self.origin).build().unwrap()
    }

    /// A session whose token is dead, and does not know it.
    fn stale(&self) -> Session {
        let session = self.session();
        self.authorization.revoke_access_tokens();
        session
    }

    fn guarded(&self, session: Session) -> Reauth<Channel> {
        let channel = Endpoint::from_shared(self.origin.clone()).unwrap().connect_lazy();
        ReauthLayer::new(session).layer(channel)
    }

    fn health(&self, session: Session) -> HealthClient<Reauth<Channel>> {
        HealthClient::new(self.guarded(session))
    }

    fn chat(&self, session: Session) -> Chat<Reauth<Channel>> {
        Chat::new(self.guarded(session))
    }
}

fn once_more() -> (Vec<String>, usize) {
    (["UNAUTHENTICATED", "OK"].map(String::from).into(), 1)
}

async fn next(stream: &mut Streaming<String>) -> Option<String> {
    soon(stream.message()).await.unwrap()
}

#[tokio::test]
async fn a_refused_call_is_sent_again_as_it_was() {
    let world = World::new().await;
    let mut client = world.chat(world.stale());
    let mut request = Request::new("tea".to_owned());
    request.set_timeout(Duration::from_secs(50));
    request.metadata_mut().insert("x-text", "one".parse().unwrap());

    assert_eq!(soon(client.say_in(request)).await.unwrap(), "tea");
    assert_eq!(world.ask::<Vec<Vec<String>>>("heard").await, [["tea"]]);
    assert_eq!(world.told().await, once_more());
    let mut seen: Vec<Seen> = world.ask("seen").await;
    let tokens: Vec<_> =
        seen.iter_mut().map(|seen| seen.metadata.remove("authorization")).collect();
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(seen[0].path, seen[1].path);
    assert_eq!(seen[0].metadata, seen[1].metadata);
    assert_eq!(seen[1].metadata["x-text"], "one");
}

#[tokio::test]
async fn a_refused_health_check_and_a_refused_watch_get_their_answer() {
    let world = World::new().await;
    let mut client = world.health(world.stale());
    let request = HealthCheckRequest::default;
    assert_eq!(soon(client.check(request())).await.unwrap().get_ref().status, 1);
    assert_eq!(world.told().await, once_more());

    world.authorization.revoke_access_tokens();
    let mut watch = soon(client.watch(request())).await.unwrap().into_inner();
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status, 1);
    world.tell("not_serving").await;
    assert_eq!(soon(watch.message()).await.unwrap().unwrap().status, 2);
    assert_eq!(world.authorization.token_requests(), 2);
}

#[tokio::test]
async fn permission_denied_is_an_answer() {
    let world = World::new().await;
    let mut client = world.health(world.session());
    world.judge.insufficient_scope("/calls", "admin");
    let status = soon(client.check(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "who?"));
    assert!(refresh_error(&status).is_none());
    assert_eq!(world.told().await, (vec!["PERMISSION_DENIED".into()], 0));
}

#[tokio::test]
async fn a_session_that_ended_gets_the_servers_status_with_the_reason() {
    let world = World::new().await;
    let mut client = world.health(world.session());
    world.authorization.revoke_all();
    let status = soon(client.check(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "who?"));
    assert!(refresh_error(&status).unwrap().is_session_ended());
}

#[tokio::test]
async fn calls_that_are_refused_together_share_a_refresh() {
    let world = World::new().await;
    let client = world.chat(world.stale());
    let calls = (0..100).map(|number| {
        let mut client = client.clone();
        async move { client.say(number.to_string()).await }
    });
    for (number, answer) in soon(join_all(calls)).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), number.to_string());
    }
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test]
async fn a_refused_upload_arrives_whole_and_once() {
    let world = World::new().await;
    let mut client = world.chat(world.stale());
    let words = ["one", "two", "three"].map(String::from);
    assert_eq!(soon(client.tell(stream::iter(words))).await.unwrap(), "one,two,three");
    assert_eq!(world.ask::<Vec<Vec<String>>>("heard").await, [["one", "two", "three"]]);
    assert_eq!(world.told().await, once_more());
}

#[tokio::test]
async fn what_is_sent_after_the_challenge_goes_to_the_replay() {
    let world = World::new().await;
    let mut client = world.chat(world.stale());
    let hold = world.authorization.hold();
    let (mut send, receive) = mpsc::channel(8);
    send.send("before".into()).await.unwrap();
    let call = tokio::spawn(async move { client.tell(receive).await });
    soon(hold.until_held(1)).await;
    send.send("meanwhile".into()).await.unwrap();
    hold.release();
    // Sent on, not kept back until the end.
    soon(async {
        while world.ask::<Vec<Vec<String>>>("heard").await != [["before", "meanwhile"]] {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    send.send("after".into()).await.unwrap();
    drop(send);
    assert_eq!(soon(call).await.unwrap().unwrap(), "before,meanwhile,after");
    assert_eq!(world.told().await, once_more());
}

/// The server answers before the client has ended, so nothing is collected.
async fn talks<T>(client: &mut Chat<T>)
where
    T: GrpcService<Body>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    let (mut send, receive) = mpsc::channel(8);
    let mut stream = soon(client.talk(receive)).await.unwrap();
    for word in ["one", "two", "three"] {
        send.send(word.into()).await.unwrap();
        assert_eq!(next(&mut stream).await.as_deref(), Some(word));
    }
    drop(send);
    assert_eq!(next(&mut stream).await, None);
}

#[tokio::test]
async fn a_conversation_begins_at_once_refused_or_not() {
    let world = World::new().await;
    let mut client = world.chat(world.session());
    talks(&mut client).await;
    assert_eq!(world.told().await, (vec!["OK".into()], 0));

    world.authorization.revoke_access_tokens();
    talks(&mut client).await;
    let words = ["one", "two", "three"];
    assert_eq!(world.ask::<Vec<Vec<String>>>("heard").await, [words, words]);
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test]
async fn a_stream_that_has_delivered_anything_is_not_asked_for_again() {
    let world = World::new().await;
    let mut client = world.chat(world.session());
    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("first"));
    world.authorization.revoke_access_tokens();
    world.tell("turn").await;
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!(world.told().await, (vec!["OK".into()], 0));

    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("first"));
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test]
async fn a_refusal_after_the_head_is_an_answer() {
    let world = World::new().await;
    let mut client = world.chat(world.session());
    let mut stream = soon(client.late()).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.tell("turn").await;
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!(world.told().await, (vec!["OK".into()], 0));

    // The same of a call, by a server that sends metadata of its own before it refuses.
    world.tell("headers_first").await;
    let status = soon(client.say("tea")).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "who?"));
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test]
async fn a_refusal_after_the_head_is_a_challenge_to_who_looks_for_it() {
    let world = World::new().await;
    world.tell("headers_first").await;
    let session = world.stale();
    let channel = Endpoint::from_shared(world.origin.clone()).unwrap().connect_lazy();
    let channel = TrailersLayer::new().layer(channel);
    let mut client = Chat::new(ReauthLayer::new(session).layer(channel));

    assert_eq!(soon(client.say("tea")).await.unwrap(), "tea");
    assert_eq!(world.told().await, once_more());
    // A stream of requests is not looked at: it waits for its head.
    talks(&mut client).await;
    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("first"));
    assert_eq!(world.authorization.token_requests(), 1);
}
