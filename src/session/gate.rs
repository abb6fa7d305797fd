//! Shares the lifecycle between tasks: one short lock off the hot path, a wait-list, and a snapshot.
//!
//! Whoever must wait parks under the lock that decided so, and the snapshot is published under the lock
//! that changed it, before anyone is woken. No user code runs under the lock: wakers are collected and
//! woken after it, since a waker may run its task inline, and that task takes this lock.

#[cfg(all(test, reauth_loom))]
mod loom;

use std::{
    mem,
    task::{Context, Poll, Waker},
};

use arc_swap::{ArcSwapOption, Guard};
use http::HeaderValue;
use slab::Slab;

use crate::{
    AccessToken,
    auth::bearer,
    clock::{Deadline, Now},
    lifecycle::{Decision, Lifecycle, Outcome, Outlook, Serial, Settled, Ticket},
    session::holding::Holding,
    sync::{Mutex, MutexGuard, lock},
};

pub(crate) struct Gate {
    state: Mutex<State>,
    snapshot: ArcSwapOption<Snapshot>,
}

/// What a request needs to know of the newest access token, without a lock.
pub(crate) struct Snapshot {
    pub(crate) outlook: Outlook,
    pub(crate) header: HeaderValue,
    pub(crate) token: AccessToken,
}

impl Snapshot {
    /// Whether a request may go out with this token, as far as it is known without asking.
    #[inline]
    pub(crate) fn is_calm(&self, now: &Now) -> bool {
        self.outlook.calm.lasts(now)
    }

    #[inline]
    pub(crate) fn is_dead(&self, now: &Now) -> bool {
        self.outlook.dead_at.is_some_and(|at: Deadline| at.passed(now))
    }
}

pub(crate) struct State {
    pub(crate) life: Lifecycle,
    pub(crate) holding: Holding,
    waiting: WaitList,
    /// Of the flight that holds the ticket: it learns when the ticket is taken away.
    holder: Option<Waker>,
}

/// A place in the wait-list. Whoever has one gives it back by [`Gate::leave`].
#[derive(Debug, Default)]
pub(crate) struct Place {
    entry: Option<Entry>,
    /// The flight that is, or was, waited for.
    waited: Option<Serial>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    round: u64,
    key: usize,
}

/// The wakers of those who wait. Waking takes all of them and begins a new round.
#[derive(Default)]
struct WaitList {
    round: u64,
    wakers: Slab<Waker>,
}

impl Place {
    /// Whether whoever has it ever had to wait for a flight.
    pub(crate) fn has_waited(&self) -> bool {
        self.waited.is_some()
    }
}

impl WaitList {
    /// Returns the waker that was there, to be dropped after the lock: that may drop its task.
    fn park(&mut self, place: &mut Place, waker: &Waker) -> Option<Waker> {
        let entry = place.entry.filter(|entry| entry.round == self.round);
        match entry.and_then(|entry| self.wakers.get_mut(entry.key)) {
            Some(parked) if parked.will_wake(waker) => None,
            Some(parked) => Some(mem::replace(parked, waker.clone())),
            None => {
                let key = self.wakers.insert(waker.clone());
                place.entry = Some(Entry { round: self.round, key });
                None
            }
        }
    }

    fn leave(&mut self, place: &mut Place) -> Option<Waker> {
        let entry = place.entry.take().filter(|entry| entry.round == self.round)?;
        self.wakers.try_remove(entry.key)
    }

    fn take(&mut self) -> Slab<Waker> {
        self.round += 1;
        mem::take(&mut self.wakers)
    }
}

impl Gate {
    pub(crate) fn new(life: Lifecycle, holding: Holding) -> Self {
        let waiting = WaitList::default();
        Self {
            state: Mutex::new(State { life, holding, waiting, holder: None }),
            snapshot: ArcSwapOption::empty(),
        }
    }

    /// The newest access token, dead or alive.
    #[inline]
    pub(crate) fn snapshot(&self) -> Guard<Option<std::sync::Arc<Snapshot>>> {
        self.snapshot.load()
    }

    /// Ask the machine, and park if it says so.
    pub(crate) fn poll(
        &self,
        place: &mut Place,
        cx: &Context<'_>,
        now: &Now,
        ask: impl FnOnce(&mut Lifecycle, Option<Serial>) -> Decision,
    ) -> Decision {
        let mut state = self.lock();
        let decision = ask(&mut state.life, place.waited);
        self.publish(&mut state, now);
        let parks_for = match &decision {
            Decision::Wait(serial) => Some(*serial),
            // Parked before the ticket leaves this lock, or its end could come first.
            Decision::Refresh(ticket) => Some(ticket.serial()),
            Decision::Go(_) | Decision::GoAndRefresh(..) | Decision::Fail(_) => None,
        };
        let unparked = match parks_for {
            Some(serial) => {
                place.waited = Some(serial);
                state.waiting.park(place, cx.waker())
            }
            None => state.waiting.leave(place),
        };
        drop(state);
        drop(unparked);
        decision
    }

    /// Ask the machine for something that nobody has to wait for.
    pub(crate) fn ask<T>(&self, now: &Now, ask: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = ask(&mut state);
        self.publish(&mut state, now);
        answer
    }

    /// As [`ask`](Self::ask), and let everyone look again: waiters, and the holder of a ticket.
    pub(crate) fn change<T>(&self, now: &Now, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = change(&mut state);
        self.publish(&mut state, now);
        let waiting = state.waiting.take();
        let holder = state.holder.take();
        drop(state);
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        holder.into_iter().for_each(Waker::wake);
        answer
    }

    /// Use the ticket up. `holding` runs under the same lock, and only if the ticket still counts.
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        outcome: Outcome,
        now: &Now,
        hold: impl FnOnce(&mut Holding),
    ) -> Settled {
        self.change(now, |state| {
            if state.life.owns(&ticket) {
                hold(&mut state.holding);
            }
            state.life.finish(ticket, outcome, now)
        })
    }

    pub(crate) fn abandon(&self, ticket: &Ticket, now: &Now) {
        self.change(now, |state| state.life.abandon(ticket));
    }

    /// Ready once the ticket was taken away.
    pub(crate) fn poll_disowned(&self, ticket: &Ticket, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.life.owns(ticket) {
            return Poll::Ready(());
        }
        let unparked = state.holder.replace(cx.waker().clone());
        drop(state);
        drop(unparked);
        Poll::Pending
    }

    /// Ready once no refresh runs.
    pub(crate) fn poll_landed(&self, place: &mut Place, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.life.flight().is_none() {
            return Poll::Ready(());
        }
        let unparked = state.waiting.park(place, cx.waker());
        drop(state);
        drop(unparked);
        Poll::Pending
    }

    /// Give a place up.
    pub(crate) fn leave(&self, place: &mut Place) {
        if place.entry.is_some() {
            let waker = self.lock().waiting.leave(place);
            // Dropped after the lock: dropping a waker may drop its task.
            drop(waker);
        }
    }

    #[cfg(all(test, reauth_loom))]
    fn waiting(&self) -> usize {
        self.lock().waiting.wakers.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn publish(&self, state: &mut State, now: &Now) {
        let outlook = state.life.outlook(now);
        let published = self.snapshot.load();
        let published = published.as_ref();
        let new = match (outlook, state.holding.access()) {
            (Some(outlook), Some(token)) => {
                let same = published.filter(|snapshot| snapshot.token == *token);
                if same.is_some_and(|snapshot| snapshot.outlook == outlook) {
                    return;
                }
                let header = same.map_or_else(|| bearer(token), |same| same.header.clone());
                Some(std::sync::Arc::new(Snapshot { outlook, header, token: token.clone() }))
            }
            _ if published.is_none() => return,
            _ => None,
        };
        self.snapshot.store(new);
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
