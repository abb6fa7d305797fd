//! The response of a request that reqwest sends.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::response::{self, Response};
use reqwest::{Body, Client, Error, Request, ResponseBuilderExt};
use tower::Service;

use super::Requested;

type Pending = <Client as Service<Request>>::Future;

/// The future of [`ReqwestService`](super::ReqwestService).
pub struct ResponseFuture {
    state: State,
}

enum State {
    Sent {
        pending: Pending,
        requested: Requested,
    },
    /// Polled again after that, it stays pending, as futures may.
    Over {
        error: Option<Error>,
    },
}

impl ResponseFuture {
    pub(super) fn sent(pending: Pending, requested: Requested) -> Self {
        Self { state: State::Sent { pending, requested } }
    }

    pub(super) fn failed(error: Error) -> Self {
        Self { state: State::Over { error: Some(error) } }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match &mut self.state {
            State::Sent { pending, requested } => {
                ready!(requested.poll(|| Pin::new(pending).poll(cx))).map(|mut response| {
                    requested.mark(&mut response);
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
