//! How a session is set up.

use std::{error, fmt, sync::Arc, time::Duration};

use tokio::runtime::Handle;

use super::{AmbiguousPolicy, OutagePolicy, Session, settings::Settings, shared::Shared};
use crate::{
    Clock, InvalidOrigin, MemoryStore, Origins, TokenSet, TokenSource, TokenStore,
    source::DynSource, store::DynStore,
};

/// Sets up a [`Session`]; made by [`Session::builder`].
#[must_use = "a builder does nothing until `build`"]
pub struct SessionBuilder {
    source: Box<dyn DynSource>,
    store: Box<dyn DynStore>,
    clock: Clock,
    origins: Result<Origins, InvalidOrigin>,
    settings: Settings,
    seed: Option<TokenSet>,
    runtime: Option<Handle>,
}

impl SessionBuilder {
    pub(crate) fn new(source: impl TokenSource) -> Self {
        let settings = Settings::new(source.issuer());
        Self {
            source: Box::new(source),
            store: Box::new(MemoryStore::new()),
            clock: Clock::system(),
            origins: Ok(Origins::none()),
            settings,
            seed: None,
            runtime: None,
        }
    }

    /// An `https` origin that the access token may go to, such as `https://api.example.com`. Call it
    /// once for each.
    ///
    /// Default: none. A session needs one at least, by whichever of the four setters of origins.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins = self.origins.and_then(|origins| origins.and(origin.as_ref()));
        self
    }

    /// A plain `http` origin that the access token may go to: whoever is on the path can read it. `https`
    /// is allowed here too.
    ///
    /// Default: none.
    pub fn insecure_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins = self.origins.and_then(|origins| origins.and_insecure(origin.as_ref()));
        self
    }

    /// Take requests whose URI names no authority (`/v1/me`) for requests to `origin`, an `https` origin:
    /// for clients that resolve them further down, such as a channel of `tonic`, which sets the origin of
    /// its own endpoint.
    ///
    /// Such a URI has no origin to be judged by, so this is a promise about what is beneath: that it goes
    /// nowhere else.
    ///
    /// Default: such requests get no token.
    pub fn assume_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins = self
            .origins
            .and_then(|origins| origins.and(origin.as_ref()))
            .map(Origins::assume_relative);
        self
    }

    /// As [`assume_origin`](Self::assume_origin), for a plain `http` origin; `https` is allowed here too.
    ///
    /// Default: such requests get no token.
    pub fn assume_insecure_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.origins = self
            .origins
            .and_then(|origins| origins.and_insecure(origin.as_ref()))
            .map(Origins::assume_relative);
        self
    }

    /// Tokens to begin with, if the store has no record. Where it has one, the record wins, on every
    /// start: after a login call [`Session::login`].
    ///
    /// Beside a tombstone, or the record of another issuer or account, they are refused:
    /// [`Event::SeedRefused`](crate::Event::SeedRefused), and the session needs a login.
    ///
    /// Default: none.
    pub fn tokens(mut self, tokens: TokenSet) -> Self {
        self.seed = Some(tokens);
        self
    }

    /// Where the tokens are kept: [`FileStore`](crate::FileStore), say, so that the next start needs no
    /// login.
    ///
    /// Default: in memory.
    pub fn store(mut self, store: impl TokenStore) -> Self {
        self.store = Box::new(store);
        self
    }

    /// Whose tokens these are; a record of another issuer is left alone.
    ///
    /// Default: what the source says, for a grant the token endpoint's origin.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.settings.issuer = Some(issuer.into().into());
        self
    }

    /// For which of the program's accounts these tokens are; a record of another account is left alone.
    ///
    /// Default: any.
    pub fn account(mut self, account: impl Into<String>) -> Self {
        self.settings.account = Some(account.into().into());
        self
    }

    /// Where a token endpoint sends no `expires_in`, read `exp` and `iat` of an access token that is a
    /// JWT: without trust, and only to know when to refresh.
    ///
    /// RFC 9068 §6 tells clients not to look inside an access token, so this is a choice: for servers of
    /// one's own that give nothing else.
    ///
    /// Default: off; such a token is used until a server refuses it.
    #[cfg(feature = "jwt")]
    #[cfg_attr(docsrs, doc(cfg(feature = "jwt")))]
    pub fn expiry_from_jwt(mut self) -> Self {
        self.settings.expiry_from_jwt = true;
        self
    }

    /// How long before its expiry a token counts as expired, but never more than the
    /// [fraction](Self::expiry_leeway_fraction) of its lifetime.
    ///
    /// Default: 10 s.
    pub fn expiry_leeway(mut self, leeway: Duration) -> Self {
        self.settings.policy().leeway = leeway;
        self
    }

    /// The largest part of its lifetime, at its end, for which a token may count as expired: between 0 and
    /// 0.5.
    ///
    /// Default: 0.1.
    pub fn expiry_leeway_fraction(mut self, fraction: f64) -> Self {
        self.settings.policy().leeway_fraction = fraction;
        self
    }

    /// In which last part of a token's lifetime a refresh runs beside the requests: `fraction` of it, at
    /// most 0.5, and at most `limit`.
    ///
    /// Default: 0.2, and 5 min.
    pub fn early_window(mut self, fraction: f64, limit: Duration) -> Self {
        self.settings.policy().early_fraction = fraction;
        self.settings.policy().early_most = limit;
        self
    }

    /// By which part of its length, between 0 and 1, the early window may begin earlier. How much is
    /// drawn once for each token. It never begins before half of the lifetime.
    ///
    /// Default: a third.
    pub fn early_jitter(mut self, fraction: f64) -> Self {
        self.settings.policy().jitter = fraction;
        self
    }

    /// How long a request waits for a refresh before it gets a typed error; the refresh goes on.
    ///
    /// Default: 10 s.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.settings.rules().patience = patience;
        self
    }

    /// How long an answer of the source is listened for, from when it was asked.
    ///
    /// Default: 30 s.
    pub fn answer_timeout(mut self, limit: Duration) -> Self {
        self.settings.rules().answer = limit;
        self
    }

    /// How long a refresh may take in all, with its attempts and its wait for the store's lease.
    ///
    /// Default: 60 s.
    pub fn refresh_timeout(mut self, limit: Duration) -> Self {
        self.settings.rules().flight = limit;
        self
    }

    /// How often one refresh tries where nothing can have been spent (at least once), with delays from
    /// `first`, doubling up to 5 s, fully jittered.
    ///
    /// Default: 3 attempts, from 200 ms.
    pub fn attempts(mut self, attempts: u32, first: Duration) -> Self {
        self.settings.rules().attempts = attempts;
        self.settings.rules().retry.first = first;
        self
    }

    /// What to do when the refresh token may have been spent and no usable answer came.
    ///
    /// Default: [`AmbiguousPolicy::RetryOnce`].
    pub fn ambiguous(mut self, policy: AmbiguousPolicy) -> Self {
        self.settings.rules().ambiguous = policy;
        self
    }

    /// What to do when a refresh is needed and the store is unavailable. While somebody else holds its lease
    /// that is waited for, whatever this says.
    ///
    /// Default: [`OutagePolicy::Wait`].
    pub fn store_outage(mut self, policy: OutagePolicy) -> Self {
        self.settings.rules().outage = policy;
        self
    }

    /// How long no refresh starts after one failed: `first`, doubling up to `most`.
    ///
    /// Default: 1 s, up to 60 s.
    pub fn cool_down(mut self, first: Duration, most: Duration) -> Self {
        self.settings.policy().cool_down.first = first;
        self.settings.policy().cool_down.most = most;
        self
    }

    /// The longest `Retry-After` that is honoured.
    ///
    /// Default: 1 h.
    pub fn longest_retry_after(mut self, limit: Duration) -> Self {
        self.settings.policy().retry_after_most = limit;
        self
    }

    /// How many refreshes within `window` may bring a token that does not help before challenges no
    /// longer lead to a refresh.
    ///
    /// Default: 5 in 30 s.
    pub fn brake(mut self, refreshes: usize, window: Duration) -> Self {
        self.settings.policy().brake_after = refreshes.max(1);
        self.settings.policy().brake_window = window;
        self
    }

    /// How long new tokens wait to be saved before they are used unsaved, and how long any other call of
    /// the store may take.
    ///
    /// Default: 5 s.
    pub fn store_timeout(mut self, limit: Duration) -> Self {
        self.settings.rules().store = limit;
        self
    }

    /// How a save that failed is tried again: after `first`, doubling up to `most`, for as long as
    /// `limit`; then with the next refresh.
    ///
    /// Default: 1 s, up to 60 s, for 15 min.
    pub fn save_retries(mut self, first: Duration, most: Duration, limit: Duration) -> Self {
        self.settings.rules().owed.first = first;
        self.settings.rules().owed.most = most;
        self.settings.rules().owed_for = limit;
        self
    }

    /// How long a revocation may take.
    ///
    /// Default: 10 s.
    pub fn revoke_timeout(mut self, limit: Duration) -> Self {
        self.settings.rules().revoke = limit;
        self
    }

    /// The tokio runtime that refreshes run on. Its timers must be enabled.
    ///
    /// Default: the one that the request which begins the refresh runs on.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Where the time is read.
    ///
    /// Default: the system's clocks.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The session. Nothing is read or fetched before it is needed.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if no origin was named, or one of them is not an origin.
    pub fn build(self) -> Result<Session, BuildError> {
        let origins = self.origins.map_err(BuildError::Origin)?;
        if origins.is_empty() {
            return Err(BuildError::NoOrigin);
        }
        // `expires_in` of a seed counts from here, not from when the store turns out to be empty.
        let now = self.clock.now();
        let shared =
            Shared::new(self.source, self.store, self.clock, origins, self.settings, self.runtime);
        if let Some(seed) = self.seed {
            shared.plant(seed, now);
        }
        Ok(Session(Arc::new(super::Handle { shared: Arc::new(shared) })))
    }
}

impl fmt::Debug for SessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionBuilder")
            .field("origins", &self.origins)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Why there is no session.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// No origin was named, so the access token may go nowhere.
    NoOrigin,
    /// One of the texts is not an origin, or not one that its setter allows.
    Origin(InvalidOrigin),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoOrigin => "name the origins that the access token may go to, by `origin`",
            Self::Origin(_) => "an origin that the access token may go to cannot be used",
        })
    }
}

impl error::Error for BuildError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::NoOrigin => None,
            Self::Origin(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Held, RefreshError, source_fn};

    fn builder() -> SessionBuilder {
        Session::builder(source_fn(|_: Held| async { Err(RefreshError::transient()) }))
    }

    #[test]
    fn the_defaults_are_those_that_the_manual_gives() {
        let settings = builder().settings;
        let seconds = Duration::from_secs;
        let policy = &settings.policy;
        assert_eq!((policy.leeway, policy.leeway_fraction), (seconds(10), 0.1));
        assert_eq!((policy.early_fraction, policy.early_most), (0.2, seconds(300)));
        assert_eq!(policy.jitter, 1.0 / 3.0);
        assert_eq!((settings.patience, settings.answer), (seconds(10), seconds(30)));
        assert_eq!((settings.flight, settings.revoke), (seconds(60), seconds(10)));
        assert_eq!((settings.attempts, settings.retry.first), (3, Duration::from_millis(200)));
        assert_eq!((policy.cool_down.first, policy.cool_down.most), (seconds(1), seconds(60)));
        assert_eq!(policy.retry_after_most, seconds(3600));
        assert_eq!((policy.brake_after, policy.brake_window), (5, seconds(30)));
        assert_eq!((settings.owed.first, settings.owed.most), (seconds(1), seconds(60)));
        assert_eq!((settings.store, settings.owed_for), (seconds(5), seconds(900)));
        assert_eq!(settings.ambiguous, AmbiguousPolicy::RetryOnce);
        assert_eq!(settings.outage, OutagePolicy::Wait);
    }

    #[test]
    fn every_setter_reaches_its_own_setting() {
        let seconds = Duration::from_secs;
        let settings = builder()
            .expiry_leeway(seconds(101))
            .expiry_leeway_fraction(0.102)
            .early_window(0.103, seconds(104))
            .early_jitter(0.105)
            .patience(seconds(106))
            .answer_timeout(seconds(107))
            .refresh_timeout(seconds(108))
            .attempts(109, seconds(110))
            .ambiguous(AmbiguousPolicy::Surface)
            .store_outage(OutagePolicy::GoOn)
            .cool_down(seconds(111), seconds(112))
            .longest_retry_after(seconds(113))
            .brake(114, seconds(115))
            .store_timeout(seconds(116))
            .save_retries(seconds(117), seconds(118), seconds(119))
            .revoke_timeout(seconds(120))
            .issuer("121")
            .account("122")
            .settings;
        let policy = &settings.policy;
        assert_eq!((policy.leeway, policy.leeway_fraction), (seconds(101), 0.102));
        assert_eq!((policy.early_fraction, policy.early_most), (0.103, seconds(104)));
        assert_eq!(policy.jitter, 0.105);
        assert_eq!((settings.patience, settings.answer), (seconds(106), seconds(107)));
        assert_eq!((settings.flight, settings.attempts), (seconds(108), 109));
        assert_eq!(settings.retry.first, seconds(110));
        assert_eq!(settings.ambiguous, AmbiguousPolicy::Surface);
        assert_eq!(settings.outage, OutagePolicy::GoOn);
        assert_eq!((policy.cool_down.first, policy.cool_down.most), (seconds(111), seconds(112)));
        assert_eq!(policy.retry_after_most, seconds(113));
        assert_eq!((policy.brake_after, policy.brake_window), (114, seconds(115)));
        assert_eq!((settings.store, settings.revoke), (seconds(116), seconds(120)));
        assert_eq!((settings.owed.first, settings.owed.most), (seconds(117), seconds(118)));
        assert_eq!(settings.owed_for, seconds(119));
        assert_eq!(settings.issuer.as_deref(), Some("121"));
        assert_eq!(settings.account.as_deref(), Some("122"));
    }

    #[test]
    fn without_an_origin_there_is_no_session() {
        assert_eq!(builder().build().unwrap_err(), BuildError::NoOrigin);
        let relative = builder().origin("/v1").build().unwrap_err();
        assert!(matches!(relative, BuildError::Origin(_)));
        assert!(builder().assume_insecure_origin("http://127.0.0.1:8080").build().is_ok());
        assert!(builder().assume_origin("http://127.0.0.1:8080").build().is_err());
    }
}
