//! An upload of 5 MB with a dead token, and a challenge that nginx sends while it still runs.

use std::convert::Infallible;

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::Request;
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::json;
use tower::{Layer, ServiceBuilder, util::BoxCloneSyncService};
use tower_reauth::{AuthLayer, RefreshLayer};

use crate::{
    site::Site,
    support::send,
    tls::Version::{self, Http1, Http2},
};

const SIZE: usize = 5_000_000;
const CHUNK: usize = 16 * 1024;

type Sent = Result<Frame<Bytes>, Infallible>;

/// When the bytes are there to be sent.
#[derive(Clone, Copy, PartialEq)]
enum Pace {
    /// As fast as the server takes them.
    AllAtOnce,
    /// The first 64 KiB at once, the rest when the refresh has begun.
    RestLater,
}

/// Five million bytes, no two chunks alike.
fn file() -> Bytes {
    (0..SIZE).map(|at| (at / CHUNK + at) as u8).collect()
}

fn put(frames: &UnboundedSender<Sent>, mut data: Bytes) {
    while !data.is_empty() {
        let chunk = data.split_to(CHUNK.min(data.len()));
        let _ = frames.unbounded_send(Ok(Frame::data(chunk)));
    }
}

async fn an_upload_arrives_once_and_whole(version: Version, pace: Pace) {
    let mut site = Site::new().await;
    site.provider.fault(json!({ "hold": true })).await;
    let session = site.session().await;
    let layers = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).keep_bytes(8 << 20))
        .layer(AuthLayer::new(session.clone()))
        .into_inner();
    let client = BoxCloneSyncService::new(layers.layer(site.authority.client(version)));

    let (frames, body) = unbounded();
    let request = Request::put(site.nginx.uri(0, "/files"));
    let request = request.body(StreamBody::<UnboundedReceiver<Sent>>::new(body)).unwrap();
    let (mut rest, now) = (file(), 4 * CHUNK);
    put(&frames, rest.split_to(if pace == Pace::AllAtOnce { SIZE } else { now }));
    let answer = tokio::spawn(async move { send(&client, request).await });
    // The challenge is there: a refresh has begun.
    site.provider.held(1).await;
    put(&frames, rest);
    drop(frames);
    site.provider.release().await;

    let answer = answer.await.unwrap().unwrap();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"thank you"[..]));
    let arrived = site.uploads.arrived();
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0] == file(), "{} bytes", arrived[0].len());
    let stats = site.provider.stats().await;
    assert_eq!(stats.token_requests(), ["refresh_token 200"]);
    assert_eq!((stats.path("/me", "401"), stats.path("/me", "200")), (1, 1));
}

#[tokio::test]
async fn an_upload_over_http1_that_is_challenged_early_is_sent_again_whole() {
    an_upload_arrives_once_and_whole(Http1, Pace::RestLater).await;
}

#[tokio::test]
async fn an_upload_over_http2_that_is_challenged_early_is_sent_again_whole() {
    an_upload_arrives_once_and_whole(Http2, Pace::RestLater).await;
}

#[tokio::test]
async fn a_fast_upload_over_http1_that_is_challenged_is_sent_again_whole() {
    an_upload_arrives_once_and_whole(Http1, Pace::AllAtOnce).await;
}

#[tokio::test]
async fn a_fast_upload_over_http2_that_is_challenged_is_sent_again_whole() {
    an_upload_arrives_once_and_whole(Http2, Pace::AllAtOnce).await;
}
