//! The slot that the sends of a streamed body share.

use std::{
    collections::VecDeque,
    mem,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use http_body::{Body, SizeHint};

use super::{
    Polled,
    prefix::{Piece, Prefix},
};
use crate::{
    BoxError, caught,
    sync::{Mutex, MutexGuard, lock},
};

pub(super) struct Upload<B> {
    slot: Mutex<Slot<B>>,
    /// Whether the body said from the start how many bytes it has.
    pub(super) is_exact: bool,
}

pub(super) struct Slot<B> {
    pub(super) prefix: Prefix,
    pub(super) rest: Rest<B>,
    /// What `rest` said of its size after its last poll: to ask it is to run the caller's code.
    pub(super) hint: SizeHint,
    /// Which send may read.
    pub(super) turn: u32,
    /// Whether that send still has its body.
    has_sender: bool,
    pub(super) frozen: bool,
    /// Of the send that has the turn, from when it was last pending.
    waker: Option<Waker>,
}

/// What has not been read yet.
pub(super) enum Rest<B> {
    Here(Pin<Box<B>>),
    /// Some send polls it just now, perhaps one that has lost the turn meanwhile.
    Out,
    Ended,
    /// It failed or panicked; with the error, until a send has had it.
    Broken(Option<BoxError>),
}

/// What nobody needs any more. To drop it is to run the caller's code, so it leaves the lock first.
pub(super) type Spent<B> = (VecDeque<Piece>, Option<Rest<B>>);

impl<B: Body> Upload<B> {
    pub(super) fn new(prefix: Prefix, rest: Rest<B>, is_exact: bool) -> Self {
        let hint = match &rest {
            Rest::Here(body) => body.size_hint(),
            Rest::Ended => SizeHint::with_exact(0),
            Rest::Out | Rest::Broken(_) => SizeHint::default(),
        };
        let (turn, has_sender, frozen, waker) = (0, true, false, None);
        let slot = Slot { prefix, rest, hint, turn, has_sender, frozen, waker };
        Self { slot: Mutex::new(slot), is_exact }
    }
}

impl<B> Upload<B> {
    pub(super) fn lock(&self) -> MutexGuard<'_, Slot<B>> {
        lock(&self.slot)
    }
}

impl<B> Slot<B> {
    pub(super) fn is_end(&self) -> bool {
        self.prefix.is_sent() && matches!(self.rest, Rest::Ended)
    }

    /// Let the send go on. The waker is its own.
    pub(super) fn thaw(&mut self) -> Option<Waker> {
        if mem::take(&mut self.frozen) { self.waker.take() } else { None }
    }

    /// Pass the turn on, to a new send or to none. The waker is that of the send which had it.
    pub(super) fn pass(&mut self, to_sender: bool) -> Option<Waker> {
        self.turn += 1;
        self.has_sender = to_sender;
        self.frozen = false;
        self.waker.take()
    }

    /// The send that has the turn dropped its body.
    pub(super) fn sender_left(&mut self) -> (Option<Waker>, Spent<B>) {
        self.has_sender = false;
        (self.waker.take(), self.settle(VecDeque::new()))
    }

    /// Keep nothing for a replay any more.
    pub(super) fn forget(&mut self) -> Spent<B> {
        let sent = self.prefix.forget();
        self.settle(sent)
    }

    /// The poll of the rest panicked. The waker is that of whoever waits for it.
    pub(super) fn break_off(&mut self) -> (Option<Waker>, Spent<B>) {
        self.rest = Rest::Broken(None);
        (self.waker.take(), self.forget())
    }

    /// Take in what the send that has the turn has just read.
    pub(super) fn record(&mut self, polled: &Polled) -> Spent<B> {
        let spent = match polled {
            Poll::Ready(Some(Ok(frame))) => self.prefix.record(frame),
            Poll::Ready(Some(Err(_))) => self.prefix.forget(),
            Poll::Ready(None) | Poll::Pending => VecDeque::new(),
        };
        self.settle(spent)
    }

    /// Take in what was read by a send that lost the turn meanwhile. The waker is that of the send which
    /// has it now, if it waits for the rest to be back.
    pub(super) fn hand_over(&mut self, polled: Polled) -> (Option<Waker>, Spent<B>) {
        let spent = match polled {
            Poll::Ready(Some(Ok(frame))) => self.prefix.push(frame),
            Poll::Ready(Some(Err(error))) => {
                self.rest = Rest::Broken(Some(error));
                self.prefix.forget()
            }
            Poll::Ready(None) | Poll::Pending => VecDeque::new(),
        };
        (self.waker.take(), self.settle(spent))
    }

    /// Without a replay to hold back for, nothing is frozen; without a send either, nothing is needed.
    fn settle(&mut self, mut spent: VecDeque<Piece>) -> Spent<B> {
        if self.prefix.is_kept() {
            return (spent, None);
        }
        self.frozen = false;
        if self.has_sender {
            return (spent, None);
        }
        spent.append(&mut self.prefix.clear());
        (spent, Some(mem::replace(&mut self.rest, Rest::Broken(None))))
    }

    /// Wait, under the lock that decided so: nothing can happen before the waker is in place.
    pub(super) fn park<T>(mut this: MutexGuard<'_, Self>, cx: &Context<'_>) -> Poll<T> {
        let stale = match &this.waker {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => this.waker.replace(cx.waker().clone()),
        };
        drop(this);
        drop(stale); // a task may go with its last waker, and its body with the task
        Poll::Pending
    }
}

/// After the lock is released: a waker may run its task inline, and that task takes the lock.
pub(super) fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(caught::wake);
}
