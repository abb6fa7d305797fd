//! The session, and the two stacks that share it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper_util::{
    client::legacy::{
        Builder, Client, Error,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use tokio::{runtime::Handle, sync::Semaphore};
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, ReplayBody, Session,
    testing::{AuthorizationServer, Loopback},
};

use crate::trip::TrackLayer;

/// The body of a request: one frame or a stream of them.
pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// What a request goes through. The answer has been read when it comes.
pub(crate) type Stack = BoxCloneSyncService<Request<Body>, Response<Full<Bytes>>, BoxError>;

/// How many connections the HTTP/1.1 client has open at most.
const CONNECTIONS: usize = 100;

/// How many requests of each stack are on the wire at once. A few less than there are connections: one
/// that has just answered takes a moment until it is free for the next request.
const ON_THE_WIRE: usize = 90;

/// A session at the token endpoint behind `token_endpoint`, with a login behind it.
pub(crate) fn session(
    authorization: &AuthorizationServer,
    token_endpoint: &Loopback,
    api: &Loopback,
    runtime: &Handle,
) -> Result<Session, BoxError> {
    let address = token_endpoint.uri("/token").to_string();
    // A client of its own: the refresh must not travel through the stack that it serves.
    let client: Client<_, Full<Bytes>> = client().build(http());
    let grant = RefreshTokenGrant::new_insecure(&address, "storm", client)?
        .not_sent(|error| error.downcast_ref().is_some_and(Error::is_connect));
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .insecure_origin(api.origin())
        .runtime(runtime.clone())
        .build()?;
    Ok(session)
}

/// One stack over HTTP/1.1 and one over HTTP/2.
pub(crate) struct Stacks {
    pub(crate) http1: Stack,
    pub(crate) http2: Stack,
    pub(crate) origin: String,
    slots: Arc<Semaphore>,
}

impl Stacks {
    pub(crate) fn new(session: &Session, api: &Loopback) -> Self {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let slot = slots.clone();
        let connector = tower::service_fn(move |uri| {
            let slot = slot.clone().acquire_owned();
            async move {
                let slot = slot.await?;
                let connection = http().oneshot(uri).await?;
                // Neither side closes a connection before the end, so a slot never comes back.
                slot.forget();
                Ok::<_, BoxError>(connection)
            }
            .boxed()
        });
        let http1 = client().build(connector);
        let http2 = client().http2_only(true).build(http());
        Self {
            http1: stack(session, http1),
            http2: stack(session, http2),
            origin: api.origin(),
            slots,
        }
    }

    /// How many HTTP/1.1 connections were opened.
    pub(crate) fn connections_opened(&self) -> usize {
        CONNECTIONS - self.slots.available_permits()
    }
}

fn stack<C>(session: &Session, client: Client<C, ReplayBody<Body>>) -> Stack
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let stack = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .concurrency_limit(ON_THE_WIRE)
        .layer(AuthLayer::new(session.clone()))
        .layer(TrackLayer)
        // A request gives its turn back when its answer has been read: only then is its connection free.
        .and_then(read)
        .service(client);
    BoxCloneSyncService::new(stack)
}

async fn read<B>(response: Response<B>) -> Result<Response<Full<Bytes>>, BoxError>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await.map_err(Into::into)?.to_bytes())))
}

fn client() -> Builder {
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(None::<Duration>);
    builder
}

fn http() -> HttpConnector {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector
}
