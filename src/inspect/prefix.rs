//! The part of a body that was read ahead: gathered, judged, and handed on as it came.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::{Body, Frame};

use super::InspectedBody;
use crate::patience::Patience;

/// A body while it is read ahead. Dropped half-way, it drops the body with what was read.
pub(super) struct Prefix<R: Body> {
    body: Pin<Box<R>>,
    data: Gathered,
    /// Read, and no part of what was gathered.
    then: Option<Result<Frame<Bytes>, R::Error>>,
    is_over: bool,
    left: usize,
    patience: Patience,
}

impl<R: Body> Prefix<R> {
    pub(super) fn new(body: R, limit: usize) -> Self {
        Self {
            body: Box::pin(body),
            data: Gathered::default(),
            then: None,
            is_over: false,
            left: limit,
            patience: Patience::default(),
        }
    }

    /// Ready once no more is read: whether what was gathered is the whole body.
    pub(super) fn poll(
        &mut self,
        patience: Duration,
        is_harmless: impl Fn(&[u8]) -> bool,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        loop {
            if self.body.is_end_stream() {
                self.is_over = true;
                return Poll::Ready(true);
            }
            let frame = match poll_frame(self.body.as_mut(), cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => {
                    self.then = Some(Err(error));
                    return Poll::Ready(false);
                }
                Poll::Ready(None) => {
                    self.is_over = true;
                    return Poll::Ready(true);
                }
                // A body may stall, or be a stream that its type does not tell.
                Poll::Pending => return self.patience.poll(patience, cx).map(|()| false),
            };
            match frame.into_data() {
                // An empty frame counts too: a flood of them would have no end.
                Ok(data) => match self.left.checked_sub(data.len().max(1)) {
                    Some(left) => {
                        self.left = left;
                        self.data.push(data);
                        if is_harmless(self.data.bytes()) {
                            return Poll::Ready(false);
                        }
                    }
                    None => {
                        self.then = Some(Ok(Frame::data(data)));
                        return Poll::Ready(false);
                    }
                },
                // Trailers end a body (RFC 9110 §6.5).
                Err(trailers) => {
                    self.then = Some(Ok(trailers));
                    return Poll::Ready(true);
                }
            }
        }
    }

    /// What was gathered so far.
    pub(super) fn bytes(&self) -> &[u8] {
        self.data.bytes()
    }

    /// The body from its beginning.
    pub(super) fn into_body(self) -> InspectedBody<R> {
        let rest = (!self.is_over).then_some(self.body);
        InspectedBody::read(self.data.into_bytes(), self.then, rest)
    }
}

/// Data of the body as `Bytes`, which is a reference where they are that already.
pub(super) fn poll_frame<R: Body>(
    body: Pin<&mut R>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Frame<Bytes>, R::Error>>> {
    let to_bytes = |mut data: R::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map(|frame| Some(frame?.map(|frame| frame.map_data(to_bytes))))
}

/// One frame as it came; more are joined, so that many small ones hold no more than their bytes.
#[derive(Default)]
struct Gathered {
    one: Bytes,
    joined: BytesMut,
}

impl Gathered {
    fn push(&mut self, data: Bytes) {
        if self.bytes().is_empty() {
            self.one = data;
        } else if !data.is_empty() {
            if self.joined.is_empty() {
                self.joined.reserve(self.one.len() + data.len());
                self.joined.extend_from_slice(&mem::take(&mut self.one));
            }
            self.joined.extend_from_slice(&data);
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() { &self.one } else { &self.joined }
    }

    fn into_bytes(self) -> Bytes {
        if self.joined.is_empty() { self.one } else { self.joined.freeze() }
    }
}
