//! The body of both servers' answers: whole, or cut off half-way.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use crate::BoxError;

/// The body of an answer of either server.
///
/// It is one ready frame, unless a [`Fault::Truncated`](super::Fault::Truncated) cut it off: then half
/// of what it promised arrives, and an error.
#[derive(Debug)]
pub struct ResponseBody {
    data: Bytes,
    /// Promised, and never to come.
    missing: u64,
    paused: bool,
}

impl ResponseBody {
    pub(super) fn whole(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), missing: 0, paused: false }
    }

    /// The first half of this body, at least one byte short of what it promises.
    pub(super) fn cut(mut self) -> Self {
        let all = self.data.len();
        self.data.truncate(all / 2);
        self.missing = (all - self.data.len()).max(1) as u64;
        self
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.data.has_remaining() {
            let data = std::mem::take(&mut this.data);
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if this.missing == 0 {
            return Poll::Ready(None);
        }
        if !this.paused {
            // One turn's rest: a server flushes head and first half before it meets the error.
            this.paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.missing = 0;
        Poll::Ready(Some(Err(disconnected())))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.missing == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.data.len() as u64 + self.missing)
    }
}

/// What a client sees when the connection goes.
pub(super) fn disconnected() -> BoxError {
    io::Error::new(io::ErrorKind::ConnectionReset, "the test kit cut the connection").into()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn a_cut_body_promises_more_than_it_gives_and_ends_in_an_error() {
        let mut body = ResponseBody::whole("0123456789").cut();
        assert_eq!(body.size_hint().exact(), Some(10));

        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, "01234");
        assert!(!body.is_end_stream());
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_empty_body_can_be_cut_too() {
        let mut body = ResponseBody::whole("").cut();
        assert!(body.frame().await.unwrap().is_err());
    }
}
