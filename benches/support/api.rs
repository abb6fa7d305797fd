//! A resource server in memory, and the requests that go there.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tower::Service;

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// Answers at once with the status that `judge` gives to the request's headers, and drops the request.
#[derive(Clone)]
pub(crate) struct Api<J> {
    judge: J,
}

impl<J> Api<J>
where
    J: Fn(&HeaderMap) -> StatusCode,
{
    pub(crate) fn new(judge: J) -> Self {
        Self { judge }
    }
}

impl<J, B> Service<Request<B>> for Api<J>
where
    J: Fn(&HeaderMap) -> StatusCode,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let request = black_box(request);
        ready(Ok(answer((self.judge)(request.headers()))))
    }
}

/// An empty answer with this status.
pub(crate) fn answer(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

/// A `GET` with two header fields, as small as real ones are.
pub(crate) fn request<B>(uri: Uri, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    request
}
