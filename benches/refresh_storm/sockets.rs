//! The storm over loopback sockets: hyper's client here, its server on a thread of its own.

use std::{
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tower_reauth::ReplayBody;

use crate::{
    api::Api,
    contenders::{self, Ideal, Stack},
    storm::{Arena, Outcome, Who, run, spend},
    support::{Fresh, mutex_client::MutexClient, retry_policy::retrying},
    tokens::{self, Issuer},
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A server, and two clients that are connected to it already.
pub(crate) struct Sockets {
    arena: Arena,
    origin: String,
    served: Served,
    ours: Client<HttpConnector, ReplayBody<Full<Bytes>>>,
    ideal: Client<HttpConnector, Full<Bytes>>,
    n: usize,
}

/// What the server answers with: each storm has an API of its own.
type Served = Arc<RwLock<Api>>;

impl Sockets {
    /// For storms of `n` requests.
    pub(crate) fn new(protocol: Protocol, n: usize) -> Self {
        let served = Arc::new(RwLock::new(Api::new(n)));
        let origin = serve(served.clone());
        let (ours, ideal) = (client(protocol), client(protocol));
        let sockets = Self { arena: Arena::new(1), origin, served, ours, ideal, n };
        // The first storm of each opens its connections.
        for who in [Who::Ours, Who::Ideal, Who::Ours, Who::Ideal] {
            sockets.storm(who, 0.0);
        }
        sockets
    }

    pub(crate) fn storm(&self, who: Who, phase: f64) -> Outcome {
        let (issuer, api, n) = (Issuer::default(), Api::new(self.n), self.n);
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = api.clone();
        let origin = self.origin.clone();
        let uri = Uri::try_from(format!("{origin}/v1/orders")).expect("a path after an origin");
        let ended = match who {
            Who::Ours => {
                let (issuer, client) = (issuer.clone(), self.ours.clone());
                self.arena.block_on(async move {
                    let session = contenders::session(&issuer, &origin).await;
                    run(&contenders::ours(session, client, uri), n, phase).await
                })
            }
            Who::Ideal => {
                let ideal = Ideal::new(&issuer, self.ideal.clone(), uri);
                self.arena.block_on(async move { run(&ideal, n, phase).await })
            }
            Who::Mutex => {
                let service = MutexClient::new(
                    self.ideal.clone(),
                    &Fresh::new(&tokens::old()),
                    spend(&issuer),
                );
                let service = service.expect("the token fits in a header");
                let stack = Stack { service, uri };
                self.arena.block_on(async move { run(&stack, n, phase).await })
            }
            Who::Retry => {
                let fresh = Fresh::new(&tokens::old());
                let service = retrying(self.ideal.clone(), &fresh, spend(&issuer));
                let service = service.expect("the token fits in a header");
                let stack = Stack { service, uri };
                self.arena.block_on(async move { run(&stack, n, phase).await })
            }
            other => panic!("{other} does not go over sockets"),
        };
        Outcome::of(ended, who, n, &issuer, &api)
    }
}

fn client<B>(protocol: Protocol) -> Client<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(protocol == Protocol::Http2)
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(None::<Duration>)
        .build(connector)
}

/// Returns the origin. It goes on until the program ends.
fn serve(served: Served) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    listener.set_nonblocking(true).expect("a listener can be told not to block");
    let address = listener.local_addr().expect("a listener has an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    thread::spawn(move || runtime.block_on(accept(listener, served)));
    format!("http://{address}")
}

async fn accept(listener: TcpListener, served: Served) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("it runs on a runtime");
    loop {
        let (stream, _) = listener.accept().await.expect("there are descriptors enough");
        stream.set_nodelay(true).expect("a socket knows this option");
        let served = served.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let served = served.read().unwrap_or_else(PoisonError::into_inner);
                let answer = served.answer(request.headers());
                async move { answer.await.map(with_body) }
            });
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http2().max_concurrent_streams(100_000);
            // A client that has gone away is no failure.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// A rejection that says why, as APIs do, and an answer of the same kind.
fn with_body(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let body: &[u8] = match response.status() {
        StatusCode::UNAUTHORIZED => b"{\"error\":\"invalid_token\"}",
        _ => b"{\"orders\":[]}",
    };
    response.map(|_| Full::new(Bytes::from_static(body)))
}
