//! Channels of `tonic` beneath the layers.
//!
//! [`ReauthLayer`] is the two layers, set up for gRPC, with what tonic's types ask for around them: one
//! line between a channel and a generated client, which stays as it is.
//!
//! ```
//! use tonic::transport::Channel;
//! use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
//! use tower::ServiceBuilder;
//! use tower_reauth::{RefreshTokenGrant, Session, tonic::ReauthLayer};
//! # use tonic::{Request, Status, metadata::MetadataMap, transport::{Server, server::TcpIncoming}};
//! # use tower_reauth::{AccessToken, testing::AuthorizationServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let authorization = AuthorizationServer::new();
//! # let (token_endpoint, endpoint_client) = ("https://auth.example.com/token", authorization.clone());
//! # let first_tokens = authorization.login();
//! # let judge = authorization.clone();
//! # let allowed = move |request: Request<()>| {
//! #     let token = |metadata: &MetadataMap| {
//! #         let token = metadata.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
//! #         AccessToken::new(token).ok()
//! #     };
//! #     match token(request.metadata()) {
//! #         Some(token) if judge.is_valid(&token) => Ok(request),
//! #         _ => Err(Status::unauthenticated("no")),
//! #     }
//! # };
//! # let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
//! # let address = format!("http://{}", incoming.local_addr()?);
//! # let service = tonic_health::server::health_reporter().1;
//! # let server = tower::ServiceBuilder::new()
//! #     .layer(tonic::service::InterceptorLayer::new(allowed))
//! #     .service(service);
//! # tokio::spawn(Server::builder().add_service(server).serve_with_incoming(incoming));
//! # authorization.revoke_access_tokens();
//! let grant = RefreshTokenGrant::new(token_endpoint, "my-app", endpoint_client)?;
//! let session = Session::builder(grant)
//!     .tokens(first_tokens)
//!     .assume_insecure_origin(&address) // `assume_origin` for `https`: where the channel goes
//!     .build()?;
//!
//! let channel = Channel::from_shared(address)?.connect_lazy();
//! let channel = ServiceBuilder::new().layer(ReauthLayer::new(session)).service(channel);
//!
//! let mut health = HealthClient::new(channel);
//! health.check(HealthCheckRequest::default()).await?; // though the token had been revoked
//! # assert_eq!(authorization.token_requests(), 1);
//! # Ok(()) }
//! ```
//!
//! # Where a channel goes
//!
//! A generated client sends URIs that are a path alone, and the channel puts its endpoint's scheme and
//! authority in front, beneath these layers. What they see has no origin, so without more it gets no
//! token. Two ways to say where it goes:
//!
//! * [`assume_origin`](crate::SessionBuilder::assume_origin) on the session, with the channel's endpoint:
//!   `https://api.example.com`. A plain-text channel takes
//!   [`assume_insecure_origin`](crate::SessionBuilder::assume_insecure_origin). Then every path-only
//!   request of this session counts as one to its origins, so do not put a client beneath it that
//!   resolves such paths elsewhere.
//! * `with_origin` on the generated client, and [`origin`](crate::SessionBuilder::origin) on the session:
//!   for a session that several stacks share.
//!
//! In both the channel has the last word: it overwrites scheme and authority, whatever the client's say.
//! Name what the channel's endpoint names; where that has an `origin` of its own, or connects through a
//! connector of yours, name the server that the token is for.
//!
//! # What is sent again
//!
//! | the server says | meaning |
//! |---|---|
//! | `UNAUTHENTICATED` and nothing else (a "trailers-only" response) | a challenge: refresh, and send again |
//! | `PERMISSION_DENIED`, and every other status | an answer |
//! | HTTP 401 of a proxy on the way | what the [`BearerClassifier`](crate::BearerClassifier) says |
//! | `UNAUTHENTICATED` after response headers, or after messages | an answer: the head is all that is judged, and it said 200 |
//!
//! Calls of all four kinds start at once. The stream of requests is kept while it is sent, up to
//! [`keep_bytes`](ReauthLayer::keep_bytes), and nothing is collected beforehand. If the server refuses it
//! meanwhile, the replay sends what was kept and goes on with the rest: each message once, in order. A
//! response stream that has begun is never asked for again; its status reaches the caller, and the next
//! call is challenged and refreshes.
//!
//! The replay carries the same metadata, `grpc-timeout` among them, and the same bytes, compressed or
//! not. The channel's timer for `grpc-timeout` begins anew with each send; a bound of the whole, waits for
//! a token included, is a timeout above this layer.
//!
//! One call is left alone by [`NoAuth`](crate::NoAuth) or [`NoReplay`](crate::NoReplay) in the extensions
//! of its `tonic::Request`, or by an `authorization` of its own in the metadata.
//!
//! # What a caller sees
//!
//! A call that could not be answered ends in a [`Status`], with the reason behind it:
//!
//! | situation | status |
//! |---|---|
//! | challenged, and there was no other token to be had | the server's own |
//! | not sent: a login is needed, the configuration is at fault, the session was closed | `UNAUTHENTICATED` |
//! | not sent: the refresh failed, cools down or takes too long | `UNAVAILABLE` |
//!
//! ```
//! use tonic::Status;
//! use tower_reauth::tonic::refresh_error;
//!
//! fn next_step(status: &Status) -> &'static str {
//!     match refresh_error(status) {
//!         Some(error) if error.needs_login() => "show the login page",
//!         Some(_) => "try again later",
//!         None => "the server's own word",
//!     }
//! }
//! # assert_eq!(next_step(&Status::unauthenticated("no")), "the server's own word");
//! ```
//!
//! # By hand
//!
//! The layer is short for these; write them out to put layers of your own between them. tonic takes no
//! body but its own, hence the last.
//!
//! ```
//! use tonic::transport::Channel;
//! use tonic_health::pb::health_client::HealthClient;
//! use tower::ServiceBuilder;
//! use tower_reauth::{AuthLayer, GrpcClassifier, RefreshLayer, Session, map_body};
//!
//! # fn connect(session: Session, channel: Channel) {
//! let channel = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone()).classifier(GrpcClassifier::default()))
//!     .layer(AuthLayer::new(session))
//!     .layer(map_body(tonic::body::Body::new))
//!     .service(channel);
//! let mut health = HealthClient::new(channel);
//! # let _ = health.check(tonic_health::pb::HealthCheckRequest::default());
//! # }
//! ```
//!
//! A tonic `Interceptor` cannot do this work: it sees the metadata of the request alone, without its URI,
//! cannot wait for a token, and never sees the answer, so it can send nothing again.

use std::{
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use ::tonic::{Code, Status, body::Body};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::{HeaderMap, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::{
    Auth, AuthLayer, BoxError, Classify, GrpcClassifier, MapBody, Refresh, RefreshError,
    RefreshLayer, ReplayBody, SelectSession, Session, error::Kind, map_body, refresh,
};

type ToBody = fn(ReplayBody<Body>) -> Body;
type Beneath<S, L> = Auth<MapBody<S, ToBody>, L>;

/// Applies [`Reauth`]; see the [module's page](self).
#[derive(Clone)]
pub struct ReauthLayer<L = Session, C = GrpcClassifier> {
    refresh: RefreshLayer<L, C>,
    auth: AuthLayer<L>,
}

impl<L: SelectSession> ReauthLayer<L> {
    /// Attach and refresh the tokens of this session.
    pub fn new(session: L) -> Self {
        Self {
            auth: AuthLayer::new(session.clone()),
            refresh: RefreshLayer::new(session).classifier(GrpcClassifier::default()),
        }
    }
}

impl<L, C> ReauthLayer<L, C> {
    /// What tells a challenge from other answers.
    ///
    /// Default: [`GrpcClassifier`].
    #[must_use]
    pub fn classifier<C2: Classify + Clone>(self, classifier: C2) -> ReauthLayer<L, C2> {
        ReauthLayer { refresh: self.refresh.classifier(classifier), auth: self.auth }
    }

    /// How many bytes of a stream of requests are kept for a replay; see
    /// [`RefreshLayer::keep_bytes`]. The message of a unary call is kept whatever its size.
    ///
    /// Default: 1 MiB.
    #[must_use]
    pub fn keep_bytes(mut self, limit: usize) -> Self {
        self.refresh = self.refresh.keep_bytes(limit);
        self
    }
}

impl<S, L: Clone, C: Clone> Layer<S> for ReauthLayer<L, C> {
    type Service = Reauth<S, L, C>;

    fn layer(&self, inner: S) -> Self::Service {
        let inner = map_body(Body::new as ToBody).layer(inner);
        Reauth { inner: self.refresh.layer(self.auth.layer(inner)) }
    }
}

impl<L, C> fmt::Debug for ReauthLayer<L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReauthLayer").field("refresh", &self.refresh).finish_non_exhaustive()
    }
}

/// Attaches the newest access token to each call, refreshes it when it is challenged, and sends the call
/// again; see the [module's page](self).
///
/// A generated client takes it as it takes a channel: `HealthClient<Reauth<Channel>>`.
#[derive(Clone)]
pub struct Reauth<S, L = Session, C = GrpcClassifier> {
    inner: Refresh<Beneath<S, L>, L, C>,
}

impl<S, L, C, R> Service<Request<Body>> for Reauth<S, L, C>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    L: SelectSession,
    C: Classify + Clone,
    R: http_body::Body,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ResponseFuture<S, R, L, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        ResponseFuture { future: self.inner.call(request) }
    }
}

impl<S: fmt::Debug, L, C> fmt::Debug for Reauth<S, L, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reauth").field("inner", &self.inner).finish()
    }
}

pin_project! {
    /// The future of [`Reauth`].
    pub struct ResponseFuture<S, R, L, C>
    where
        S: Service<Request<Body>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        L: SelectSession,
    {
        #[pin]
        future: refresh::ResponseFuture<Beneath<S, L>, Body, R, C>,
    }
}

impl<S, R, L, C> Future for ResponseFuture<S, R, L, C>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    L: SelectSession,
    C: Classify,
    R: http_body::Body,
{
    type Output = Result<Response<R>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let sent = ready!(self.project().future.poll(cx));
        Poll::Ready(match sent {
            Err(error) => Err(unsent(error)),
            // tonic reads the head alone: in an extension the reason would be lost.
            Ok(response) => match response.extensions().get::<RefreshError>() {
                Some(error) => Err(unanswered(response.headers(), error).into()),
                None => Ok(response),
            },
        })
    }
}

impl<S, R, L, C> fmt::Debug for ResponseFuture<S, R, L, C>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    L: SelectSession,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

/// Why there was no token for the call that ended in `status`, if that was the reason.
///
/// It stands in the status's chain of sources, whether the call passed [`Reauth`] or the two layers.
pub fn refresh_error(status: &Status) -> Option<&RefreshError> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

#[cold]
fn unsent(error: BoxError) -> BoxError {
    match error.downcast::<RefreshError>() {
        Ok(error) => because(Status::new(code(error.kind()), error.to_string()), &error).into(),
        Err(error) => error,
    }
}

#[cold]
fn unanswered(challenge: &HeaderMap, error: &RefreshError) -> Status {
    let status = Some(challenge)
        .filter(|challenge| is_readable(challenge))
        .and_then(Status::from_header_map)
        .filter(|status| status.code() != Code::Ok)
        // What a proxy refused, by HTTP alone.
        .unwrap_or_else(|| Status::unauthenticated(error.to_string()));
    because(status, error)
}

fn because(mut status: Status, error: &RefreshError) -> Status {
    status.set_source(Arc::new(error.clone()));
    status
}

/// `UNAVAILABLE` says that the same call may work later.
fn code(kind: Kind) -> Code {
    match kind {
        Kind::Rejected
        | Kind::LoginRequired
        | Kind::LoggedOut
        | Kind::Closed
        | Kind::Misconfigured
        | Kind::NoRuntime
        | Kind::Reentrant => Code::Unauthenticated,
        Kind::Overfull => Code::InvalidArgument,
        _ => Code::Unavailable,
    }
}

/// Whether tonic can read a status there: it panics on details that are no base64.
fn is_readable(headers: &HeaderMap) -> bool {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    headers.get("grpc-status-details-bin").is_none_or(|details| BASE64.decode(details).is_ok())
}
