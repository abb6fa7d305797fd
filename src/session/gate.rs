//! Shares the lifecycle between tasks: one short lock off the hot path, a wait-list, and a snapshot.
//!
//! Whoever must wait parks under the lock that decided so, and the snapshot is published under the lock
//! that changed it, before anyone is woken. No user code runs under the lock: wakers are collected and
//! woken after it, since a waker may run its task inline, and that task takes this lock.

#[cfg(all(test, reauth_loom))]
mod loom;
mod onlookers;
mod wait_list;

use std::{
    task::{Context, Poll, Waker},
    time::Instant,
};

use arc_swap::{ArcSwapOption, Guard};
use http::HeaderValue;

pub(crate) use self::wait_list::Place;
use self::{
    onlookers::Onlookers,
    wait_list::{WaitList, Woken},
};
use crate::{
    AccessToken,
    auth::bearer,
    clock::{Deadline, Now},
    lifecycle::{Decision, Generation, Lifecycle, Outcome, Outlook, Serial, Settled, Ticket},
    session::{holding::Holding, status::Status},
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
    /// Who waits for another status.
    onlookers: Onlookers,
}

/// How a ticket was used up or given back.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) settled: Settled,
    /// How many waited for that.
    pub(crate) waiters: usize,
    /// Of the token that is held from then on.
    pub(crate) generation: Option<Generation>,
}

impl Gate {
    pub(crate) fn new(life: Lifecycle, holding: Holding) -> Self {
        let (waiting, onlookers) = (WaitList::default(), Onlookers::default());
        Self {
            state: Mutex::new(State { life, holding, waiting, holder: None, onlookers }),
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
        let onlookers = state.look(now);
        drop(state);
        drop(unparked);
        onlookers.wake();
        decision
    }

    /// Ask the machine for something that nobody has to wait for.
    pub(crate) fn ask<T>(&self, now: &Now, ask: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let answer = ask(&mut state);
        self.publish(&mut state, now);
        let onlookers = state.look(now);
        drop(state);
        onlookers.wake();
        answer
    }

    /// As [`ask`](Self::ask), and let everyone look again: waiters, and the holder of a ticket.
    pub(crate) fn change<T>(&self, now: &Now, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        // Let go after the lock: one that is replaced may be the program's own.
        let errors = state.life.errors();
        let answer = change(&mut state);
        self.publish(&mut state, now);
        let waiting = state.waiting.take();
        let holder = state.holder.take();
        let onlookers = state.look(now);
        drop(state);
        waiting.wake();
        holder.into_iter().for_each(Waker::wake);
        onlookers.wake();
        drop(errors);
        answer
    }

    /// Use the ticket up. `holding` runs under the same lock, and only if the ticket still counts.
    pub(crate) fn finish(
        &self,
        ticket: Ticket,
        outcome: Outcome,
        now: &Now,
        hold: impl FnOnce(&mut Holding),
    ) -> Finished {
        self.change(now, |state| {
            if state.life.owns(&ticket) {
                hold(&mut state.holding);
            }
            let settled = state.life.finish(ticket, outcome, now);
            state.finished(settled)
        })
    }

    pub(crate) fn abandon(&self, ticket: &Ticket, now: &Now) -> Finished {
        self.change(now, |state| {
            let settled = state.life.abandon(ticket);
            state.finished(settled)
        })
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

    /// The status, and when time alone makes it another. Whoever was told the same already is parked.
    pub(crate) fn poll_status(
        &self,
        place: &mut Place,
        told: Option<Status>,
        cx: &Context<'_>,
        now: &Now,
    ) -> (Status, Option<Instant>) {
        let mut state = self.lock();
        let onlookers = state.look(now);
        let status = Status::of(&state.life, now);
        let until = Status::lasts(&state.life, now);
        let unparked =
            (told == Some(status)).then(|| state.onlookers.park(place, status, cx.waker()));
        drop(state);
        drop(unparked);
        onlookers.wake();
        (status, until)
    }

    /// Give a place among the onlookers up.
    pub(crate) fn look_away(&self, place: &mut Place) {
        let waker = self.lock().onlookers.leave(place);
        drop(waker);
    }

    /// Give a place up.
    pub(crate) fn leave(&self, place: &mut Place) {
        if place.is_taken() {
            let waker = self.lock().waiting.leave(place);
            // Dropped after the lock: dropping a waker may drop its task.
            drop(waker);
        }
    }

    #[cfg(all(test, reauth_loom))]
    fn waiting(&self) -> usize {
        self.lock().waiting.len()
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

impl State {
    fn finished(&self, settled: Settled) -> Finished {
        Finished { settled, waiters: self.waiting.len(), generation: self.life.generation() }
    }

    /// Who must be told, once the lock is released, that the status is another.
    fn look(&mut self, now: &Now) -> Woken {
        let life = &self.life;
        self.onlookers.look(|| Status::of(life, now))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let onlookers = self.lock().onlookers.dismiss();
        onlookers.wake();
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}
