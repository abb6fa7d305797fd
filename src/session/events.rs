//! What happened to a session, told to whoever listens.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use futures_core::Stream;

use crate::{
    Challenge, RefreshError, StoreError,
    caught::wake,
    lifecycle::{Cause, Purpose},
    sync::{Mutex, lock},
};

/// Something happened to a session.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A login put tokens in place.
    LoggedIn,
    /// A newer access token is in use: refreshed here, or adopted from the store.
    Refreshed(RefreshCause),
    /// A refresh failed; the session cools down.
    RefreshFailed(RefreshError),
    /// The authorization server's verdict ended the session: ask for a login, and hand its tokens to
    /// [`Session::login`](crate::Session::login). Never dropped.
    SessionEnded(RefreshError),
    /// The session was logged out, here or in another process. Never dropped.
    LoggedOut,
    /// The store did not take new tokens or a tombstone; it is tried again. The tokens are used all
    /// the same.
    PersistFailed(StoreError),
    /// The store took what it was owed.
    Persisted,
    /// The store is unavailable, and a refresh went on without it, as the
    /// [`OutagePolicy`](crate::OutagePolicy) says.
    Uncoordinated(StoreError),
    /// The store holds a tombstone, or the record of another issuer or account, so the tokens given to
    /// the builder were not used.
    SeedRefused,
    /// Tokens that are no longer used could not be revoked.
    RevokeFailed(RefreshError),
    /// A resource server wants more than a refresh can give: another login, more scope, other claims
    /// (RFC 9470 §3, RFC 6750 §3.1).
    StepUpRequired(Challenge),
    /// The last handle was dropped while a refresh was in flight or a save was owed: call
    /// [`Session::close`](crate::Session::close) before the program ends. This event is never dropped.
    DroppedInFlight,
    /// This many events were dropped, the oldest first, because nobody took them.
    Missed(u64),
}

/// Why a session went for a newer access token; told by [`Event::Refreshed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshCause {
    /// The session had none yet.
    Start,
    /// The token was about to expire. Requests went out on it meanwhile.
    Early,
    /// The token had expired, and requests waited for the next.
    Expired,
    /// A resource server refused the token, or the program said so by
    /// [`Session::refresh_after`](crate::Session::refresh_after).
    Challenged,
    /// A look at the store found another process's newer tokens.
    LookUp,
}

impl RefreshCause {
    /// `None`: a login is no refresh.
    pub(crate) fn of(purpose: Purpose) -> Option<Self> {
        Some(match purpose {
            Purpose::Load => Self::Start,
            Purpose::LookUp => Self::LookUp,
            Purpose::Refresh(Cause::Early) => Self::Early,
            Purpose::Refresh(Cause::Expired) => Self::Expired,
            Purpose::Refresh(Cause::Challenged) => Self::Challenged,
            Purpose::Login => return None,
        })
    }
}

impl Event {
    fn is_terminal(&self) -> bool {
        matches!(self, Self::SessionEnded(_) | Self::LoggedOut | Self::DroppedInFlight)
    }
}

/// How many events wait for a listener before the oldest are dropped.
const CAPACITY: usize = 64;

/// The events of a session, from when the stream was made; made by
/// [`Session::events`](crate::Session::events).
///
/// It holds 64 events. When nobody takes them the oldest are dropped and counted, apart from those that
/// end a session. The stream ends when the session and its last refresh are gone. Dropping it is fine at
/// any time, and so is dropping the future of its next item.
pub struct Events {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    missed: u64,
    waker: Option<Waker>,
    ended: bool,
}

/// The listeners of one session.
#[derive(Default)]
pub(crate) struct Listeners {
    queues: Mutex<Vec<Weak<Mutex<Queue>>>>,
}

impl Listeners {
    pub(crate) fn listen(&self) -> Events {
        let queue = Arc::default();
        let mut queues = lock(&self.queues);
        queues.retain(|queue| queue.strong_count() > 0);
        queues.push(Arc::downgrade(&queue));
        Events { queue }
    }

    /// Never called under the gate's lock: a listener's waker is user code.
    pub(crate) fn tell(&self, event: &Event) {
        let queues: Vec<_> = lock(&self.queues).iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            let (waker, dropped) = lock(&queue).push(event.clone());
            waker.into_iter().for_each(wake);
            // Dropped after the lock: it may hold an error of the program's own.
            drop(dropped);
        }
    }
}

impl Drop for Listeners {
    fn drop(&mut self) {
        let queues: Vec<_> = lock(&self.queues).iter().filter_map(Weak::upgrade).collect();
        for queue in queues {
            let waker = {
                let mut queue = lock(&queue);
                queue.ended = true;
                queue.waker.take()
            };
            waker.into_iter().for_each(wake);
        }
    }
}

impl Queue {
    fn push(&mut self, event: Event) -> (Option<Waker>, Option<Event>) {
        let mut dropped = None;
        if self.events.len() >= CAPACITY
            && let Some(oldest) = self.events.iter().position(|event| !event.is_terminal())
        {
            dropped = self.events.remove(oldest);
            self.missed += 1;
        }
        self.events.push_back(event);
        (self.waker.take(), dropped)
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut queue = lock(&self.queue);
        if queue.missed > 0 {
            let missed = std::mem::take(&mut queue.missed);
            return Poll::Ready(Some(Event::Missed(missed)));
        }
        if let Some(event) = queue.events.pop_front() {
            return Poll::Ready(Some(event));
        }
        if queue.ended {
            return Poll::Ready(None);
        }
        let parked = queue.waker.replace(cx.waker().clone());
        drop(queue);
        // Dropped after the lock: a waker may own its task, and that the last handle of the session.
        drop(parked);
        Poll::Pending
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
