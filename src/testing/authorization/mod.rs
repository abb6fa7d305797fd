//! An authorization server that a test holds in its hand.

mod clients;
mod device;
mod endpoint;
mod form;
mod ledger;
mod metadata;
mod state;

use std::{
    fmt, io,
    time::{Duration, SystemTime},
};

use http::Uri;

pub use self::form::TokenRequest;
use self::{
    ledger::{Granted, Ledger, Minted, Revoked},
    state::{Settings, State},
};
use super::{
    Fault, Hold, Loopback,
    conduct::Conduct,
    hold::Held,
    jwt::{Claims, Key, Millis},
};
use crate::{
    AccessToken, Clock, RefreshToken, TokenSet,
    sync::{Arc, Mutex, MutexGuard, lock},
};

/// An authorization server: the token endpoint with its real form and JSON (RFC 6749), revocation
/// (RFC 7009), access tokens that are signed JWTs, refresh tokens that rotate.
///
/// It is a [`tower::Service`] in memory, and a server on a socket by [`serve`](Self::serve); both at once
/// if need be. Its endpoints are `/token`, for the grants `refresh_token`, device code,
/// `client_credentials`, JWT bearer and token exchange, and `/revoke`. Until a client is
/// [registered](Self::client_secret), any `client_id` and any `Basic` credentials will do. Devices are
/// authorized at `/device` (RFC 8628), and [approved](Self::approve_device) by the test; metadata
/// (RFC 8414) is at the well-known addresses.
///
/// **Strict** unless [`grace`](Self::grace) is given: a refresh token that comes a second time is
/// [`reused`](Self::reused), its whole family is revoked, and the answer is `invalid_grant`.
///
/// Every method takes `&self`, and clones are one server: tell it what to do at any time, from any
/// task. What it is told holds for the requests that arrive from then on.
///
/// ```
/// use std::time::Duration;
/// use tower_reauth::testing::{AuthorizationServer, Fault};
///
/// let server = AuthorizationServer::new();
/// server.lifetime(Duration::from_secs(60));
/// let tokens = server.login(); // for a session to begin with
/// assert!(server.is_valid(tokens.access()));
///
/// server.fail_next(1, Fault::LostAnswer);
/// server.revoke_access_tokens();
/// assert!(!server.is_valid(tokens.access()));
/// ```
#[derive(Clone)]
pub struct AuthorizationServer(Arc<Shared>);

struct Shared {
    key: Key,
    clock: Clock,
    /// Tells the access tokens of two servers apart by their `jti`.
    nonce: u64,
    conduct: Conduct,
    state: Mutex<State>,
}

/// Why a resource server refuses an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not one of this server's tokens.
    Foreign,
    Expired,
    Revoked,
    /// A newer token was minted since, and only the newest will do.
    Superseded,
}

impl AuthorizationServer {
    /// A server whose wall clock begins at the system's time and then follows tokio's, so that its
    /// tokens run out in paused time too.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Clock::stepped(Clock::system().now().wall))
    }

    /// A server that reads `clock`, such as that of a [`ManualClock`](super::ManualClock).
    #[must_use]
    pub fn with_clock(clock: Clock) -> Self {
        Self(Arc::new(Shared {
            key: Key::random(),
            clock,
            nonce: fastrand::u64(..),
            conduct: Conduct::default(),
            state: Mutex::new(State::default()),
        }))
    }

    /// Serve on a free loopback port until the [`Loopback`] is dropped.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn serve(&self) -> io::Result<Loopback> {
        Loopback::serve(self.clone()).await
    }

    /// The token endpoint in memory: that of the issuer. The service looks at the path alone.
    #[must_use]
    pub fn token_endpoint(&self) -> Uri {
        let name = self.state().settings.token_name.clone();
        self.endpoint(&name)
    }

    /// The revocation endpoint in memory (RFC 7009): that of the issuer.
    #[must_use]
    pub fn revocation_endpoint(&self) -> Uri {
        self.endpoint("revoke")
    }

    fn endpoint(&self, name: &str) -> Uri {
        let uri = format!("{}/{name}", self.state().settings.issuer);
        uri.parse().expect("`issuer` lets nothing else in")
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// Tokens, as a test gives and takes them.
impl AuthorizationServer {
    /// Log in: a first pair of tokens, in a family of its own.
    ///
    /// It is no call at the token endpoint, and what is told about answers there does not touch it.
    #[must_use]
    pub fn login(&self) -> TokenSet {
        let now = self.now();
        let mut state = self.state();
        let State { ledger, settings, .. } = &mut *state;
        let access = self.mint(ledger, settings, "user", now, now.after(settings.lifetime));
        let Granted { access, refresh } = ledger.open(access);
        let tokens = TokenSet::new(AccessToken::new(access.token).expect("a JWT is a b64token"))
            .expires_in(access.expiry.since(now))
            .scope(&settings.scope);
        match refresh {
            Some(token) => tokens
                .refresh_token(RefreshToken::new(token).expect("the ledger writes plain ASCII")),
            None => tokens,
        }
    }

    /// Whether a resource server would accept this access token now.
    #[must_use]
    pub fn is_valid(&self, token: &AccessToken) -> bool {
        self.verify(token.expose_secret(), false).is_ok()
    }

    /// Refuse every access token handed out so far. Refresh tokens stay good.
    pub fn revoke_access_tokens(&self) {
        let mut state = self.state();
        state.counts.revocations += 1;
        state.ledger.revoke_access_tokens();
    }

    /// Revoke every token handed out so far.
    pub fn revoke_all(&self) {
        let mut state = self.state();
        state.counts.revocations += 1;
        state.ledger.revoke_all();
    }

    /// Revoke a token as the revocation endpoint does: with a refresh token goes its whole family, an
    /// access token goes alone. `false` if there was nothing to revoke.
    pub fn revoke(&self, token: &str) -> bool {
        let mut state = self.state();
        let access = self.0.key.verify(token, &state.settings.issuer);
        let id = access.as_ref().map(|verified| verified.id.as_str());
        let revoked = state.ledger.revoke(token, id) != Revoked::Nothing;
        state.counts.revocations += usize::from(revoked);
        revoked
    }
}

/// What tokens and answers are like.
impl AuthorizationServer {
    /// How long access tokens live, to the millisecond; those minted already keep their expiry.
    ///
    /// A lifetime that is no whole number of seconds is told as a fraction, in `exp` (which RFC 7519
    /// allows) and in `expires_in` (which not every client reads).
    ///
    /// Default: one hour.
    pub fn lifetime(&self, lifetime: Duration) {
        self.state().settings.lifetime = lifetime;
    }

    /// Who the tokens say they are from (`iss`). The endpoints in memory are beneath it. Tokens of an
    /// issuer before are refused from now on.
    ///
    /// Default: `https://auth.example.com`.
    ///
    /// # Panics
    ///
    /// Unless it is an absolute URI without a query.
    pub fn issuer(&self, issuer: &str) {
        let uri = issuer.parse::<Uri>().ok();
        let fits = uri.is_some_and(|uri| uri.scheme().is_some() && uri.query().is_none());
        assert!(fits && !issuer.contains('#'), "not an issuer: {issuer:?}");
        self.state().settings.issuer = issuer.trim_end_matches('/').into();
    }

    /// The scope of all tokens, values with a space between. A request that asks for more is answered
    /// `invalid_scope`.
    ///
    /// Default: `api`.
    pub fn scope(&self, scope: &str) {
        self.state().settings.scope = scope.into();
    }

    /// Whether a refresh hands out a new refresh token and spends the old one; otherwise the old one
    /// comes back in the answer.
    ///
    /// Default: `true`.
    pub fn rotate(&self, rotate: bool) {
        self.state().settings.rules.rotate = rotate;
    }

    /// For how long a spent refresh token, if it comes again, gets the same pair again instead of
    /// being taken for stolen. By monotonic time.
    ///
    /// Default: zero, which is strict.
    pub fn grace(&self, window: Duration) {
        self.state().settings.rules.grace = window;
    }

    /// Leave the refresh token out of answers. The one that was sent stays good (RFC 6749 §6).
    ///
    /// Default: `false`.
    pub fn omit_refresh_token(&self, omit: bool) {
        self.state().settings.rules.hand_out_refresh_token = !omit;
    }

    /// Leave these members out of answers, such as `expires_in` and `scope`. Each call replaces the
    /// one before. A `refresh_token` left out in this way is rotated all the same, and lost.
    ///
    /// Default: none.
    pub fn omit(&self, members: impl IntoIterator<Item = &'static str>) {
        self.state().settings.omit = members.into_iter().collect();
    }

    /// Answer a refresh with the newest access token of the family instead of a new one, and with
    /// what is left of its lifetime. The refresh token rotates all the same.
    ///
    /// Default: `false`.
    pub fn same_access_token(&self, same: bool) {
        self.state().settings.rules.same_access_token = same;
    }

    /// Answer with access tokens that ran out a second ago, and `expires_in` zero.
    ///
    /// Default: `false`.
    pub fn already_expired(&self, expired: bool) {
        self.state().settings.already_expired = expired;
    }

    /// By how many seconds this server's wall clock is ahead of the clock it was given; behind, if
    /// negative. Its resource servers read the same clock, so tokens live as long as they should:
    /// only who reads `exp` by another clock is misled.
    ///
    /// Default: 0.
    pub fn skew(&self, seconds: i64) {
        self.state().settings.skew_seconds = seconds;
    }
}

/// How the token endpoint behaves.
impl AuthorizationServer {
    /// Fail the next `requests`, after those that were to fail already. `usize::MAX` lasts until
    /// [`recover`](Self::recover).
    pub fn fail_next(&self, requests: usize, fault: Fault) {
        self.0.conduct.fail_next(requests, fault);
    }

    /// Forget the faults that are still to come.
    pub fn recover(&self) {
        self.0.conduct.recover();
    }

    /// Do the work at once and send the answer so much later.
    ///
    /// Default: zero.
    pub fn delay(&self, answer: Duration) {
        self.0.conduct.delay(answer);
    }

    /// Begin the work so much after the request came.
    ///
    /// Default: zero.
    pub fn delay_before(&self, work: Duration) {
        self.0.conduct.delay_before(work);
    }

    /// Do the work at once and keep the answers until they are released.
    pub fn hold(&self) -> Hold {
        self.0.conduct.hold(Held::All)
    }
}

/// What happened so far.
impl AuthorizationServer {
    /// All calls at the token endpoint, failed ones too.
    #[must_use]
    pub fn token_requests(&self) -> usize {
        self.state().counts.token_requests
    }

    /// The calls that minted or repeated tokens, whether or not the answer arrived.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        self.state().counts.refreshes
    }

    /// The refresh tokens that were replaced by a new one.
    #[must_use]
    pub fn rotations(&self) -> usize {
        self.state().counts.rotations
    }

    /// The calls with a spent refresh token that got the same pair again, by [`grace`](Self::grace).
    #[must_use]
    pub fn repeats(&self) -> usize {
        self.state().counts.repeats
    }

    /// The calls with a spent refresh token that were refused.
    #[must_use]
    pub fn reused(&self) -> usize {
        self.state().counts.reused
    }

    /// The revocations asked for, by a method or at the endpoint, where there was something to
    /// revoke. That of a family whose token was reused is none.
    #[must_use]
    pub fn revocations(&self) -> usize {
        self.state().counts.revocations
    }

    /// The call at the token endpoint that came last.
    #[must_use]
    pub fn last_token_request(&self) -> Option<TokenRequest> {
        self.state().log.last().cloned()
    }

    /// The calls at the token endpoint in the order in which they came; of more than 4096, the latest.
    #[must_use]
    pub fn received(&self) -> Vec<TokenRequest> {
        self.state().log.all()
    }
}

/// For the endpoints and the resource server.
impl AuthorizationServer {
    /// The servers' wall clock.
    fn now(&self) -> Millis {
        let skew = self.state().settings.skew_seconds;
        Millis::of(self.wall()).plus_seconds(skew)
    }

    fn wall(&self) -> SystemTime {
        self.0.clock.now().wall
    }

    fn mint(
        &self,
        ledger: &mut Ledger,
        settings: &Settings,
        subject: &str,
        issued: Millis,
        expiry: Millis,
    ) -> Minted {
        let id = format!("{:016x}-{}", self.0.nonce, ledger.serial());
        let token = self.0.key.sign(&Claims {
            issuer: &settings.issuer,
            subject,
            scope: &settings.scope,
            id: &id,
            issued,
            expiry,
        });
        Minted { token, id, expiry }
    }

    pub(super) fn verify(&self, token: &str, newest_only: bool) -> Result<(), Refused> {
        let now = self.now();
        self.verify_in(&self.state(), token, newest_only, now)
    }

    fn verify_in(
        &self,
        state: &State,
        token: &str,
        newest_only: bool,
        now: Millis,
    ) -> Result<(), Refused> {
        let verified = self.0.key.verify(token, &state.settings.issuer).ok_or(Refused::Foreign)?;
        if now >= verified.expiry {
            return Err(Refused::Expired);
        }
        if !state.ledger.is_live(&verified.id) {
            return Err(Refused::Revoked);
        }
        if newest_only && !state.ledger.is_newest(&verified.id) {
            return Err(Refused::Superseded);
        }
        Ok(())
    }
}

impl Default for AuthorizationServer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AuthorizationServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationServer")
            .field("token_requests", &self.token_requests())
            .field("reused", &self.reused())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
