//! A ready HTTP client for token requests, on hyper and rustls.

mod body;
mod builder;
mod connect;
mod error;

use std::{
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use tower::Service;

pub use self::{
    body::EndpointBody,
    builder::{EndpointClientBuilder, InvalidTls},
    error::EndpointClientError,
};
use self::{connect::Connector, error::Kind};

/// An HTTP client for the endpoints of an authorization server: what a grant needs, and no more.
///
/// - `https` only, by TLS 1.2 and 1.3, with the server's certificate checked. Plain `http` to this very
///   machine can be [allowed](EndpointClientBuilder::allow_loopback_http).
/// - No redirect is followed, no proxy is looked up, no cookie is kept.
/// - It tells a grant which requests never left, so [`not_sent`](crate::RefreshTokenGrant::not_sent)
///   need not be set.
/// - HTTP/1.1, which every authorization server speaks. A connection that is idle for 2 s is closed,
///   which is sooner than servers do: a server that hangs up just as a refresh token is sent leaves
///   nobody the wiser. A request that met a closed connection before it was written goes out again on
///   a new one.
/// - 10 s to connect, TLS included. An answer is waited for without limit: a session has its own.
///
/// It trusts Mozilla's list of authorities, compiled in; the [builder](Self::builder) takes the
/// platform's, a private one, and a client certificate. It is cheap to clone, and clones share
/// connections. It must be used within a tokio runtime with I/O and time enabled.
///
/// ```
/// use tower_reauth::{EndpointClient, RefreshTokenGrant};
///
/// let client = EndpointClient::new();
/// let grant = RefreshTokenGrant::new("https://login.example.com/token", "my-app", client)?;
/// # let _ = grant;
/// # Ok::<(), tower_reauth::InvalidEndpoint>(())
/// ```
#[derive(Clone)]
pub struct EndpointClient {
    http: Client<Connector, Full<Bytes>>,
    loopback_http: bool,
}

impl EndpointClient {
    /// A client with all defaults.
    #[must_use]
    pub fn new() -> Self {
        let tls = connect::trusting(connect::mozilla()).with_no_client_auth();
        Self::over(tls, builder::CONNECT, false)
    }

    /// A client that is set up step by step.
    pub fn builder() -> EndpointClientBuilder {
        EndpointClientBuilder::new()
    }

    /// Whether `uri` may be asked: `https`, or plain `http` to this machine if that was allowed.
    fn admits(&self, uri: &Uri) -> bool {
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => {
                self.loopback_http && uri.host().is_some_and(is_loopback)
            }
            _ => false,
        }
    }
}

/// RFC 8252 §8.3: the addresses; and the name that RFC 6761 §6.3 reserves for them.
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl Default for EndpointClient {
    fn default() -> Self {
        Self::new()
    }
}

impl Service<Request<Full<Bytes>>> for EndpointClient {
    type Response = Response<EndpointBody>;
    type Error = EndpointClientError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        if !self.admits(request.uri()) {
            return Box::pin(std::future::ready(Err(Kind::PlainHttp.into())));
        }
        let answer = self.http.request(request);
        Box::pin(async move {
            match answer.await {
                Ok(response) => Ok(response.map(EndpointBody::new)),
                Err(error) => Err(EndpointClientError::of(&error)),
            }
        })
    }
}

impl fmt::Debug for EndpointClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointClient")
            .field("loopback_http", &self.loopback_http)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_alone_and_only_if_it_was_allowed() {
        let strict = EndpointClient::new();
        let allowed = EndpointClient::builder().allow_loopback_http().build().unwrap();
        for (uri, loopback) in [
            ("http://127.0.0.1:8080/token", true),
            ("http://127.9.9.9/token", true),
            ("http://[::1]:8080/token", true),
            ("http://localhost/token", true),
            ("http://LOCALHOST/token", true),
            ("http://localhost.example.com/token", false),
            ("http://127.0.0.1.example.com/token", false),
            ("http://10.0.0.1/token", false),
            ("http://[::2]/token", false),
            ("ftp://localhost/token", false),
            ("/token", false),
        ] {
            let uri = uri.parse().unwrap();
            assert!(!strict.admits(&uri), "{uri}");
            assert_eq!(allowed.admits(&uri), loopback, "{uri}");
        }
        assert!(strict.admits(&"https://as.example/token".parse().unwrap()));
    }

    #[tokio::test]
    async fn what_is_not_admitted_is_an_error_that_says_so() {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = "http://as.example/canary".parse().unwrap();
        let error = EndpointClient::new().call(request).await.unwrap_err();
        assert!(error.is_plain_http() && error.is_not_sent());
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
