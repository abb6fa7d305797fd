//! One send's end of an upload.

use std::{
    error, fmt, mem,
    pin::Pin,
    task::{Context, Poll},
};

use http_body::{Body, SizeHint};

use super::{
    Polled, poll,
    upload::{Rest, Slot, Upload, wake},
};
use crate::{BoxError, sync::Arc};

pub(super) struct Sender<B> {
    upload: Arc<Upload<B>>,
    turn: u32,
}

impl<B> Sender<B> {
    pub(super) fn new(upload: Arc<Upload<B>>, turn: u32) -> Self {
        Self { upload, turn }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let slot = self.upload.lock();
        slot.turn == self.turn && slot.is_end()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let slot = self.upload.lock();
        let mut hint = SizeHint::new();
        if slot.turn != self.turn {
            return hint;
        }
        let unsent = slot.prefix.unsent();
        hint.set_lower(unsent.saturating_add(slot.hint.lower()));
        // An exact size becomes a Content-Length, and HTTP/1.1 sends no trailers after that.
        if (self.upload.is_exact || !slot.prefix.has_unsent_trailers())
            && let Some(upper) = slot.hint.upper().and_then(|upper| upper.checked_add(unsent))
        {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B> Sender<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Polled {
        let mut slot = self.upload.lock();
        if slot.turn != self.turn {
            return Stopped::LostTurn.into();
        }
        if slot.is_end() {
            return Poll::Ready(None);
        }
        if slot.frozen {
            return Slot::park(slot, cx);
        }
        if let Some(frame) = slot.prefix.next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match mem::replace(&mut slot.rest, Rest::Out) {
            Rest::Here(body) => {
                drop(slot);
                self.read(body, cx)
            }
            Rest::Out => Slot::park(slot, cx),
            Rest::Ended => {
                slot.rest = Rest::Ended;
                Poll::Ready(None)
            }
            Rest::Broken(error) => {
                slot.rest = Rest::Broken(None);
                error.map_or_else(|| Stopped::Broken.into(), |error| Poll::Ready(Some(Err(error))))
            }
        }
    }

    fn read(&self, mut body: Pin<Box<B>>, cx: &mut Context<'_>) -> Polled {
        let fuse = Fuse(&self.upload);
        let polled = poll(body.as_mut(), cx);
        let is_end = match &polled {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        let hint = if is_end { SizeHint::with_exact(0) } else { body.size_hint() };
        mem::forget(fuse);

        // What is left of `body` is dropped after `slot`.
        let rest = match &polled {
            Poll::Ready(Some(Err(_))) => Rest::Broken(None),
            _ if is_end => Rest::Ended,
            _ => Rest::Here(body),
        };
        let mut slot = self.upload.lock();
        (slot.rest, slot.hint) = (rest, hint);
        if slot.turn != self.turn {
            let (waker, spent) = slot.hand_over(polled);
            drop(slot);
            wake(waker);
            drop(spent);
            return Stopped::LostTurn.into();
        }
        let spent = slot.record(&polled);
        if polled.is_pending() {
            return Slot::park(slot, cx);
        }
        drop(slot);
        drop(spent);
        polled
    }
}

impl<B> Drop for Sender<B> {
    fn drop(&mut self) {
        let mut slot = self.upload.lock();
        if slot.turn == self.turn {
            let spent = slot.sender_left();
            drop(slot);
            drop(spent);
        }
    }
}

/// Dropped only if the poll of the body panics: then nobody shall wait for it to come back.
struct Fuse<'a, B>(&'a Upload<B>);

impl<B> Drop for Fuse<'_, B> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        let (waker, spent) = slot.break_off();
        drop(slot);
        wake(waker);
        drop(spent);
    }
}

/// Why a send got an error where its body would go on.
#[derive(Debug)]
enum Stopped {
    LostTurn,
    Broken,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LostTurn => {
                "this send is over: its request is sent again, or nobody waits for it"
            }
            Self::Broken => "the request body failed earlier",
        })
    }
}

impl error::Error for Stopped {}

impl From<Stopped> for Polled {
    fn from(stopped: Stopped) -> Self {
        Self::Ready(Some(Err(stopped.into())))
    }
}
