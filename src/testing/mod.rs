//! Servers and a clock for tests: an authorization server and a resource server that behave as real
//! ones do, and misbehave as told.
//!
//! Both servers are [`tower::Service`]s, so a test needs no socket and may pause time; both listen on
//! a loopback socket too. They count what matters (calls at the token endpoint, spent refresh tokens
//! that came back, requests refused) and no test has to sleep: answers are [held](Hold) and released,
//! faults are queued, and the clock is [stepped by hand](ManualClock).
//!
//! They are made for tests. The keys are random but not secret, any client may call, and nothing is
//! ever forgotten.
//!
//! ```
//! use http::Request;
//! use http_body_util::BodyExt;
//! use serde_json::Value;
//! use tower::ServiceExt;
//! use tower_reauth::testing::{AuthorizationServer, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), tower_reauth::BoxError> {
//! let authorization = AuthorizationServer::new();
//! let resource = ResourceServer::new(&authorization);
//! let tokens = authorization.login();
//!
//! // Spend the refresh token, as a client would.
//! let spent = tokens.refresh().ok_or("no refresh token")?.expose_secret();
//! let form = format!("grant_type=refresh_token&client_id=app&refresh_token={spent}");
//! let request = Request::post(authorization.token_endpoint())
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body(form)?;
//! let answer = authorization.clone().oneshot(request).await?.into_body().collect().await?;
//! let answer: Value = serde_json::from_slice(&answer.to_bytes())?;
//! assert_eq!(answer["expires_in"], 3600);
//!
//! // The new access token opens the door.
//! let token = answer["access_token"].as_str().ok_or("no access token")?;
//! let request = Request::get("https://api.example.com/orders")
//!     .header("authorization", format!("Bearer {token}"))
//!     .body(String::new())?;
//! assert_eq!(resource.clone().oneshot(request).await?.status(), 200);
//!
//! assert_eq!((authorization.rotations(), authorization.reused()), (1, 0));
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
