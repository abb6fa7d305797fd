//! Calls that stream.

use futures::{SinkExt, channel::mpsc, stream};
use tonic::{Code, Streaming};
use tonic_health::{ServingStatus, pb::HealthCheckRequest};
use tower::Layer;
use tower_reauth::tonic::{ReauthLayer, refresh_error};

use super::{
    words::Chat,
    world::{World, refusal, soon},
};

/// Texts that are sent one by one, with room for some that nobody asked for yet.
fn texts() -> (mpsc::Sender<String>, mpsc::Receiver<String>) {
    mpsc::channel(8)
}

async fn next(stream: &mut Streaming<String>) -> Option<String> {
    soon(stream.message()).await.unwrap()
}

#[tokio::test]
async fn a_refused_watch_begins_with_a_new_token_and_goes_on() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.health(&session);

    let watch = soon(client.watch(HealthCheckRequest::default())).await.unwrap();
    let mut watch = watch.into_inner();
    let status = |message: Option<tonic_health::pb::HealthCheckResponse>| message.unwrap().status;
    assert_eq!(status(soon(watch.message()).await.unwrap()), 1);
    world.health.set_service_status("", ServingStatus::NotServing).await;
    assert_eq!(status(soon(watch.message()).await.unwrap()), 2);
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn a_stream_that_has_delivered_anything_is_not_asked_for_again() {
    let world = World::new();
    let session = world.session();
    let mut client = world.chat(&session);

    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("first"));
    world.chat.turn();
    assert_eq!(next(&mut stream).await.as_deref(), Some("next"));
    world.authorization.revoke_access_tokens();
    world.chat.turn();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));

    // The next call is challenged, and refreshes.
    let mut stream = soon(client.follow()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("first"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (3, 1));
}

#[tokio::test]
async fn a_refusal_after_the_head_is_an_answer() {
    let world = World::new();
    let session = world.session();
    let mut client = world.chat(&session);

    // The head is out, and no message: what the server thinks of the token comes in trailers.
    let mut stream = soon(client.late()).await.unwrap();
    world.authorization.revoke_access_tokens();
    world.chat.turn();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_refused_upload_arrives_whole_and_once() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.chat(&session);
    let words = ["one", "two", "three"].map(String::from);

    let heard = soon(client.tell(stream::iter(words))).await.unwrap();
    assert_eq!(heard, "one,two,three");
    assert_eq!(world.chat.heard(), [["one", "two", "three"]]);
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn what_is_sent_after_the_challenge_goes_to_the_replay() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.chat(&session);
    let hold = world.authorization.hold();
    let (mut send, receive) = texts();
    send.send("before".into()).await.unwrap();
    let call = tokio::spawn(async move { client.tell(receive).await });

    soon(hold.until_held(1)).await;
    for word in ["while", "it", "is", "refreshed"] {
        send.send(word.into()).await.unwrap();
    }
    hold.release();
    soon(async {
        while world.chat.heard().first().is_none_or(|heard| heard.len() < 5) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    send.send("after".into()).await.unwrap();
    drop(send);

    let heard = soon(call).await.unwrap().unwrap();
    assert_eq!(heard, "before,while,it,is,refreshed,after");
    assert_eq!(world.chat.heard().len(), 1);
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

/// The server answers before the client has ended, so nothing is collected.
async fn talks(
    world: &World,
    client: &mut Chat<tower_reauth::tonic::Reauth<tonic::transport::Channel>>,
) {
    let (mut send, receive) = texts();
    // Nothing is there to send yet: the call begins all the same.
    let mut stream = soon(client.talk(receive)).await.unwrap();
    for word in ["one", "two", "three"] {
        send.send(word.into()).await.unwrap();
        assert_eq!(next(&mut stream).await.as_deref(), Some(word));
    }
    drop(send);
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(world.chat.heard().last().unwrap(), &["one", "two", "three"]);
}

#[tokio::test]
async fn a_conversation_begins_at_once() {
    let world = World::new();
    let session = world.session();
    talks(&world, &mut world.chat(&session)).await;
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_refused_conversation_begins_anew() {
    let world = World::new();
    let session = world.stale();
    talks(&world, &mut world.chat(&session)).await;
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn a_conversation_cut_short_is_not_taken_up_again() {
    let world = World::new();
    let session = world.session();
    let mut client = world.chat(&session);
    let (mut send, receive) = texts();
    let mut stream = soon(client.talk(receive)).await.unwrap();
    send.send("one".into()).await.unwrap();
    assert_eq!(next(&mut stream).await.as_deref(), Some("one"));

    world.authorization.revoke_access_tokens();
    send.send("two".into()).await.unwrap();
    let status = soon(stream.message()).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, "no longer"));
    assert_eq!(world.chat.heard(), [["one"]]);
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));

    talks(&world, &mut client).await;
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (3, 1));
}

#[tokio::test]
async fn a_refused_stream_that_outgrew_what_is_kept_ends_in_the_servers_status() {
    let world = World::new();
    let session = world.stale();
    // Smaller than a message and what counts for a frame.
    let layer = ReauthLayer::new(session).keep_bytes(100);
    let mut client = Chat::new(layer.layer(world.channel()));
    let (mut send, receive) = texts();
    send.send("x".repeat(90)).await.unwrap();
    let status = soon(client.tell(receive)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, refusal().message()));
    // It is no word on the session: the token is refreshed for the next call.
    assert!(refresh_error(&status).is_none());
    assert_eq!(world.door.requests(), 1);
    assert!(world.chat.heard().is_empty());

    assert_eq!(soon(client.say("again")).await.unwrap(), "again");
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test]
async fn a_caller_who_leaves_a_refused_stream_loses_no_refresh() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.chat(&session);
    let hold = world.authorization.hold();
    let (mut send, receive) = texts();
    send.send("one".into()).await.unwrap();
    let mut leaving = client.clone();
    tokio::select! {
        _ = leaving.talk(receive) => panic!("there is no token to begin with"),
        () = soon(hold.until_held(1)) => {}
    }
    hold.release();

    assert_eq!(soon(client.say("here")).await.unwrap(), "here");
    assert_eq!(world.chat.heard(), [["here"]]);
    assert_eq!(world.authorization.token_requests(), 1);
    // Nobody reads any more: the connection was not left waiting for the stream.
    soon(async {
        while !send.is_closed() {
            tokio::task::yield_now().await
        }
    })
    .await;
}
