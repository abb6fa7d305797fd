//! One task's wait for a token: it parks at the gate, has a patience of its own, and leaves freely.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

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

/// A wait that can be dropped at any time: its place in the list goes with it.
pub(crate) struct Waiting {
    shared: Arc<Shared>,
    place: Place,
    patience: Option<Patience>,
    launches: u8,
}

/// When a wait ends, and the timer of the runtime that it was last polled on.
struct Patience {
    end: Instant,
    runtime: runtime::Id,
    timer: Pin<Box<Sleep>>,
}

impl Waiting {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, place: Place::default(), patience: None, launches: 0 }
    }

    /// Until a token can be attached.
    pub(crate) fn poll_admitted(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Generation, RefreshError>> {
        self.poll(cx, |life, waited, now| life.admit(waited, now))
    }

    /// Until there is another token than the one of generation `seen`, which was refused.
    pub(crate) fn poll_renewed(
        &mut self,
        seen: Generation,
        endpoint: Option<Endpoint>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Generation, RefreshError>> {
        self.poll(cx, |life, waited, now| life.challenge(seen, endpoint, waited, now))
    }

    /// Whether this wait saw a refresh run.
    pub(crate) fn waited(&self) -> bool {
        self.place.has_waited()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut ask: impl FnMut(&mut Lifecycle, Option<Serial>, &Now) -> Decision,
    ) -> Poll<Result<Generation, RefreshError>> {
        loop {
            let now = self.shared.clock.now();
            let decision = self
                .shared
                .gate
                .poll(&mut self.place, cx, &now, |life, waited| ask(life, waited, &now));
            match decision {
                Decision::Go(generation) => return Poll::Ready(Ok(generation)),
                Decision::Fail(error) => return Poll::Ready(Err(error)),
                Decision::GoAndRefresh(generation, ticket) => {
                    // Without a runtime the request still has its good token.
                    let _ = self.shared.launch(ticket);
                    return Poll::Ready(Ok(generation));
                }
                Decision::Wait(_) if self.shared.is_serving() => {
                    return self.give_up(RefreshError::new(Kind::Reentrant));
                }
                Decision::Wait(_) => return self.poll_patience(cx),
                Decision::Refresh(ticket) => {
                    if let Err(error) = self.begin(ticket) {
                        return self.give_up(error);
                    }
                    // The task may have been dropped at once, and given the ticket back: ask again.
                }
            }
        }
    }

    fn begin(&mut self, ticket: Ticket) -> Result<(), RefreshError> {
        if self.launches == LAUNCHES {
            let now = self.shared.clock.now();
            self.shared.gate.abandon(&ticket, &now);
            return Err(RefreshError::new(Kind::Abandoned));
        }
        self.launches += 1;
        self.shared.launch(ticket).map(drop)
    }

    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<Result<Generation, RefreshError>> {
        let shared = &self.shared;
        let now = shared.clock.now();
        let end = match &self.patience {
            Some(patience) => patience.end,
            None => now.later(shared.settings.patience),
        };
        // The runtime that this is polled on goes on, whatever becomes of the one that refreshes.
        let runtime = Handle::try_current().ok().or_else(|| shared.runtime());
        match (runtime, &mut self.patience) {
            (None, None) => return self.give_up(RefreshError::new(Kind::NoRuntime)),
            // Nothing wakes it but the refresh.
            (None, Some(_)) if now.mono < end => return Poll::Pending,
            (None, Some(_)) => {}
            (Some(runtime), Some(patience)) if patience.runtime == runtime.id() => {
                ready!(patience.timer.as_mut().poll(cx));
            }
            // A timer panics once its runtime has ended, and a request may move to another.
            (Some(runtime), patience) => {
                let entered = runtime.enter();
                let timer = Box::pin(tokio::time::sleep(shared.until(end)));
                drop(entered);
                let id = runtime.id();
                let patience = patience.insert(Patience { end, runtime: id, timer });
                ready!(patience.timer.as_mut().poll(cx));
            }
        }
        self.give_up(RefreshError::new(Kind::TimedOut))
    }

    fn give_up(&mut self, error: RefreshError) -> Poll<Result<Generation, RefreshError>> {
        self.shared.gate.leave(&mut self.place);
        Poll::Ready(Err(error))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.gate.leave(&mut self.place);
    }
}

impl std::fmt::Debug for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Waiting").field("place", &self.place).finish_non_exhaustive()
    }
}
