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
//! | `UNAUTHENTICATED` in trailers, after response headers | an answer: the head is all that is judged, and it said 200; with [`TrailersLayer`] a challenge, if no message came before |
//! | `UNAUTHENTICATED` in trailers, after messages | an answer |
//!
//! tonic 0.14, the C core 1.85, grpc-js 1.14 and grpc-go 1.33 refuse by trailers alone, from a handler and
//! from what stands before it, as long as nobody has sent response metadata. One who has
//! (`send_initial_metadata`, `sendMetadata`, in grpc-go also `SetHeader`, such as for the number of a
//! request) makes them send headers first; so does a stream that looks at the token after it has begun.
//! The sign is a status `UNAUTHENTICATED` without a refresh: then add [`TrailersLayer`].
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
//! A call that could not be answered ends in a [`Status`](::tonic::Status), with the reason behind it:
//!
//! | situation | status |
//! |---|---|
//! | challenged, and there was no other token to be had | the server's own |
//! | challenged, and its requests were not kept | the server's own, without a reason: the next call gets a new token |
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

mod service;
mod status;
mod trailers;

pub use self::{
    service::{Reauth, ReauthLayer, ResponseFuture},
    status::refresh_error,
    trailers::{Trailers, TrailersLayer},
};
