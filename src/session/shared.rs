//! What the handles of a session, its flights and its waiters have in common.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::oneshot,
};

use crate::{
    Clock, Origins, RefreshError, TokenSet,
    clock::{Deadline, Now},
    error::Kind,
    extension::SessionId,
    lifecycle::{Life, Lifecycle, Ticket},
    session::{
        events::{Event, Listeners},
        flight::Flight,
        gate::Gate,
        holding::{Holding, Kept},
        observe,
        settings::Settings,
    },
    source::DynSource,
    store::{DynStore, Record},
    token::Lifetime,
};

pub(crate) struct Shared {
    pub(crate) gate: Gate,
    pub(crate) source: Box<dyn DynSource>,
    pub(crate) store: Box<dyn DynStore>,
    pub(crate) clock: Clock,
    pub(crate) origins: Origins,
    pub(crate) settings: Settings,
    pub(crate) listeners: Listeners,
    /// Logins, logouts and what is owed go to the store one after the other, so that the last one asked
    /// for is the last one written. No refresh ever takes this turn. Made when it is first taken.
    turn: OnceLock<Arc<tokio::sync::Mutex<()>>>,
    runtime: Option<Handle>,
}

tokio::task_local! {
    /// The session whose source is being polled.
    static SERVING: SessionId;
}

impl Shared {
    pub(crate) fn new(
        source: Box<dyn DynSource>,
        store: Box<dyn DynStore>,
        clock: Clock,
        origins: Origins,
        settings: Settings,
        runtime: Option<Handle>,
    ) -> Self {
        Self {
            gate: Gate::new(Lifecycle::new(settings.policy.clone()), Holding::default()),
            source,
            store,
            clock,
            origins,
            settings,
            listeners: Listeners::default(),
            turn: OnceLock::new(),
            runtime,
        }
    }

    /// The lifetime of a seed is counted from when it was handed in.
    pub(crate) fn plant(&self, seed: TokenSet, now: Now) {
        let (seed, _) = self.life_of_kept(seed, now);
        self.gate.ask(&now, |state| state.holding.plant(seed));
    }

    pub(crate) fn turn(&self) -> &Arc<tokio::sync::Mutex<()>> {
        self.turn.get_or_init(Arc::default)
    }

    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.runtime.clone().or_else(|| Handle::try_current().ok())
    }

    pub(crate) fn tell(&self, event: Event) {
        observe::told(&event);
        self.listeners.tell(&event);
    }

    /// Run the refresh on a task of its own.
    ///
    /// Without a runtime the ticket is given back.
    pub(crate) fn launch(
        self: &Arc<Self>,
        ticket: Ticket,
    ) -> Result<tokio::task::JoinHandle<Result<(), RefreshError>>, RefreshError> {
        let flight = Flight::new(self.clone(), ticket);
        match self.runtime() {
            Some(runtime) => Ok(runtime.spawn(flight.run())),
            None => Err(RefreshError::new(Kind::NoRuntime)),
        }
    }

    /// As [`launch`](Self::launch), for a caller that waits.
    ///
    /// A spawned task queues behind whatever else is ready, and where thousands of requests are refused
    /// at once that is all of them. So on a runtime with one thread the refresh takes its first step
    /// here. Beneath it lies the program's code: if it blocks, it blocks a thread that waits for it, which
    /// is the runtime's own unless the caller is polled elsewhere; a panic ends here, and the flight tells
    /// everyone of it.
    pub(crate) fn begin(self: &Arc<Self>, ticket: Ticket) -> Result<(), RefreshError> {
        let mut flight = Box::pin(Flight::new(self.clone(), ticket).run());
        let Some(runtime) = self.runtime() else { return Err(RefreshError::new(Kind::NoRuntime)) };
        if self.runtime.is_none() && runtime.runtime_flavor() == RuntimeFlavor::CurrentThread {
            let (hand_over, handed) = oneshot::channel();
            let task = runtime.spawn(async move {
                if let Ok(flight) = handed.await {
                    let flight: Pin<Box<_>> = flight;
                    let _ = flight.await;
                }
            });
            // A runtime that has ended drops its tasks at once: there the step would spend a token whose
            // answer nobody hears. The ticket is given back.
            if task.is_finished() {
                return Ok(());
            }
            // What wakes this waker meanwhile is seen when the task polls the flight.
            let cx = &mut Context::from_waker(Waker::noop());
            let step = catch_unwind(AssertUnwindSafe(|| flight.as_mut().poll(cx)));
            if matches!(step, Ok(Poll::Pending)) {
                // If the runtime has ended meanwhile, the flight is dropped here as its task would be.
                let _ = hand_over.send(flight);
            }
            return Ok(());
        }
        runtime.spawn(flight);
        Ok(())
    }

    /// Whether the caller is this session's own source.
    pub(crate) fn is_serving(&self) -> bool {
        SERVING.try_with(|serving| *serving == self.id()).unwrap_or(false)
    }

    pub(crate) async fn serving<T>(&self, source: impl Future<Output = T>) -> T {
        SERVING.scope(self.id(), source).await
    }

    #[inline]
    pub(crate) fn id(&self) -> SessionId {
        SessionId(std::ptr::from_ref(self).addr())
    }

    /// When tokens from a token endpoint die: counted from when their request was sent.
    pub(crate) fn life_of_minted(&self, tokens: TokenSet, sent: Now) -> (TokenSet, Life) {
        let lifetime = tokens.lifetime().or_else(|| self.claimed(&tokens, true));
        self.life(tokens, lifetime, sent)
    }

    /// When tokens that were handed in or loaded die: by the wall clock, unless they say how long.
    pub(crate) fn life_of_kept(&self, tokens: TokenSet, now: Now) -> (TokenSet, Life) {
        let lifetime = tokens.lifetime().or_else(|| self.claimed(&tokens, false));
        self.life(tokens, lifetime, now)
    }

    fn life(&self, tokens: TokenSet, lifetime: Option<Lifetime>, from: Now) -> (TokenSet, Life) {
        let expiry = match lifetime {
            Some(Lifetime::In(lifetime)) => {
                Deadline::after(from, lifetime).map(|at| (at, lifetime))
            }
            Some(Lifetime::At(wall)) => Deadline::at(from, wall)
                .map(|at| (at, wall.duration_since(from.wall).unwrap_or_default())),
            None => None,
        };
        match expiry {
            Some((at, lifetime)) => {
                let life = Life::new(&self.settings.policy, at, lifetime, fastrand::f64());
                (tokens.expires_at(at.wall), life)
            }
            None => (tokens, Life::UNKNOWN),
        }
    }

    /// What a JWT says of itself, if the program asked to look.
    #[cfg(feature = "jwt")]
    fn claimed(&self, tokens: &TokenSet, minted: bool) -> Option<Lifetime> {
        if !self.settings.expiry_from_jwt {
            return None;
        }
        let claims = crate::jwt::read(tokens.access())?;
        Some(match claims.issued {
            // Just minted: no need for issuer and client to agree on what time it is.
            Some(issued) if minted => {
                Lifetime::In(claims.expiry.duration_since(issued).unwrap_or_default())
            }
            _ => Lifetime::At(claims.expiry),
        })
    }

    #[cfg(not(feature = "jwt"))]
    fn claimed(&self, _: &TokenSet, _: bool) -> Option<Lifetime> {
        None
    }

    pub(crate) fn record(&self, kept: &Kept) -> Record {
        Record::new(kept.tokens.clone())
            .issuer(self.settings.issuer.as_deref())
            .account(self.settings.account.as_deref())
            .family(kept.family)
    }

    /// Whether a record is this session's: the refresh token goes to its own issuer only.
    pub(crate) fn owns(&self, record: &Record) -> bool {
        let account = self.settings.account.as_deref();
        record.issued_by() == self.settings.issuer.as_deref()
            && (account.is_none() || record.belongs_to() == account)
    }

    /// `None` if it took longer than `limit`.
    ///
    /// Without a runtime there is no timer, and the call takes as long as it takes.
    pub(crate) async fn within<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        if Handle::try_current().is_err() {
            return Some(future.await);
        }
        tokio::time::timeout(limit, future).await.ok()
    }

    pub(crate) fn until(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(self.clock.now().mono)
    }
}
