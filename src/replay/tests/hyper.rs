//! An early 401 while hyper uploads: on HTTP/1.1 and HTTP/2, with the upload blocked and not.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures::channel::mpsc::{self, UnboundedSender};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, client::conn, server, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    sync::mpsc as arrivals,
    task::JoinHandle,
    time::{sleep, timeout},
};

use super::{ReplayBody, keep};
use crate::BoxError;

#[derive(Clone, Copy, Debug)]
enum Version {
    Http1,
    Http2,
}

/// What became of a request body at the server.
type Arrived = Result<Vec<u8>, ()>;

/// A server that answers 401 before it reads, then reads what comes; `/ok` reads, then answers.
async fn answer(
    request: Request<Incoming>,
    arrived: arrivals::UnboundedSender<Arrived>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_early = request.uri().path() == "/early";
    let read = async move {
        let body = request.into_body().collect().await;
        arrived.send(body.map(|body| body.to_bytes().to_vec()).map_err(drop)).unwrap();
    };
    let mut response = Response::new(Full::new(Bytes::from_static(b"the reason")));
    if is_early {
        tokio::spawn(read);
        *response.status_mut() = StatusCode::UNAUTHORIZED;
    } else {
        read.await;
    }
    Ok(response)
}

/// What arrived, or a failed test in place of one that hangs: the clock is paused.
async fn next(arrivals: &mut arrivals::UnboundedReceiver<Arrived>) -> Arrived {
    timeout(Duration::from_secs(60), arrivals.recv()).await.expect("nothing arrives").unwrap()
}

struct Sent {
    response: Response<Incoming>,
    connection: JoinHandle<hyper::Result<()>>,
}

/// One request on a connection of its own, whose pipe holds `pipe` bytes.
async fn send<B>(
    version: Version,
    pipe: usize,
    path: &str,
    body: ReplayBody<B>,
    arrived: &arrivals::UnboundedSender<Arrived>,
) -> Sent
where
    B: Body + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (client, server) = tokio::io::duplex(pipe);
    let (client, server) = (TokioIo::new(client), TokioIo::new(server));
    let arrived = arrived.clone();
    let service = service_fn(move |request| answer(request, arrived.clone()));
    let request = Request::post(format!("http://server{path}")).body(body).unwrap();
    match version {
        Version::Http1 => {
            tokio::spawn(server::conn::http1::Builder::new().serve_connection(server, service));
            let (mut sender, connection) = conn::http1::handshake(client).await.unwrap();
            let connection = tokio::spawn(connection);
            Sent { response: sender.send_request(request).await.unwrap(), connection }
        }
        Version::Http2 => {
            let builder = server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(server, service));
            let handshake = conn::http2::handshake(TokioExecutor::new(), client);
            let (mut sender, connection) = handshake.await.unwrap();
            let connection = tokio::spawn(connection);
            Sent { response: sender.send_request(request).await.unwrap(), connection }
        }
    }
}

fn stream() -> (UnboundedSender<Bytes>, impl Body<Data = Bytes, Error = Infallible> + Send + Unpin)
{
    use futures::StreamExt;
    let (sender, receiver) = mpsc::unbounded();
    (sender, StreamBody::new(receiver.map(|data| Ok(Frame::data(data)))))
}

const CASES: [(Version, usize); 4] = [
    (Version::Http1, 1 << 20),
    (Version::Http1, 1 << 12),
    (Version::Http2, 1 << 20),
    (Version::Http2, 1 << 12),
];

#[tokio::test(start_paused = true)]
async fn an_early_401_and_the_replay_carries_every_byte_once() {
    for (version, pipe) in CASES {
        let (arrived, mut arrivals) = arrivals::unbounded_channel();
        let (upload, body) = stream();
        let (kept, first) = keep(body, 1 << 20);
        let mut all = Vec::new();
        let mut feed = |byte: u8| {
            all.extend_from_slice(&[byte; 10_000]);
            upload.unbounded_send(vec![byte; 10_000].into()).unwrap();
        };
        (0..20).for_each(&mut feed);
        let early = send(version, pipe, "/early", first, &arrived).await;
        assert_eq!(early.response.status(), StatusCode::UNAUTHORIZED);
        kept.freeze();
        (20..30).for_each(&mut feed);
        let second = kept.replay().unwrap();
        (30..40).for_each(&mut feed);
        drop(upload);
        drop(early.response);
        let replayed = send(version, pipe, "/ok", second, &arrived).await;
        assert_eq!(replayed.response.status(), StatusCode::OK);
        drop(kept);

        let mut complete = 0;
        // The end of the first connection, so that nothing more of it can arrive.
        early.connection.abort();
        for _ in 0..2 {
            if let Ok(body) = next(&mut arrivals).await {
                assert!(body == all, "{version:?} {pipe}: a torn body arrived as complete");
                complete += 1;
            }
        }
        assert_eq!(complete, 1, "{version:?} {pipe}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_401_and_no_refresh_the_upload_is_not_torn() {
    for (version, pipe) in CASES {
        let (arrived, mut arrivals) = arrivals::unbounded_channel();
        let (upload, body) = stream();
        let (kept, first) = keep(body, 1 << 20);
        upload.unbounded_send(vec![1; 50_000].into()).unwrap();
        let early = send(version, pipe, "/early", first, &arrived).await;
        kept.freeze();
        upload.unbounded_send(vec![1; 50_000].into()).unwrap();
        drop(upload);
        // As long as a refresh may take: everything that can run, runs.
        sleep(Duration::from_secs(10)).await;
        assert!(arrivals.try_recv().is_err(), "{version:?} {pipe}: it was not frozen");
        kept.thaw();
        assert_eq!(next(&mut arrivals).await, Ok(vec![1; 100_000]), "{version:?} {pipe}");
        let reason = early.response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(reason, "the reason");
    }
}

#[tokio::test(start_paused = true)]
async fn an_early_401_and_the_caller_is_gone_no_connection_is_parked() {
    for (version, pipe) in CASES {
        let (arrived, mut arrivals) = arrivals::unbounded_channel();
        let (_upload, body) = stream();
        let (kept, first) = keep(body, 1 << 20);
        let early = send(version, pipe, "/early", first, &arrived).await;
        kept.freeze();
        drop(early.response);
        drop(kept);
        assert_eq!(next(&mut arrivals).await, Err(()), "{version:?} {pipe}");
        let connection = timeout(Duration::from_secs(60), early.connection).await;
        assert!(connection.is_ok(), "{version:?} {pipe}: the connection is parked");
    }
}
