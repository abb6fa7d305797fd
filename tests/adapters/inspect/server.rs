//! A GraphQL API that tells by its body, as Apollo Server does, that a token is dead.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tower::{Service, ServiceExt};
use tower_reauth::{
    BoxError,
    testing::{AuthorizationServer, ResourceServer},
};

/// Answers `{"variables":{"id":n}}` by order n, if the token is good when it is asked.
#[derive(Clone)]
pub(super) struct GraphQl {
    tokens: ResourceServer,
    posts: Arc<AtomicUsize>,
    arrived: Arc<watch::Sender<usize>>,
    gate: Arc<Semaphore>,
}

impl GraphQl {
    pub(super) fn new(authorization: &AuthorizationServer) -> Self {
        let gate = Semaphore::new(0);
        gate.close();
        Self {
            tokens: ResourceServer::new(authorization),
            posts: Arc::default(),
            arrived: Arc::default(),
            gate: Arc::new(gate),
        }
    }

    /// The posts so far.
    pub(super) fn posts(&self) -> usize {
        self.posts.load(Ordering::Relaxed)
    }

    /// Keep posts from now on, before their tokens are looked at, until [`release`](Self::release).
    pub(super) fn hold(&mut self) {
        self.gate = Arc::new(Semaphore::new(0));
    }

    /// Wait until so many posts arrived.
    pub(super) async fn until_arrived(&self, posts: usize) {
        self.arrived.subscribe().wait_for(|arrived| *arrived >= posts).await.unwrap();
    }

    pub(super) fn release(&self) {
        self.gate.close();
    }

    async fn answer<B>(self, request: Request<B>) -> Result<Response<Full<Bytes>>, BoxError>
    where
        B: http_body::Body,
        B::Error: Into<BoxError>,
    {
        self.posts.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let body = body.collect().await.map_err(Into::into)?.to_bytes();
        self.arrived.send_modify(|arrived| *arrived += 1);
        let _ = self.gate.acquire().await;

        let asked: Value = serde_json::from_slice(&body)?;
        let judged =
            self.tokens.oneshot(Request::from_parts(head, Full::<Bytes>::default())).await?;
        let answer = if judged.status() == 200 {
            json!({ "data": { "order": { "id": asked["variables"]["id"] } } })
        } else {
            json!({
                "errors": [{
                    "message": "the token is dead",
                    "path": ["order"],
                    "extensions": { "code": "UNAUTHENTICATED" }
                }],
                "data": { "order": null }
            })
        };
        let response =
            Response::builder().header("content-type", "application/json; charset=utf-8");
        Ok(response.body(Full::from(answer.to_string()))?)
    }

    /// Serve on a free loopback port, until what is returned is dropped.
    pub(super) async fn serve(&self) -> (SocketAddr, JoinSet<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, self.clone()));
        (address, serving)
    }
}

async fn accept(listener: TcpListener, server: GraphQl) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let server = server.clone();
        let service = service_fn(move |request| {
            let answer = server.clone().answer(request);
            async move { Ok::<_, Infallible>(answer.await.unwrap()) }
        });
        connections.spawn(async move {
            let mut connection = auto::Builder::new(TokioExecutor::new());
            connection.http2().max_concurrent_streams(4096);
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl<B> Service<Request<B>> for GraphQl
where
    B: http_body::Body<Data: Send> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
