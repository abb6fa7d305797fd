//! Silent token refresh for any tower- or hyper-based HTTP client.
//!
//! Two layers, and users forget that tokens exist: no request fails because a token ran out, no user is
//! logged out by a race, a lost answer, a restart or a neighbour process, and no token reaches a host it
//! was not meant for.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{AuthLayer, RefreshLayer, RefreshTokenGrant, Session};
//! # use tower_reauth::testing::{AuthorizationServer, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let authorization = AuthorizationServer::new();
//! # let (token_endpoint, endpoint_client) = ("https://auth.example.com/token", authorization.clone());
//! # let (http_client, first_tokens) = (ResourceServer::new(&authorization), authorization.login());
//! # authorization.revoke_access_tokens();
//! let grant = RefreshTokenGrant::new(token_endpoint, "my-app", endpoint_client)?;
//! let session = Session::builder(grant)
//!     .tokens(first_tokens) // from the login
//!     .origin("https://api.example.com") // the only place the access token may go
//!     .build()?;
//!
//! let client = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone())) // refreshes once for all, sends again
//!     .layer(AuthLayer::new(session.clone())) // attaches the newest access token
//!     .service(http_client); // hyper's for `ReplayBody<Full<Bytes>>`, or your own `Service`
//!
//! let request = Request::post("https://api.example.com/orders").body(Full::new(Bytes::from("tea")))?;
//! let response = client.oneshot(request).await?;
//! assert!(response.status().is_success()); // though the token had been revoked
//!
//! session.close().await?; // a program that ends: joins a refresh in flight and the last save
//! # assert_eq!(authorization.token_requests(), 1);
//! # Ok(()) }
//! ```
//!
//! # What is where
//!
//! | you want to | use |
//! |---|---|
//! | attach a token that something else keeps fresh | [`AuthLayer::from_fn`] |
//! | refresh and send again | [`RefreshLayer`] over [`AuthLayer`], with a [`Session`] |
//! | spend an OAuth 2.0 refresh token | [`RefreshTokenGrant`] |
//! | know the issuer alone | [`RefreshTokenGrant::discover`] |
//! | log in without a browser | [`DeviceAuthorization`] |
//! | log in by a browser | the crate `oauth2` or `openidconnect`; feature `oauth2` takes what it brings |
//! | hand over the tokens of a login | [`Session::login`] |
//! | reach the token endpoint without an HTTP client of your own | `EndpointClient`, with feature `endpoint-client` |
//! | get tokens for the program itself, a service account, or another's token | [`ClientCredentials`], [`JwtBearer`], [`TokenExchange`] |
//! | refresh with the HttpOnly cookie of a back end | `CookieGrant`, with feature `cookies` |
//! | say who the client is | [`ClientAuthentication`] |
//! | get tokens in another way | [`source_fn`], [`TokenSource`] |
//! | keep tokens between runs, or share them between processes | [`FileStore`] |
//! | share them between machines | `RedisStore`, with feature `redis` |
//! | keep them elsewhere | [`TokenStore`] |
//! | keep them in the operating system's secret storage | `KeyringStore`, `Keyring::sealed_file`, with feature `keyring` |
//! | keep them encrypted, in any store | `Sealed`, with feature `sealed` |
//! | know when a login is needed | [`Event::SessionEnded`], [`RefreshError::needs_login`]; then [`Session::login`] |
//! | show what the session is doing | [`Session::status_stream`] |
//! | see refreshes and replays in traces and dashboards | the features `tracing` and `metrics`; [the manual](manual::observability) |
//! | decide what a challenge is | [`Classify`], [`classify_fn`] |
//! | decide it by what stands in the body, as for GraphQL | `InspectLayer`, with feature `inspect-body` |
//! | call gRPC services | `tonic::ReauthLayer`, with feature `tonic` |
//! | write `/orders` for `https://api.example.com/v2/orders` | `BaseUrlLayer`, with feature `base-url` |
//! | put the layers over a client with a body type of its own | [`map_body`] |
//! | name the type of the stack | [`Refresh`]`<`[`Auth`]`<C>>` |
//! | follow redirects | `RedirectPolicy`, with feature `redirect` |
//! | send by reqwest | `ReqwestService`, or the layers as middlewares: features `reqwest`, `reqwest-middleware` |
//! | leave one request alone | [`NoAuth`], [`NoReplay`] |
//! | test your program | the `testing` module, with feature `test-util` |
//!
//! The [`manual`] has three lines for [your authorization server](manual::authorization_servers). It says
//! in which order layers go, when a request can be sent again, what is done about which threat, and why
//! the defaults are what they are.
//!
//! # Features
//!
//! | feature | what it adds |
//! |---|---|
//! | `jwt` (default) | [`SessionBuilder::expiry_from_jwt`]: `exp` and `iat` of a JWT, without trust, to schedule by |
//! | `base-url` | `BaseUrlLayer`: relative requests, resolved against a base URL |
//! | `cookies` | `CookieGrant`: a session that a back end keeps in a cookie, its CSRF protection included |
//! | `endpoint-client` | `EndpointClient`: a ready HTTP client for token requests, on hyper and rustls |
//! | `keyring` | `KeyringStore` and `Keyring::sealed_file`: the Secret Service, the kernel's keyrings, Keychain, Credential Manager |
//! | `inspect-body` | `InspectLayer`: classify by what stands in the body, GraphQL errors among it |
//! | `metrics` | counters and histograms of refreshes and replays, and `describe_metrics` |
//! | `oauth2` | [`TokenSet`] from a token response of the `oauth2` crate, or of `openidconnect` |
//! | `redirect` | a redirect policy for `tower_http::follow_redirect` that keeps tokens at home |
//! | `redis` | `RedisStore`: one session shared by a fleet |
//! | `sealed` | `Sealed`: any store's record, encrypted with XChaCha20-Poly1305 or AES-256-GCM |
//! | `reqwest` | `ReqwestService`: reqwest's client beneath the layers, and a redirect policy for it |
//! | `reqwest-middleware` | both layers as middlewares, so that `client.get(url).send()` refreshes silently |
//! | `sign-rust-crypto`, `sign-aws-lc` | `SigningKey`: `private_key_jwt`, and service accounts; either back end, or both |
//! | `sign` | the same without a back end, for libraries; signing is a typed error then |
//! | `tonic` | the layers for gRPC: channels of `tonic` beneath, its generated clients above |
//! | `tracing` | a span for each refresh, events for replays and sessions |
//! | `test-util` | an authorization server, a resource server and a manual clock, for tests |
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod auth;
#[cfg(feature = "base-url")]
#[cfg_attr(docsrs, doc(cfg(feature = "base-url")))]
pub mod base_url;
mod caught;
mod challenge;
mod classify;
mod clock;
mod error;
mod extension;
#[cfg(feature = "oauth2")]
mod handover;
#[cfg(feature = "inspect-body")]
#[cfg_attr(docsrs, doc(cfg(feature = "inspect-body")))]
pub mod inspect;
#[cfg(feature = "jwt")]
mod jwt;
mod lifecycle;
pub mod manual;
mod origin;
mod patience;
#[cfg(feature = "redirect")]
mod redirect;
pub mod refresh;
mod replay;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub mod reqwest;
#[cfg(feature = "reqwest-middleware")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest-middleware")))]
pub mod reqwest_middleware;
mod session;
#[cfg(feature = "sign")]
mod sign;
mod source;
mod store;
mod sync;
#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub mod testing;
mod token;
#[cfg(feature = "tonic")]
#[cfg_attr(docsrs, doc(cfg(feature = "tonic")))]
pub mod tonic;
mod unique;
mod wiped;

#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::reqwest::ReqwestService;
pub use auth::{Auth, AuthLayer, Credential, TokenFn};
#[cfg(feature = "base-url")]
#[cfg_attr(docsrs, doc(cfg(feature = "base-url")))]
pub use base_url::{BaseUrl, BaseUrlLayer, InvalidBaseUrl, UnresolvedUri};
pub use challenge::Challenge;
pub use classify::{
    BearerClassifier, Classify, ClassifyFn, GrpcClassifier, ResponseHead, Verdict, classify_fn,
};
pub use clock::Clock;
pub use error::RefreshError;
pub use extension::{NoAuth, NoReplay, NotReplayed};
#[cfg(feature = "inspect-body")]
#[cfg_attr(docsrs, doc(cfg(feature = "inspect-body")))]
pub use inspect::{
    ClassifyBody, ClassifyBodyFn, GraphQlData, GraphQlErrors, Inspect, InspectLayer, InspectedBody,
    InvalidPointer, JsonPointer, classify_body_fn,
};
pub use origin::{InvalidOrigin, Origins};
#[cfg(feature = "redirect")]
#[cfg_attr(docsrs, doc(cfg(feature = "redirect")))]
pub use redirect::RedirectPolicy;
pub use refresh::{Refresh, RefreshLayer};
pub use replay::{MapBody, MapBodyLayer, ReplayBody, map_body};
#[cfg(feature = "metrics")]
pub use session::describe_metrics;
pub use session::{
    AmbiguousPolicy, BuildError, Event, Events, OutagePolicy, RefreshCause, SelectSession, Session,
    SessionBuilder, Status, StatusStream, Unsaved,
};
#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
pub use sign::{InvalidKey, SignedAssertion, SigningAlgorithm, SigningKey};
pub use source::{
    Assertion, Audience, ClientAuthentication, ClientCredentials, Held, InvalidEndpoint, JwtBearer,
    RefreshTokenGrant, SecurityToken, SourceFn, TokenExchange, TokenSource, grant, source_fn,
};
#[cfg(feature = "cookies")]
#[cfg_attr(docsrs, doc(cfg(feature = "cookies")))]
pub use source::{CookieGrant, Cookies, Csrf, InvalidCookies};
pub use source::{DeviceAuthorization, DeviceError, DeviceLogin};
#[cfg(feature = "endpoint-client")]
#[cfg_attr(docsrs, doc(cfg(feature = "endpoint-client")))]
pub use source::{
    EndpointBody, EndpointClient, EndpointClientBuilder, EndpointClientError, InvalidTls,
};
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
pub use store::RedisStore;
pub use store::{
    Entry, Expected, FileStore, Lease, MemoryStore, Record, StoreError, Stored, Swap, TokenStore,
    Version,
};
#[cfg(feature = "sealed")]
#[cfg_attr(docsrs, doc(cfg(feature = "sealed")))]
pub use store::{InvalidSealingKey, Sealed, SealingAlgorithm, SealingKey, UnsealError};
#[cfg(feature = "keyring")]
#[cfg_attr(docsrs, doc(cfg(feature = "keyring")))]
pub use store::{Keyring, KeyringError, KeyringStore};
pub use token::{AccessToken, InvalidToken, RefreshToken, TokenSet};

/// The error of a layer: whatever the inner service failed with, or one of this crate's own errors.
///
/// ```
/// use tower_reauth::{BoxError, RefreshError};
///
/// let error: BoxError = RefreshError::transient().into();
/// assert!(error.downcast_ref::<RefreshError>().is_some());
/// ```
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
