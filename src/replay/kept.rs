//! What the refresh layer holds of a body while a response is out.

use std::fmt;

use bytes::Bytes;
use http_body::Body;

use super::{
    body::ReplayBody,
    prefix::Prefix,
    sender::Sender,
    upload::{Rest, Upload, wake},
};
use crate::sync::Arc;

/// A body that was kept, as far as it could be: the right to send it again.
///
/// Dropped while frozen, it ends the send in an error; dropped otherwise, it lets the upload go on.
pub(crate) enum Kept<B> {
    /// Nothing to freeze: every send has all of it.
    Whole(Bytes),
    Stream(Keeper<B>),
}

impl<B> Kept<B> {
    /// Whether [`replay`](Self::replay) would give a body now. An upload that still runs may exceed the
    /// cap, or fail, at any time until it is frozen, and with the frame that is being read even then.
    pub(crate) fn is_replayable(&self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Stream(keeper) => keeper.0.lock().prefix.is_kept(),
        }
    }

    /// Let the current send read nothing more. Without effect where nothing can be replayed.
    pub(crate) fn freeze(&self) {
        if let Self::Stream(keeper) = self {
            let mut slot = keeper.0.lock();
            slot.frozen = slot.prefix.is_kept();
        }
    }

    /// Let a frozen send go on, and still keep what it reads.
    pub(crate) fn thaw(&self) {
        if let Self::Stream(keeper) = self {
            let waker = keeper.0.lock().thaw();
            wake(waker);
        }
    }

    /// The body of one more send: what was read, then the rest of the stream. The send before ends in
    /// an error, if it is not through.
    ///
    /// `None` if the stream exceeded the cap, or failed: then the current send goes on.
    pub(crate) fn replay(&self) -> Option<ReplayBody<B>> {
        match self {
            Self::Whole(data) => Some(ReplayBody::whole(data.clone())),
            Self::Stream(keeper) => {
                let mut slot = keeper.0.lock();
                if !slot.prefix.is_kept() {
                    return None;
                }
                let waker = slot.pass(true);
                slot.prefix.rewind();
                let sender = Sender::new(Arc::clone(&keeper.0), slot.turn);
                drop(slot);
                wake(waker);
                Some(ReplayBody::stream(sender))
            }
        }
    }
}

impl<B> fmt::Debug for Kept<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").field("is_replayable", &self.is_replayable()).finish_non_exhaustive()
    }
}

pub(crate) struct Keeper<B>(Arc<Upload<B>>);

impl<B> Drop for Keeper<B> {
    fn drop(&mut self) {
        let mut slot = self.0.lock();
        let waker = if slot.frozen { slot.pass(false) } else { None };
        let spent = slot.forget();
        drop(slot);
        wake(waker);
        drop(spent);
    }
}

/// A stream, and the body of its first send.
pub(super) fn stream<B: Body>(
    prefix: Prefix,
    rest: Rest<B>,
    is_exact: bool,
) -> (Kept<B>, ReplayBody<B>) {
    let upload = Arc::new(Upload::new(prefix, rest, is_exact));
    let first = Sender::new(Arc::clone(&upload), 0);
    (Kept::Stream(Keeper(upload)), ReplayBody::stream(first))
}
