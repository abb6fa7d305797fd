//! The response of a request that reqwest sends.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::response::{self, Response};
use reqwest::{Body, Client, Error, Request, ResponseBuilderExt, Url};
use tower::Service;

use super::is_same_origin;
use crate::extension::Elsewhere;

type Pending = <Client as Service<Request>>::Future;

/// The future of [`ReqwestService`](super::ReqwestService).
pub struct ResponseFuture {
    state: State,
}

enum State {
    Sent {
        pending: Pending,
        url: Url,
    },
    /// Polled again after that, it stays pending, as futures may.
    Over {
        error: Option<Error>,
    },
}

impl ResponseFuture {
    pub(super) fn sent(pending: Pending, url: Url) -> Self {
        Self { state: State::Sent { pending, url } }
    }

    pub(super) fn failed(error: Error) -> Self {
        Self { state: State::Over { error: Some(error) } }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.state {
            State::Sent { pending, url } => {
                ready!(Pin::new(pending).poll(cx)).map(|mut response| {
                    mark(&mut response, url);
                    into_http(response)
                })
            }
            State::Over { error } => match error.take() {
                Some(error) => Err(error),
                None => return Poll::Pending,
            },
        };
        self.state = State::Over { error: None };
        Poll::Ready(answer)
    }
}

/// Mark a response to a request for `requested` that another origin gave.
pub(crate) fn mark(response: &mut reqwest::Response, requested: &Url) {
    if !is_same_origin(response.url(), requested) {
        response.extensions_mut().insert(Elsewhere);
    }
}

/// With its URL, which is there again when it is turned back.
pub(crate) fn into_http(response: reqwest::Response) -> Response<Body> {
    let mut builder = response::Builder::new().url(response.url().clone());
    let url = builder.extensions_mut().map(mem::take);
    let mut response = Response::from(response);
    response.extensions_mut().extend(url.unwrap_or_default());
    response
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
