//! Classify responses by what stands in their bodies, for servers whose heads do not tell.
//!
//! GraphQL servers answer 200 where others answer 401, and some APIs tell a dead token from a forbidden
//! resource by a member of a JSON error alone. This layer stands beneath
//! [`RefreshLayer`](crate::RefreshLayer), above or beneath [`AuthLayer`](crate::AuthLayer). It reads
//! suspicious bodies ahead, lets a [`ClassifyBody`] judge them, and leaves its [`Verdict`](crate::Verdict)
//! in the response's extensions. The refresh layer takes a verdict that it finds there before it asks its
//! own classifier, whichever that is. The body is handed on as it came, from its beginning.
//!
//! ```
//! use bytes::Bytes;
//! use http::Request;
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{AuthLayer, GraphQlErrors, InspectLayer, RefreshLayer};
//! # use http::Response;
//! # use tower_reauth::{RefreshTokenGrant, ReplayBody, Session, testing::AuthorizationServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
//! # let authorization = AuthorizationServer::new();
//! # let token_endpoint = authorization.token_endpoint().to_string();
//! # let grant = RefreshTokenGrant::new(&token_endpoint, "my-app", authorization.clone())?;
//! # let tokens = authorization.login();
//! # let session = Session::builder(grant).tokens(tokens).origin("https://api.example.com").build()?;
//! # let server = authorization.clone();
//! # let http_client = tower::service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
//! #     let answer = match server.refreshes() {
//! #         0 => r#"{"errors":[{"message":"expired","extensions":{"code":"UNAUTHENTICATED"}}]}"#,
//! #         _ => r#"{"data":{"me":{"name":"Ada"}}}"#,
//! #     };
//! #     let response = Response::builder().header("content-type", "application/json");
//! #     std::future::ready(response.body(Full::<Bytes>::from(answer)))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone()))
//!     .layer(AuthLayer::new(session.clone()))
//!     .layer(InspectLayer::new(GraphQlErrors::new()))
//!     .service(http_client);
//!
//! let query = Bytes::from(r#"{"query":"{ me { name } }"}"#);
//! let request = Request::post("https://api.example.com/graphql").body(Full::new(query))?;
//! let response = client.oneshot(request).await?;
//! # use http_body_util::BodyExt;
//! let answer = response.into_body().collect().await?.to_bytes();
//! assert_eq!(answer, r#"{"data":{"me":{"name":"Ada"}}}"#); // the second answer: the first was refused
//! # Ok(()) }
//! ```
//!
//! # What is read, and for how long
//!
//! A body that is not suspicious passes at once: nothing of it is read, boxed or copied. Of one that is,
//! at most [`limit`](InspectLayer::limit) bytes are read, and the response is held back for at most
//! [`patience`](InspectLayer::patience). Only a body that arrived *whole* within both is judged, so a cut
//! text is never taken for a challenge. The rest pass unjudged, and are classified by their heads.
//!
//! Never read, whatever the classifier suspects:
//!
//! * answers to `HEAD` and `CONNECT`, the statuses 1xx, 204, 206 and 304, and empty bodies;
//! * bodies that declare more than the limit;
//! * bodies with a `Content-Encoding`. They cannot be read; put the layer that decodes them, such as
//!   `tower_http`'s `DecompressionLayer`, beneath this one;
//! * types that are read while they are written: `text/event-stream`, `multipart/*`, `application/grpc*`,
//!   `application/x-ndjson`, `application/jsonl`, `application/json-seq`;
//! * a response that a layer beneath has given a verdict already. So of two such layers the inner one has
//!   the first word.
//!
//! Beneath [`RefreshLayer`](crate::RefreshLayer) a verdict counts as its classifier's would: a response
//! from another origin, or to a request that carried no token of the session, is no evidence.
//!
//! Time is measured by tokio, whose runtime needs its timer (`enable_time`). On a task outside of tokio a
//! body that must be waited for passes unjudged.
//!
//! While a body is read the upload of its request goes on. So an early 401 that is suspicious freezes the
//! upload once it is judged, and not on its head.

mod body;
mod classify_body;
mod future;
mod graphql;
mod json_pointer;
mod layer;
mod prefix;
mod suspicion;

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::Service;

use self::layer::Settings;
pub use self::{
    body::InspectedBody,
    classify_body::{ClassifyBody, ClassifyBodyFn, classify_body_fn},
    future::ResponseFuture,
    graphql::{GraphQlData, GraphQlErrors},
    json_pointer::{InvalidPointer, JsonPointer},
    layer::InspectLayer,
};

/// Reads suspicious response bodies ahead, and marks what they mean; see the [module's page](self).
pub struct Inspect<S, C> {
    inner: S,
    settings: Arc<Settings<C>>,
}

impl<S, C, B, R> Service<Request<B>> for Inspect<S, C>
where
    S: Service<Request<B>, Response = Response<R>>,
    C: ClassifyBody,
    R: Body,
{
    type Response = Response<InspectedBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, R, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request<B>) -> Self::Future {
        let has_body = suspicion::has_body(request.method());
        ResponseFuture::new(self.inner.call(request), self.settings.clone(), has_body)
    }
}

impl<S: Clone, C> Clone for Inspect<S, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), settings: self.settings.clone() }
    }
}

impl<S: fmt::Debug, C> fmt::Debug for Inspect<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inspect").field("inner", &self.inner).finish_non_exhaustive()
    }
}
