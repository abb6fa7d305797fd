//! Servers and a clock for tests: an authorization server and a resource server that behave as real
//! ones do, and misbehave as told.
//!
//! Both servers are [`tower::Service`]s, so a test needs no socket and may pause time; both listen on
//! a loopback socket too. They count what matters (calls at the token endpoint, spent refresh tokens
//! that came back, requests refused) and no test has to sleep: answers are [held](Hold) and released,
//! faults are queued, and the clock is [stepped by hand](ManualClock).
//!
//! They are made for tests. The keys are random but not secret, any client may call unless some are
//! registered, and no token is ever forgotten.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{
//!     AuthLayer, RefreshError, RefreshLayer, RefreshTokenGrant, Session,
//!     testing::{AuthorizationServer, ResourceServer},
//! };
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), tower_reauth::BoxError> {
//! let authorization = AuthorizationServer::new();
//! let api = ResourceServer::new(&authorization);
//!
//! // The stack under test, with the servers in place of its HTTP clients.
//! let token_endpoint = authorization.token_endpoint().to_string();
//! let grant = RefreshTokenGrant::new(&token_endpoint, "my-app", authorization.clone())?;
//! let session = Session::builder(grant)
//!     .tokens(authorization.login())
//!     .origin("https://api.example.com")
//!     .build()?;
//! let client = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone()))
//!     .layer(AuthLayer::new(session))
//!     .service(api.clone());
//! let order = || Request::post("https://api.example.com/orders").body(Full::<Bytes>::from("tea"));
//!
//! // A token dies, and nobody notices.
//! authorization.revoke_access_tokens();
//! assert_eq!(client.clone().oneshot(order()?).await?.status(), 200);
//! assert_eq!((api.requests(), api.unauthorized()), (2, 1));
//! assert_eq!((authorization.rotations(), authorization.reused()), (1, 0));
//!
//! // The refresh token dies too: this is what your program has to meet.
//! authorization.revoke_all();
//! let response = client.clone().oneshot(order()?).await?;
//! assert!(response.extensions().get::<RefreshError>().is_some_and(RefreshError::needs_login));
//! let error = client.oneshot(order()?).await.err().ok_or("it was sent")?;
//! assert!(error.downcast_ref::<RefreshError>().is_some_and(RefreshError::needs_login));
//! # Ok(())
//! # }
//! ```

mod authorization;
mod body;
mod clock;
mod conduct;
mod fault;
mod hold;
mod jwt;
mod log;
mod resource;
mod serve;
mod store_contract;

pub use self::{
    authorization::{AuthorizationServer, TokenRequest},
    body::ResponseBody,
    clock::ManualClock,
    fault::Fault,
    hold::Hold,
    resource::{Received, ResourceServer},
    serve::Loopback,
    store_contract::{store_contract, store_contract_without_access_tokens},
};
