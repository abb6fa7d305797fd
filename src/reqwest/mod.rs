//! reqwest's client, beneath the layers.
//!
//! [`ReqwestService`] takes requests of the `http` crate with any body. Its responses have reqwest's, and
//! `reqwest::Response::from` makes a response of reqwest of them, with its URL. To keep reqwest's own way
//! of building requests, see feature `reqwest-middleware`.
//!
//! ```
//! use tower::{ServiceBuilder, ServiceExt};
//! use tower_reauth::{
//!     AuthLayer, BoxError, RefreshLayer, RefreshTokenGrant, ReqwestService, Session,
//!     reqwest::redirect_policy,
//! };
//! # use tower_reauth::testing::{AuthorizationServer, ResourceServer};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
//! # let authorization = AuthorizationServer::new();
//! # let api = ResourceServer::new(&authorization).serve().await?;
//! # let (token_endpoint, endpoint_client) = ("https://auth.example.com/token", authorization.clone());
//! # let session = Session::builder(RefreshTokenGrant::new(token_endpoint, "my-app", endpoint_client)?)
//! #     .tokens(authorization.login())
//! #     .insecure_origin(api.origin())
//! #     .build()?;
//! # authorization.revoke_access_tokens();
//! let client = reqwest::Client::builder().redirect(redirect_policy()).build()?;
//!
//! let client = ServiceBuilder::new()
//!     .layer(RefreshLayer::new(session.clone()))
//!     .layer(AuthLayer::new(session.clone()))
//!     .service(ReqwestService::new(client));
//!
//! let request = http::Request::post(api.uri("/orders")).body(String::from("tea"))?;
//! let response = reqwest::Response::from(client.oneshot(request).await?);
//! assert_eq!(response.text().await?, "tea"); // though the token had been revoked
//! # assert_eq!(authorization.token_requests(), 1);
//! # Ok(()) }
//! ```
//!
//! # What reqwest does beneath
//!
//! * **Redirects.** reqwest follows up to ten by itself, and leaves the token behind where a hop goes to
//!   another origin. Such an answer is no evidence: its 401 is returned, and nothing is refreshed. But
//!   what was left behind is there again on the hop after that, so give the client [`redirect_policy`],
//!   or [`Policy::none`](reqwest::redirect::Policy::none) and let a redirect layer stand above these
//!   layers: then each origin of a session gets its token, while one that reqwest leads to gets none. A
//!   request that is challenged at the end of a chain is sent again from its start, unless it was a `POST`
//!   that became a `GET` on its way: it may have been applied, so its answer is the challenge, marked
//!   [`NotReplayed::Redirected`](crate::NotReplayed::Redirected). That, too, takes the policy.
//! * **Bodies.** A 307 or 308 repeats a body that is whole, as it is; of a stream, the redirect is the
//!   answer. A stream keeps its size, and so its `Content-Length`, and its trailers.
//! * **Retries.** By default reqwest sends a request again that an HTTP/2 server said it has not
//!   processed, if its body is whole. A policy of the program's own
//!   ([`ClientBuilder::retry`](reqwest::ClientBuilder::retry)) runs beneath the layers too, with the
//!   token that is attached already: let it leave 401 alone.
//! * **Timeouts** bound each send, not the wait for a token. A timeout layer above bounds the whole.
//! * **Default headers.** An `Authorization` among them stands only where no token was attached: on a
//!   request to a foreign origin, too.
//! * **Connections** are reqwest's, kept and shared as always. Clones of a client share them.
//! * **Errors** are reqwest's, in the box: `error.downcast_ref::<reqwest::Error>()`. A URI without an
//!   authority (`/v1/me`) is one, since there is nothing to resolve it against.
//!
//! # The token endpoint
//!
//! The same service reaches the token endpoint, with a client of its own that follows no redirect, since a
//! 307 would carry the refresh token to wherever it leads ([`redirect_policy`] follows none there, either),
//! and that has no retry policy beyond reqwest's default, since the session knows better when a refresh
//! token may be sent again.
//!
//! ```
//! # use tower_reauth::{BoxError, RefreshTokenGrant, ReqwestService};
//! use reqwest::redirect::Policy;
//!
//! # fn main() -> Result<(), BoxError> {
//! let client = reqwest::Client::builder().redirect(Policy::none()).build()?;
//! let endpoint_client = ReqwestService::new(client);
//! let grant =
//!     RefreshTokenGrant::new("https://auth.example.com/token", "my-app", endpoint_client)?
//!         .not_sent(|error| error.downcast_ref().is_some_and(reqwest::Error::is_connect));
//! # let _ = grant;
//! # Ok(()) }
//! ```

mod body;
mod future;
mod redirect;

use std::{
    fmt,
    task::{Context, Poll},
};

use http::{Request, Response};
use reqwest::{Body, Client, Error};
use tower::Service;

#[cfg(feature = "reqwest-middleware")]
pub(crate) use self::future::into_http;
pub(crate) use self::{body::client_body, redirect::Requested};
pub use self::{future::ResponseFuture, redirect::redirect_policy};
use crate::{BoxError, extension::Confidential};

/// Sends requests of the `http` crate by a [`reqwest::Client`]; see the [module's page](self).
#[derive(Clone)]
pub struct ReqwestService {
    client: Client,
}

impl ReqwestService {
    /// Send by this client. It should follow redirects by [`redirect_policy`], or none.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl From<Client> for ReqwestService {
    fn from(client: Client) -> Self {
        Self::new(client)
    }
}

impl<B> Service<Request<B>> for ReqwestService
where
    B: http_body::Body + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let stays = request.extensions().get::<Confidential>().is_some();
        match reqwest::Request::try_from(request.map(client_body)) {
            Ok(request) => {
                let requested = Requested::new(&request, stays);
                ResponseFuture::sent(self.client.call(request), requested)
            }
            Err(error) => ResponseFuture::failed(error),
        }
    }
}

impl fmt::Debug for ReqwestService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The client prints its default headers.
        f.debug_struct("ReqwestService").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http::Uri;
    use reqwest::Url;

    use crate::Origins;

    /// The session judges the URI, and reqwest sends to the URL that it reads in it.
    #[test]
    fn what_a_session_takes_for_home_is_home_for_reqwest() {
        let home = Origins::new("https://api.example.com").unwrap();
        let elsewhere: Url = "https://evil.test/".parse().unwrap();
        let mut at_home = 0;
        for uri in [
            "https://api.example.com/a",
            "https://API.example.com:443/a?b",
            "https://evil.test@api.example.com/",
            "https://evil.test:443@api.example.com/",
            "https://evil.test%2f@api.example.com/",
            "https://evil.test%5c@api.example.com/",
            "https://evil.test\\@api.example.com/",
            "https://evil.test/@api.example.com/",
            "https://evil.test?@api.example.com/",
            "https://evil.test#@api.example.com/",
            "https://evil.test\t@api.example.com/",
            "https://api.example.com\\@evil.test/",
            "https://api.example.com/\\evil.test/",
            "https://api.example.com//evil.test/",
            "https://api.example.com/../@evil.test/",
            "https://api%2eexample.com/",
        ] {
            let Ok(uri) = uri.parse::<Uri>() else { continue };
            if home.contain(&uri) {
                at_home += 1;
                let url: Url = uri.to_string().parse().unwrap();
                assert_eq!(url.host_str(), Some("api.example.com"), "{uri}");
                assert!(!super::redirect::is_same_origin(&url, &elsewhere));
            }
        }
        assert!(at_home > 5, "{at_home}");
    }
}
