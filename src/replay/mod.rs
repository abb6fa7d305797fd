//! The body of a request that may have to be sent again.
//!
//! A body is looked at once, before the first send. What is whole by then (no frame, or one data frame
//! and the end) is kept by reference: nothing to share, no lock. Anything else is an [`upload`]: the
//! stream lies in a slot that every send of the request shares, and what is read is kept up to a cap.
//!
//! ```text
//!              read, within the cap            response accepted, cap exceeded, `Kept` dropped
//!              ┌───────┐                     ┌────────────────────────────────────────────────┐
//!              │       ▼      freeze         │                                                ▼
//! keep ──────▶ Flowing(turn) ───────▶ Frozen(turn) ── `Kept` dropped ──▶ Abandoned    Unkept(turn)
//!                 ▲   ▲ └───────◀──────┘   │                            every send     flows on,
//!                 │   │       thaw         │ replay                     gets an error  no replay
//!                 │   └────────────────────┘
//!                 └── turn + 1: the new send reads the prefix, then the rest; the old one gets an error
//! ```
//!
//! * One send has the turn. It alone reads; a send of an earlier turn gets an error at its next poll,
//!   and is woken for it. It never ends cleanly, not even if it had read everything but the end.
//! * Frozen, the send that has the turn reads nothing: what is left belongs to whoever wins.
//! * The stream is out of the lock while it is polled. If the turn passes on meanwhile, the frame it
//!   yields is put into the prefix for the new send, which waits until the stream is back. If the poll
//!   panics, the stream is broken and whoever waits is woken to an error.
//! * The stream failed: the send that has the turn gets the error, once, and nothing is replayed.
//!
//! What may be dropped, and when: any send at any time, since hyper drops a body without a last poll. The
//! stream stays for as long as a `Kept` could replay it or a send has the turn, and goes with the last of
//! these. `Kept` at any time: frozen, the send ends in an error, so that it parks no connection; else the
//! upload goes on, and nothing more is kept.

mod body;
mod kept;
mod map_body;
mod prefix;
mod sender;
mod upload;

use std::{
    any::Any,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use http_body_util::Full;

pub use self::{
    body::ReplayBody,
    map_body::{MapBody, MapBodyLayer, map_body},
};
use self::{prefix::Prefix, upload::Rest};
use crate::BoxError;

pub(crate) use self::kept::Kept;

/// Keep `body` for a replay: the body of the first send, and what makes the next ones.
///
/// `cap` bounds what is kept of a stream, in bytes, counting 64 more for each frame. A body that is one
/// ready frame is kept whatever its size.
pub(crate) fn keep<B>(mut body: B, cap: usize) -> (Kept<B>, ReplayBody<B>)
where
    B: Body + 'static,
    B::Error: Into<BoxError>,
{
    if body.is_end_stream() {
        return whole(Bytes::new());
    }
    // The common body, at no cost. Others may be `!Unpin`: to be looked at they need a box, which is
    // also where a stream then stays.
    if let Some(full) = (&mut body as &mut dyn Any).downcast_mut::<Full<Bytes>>()
        && let Poll::Ready(Some(Ok(frame))) = poll(Pin::new(full), &mut no_wake())
        && let Ok(data) = frame.into_data()
    {
        return whole(data);
    }
    look(Box::pin(body), cap)
}

/// Read what is ready, two frames at most: it takes a second poll to see that the first was all.
fn look<B>(mut body: Pin<Box<B>>, cap: usize) -> (Kept<B>, ReplayBody<B>)
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let is_exact = body.size_hint().exact().is_some();
    let mut prefix = Prefix::new(cap);
    for _ in 0..2 {
        let ended = match poll(body.as_mut(), &mut no_wake()) {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(frame))) => {
                let is_last = frame.is_trailers() || body.is_end_stream();
                drop(prefix.push(frame));
                is_last
            }
            Poll::Ready(Some(Err(error))) => {
                drop(prefix.forget());
                return kept::stream(prefix, Rest::Broken(Some(error)), is_exact);
            }
            // The send polls it again, with a waker of its own.
            Poll::Pending => break,
        };
        if ended {
            return match prefix.as_single() {
                Some(data) => whole(data),
                None => kept::stream(prefix, Rest::Ended, is_exact),
            };
        }
    }
    kept::stream(prefix, Rest::Here(body), is_exact)
}

fn whole<B>(data: Bytes) -> (Kept<B>, ReplayBody<B>) {
    (Kept::Whole(data.clone()), ReplayBody::whole(data))
}

fn no_wake() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

/// One frame of `body`, in the types that every send has. `Bytes` stay what they are; another `Buf` is
/// copied.
fn poll<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Polled
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let to_bytes = |mut data: B::Data| data.copy_to_bytes(data.remaining());
    body.poll_frame(cx).map(|frame| {
        frame.map(|frame| frame.map(|frame| frame.map_data(to_bytes)).map_err(Into::into))
    })
}

#[cfg(all(test, not(reauth_loom)))]
mod tests;
