//! The body of an answer.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::EndpointClientError;

/// The body of an answer to an [`EndpointClient`](super::EndpointClient).
pub struct EndpointBody(Incoming);

impl EndpointBody {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self(incoming)
    }
}

impl Body for EndpointBody {
    type Data = Bytes;
    type Error = EndpointClientError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EndpointClientError>>> {
        let frame = Pin::new(&mut self.0).poll_frame(cx);
        // The head came, so the request was sent whatever the error says.
        frame.map_err(|error| EndpointClientError::cut(&error))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for EndpointBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBody").finish_non_exhaustive()
    }
}
