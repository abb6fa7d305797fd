//! The body type that every send has, whether anything is kept of it or not.

use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{Polled, poll, sender::Sender};
use crate::BoxError;

pin_project! {
    /// The request body that the refresh layer gives to its inner service: `B`, kept for a replay as it
    /// is read.
    ///
    /// Data are [`Bytes`], and frames come as `B` gives them. Its size is exact where that of `B` is, or
    /// where all of it is known already. A replay carries the same bytes and trailers, perhaps in other
    /// frames. A send whose upload is taken over by a replay ends in an error, never as if it were
    /// complete. It is `Send` and `Unpin` if `B` is.
    ///
    /// # Errors
    ///
    /// The error of `B`, boxed; and an error of its own for a send that is over before its body is: its
    /// request is sent again, or its caller is gone.
    ///
    /// A client that is generic over its body takes it as it is; for others see
    /// [`map_body`](super::map_body).
    ///
    /// ```
    /// use bytes::Bytes;
    /// use http_body_util::Full;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower_reauth::ReplayBody;
    ///
    /// let client: Client<_, ReplayBody<Full<Bytes>>> =
    ///     Client::builder(TokioExecutor::new()).build_http();
    /// ```
    pub struct ReplayBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B> {
        Once { #[pin] body: B },
        Whole { data: Bytes },
        Stream { sender: Sender<B> },
    }
}

impl<B> ReplayBody<B> {
    /// Pass `body` through and keep nothing of it.
    pub(crate) fn once(body: B) -> Self {
        Self { inner: Inner::Once { body } }
    }

    /// The bytes, where that is all. Otherwise the body as it is.
    #[cfg(feature = "reqwest")]
    pub(crate) fn into_whole(self) -> Result<Bytes, Self> {
        match self.inner {
            Inner::Whole { data } => Ok(data),
            inner => Err(Self { inner }),
        }
    }

    pub(super) fn whole(data: Bytes) -> Self {
        Self { inner: Inner::Whole { data } }
    }

    pub(super) fn stream(sender: Sender<B>) -> Self {
        Self { inner: Inner::Stream { sender } }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.project().inner.project() {
            InnerProj::Once { body } => poll(body, cx),
            InnerProj::Whole { data } if data.is_empty() => Poll::Ready(None),
            InnerProj::Whole { data } => Poll::Ready(Some(Ok(Frame::data(mem::take(data))))),
            InnerProj::Stream { sender } => sender.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Once { body } => body.is_end_stream(),
            Inner::Whole { data } => data.is_empty(),
            Inner::Stream { sender } => sender.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Once { body } => body.size_hint(),
            Inner::Whole { data } => SizeHint::with_exact(data.len() as u64),
            Inner::Stream { sender } => sender.size_hint(),
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner {
            Inner::Once { .. } => "once",
            Inner::Whole { .. } => "whole",
            Inner::Stream { .. } => "stream",
        };
        f.debug_struct("ReplayBody").field("kind", &kind).finish_non_exhaustive()
    }
}
