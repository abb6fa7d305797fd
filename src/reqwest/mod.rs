//! A service over [`reqwest::Client`], beneath the layers.
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
pub(crate) use self::future::{into_http, mark};
use self::redirect::is_same_origin;
pub use self::{future::ResponseFuture, redirect::redirect_policy};

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

impl<B: Into<Body>> Service<Request<B>> for ReqwestService {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match reqwest::Request::try_from(request) {
            Ok(request) => {
                let url = request.url().clone();
                ResponseFuture::sent(self.client.call(request), url)
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
