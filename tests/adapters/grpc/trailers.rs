//! Refusals that come in trailers.

use std::{convert::Infallible, future::ready};

use bytes::Bytes;
use futures::{FutureExt, SinkExt, channel::mpsc, stream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tonic::{Code, Status, body::Body, transport::Channel};
use tower::{Layer, ServiceExt, service_fn};
use tower_reauth::{
    NoReplay, Session,
    tonic::{Reauth, ReauthLayer, Trailers, TrailersLayer},
};

use super::{
    words::Chat,
    world::{World, soon},
};

fn chat(world: &World, session: &Session) -> Chat<Reauth<Trailers<Channel>>> {
    let channel = TrailersLayer::new().layer(world.channel());
    Chat::new(ReauthLayer::new(session.clone()).layer(channel))
}

async fn until_heard(world: &World, calls: usize) {
    soon(async {
        while world.chat.heard().len() < calls {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_refusal_after_the_head_is_a_challenge_while_nothing_was_delivered() {
    let world = World::new();
    let session = world.session();
    let mut client = chat(&world, &session);
    let call = tokio::spawn(async move { client.late().await });
    until_heard(&world, 1).await;
    world.authorization.revoke_access_tokens();
    world.chat.turn();
    until_heard(&world, 2).await;
    world.chat.turn();

    let mut stream = soon(call).await.unwrap().unwrap();
    assert_eq!(soon(stream.message()).await.unwrap().as_deref(), Some("in time"));
    assert_eq!(soon(stream.message()).await.unwrap(), None);
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn a_stream_that_has_delivered_anything_is_not_asked_for_again() {
    let world = World::new();
    let session = world.session();
    let mut client = chat(&world, &session);
    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(soon(stream.message()).await.unwrap().as_deref(), Some("first"));
    world.authorization.revoke_access_tokens();
    world.chat.turn();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_call_that_still_has_requests_to_send_gets_its_head_at_once() {
    let world = World::new();
    let session = world.stale();
    let mut client = chat(&world, &session);
    let (mut send, receive) = mpsc::channel(8);
    let mut stream = soon(client.talk(receive)).await.unwrap();
    send.send("one".into()).await.unwrap();
    assert_eq!(soon(stream.message()).await.unwrap().as_deref(), Some("one"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

/// This response, as `TrailersLayer` hands it on: at once, or it would be held for good.
fn through(response: Response<Body>) -> Response<Body> {
    let mut response = Some(response);
    let channel = service_fn(move |_: Request<Empty<Bytes>>| {
        ready(Ok::<_, Infallible>(response.take().expect("sent once")))
    });
    let sent = TrailersLayer::new().layer(channel).oneshot(Request::new(Empty::new()));
    sent.now_or_never().expect("nothing to wait for").unwrap()
}

fn of(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Status>>) -> Response<Body> {
    let frames: Vec<_> = frames.into_iter().collect();
    Response::new(Body::new(StreamBody::new(stream::iter(frames))))
}

fn trailers(status: &str) -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("grpc-message", "who?".parse().unwrap());
    Frame::trailers(trailers)
}

#[tokio::test]
async fn a_refusal_moves_into_the_head_and_leaves_nothing_behind() {
    let response = through(of([Ok(trailers("16"))]));
    assert_eq!(response.headers()["grpc-status"], "16");
    assert_eq!(response.headers()["grpc-message"], "who?");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn every_other_response_stays_as_it_is() {
    // Another status.
    let response = through(of([Ok(trailers("7"))]));
    assert!(response.headers().is_empty());
    let all = response.into_body().collect().await.unwrap();
    assert_eq!(all.trailers().unwrap()["grpc-status"], "7");

    // A message first.
    let data = || Ok(Frame::data(Bytes::from("message")));
    let response = through(of([data(), data(), Ok(trailers("16"))]));
    assert!(response.headers().is_empty() && !response.body().is_end_stream());
    let all = response.into_body().collect().await.unwrap();
    assert_eq!(all.trailers().unwrap()["grpc-status"], "16");
    assert_eq!(all.to_bytes(), "messagemessage");

    // A stream that breaks.
    let mut broken = through(of([Err(Status::data_loss("broken"))])).into_body();
    assert_eq!(broken.frame().await.unwrap().unwrap_err().code(), Code::DataLoss);

    // No status anywhere.
    assert!(through(of([])).into_body().frame().await.is_none());

    // A size that is known stays known.
    let response = through(Response::new(Body::new(Full::from("message"))));
    assert_eq!(response.body().size_hint().exact(), Some(7));
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "message");
}

#[tokio::test]
async fn a_head_that_says_all_is_not_looked_behind() {
    for (status, grpc_status) in [(200, Some("0")), (503, None)] {
        let silent = stream::pending::<Result<Frame<Bytes>, Status>>();
        let mut response = Response::new(Body::new(StreamBody::new(silent)));
        *response.status_mut() = status.try_into().unwrap();
        if let Some(grpc_status) = grpc_status {
            response.headers_mut().insert("grpc-status", grpc_status.parse().unwrap());
        }
        assert_eq!(through(response).status(), status);
    }
}

/// Nobody looked at its request beforehand.
#[tokio::test]
async fn a_call_that_must_not_be_sent_again_is_not_waited_for() {
    for (once, refreshes) in [(false, 1), (true, 0)] {
        let world = World::new();
        let channel =
            service_fn(|_: Request<Body>| ready(Ok::<_, Infallible>(of([Ok(trailers("16"))]))));
        let client = ReauthLayer::new(world.session()).layer(TrailersLayer::new().layer(channel));
        let message = stream::iter([Ok::<_, Status>(Frame::data(Bytes::from("message")))]);
        let mut request =
            Request::post("/service/method").body(Body::new(StreamBody::new(message)));
        if once {
            request.as_mut().unwrap().extensions_mut().insert(NoReplay);
        }
        let answer = client.oneshot(request.unwrap()).await;
        assert_eq!(answer.is_ok(), once);
        assert_eq!(world.authorization.token_requests(), refreshes);
    }
}
