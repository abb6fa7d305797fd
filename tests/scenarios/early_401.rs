//! A 401 that comes while the upload still runs, over sockets, by a hyper client.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use http::{Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AccessToken, AuthLayer, BoxError, RefreshError, RefreshLayer, Session,
    testing::{AuthorizationServer, Hold},
};

use crate::support::World;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    Http1,
    Http2,
}
use Version::{Http1, Http2};

/// What the server does with the upload of a request that it refuses.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Upload {
    /// It reads on.
    Runs,
    /// It leaves it where it is, until it is told to read.
    Blocked,
}
use Upload::{Blocked, Runs};

/// More than both ends of a loopback socket hold.
const LARGE: usize = 16 * 1024 * 1024;

/// An upload as it reached the server: with its end, or torn off.
#[derive(Debug)]
struct Arrived {
    was_accepted: bool,
    body: Result<Vec<u8>, ()>,
}

/// Judges a request on its head: 401 at once, or 200 once the body is there.
struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    arrivals: mpsc::UnboundedReceiver<Arrived>,
    accepting: JoinHandle<()>,
}

struct Shared {
    authorization: AuthorizationServer,
    upload: Upload,
    left: Mutex<Vec<Incoming>>,
    arrived: mpsc::UnboundedSender<Arrived>,
}

impl Server {
    async fn new(authorization: &AuthorizationServer, upload: Upload) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let authorization = authorization.clone();
        let shared = Arc::new(Shared { authorization, upload, left: Mutex::default(), arrived });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Self { address, shared, arrivals, accepting }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Read on what was left where it was.
    fn unblock(&self) {
        for body in self.shared.left.lock().unwrap().drain(..) {
            tokio::spawn(read(body, self.shared.arrived.clone(), false));
        }
    }

    async fn next(&mut self) -> Arrived {
        soon(self.arrivals.recv()).await.unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let shared = shared.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, shared.clone()));
            let mut builder = auto::Builder::new(TokioExecutor::new());
            // One stream that nobody reads must not use up the window of the whole connection.
            builder
                .http2()
                .initial_stream_window_size(65_536)
                .initial_connection_window_size(1 << 20);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let token = request.headers()[header::AUTHORIZATION].to_str().unwrap();
    let token = AccessToken::new(token.strip_prefix("Bearer ").unwrap()).unwrap();
    let body = request.into_body();
    if shared.authorization.is_valid(&token) {
        read(body, shared.arrived.clone(), true).await;
        return Ok(Response::new(Full::from("thank you")));
    }
    match shared.upload {
        Runs => drop(tokio::spawn(read(body, shared.arrived.clone(), false))),
        Blocked => shared.left.lock().unwrap().push(body),
    }
    let mut response = Response::new(Full::from("the reason"));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    Ok(response)
}

async fn read(body: Incoming, arrived: mpsc::UnboundedSender<Arrived>, was_accepted: bool) {
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).map_err(drop);
    let _ = arrived.send(Arrived { was_accepted, body });
}

/// A failed test in place of one that hangs.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it hangs")
}

type Frames = UnboundedReceiver<Result<Frame<Bytes>, io::Error>>;

/// The caller's end of an upload, and all that was put into it.
struct Uploading {
    frames: UnboundedSender<Result<Frame<Bytes>, io::Error>>,
    all: Vec<u8>,
}

impl Uploading {
    fn put(&mut self, data: impl AsRef<[u8]>) {
        self.all.extend_from_slice(data.as_ref());
        let frame = Frame::data(Bytes::copy_from_slice(data.as_ref()));
        let _ = self.frames.unbounded_send(Ok(frame));
    }

    /// Many frames, no two alike.
    fn put_large(&mut self) {
        for at in 0..LARGE / 65536 {
            self.put(vec![at as u8; 65536]);
        }
    }

    fn end(self) -> Vec<u8> {
        self.all
    }
}

type Answer = Result<(StatusCode, Option<RefreshError>, Bytes), BoxError>;

/// One upload whose token was refused on the head: the refresh has begun, and its answer is held. It is
/// a verdict if the session is over.
struct Refused {
    world: World,
    server: Server,
    session: Session,
    uploading: Uploading,
    answer: JoinHandle<Answer>,
    hold: Hold,
}

async fn refused(version: Version, upload: Upload, is_over: bool) -> Refused {
    let world = World::new();
    let server = Server::new(&world.authorization, upload).await;
    let session = Session::builder(world.grant())
        .tokens(world.authorization.login())
        .insecure_origin(server.origin())
        .build()
        .unwrap();
    session.token().await.unwrap();
    if is_over {
        world.authorization.revoke_all();
    } else {
        world.authorization.revoke_access_tokens();
    }
    let hold = world.authorization.hold();

    let (frames, body) = unbounded();
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client =
        Client::builder(TokioExecutor::new()).http2_only(version == Http2).build(connector);
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).keep_bytes(2 * LARGE))
        .layer(AuthLayer::new(session.clone()))
        .service(client);
    let request = Request::put(format!("{}/file", server.origin()));
    let request = request.body(StreamBody::<Frames>::new(body)).unwrap();
    let mut uploading = Uploading { frames, all: Vec::new() };
    if upload == Blocked {
        uploading.put_large();
    }
    let answer = tokio::spawn(async move {
        let response = client.oneshot(request).await?;
        let (head, body) = response.into_parts();
        let error = head.extensions.get().cloned();
        Ok((head.status, error, body.collect().await?.to_bytes()))
    });
    soon(hold.until_held(1)).await;
    Refused { world, server, session, uploading, answer, hold }
}

/// Case 52.
#[tokio::test]
async fn frames_that_come_after_the_401_reach_the_server_exactly_once_by_the_replay() {
    for version in [Http1, Http2] {
        for upload in [Runs, Blocked] {
            let Refused { mut server, mut uploading, answer, hold, world, .. } =
                refused(version, upload, false).await;

            uploading.put("while the refresh runs, ");
            hold.release();
            uploading.put("and after it");
            let all = uploading.end();

            let (status, error, body) = soon(answer).await.unwrap().unwrap();
            assert_eq!(
                (status.as_u16(), &*body),
                (200, &b"thank you"[..]),
                "{version:?} {upload:?}"
            );
            assert!(error.is_none());
            server.unblock();
            let mut arrived = [server.next().await, server.next().await];
            arrived.sort_by_key(|arrived| arrived.was_accepted);
            let [old, new] = arrived;
            assert!(new.was_accepted && new.body.as_ref() == Ok(&all), "{version:?} {upload:?}");
            // The send that lost its upload was torn off: no server took it for whole.
            assert!(!old.was_accepted && old.body.is_err(), "{version:?} {upload:?}");
            assert_eq!(world.authorization.token_requests(), 1);
        }
    }
}

/// Case 52.
#[tokio::test]
async fn a_refresh_that_fails_gives_back_the_401_with_its_body_and_lets_the_upload_go_on() {
    for version in [Http1, Http2] {
        for upload in [Runs, Blocked] {
            let Refused { mut server, mut uploading, answer, hold, .. } =
                refused(version, upload, true).await;

            uploading.put("while the refresh runs, ");
            hold.release();
            let (status, error, body) = soon(answer).await.unwrap().unwrap();
            assert_eq!((status.as_u16(), &*body), (401, &b"the reason"[..]), "{version:?}");
            assert!(error.is_some());
            uploading.put("and after it");
            let all = uploading.end();

            server.unblock();
            let Arrived { was_accepted, body } = server.next().await;
            assert!(!was_accepted && body.as_ref() == Ok(&all), "{version:?} {upload:?}");
        }
    }
}

/// Case 52.
#[tokio::test]
async fn a_caller_that_leaves_during_the_freeze_parks_no_connection_and_loses_no_token() {
    for version in [Http1, Http2] {
        for upload in [Runs, Blocked] {
            let Refused { mut server, uploading, answer, hold, session, world } =
                refused(version, upload, false).await;

            answer.abort();
            assert!(soon(answer).await.unwrap_err().is_cancelled());
            server.unblock();
            // The caller still holds the stream open: only the freeze can have ended the upload.
            let Arrived { was_accepted, body } = server.next().await;
            assert!(!was_accepted && body.is_err(), "{version:?} {upload:?}");
            drop(uploading);

            hold.release();
            let token = soon(session.token()).await.unwrap();
            assert!(world.authorization.is_valid(&token));
            assert_eq!(
                (world.authorization.token_requests(), world.authorization.reused()),
                (1, 0)
            );
        }
    }
}
