//! Carries one ticket through one refresh, on a task of its own (but perhaps for the first step).
//!
//! ```text
//! lease → read again ┬─ newer tokens ──────────────────────────────▶ adopt ─┐
//!                    ├─ ours ─▶ mark ─▶ spend ─┬─ new tokens ─▶ save ───────┤▶ publish, wake
//!                    │                         ├─ verdict ─▶ read ─▶ bury ──┤
//!                    │                         └─ failure ─▶ clear the mark ┤
//!                    └─ tombstone, foreign ─────────────────────────────────┘
//! ```
//!
//! What can be dropped where: the task ends early only with its runtime or by a panic. Before the tokens
//! came the ticket is given back; from then on they are kept in memory and used, saved or not.

mod keep;
mod load;
mod login;
mod refresh;
mod spend;

use std::{pin::pin, sync::Arc, task::Poll, time::Duration, time::Instant};

use crate::{
    Expected, RefreshError, StoreError, TokenSet,
    error::Kind,
    lifecycle::{Outcome, Purpose, Settled, Ticket},
    session::{
        calls::revoke,
        events::{Event, RefreshCause},
        holding::{Kept, Owed},
        observe::Watch,
        owed,
        shared::Shared,
    },
};

pub(crate) struct Flight {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    deadline: Instant,
    /// Tokens that came and are not published yet: whatever happens now, they are not lost.
    minted: Option<(Kept, Outcome)>,
    /// Tokens that came and lost, to be revoked after everybody was woken.
    revoked: Option<TokenSet>,
    watch: Watch,
}

/// How a flight ends.
enum Landing {
    /// With tokens to hold.
    Hold(Kept, Outcome),
    /// With none.
    Bare(Outcome),
    /// The session is over; `owed` says what could not be buried in the store.
    Over { error: RefreshError, owed: Option<Expected> },
    /// The ticket was taken away.
    Lost,
}

impl From<RefreshError> for Landing {
    fn from(error: RefreshError) -> Self {
        Self::Bare(Outcome::Failed(error))
    }
}

impl Flight {
    pub(crate) fn new(shared: Arc<Shared>, ticket: Ticket) -> Self {
        let now = shared.clock.now();
        let deadline = now.later(shared.settings.flight);
        let watch = Watch::new(RefreshCause::of(ticket.purpose()), &now);
        Self { shared, ticket: Some(ticket), deadline, minted: None, revoked: None, watch }
    }

    pub(crate) fn run(self) -> impl Future<Output = Result<(), RefreshError>> + Send {
        self.watch.span().around(self.fly())
    }

    async fn fly(mut self) -> Result<(), RefreshError> {
        let landing = match self.ticket.as_ref().map(Ticket::purpose) {
            Some(Purpose::Load) => Ok(self.load().await),
            Some(Purpose::LookUp) => self.look_up().await,
            _ => Ok(self.refresh().await),
        };
        // A look that failed changes nothing, and whoever asked for it is told.
        let (landing, failure) = match landing {
            Ok(landing) => (landing, None),
            Err(error) => {
                self.watch.could_not_look(&error);
                (Landing::Bare(Outcome::Unchanged), Some(error))
            }
        };
        let landed = self.land(landing);
        if let (Some(tokens), Some(runtime)) = (self.revoked.take(), self.shared.runtime()) {
            let shared = self.shared.clone();
            runtime.spawn(async move { revoke(&shared, tokens).await });
        }
        failure.map_or(landed, Err)
    }

    /// The time left before the last moment to send anything.
    fn spare(&self) -> Duration {
        let settings = &self.shared.settings;
        let listening = settings.answer.min(settings.flight / 2);
        self.shared.until(self.deadline).saturating_sub(listening)
    }

    fn owns(&self) -> bool {
        let now = self.shared.clock.now();
        self.ticket
            .as_ref()
            .is_some_and(|ticket| self.shared.gate.ask(&now, |state| state.life.owns(ticket)))
    }

    /// `None` once the ticket was taken away.
    async fn unless_disowned<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            match &self.ticket {
                Some(ticket) => self.shared.gate.poll_disowned(ticket, cx).map(|()| None),
                None => Poll::Ready(None),
            }
        })
        .await
    }

    fn land(&mut self, landing: Landing) -> Result<(), RefreshError> {
        let Some(ticket) = self.ticket.take() else { return Ok(()) };
        let shared = &self.shared;
        let cause = RefreshCause::of(ticket.purpose());
        let now = shared.clock.now();
        let mut unsaved = false;
        let failure = match &landing {
            Landing::Bare(Outcome::Failed(error)) => Some(error.clone()),
            _ => None,
        };
        let is_adopted = matches!(landing, Landing::Hold(_, Outcome::Adopted(_)));
        let finished = match landing {
            Landing::Hold(kept, outcome) => {
                unsaved = !kept.saved;
                shared.gate.finish(ticket, outcome, &now, |holding| holding.hold(kept))
            }
            Landing::Bare(outcome) => shared.gate.finish(ticket, outcome, &now, |_| {}),
            Landing::Over { error, owed } => {
                unsaved = owed.is_some();
                shared.gate.finish(ticket, Outcome::Over(error), &now, |holding| {
                    holding.discard(owed.map(Owed::Bury));
                })
            }
            Landing::Lost => shared.gate.abandon(&ticket, &now),
        };
        if unsaved {
            owed::pay_later(shared);
        }
        self.watch.landed(&finished, is_adopted, failure.as_ref(), &now);
        match finished.settled {
            Settled::Disowned | Settled::Abandoned => Ok(()),
            // It changed nothing, and whoever asked for it is told all the same.
            Settled::Quiet => failure.map_or(Ok(()), Err),
            Settled::Published => {
                shared.tell(cause.map_or(Event::LoggedIn, Event::Refreshed));
                Ok(())
            }
            Settled::Failed(error) => {
                shared.tell(Event::RefreshFailed(error.clone()));
                Err(error)
            }
            Settled::Over(error) => {
                match error.kind() {
                    Kind::Rejected => shared.tell(Event::SessionEnded(error.clone())),
                    Kind::LoggedOut => shared.tell(Event::LoggedOut),
                    _ => {}
                }
                Err(error)
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let landing = match self.minted.take() {
            Some((kept, outcome)) => {
                self.shared.tell(Event::PersistFailed(StoreError::unavailable()));
                Landing::Hold(kept, outcome)
            }
            None if std::thread::panicking() => RefreshError::new(Kind::Panicked).into(),
            None => Landing::Lost,
        };
        // The next request begins another refresh; there is nobody to tell of this one.
        let _ = self.land(landing);
    }
}

fn over(kind: Kind) -> Landing {
    Landing::Over { error: RefreshError::new(kind), owed: None }
}

fn unreadable(error: StoreError) -> RefreshError {
    RefreshError::new(Kind::Store).with_source(error)
}
