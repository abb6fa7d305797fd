//! What a resource server saw of its requests.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri, Version, header, request};

/// A request that a [`ResourceServer`](super::ResourceServer) received.
///
/// Its `Debug` shows no credential, and of the body only the length.
#[derive(Clone)]
#[non_exhaustive]
pub struct Received {
    /// The method.
    pub method: Method,
    /// The URI: the path and query alone if it came over HTTP/1.1.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers. Values of `Authorization` are marked sensitive.
    pub headers: HeaderMap,
    /// The body as far as it was read.
    pub body: Bytes,
    /// The trailers, if there were any.
    pub trailers: Option<HeaderMap>,
    /// Whether the body was read to its end. It was not if the server answered early, if the body
    /// failed, or if the request was dropped.
    pub complete: bool,
    /// The status decided on. `None` until then, or if there was none to decide: the body failed or
    /// the request was dropped.
    pub status: Option<StatusCode>,
}

impl Received {
    pub(super) fn new(head: request::Parts) -> Self {
        let mut headers = head.headers;
        if let header::Entry::Occupied(mut values) = headers.entry(header::AUTHORIZATION) {
            values.iter_mut().for_each(|value| value.set_sensitive(true));
        }
        Self {
            method: head.method,
            uri: head.uri,
            version: head.version,
            headers,
            body: Bytes::new(),
            trailers: None,
            complete: false,
            status: None,
        }
    }

    /// How many `Authorization` headers there were.
    #[must_use]
    pub fn authorizations(&self) -> usize {
        self.headers.get_all(header::AUTHORIZATION).iter().count()
    }

    /// The bearer token, if there was exactly one `Authorization` header and it held one.
    #[must_use]
    pub fn bearer(&self) -> Option<&str> {
        if self.authorizations() != 1 {
            return None;
        }
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .field("version", &self.version)
            .field("headers", &self.headers)
            .field("body_length", &self.body.len())
            .field("trailers", &self.trailers)
            .field("complete", &self.complete)
            .field("status", &self.status)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn received(authorization: &[&str]) -> Received {
        let mut request = Request::get("/");
        for value in authorization {
            request = request.header("authorization", *value);
        }
        Received::new(request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn one_bearer_header_is_a_token_and_two_are_none() {
        assert_eq!(received(&["bEARER t1"]).bearer(), Some("t1"));
        assert_eq!(received(&["Basic dTpw"]).bearer(), None);
        let twice = received(&["Bearer t1", "Bearer t2"]);
        assert_eq!((twice.bearer(), twice.authorizations()), (None, 2));
    }

    #[test]
    fn its_debug_shows_no_credential_and_no_body() {
        let mut received = received(&["Bearer canary", "Bearer canary"]);
        received.body = Bytes::from_static(b"canary");
        assert!(!format!("{received:?}").contains("canary"));
    }
}
