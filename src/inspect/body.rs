use std::{
    fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::prefix::poll_frame;

pin_project! {
    /// The response body that [`Inspect`](super::Inspect) hands on: `R`, perhaps with its beginning read
    /// ahead.
    ///
    /// Data, trailers and errors are those of `R`, in their order; what was read ahead may come in fewer
    /// frames. The size hint and the end of the stream are as `R` tells them. Data are [`Bytes`], a
    /// reference where those of `R` are that already. A body that was not suspicious is `R` and nothing
    /// more; of one that was, what has not been read yet is boxed. It is `Send` if `R` and its error
    /// are, and `Unpin` if `R` is.
    ///
    /// # Errors
    ///
    /// Those of `R`.
    pub struct InspectedBody<R: Body> {
        #[pin]
        inner: Inner<R>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<R: Body> {
        Passing { #[pin] body: R },
        Read {
            data: Bytes,
            then: Option<Result<Frame<Bytes>, R::Error>>,
            // `None`: it is known to be over.
            rest: Option<Pin<Box<R>>>,
        },
    }
}

impl<R: Body> InspectedBody<R> {
    pub(super) fn passing(body: R) -> Self {
        Self { inner: Inner::Passing { body } }
    }

    pub(super) fn read(
        data: Bytes,
        then: Option<Result<Frame<Bytes>, R::Error>>,
        rest: Option<Pin<Box<R>>>,
    ) -> Self {
        Self { inner: Inner::Read { data, then, rest } }
    }
}

impl<R: Body> Body for InspectedBody<R> {
    type Data = Bytes;
    type Error = R::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
        match self.project().inner.project() {
            InnerProj::Passing { body } => poll_frame(body, cx),
            InnerProj::Read { data, .. } if data.has_remaining() => {
                Poll::Ready(Some(Ok(Frame::data(mem::take(data)))))
            }
            InnerProj::Read { then, rest, .. } => match (then.take(), rest) {
                (Some(frame), _) => Poll::Ready(Some(frame)),
                (None, Some(rest)) => poll_frame(rest.as_mut(), cx),
                (None, None) => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Passing { body } => body.is_end_stream(),
            Inner::Read { data, then, rest } => {
                data.is_empty()
                    && then.is_none()
                    && rest.as_ref().is_none_or(|rest| rest.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Passing { body } => body.size_hint(),
            Inner::Read { data, then, rest } => {
                let then = then.as_ref().and_then(|then| then.as_ref().ok()?.data_ref());
                let read = (data.len() + then.map_or(0, Bytes::len)) as u64;
                let rest = rest.as_ref().map_or(SizeHint::with_exact(0), |rest| rest.size_hint());
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<R: Body> fmt::Debug for InspectedBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.inner {
            Inner::Passing { .. } => "passing",
            Inner::Read { .. } => "read",
        };
        f.debug_struct("InspectedBody").field("kind", &kind).finish_non_exhaustive()
    }
}
