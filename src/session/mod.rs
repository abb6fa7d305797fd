//! One session: its tokens, the one refresh that renews them, and the handle that everybody shares.

mod builder;
mod calls;
mod events;
mod flight;
pub(crate) mod gate;
mod holding;
mod look;
pub(crate) mod observe;
mod owed;
mod reading;
mod seam;
mod select;
mod settings;
mod shared;
mod status;
mod status_stream;
mod unsaved;
mod waiting;

use std::{fmt, pin::pin, sync::Arc};

#[cfg(feature = "metrics")]
pub use self::observe::describe_metrics;
pub use self::{
    builder::{BuildError, SessionBuilder},
    events::{Event, Events, RefreshCause},
    select::SelectSession,
    settings::{AmbiguousPolicy, OutagePolicy},
    status::Status,
    status_stream::StatusStream,
    unsaved::Unsaved,
};
use self::{flight::Flight, gate::Place, holding::Owed, shared::Shared};
pub(crate) use self::{
    seam::Seen,
    waiting::{Go, Waiting},
};
use crate::{
    AccessToken, RefreshError, StoreError, TokenSet, TokenSource,
    error::Kind,
    lifecycle::{Decision, Generation},
};

/// One session with one authorization server: a cheap handle that both layers and the program share.
///
/// Whatever many requests need, one refresh runs at a time. It runs on a task of its own, on the current
/// tokio runtime (which needs its timers enabled) or on one given to the builder, and outlives every
/// request that waits for it. With a valid token neither the layers nor [`token`](Self::token) and
/// [`peek`](Self::peek) take a lock, read the store or begin a task.
///
/// Every future here can be dropped at any await. A refresh, a login or a logout that was begun goes on.
///
/// ```
/// use tower_reauth::{AccessToken, Held, RefreshError, Session, TokenSet, source_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let source = source_fn(|_: Held| async {
///     let token = AccessToken::new("fresh").map_err(|_| RefreshError::misconfigured())?;
///     Ok(TokenSet::new(token))
/// })
/// .from_nothing();
/// let session = Session::builder(source).origin("https://api.example.com").build()?;
///
/// assert!(session.peek().is_none());
/// assert_eq!(session.token().await?.expose_secret(), "fresh");
/// session.close().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Handle>);

/// What all handles share, apart from what flights hold on to: dropped with the last handle.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        let unfinished = self
            .shared
            .gate
            .ask(&now, |state| state.life.flight().is_some() || state.holding.owed().is_some());
        if unfinished {
            self.shared.tell(Event::DroppedInFlight);
        }
    }
}

impl Session {
    /// A session whose tokens come from `source`.
    pub fn builder(source: impl TokenSource) -> SessionBuilder {
        SessionBuilder::new(source)
    }

    /// A valid access token, refreshed first if need be: for use outside HTTP, and before the first
    /// request of a client that has [`AuthLayer`](crate::AuthLayer) alone.
    ///
    /// It may be dropped at any await; a refresh that it began goes on.
    ///
    /// # Errors
    ///
    /// A [`RefreshError`] if there is none to be had now, or the refresh takes longer than the session's
    /// patience.
    pub async fn token(&self) -> Result<AccessToken, RefreshError> {
        loop {
            if let Some(token) = self.calm_token() {
                return Ok(token);
            }
            let mut waiting = pin!(self.waiting());
            std::future::poll_fn(|cx| waiting.as_mut().poll_admitted(cx)).await?;
            if let Some(token) = self.peek() {
                return Ok(token);
            }
        }
    }

    /// The newest access token, if it has not expired: cached only, never waits.
    #[must_use]
    pub fn peek(&self) -> Option<AccessToken> {
        let now = self.shared().clock.now();
        let snapshot = self.shared().gate.snapshot();
        let held = snapshot.as_ref().filter(|held| !held.is_dead(&now))?;
        Some(held.token.clone())
    }

    /// Another token than `refused`, which some server no longer accepts.
    ///
    /// Compare-and-swap: if the session holds a newer one already, that is the answer and nothing is
    /// refreshed. It may be dropped at any await; a refresh that it began goes on.
    ///
    /// # Errors
    ///
    /// A [`RefreshError`] if there is no other to be had now, or the refresh takes longer than the
    /// session's patience.
    pub async fn refresh_after(&self, refused: &AccessToken) -> Result<AccessToken, RefreshError> {
        let mut seen = self.generation_of(refused);
        if seen.is_none() {
            let token = self.token().await?;
            if token != *refused {
                return Ok(token);
            }
            // It was in the store, or in the builder's hands.
            seen = self.generation_of(refused);
        }
        if let Some(seen) = seen {
            let mut waiting = pin!(self.waiting());
            std::future::poll_fn(|cx| waiting.as_mut().poll_renewed(seen, None, cx)).await?;
        }
        self.token().await
    }

    fn generation_of(&self, token: &AccessToken) -> Option<Generation> {
        let now = self.shared().clock.now();
        self.shared().gate.ask(&now, |state| {
            let held = state.holding.access() == Some(token);
            state.life.generation().filter(|_| held)
        })
    }

    /// Begin anew with these tokens, whatever was before: they are saved, then used.
    ///
    /// A refresh in flight loses: its result is revoked, and whoever waits for it gets the new token.
    /// Once polled the login goes on even if this future is dropped.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] if they could not be saved within the
    /// [`store_timeout`](SessionBuilder::store_timeout), 5 s. They are used all the same, from then on, and
    /// saving is tried again. The error comes after twice that at most, where an earlier login or logout
    /// waits for the store too.
    pub async fn login(&self, tokens: TokenSet) -> Result<(), StoreError> {
        let shared = self.shared();
        let ticket = shared.gate.change(&shared.clock.now(), |state| state.life.log_in());
        detached(shared, Flight::with_login(shared.clone(), ticket, tokens).log_in()).await
    }

    /// Forget the tokens, bury the record in the store, and revoke them where the source can.
    ///
    /// Memory is cleared and waiters are woken as soon as this is polled; the rest goes on even if this
    /// future is dropped: by default each call of the store takes 5 s at most, and each of the issuer 10 s.
    /// With a source that spends no refresh token it is local: nothing is buried, and nothing revoked.
    ///
    /// # Errors
    ///
    /// A [`StoreError`] if the record could not be buried. That is tried again, unless the session is
    /// closed; until it succeeds another process may still use the record.
    pub async fn logout(&self) -> Result<(), StoreError> {
        let shared = self.shared();
        let bury = shared.source.spends_refresh_token();
        let now = shared.clock.now();
        let (held, seed, first) = shared.gate.change(&now, |state| {
            let first = !state.life.over_because().is_some_and(RefreshError::is_logged_out);
            state.life.log_out(&now);
            (state.holding.log_out(bury), state.holding.uproot(), first)
        });
        if first {
            shared.tell(Event::LoggedOut);
        }
        let owner = shared.clone();
        detached(shared, async move {
            let buried = if bury {
                owed::log_out(&owner).await
            } else {
                owed::disregard(&owner).await;
                Ok(None)
            };
            // What this process never loaded, or another one refreshed, is revoked too; where there was no
            // record, what the session would have begun with.
            let found = buried.as_ref().ok().cloned().flatten().or(seed);
            let found = found
                .filter(|found| held.as_ref().is_none_or(|held| held.refresh() != found.refresh()));
            // A neighbour of a source that spends nothing may hold the same access token, and keeps it.
            for tokens in held.into_iter().chain(found).filter(|_| bury) {
                calls::revoke(&owner, tokens).await;
            }
            buried.map(drop)
        })
        .await
    }

    /// Look at the store now: take newer tokens from it, or notice that the session was ended there.
    ///
    /// A request does so by itself when it needs to; this is for programs that idle. It may be dropped at
    /// any await; the look goes on.
    ///
    /// # Errors
    ///
    /// A [`RefreshError`] if the store cannot be read, or what it holds cannot be used.
    pub async fn reload(&self) -> Result<(), RefreshError> {
        let shared = self.shared();
        loop {
            let now = shared.clock.now();
            match shared.gate.ask(&now, |state| state.life.reload()) {
                Decision::Refresh(ticket) => {
                    let looked = shared.launch(ticket)?.await;
                    return looked.unwrap_or_else(|_| Err(RefreshError::new(Kind::Abandoned)));
                }
                Decision::Wait(_) if shared.is_serving() => {
                    return Err(RefreshError::new(Kind::Reentrant));
                }
                Decision::Wait(_) => self.landed().await,
                Decision::Fail(error) => return Err(error),
                Decision::Go(_) | Decision::GoAndRefresh(..) => return Ok(()),
            }
        }
    }

    /// What happens from now on, as a stream.
    ///
    /// ```no_run
    /// use futures::StreamExt;
    /// use tower_reauth::{Event, Session};
    ///
    /// # async fn run(session: Session) {
    /// let mut events = session.events();
    /// while let Some(event) = events.next().await {
    ///     if let Event::SessionEnded(error) = event {
    ///         println!("please log in again: {error}");
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn events(&self) -> Events {
        self.shared().listeners.listen()
    }

    /// What the session is doing just now.
    #[must_use]
    pub fn status(&self) -> Status {
        let now = self.shared().clock.now();
        self.shared().gate.ask(&now, |state| Status::of(&state.life, &now))
    }

    /// What the session is doing, as a stream: the status of now at once, then each other one that it comes
    /// to. For a user interface.
    ///
    /// Whoever is slow sees the newest: nothing is queued, and a status that came and went unseen is
    /// skipped. While it is polled on a tokio runtime (with timers) the stream has one of its own, so it
    /// also tells what time alone brings about: that a token expired, that a cool-down is over. A step of
    /// the wall clock is seen with the next thing that happens.
    ///
    /// It ends when the session and its last refresh are gone, and keeps neither alive. Dropping it is fine
    /// at any time, and so is dropping the future of its next item.
    ///
    /// ```
    /// use futures::StreamExt;
    /// use tower_reauth::Status;
    /// # use tower_reauth::{Held, RefreshError, Session, TokenSet, source_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), tower_reauth::BoxError> {
    /// # let source = source_fn(|_: Held| async { Err::<TokenSet, _>(RefreshError::transient()) });
    /// # let session = Session::builder(source).origin("https://api.example.com").build()?;
    /// let mut status = session.status_stream();
    /// assert_eq!(status.next().await, Some(Status::Loading));
    /// session.logout().await?;
    /// assert_eq!(status.next().await, Some(Status::LoggedOut));
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn status_stream(&self) -> StatusStream {
        StatusStream::new(self.shared())
    }

    /// Begin no further refresh, for all clones: wait for the one in flight, and try once more to save
    /// what is owed.
    ///
    /// The token that is held serves until it expires. It takes no longer than a refresh and a late save may
    /// (by default 60 s and three times 5 s; twice 60 s where nobody drives the session's runtime). A burial
    /// that is owed may take as long as the [`logout`](Self::logout) itself. It may be dropped at any await.
    ///
    /// # Errors
    ///
    /// [`Unsaved`] if the store still does not have the newest tokens, or a tombstone: the tokens are in
    /// the error, for the program to keep.
    pub async fn close(&self) -> Result<(), Unsaved> {
        let shared = self.shared();
        shared.gate.change(&shared.clock.now(), |state| state.life.close());
        if !shared.is_serving() {
            // A flight ends in its time, unless nobody drives its runtime.
            let limit = shared.settings.flight.saturating_mul(2);
            let _ = Shared::within(limit, self.landed()).await;
        }
        let paid = owed::pay_once(shared).await;
        if !shared.is_serving() {
            // The program may end right after this, and nobody should have to wait for its lease then.
            let _ = calls::bounded(shared.settings.store, shared.store.settle()).await;
        }
        let now = shared.clock.now();
        let (owed, kept) =
            shared.gate.ask(&now, |state| (state.holding.owed(), state.holding.kept()));
        match (paid, owed) {
            (Err(error), Some(Owed::Save)) => {
                Err(Unsaved { tokens: kept.map(|kept| kept.tokens), error })
            }
            (Err(error), Some(Owed::Bury(_) | Owed::LogOut(_))) => {
                Err(Unsaved { tokens: None, error })
            }
            _ => Ok(()),
        }
    }

    async fn landed(&self) {
        let mut wait = LandingWait { shared: self.shared(), place: Place::default() };
        std::future::poll_fn(|cx| wait.shared.gate.poll_landed(&mut wait.place, cx)).await;
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

/// Run on a task of its own, so that it goes on when the caller goes away.
async fn detached<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, StoreError> {
    match shared.runtime() {
        Some(runtime) => {
            runtime.spawn(work).await.unwrap_or_else(|_| Err(StoreError::unavailable()))
        }
        None => work.await,
    }
}

/// A wait for the end of a flight, which leaves its place when dropped.
struct LandingWait<'a> {
    shared: &'a Arc<Shared>,
    place: Place,
}

impl Drop for LandingWait<'_> {
    fn drop(&mut self) {
        self.shared.gate.leave(&mut self.place);
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("status", &self.status()).finish_non_exhaustive()
    }
}
