//! One task's wait for a token: it parks at the gate, has a patience of its own, and leaves freely.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::{self, Handle},
    time::Sleep,
};

use crate::{
    RefreshError,
    clock::Now,
    error::Kind,
    lifecycle::{Decision, Endpoint, Generation, Lifecycle, Serial, Ticket},
    session::{gate::Place, shared::Shared},
};

/// How many refreshes one waiter begins anew because a runtime dropped the one before.
const LAUNCHES: u8 = 3;

pin_project! {
    /// A wait that can be dropped at any time: its place in the list goes with it.
    pub(crate) struct Waiting {
        shared: Arc<Shared>,
        place: Place,
        launches: u8,
        patience: Option<Patience>,
        #[pin]
        timer: Option<Sleep>,
    }

    impl PinnedDrop for Waiting {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            this.shared.gate.leave(this.place);
        }
    }
}

/// How a wait ends well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Go {
    pub(crate) generation: Generation,
    /// When that was so.
    pub(crate) now: Now,
}

/// When a wait ends, and the runtime of its timer.
#[derive(Clone, Copy, Debug)]
struct Patience {
    end: Instant,
    runtime: runtime::Id,
}

impl Waiting {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, place: Place::default(), launches: 0, patience: None, timer: None }
    }

    /// Whether a token can be attached at once. Where that takes a refresh, the first poll begins it: a
    /// refresh runs the program's code, and whoever calls may hold a lock, or a turn of the inner
    /// service, that this code needs.
    pub(crate) fn is_admitted(&self) -> bool {
        let now = self.shared.clock.now();
        let decision = self.shared.gate.ask(&now, |state| {
            let decision = state.life.admit(None, &now);
            if let Decision::Refresh(ticket) = &decision {
                state.life.abandon(ticket);
            }
            decision
        });
        match decision {
            Decision::Go(_) => true,
            Decision::GoAndRefresh(_, ticket) => {
                let _ = self.shared.launch(ticket);
                true
            }
            Decision::Refresh(_) | Decision::Wait(_) | Decision::Fail(_) => false,
        }
    }

    /// Until a token can be attached.
    pub(crate) fn poll_admitted(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Go, RefreshError>> {
        self.poll(cx, |life, waited, now| life.admit(waited, now))
    }

    /// Until there is another token than the one of generation `seen`, which was refused.
    pub(crate) fn poll_renewed(
        self: Pin<&mut Self>,
        seen: Generation,
        endpoint: Option<Endpoint>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Go, RefreshError>> {
        self.poll(cx, |life, waited, now| life.challenge(seen, endpoint, waited, now))
    }

    /// Whether this wait saw a refresh run.
    pub(crate) fn waited(&self) -> bool {
        self.place.has_waited()
    }

    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut ask: impl FnMut(&mut Lifecycle, Option<Serial>, &Now) -> Decision,
    ) -> Poll<Result<Go, RefreshError>> {
        loop {
            let this = self.as_mut().project();
            let now = this.shared.clock.now();
            let ask = |life: &mut Lifecycle, waited| ask(life, waited, &now);
            match this.shared.gate.poll(this.place, cx, &now, ask) {
                Decision::Go(generation) => return Poll::Ready(Ok(Go { generation, now })),
                Decision::Fail(error) => return Poll::Ready(Err(error)),
                Decision::GoAndRefresh(generation, ticket) => {
                    // Without a runtime the request still has its good token.
                    let _ = this.shared.launch(ticket);
                    return Poll::Ready(Ok(Go { generation, now }));
                }
                Decision::Wait(_) if this.shared.is_serving() => {
                    return self.give_up(RefreshError::new(Kind::Reentrant));
                }
                Decision::Wait(_) => return self.poll_patience(&now, cx),
                Decision::Refresh(ticket) => {
                    if let Err(error) = self.as_mut().begin(ticket) {
                        return self.give_up(error);
                    }
                    // The task may have been dropped at once, and given the ticket back: ask again.
                }
            }
        }
    }

    fn begin(self: Pin<&mut Self>, ticket: Ticket) -> Result<(), RefreshError> {
        let this = self.project();
        if *this.launches == LAUNCHES {
            let now = this.shared.clock.now();
            this.shared.gate.abandon(&ticket, &now);
            return Err(RefreshError::new(Kind::Abandoned));
        }
        *this.launches += 1;
        this.shared.begin(ticket)
    }

    fn poll_patience(
        mut self: Pin<&mut Self>,
        now: &Now,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Go, RefreshError>> {
        let mut this = self.as_mut().project();
        let shared = &**this.shared;
        let end = this
            .patience
            .map_or_else(|| now.later(shared.settings.patience), |patience| patience.end);
        // The runtime that this is polled on goes on, whatever becomes of the one that refreshes.
        let Some(runtime) = Handle::try_current().ok().or_else(|| shared.runtime()) else {
            return match this.patience {
                None => self.give_up(RefreshError::new(Kind::NoRuntime)),
                // Nothing wakes it but the refresh.
                Some(_) if now.mono < end => Poll::Pending,
                Some(_) => self.give_up(RefreshError::new(Kind::TimedOut)),
            };
        };
        // A timer panics once its runtime has ended, and a request may move to another.
        if this.patience.is_none_or(|patience| patience.runtime != runtime.id()) {
            let entered = runtime.enter();
            this.timer.set(Some(tokio::time::sleep_until(end.into())));
            drop(entered);
            *this.patience = Some(Patience { end, runtime: runtime.id() });
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            ready!(timer.poll(cx));
        }
        self.give_up(RefreshError::new(Kind::TimedOut))
    }

    fn give_up(self: Pin<&mut Self>, error: RefreshError) -> Poll<Result<Go, RefreshError>> {
        let this = self.project();
        this.shared.gate.leave(this.place);
        Poll::Ready(Err(error))
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("place", &self.place).finish_non_exhaustive()
    }
}
