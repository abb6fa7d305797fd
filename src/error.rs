//! Why there is no token, and what to do next.

use std::{
    borrow::Cow,
    error, fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// Why no usable access token could be had.
///
/// One refresh that fails answers everyone who waited for it with a clone of the same error. The
/// layers hand it out as a [`BoxError`](crate::BoxError) where nothing was sent, and in the response's
/// extensions where a server had refused the request. It answers the next question:
///
/// | question | answer |
/// |---|---|
/// | is a login needed? | [`needs_login`](Self::needs_login), [`is_session_ended`](Self::is_session_ended) if by a verdict |
/// | when may it work again? | [`retry_at`](Self::retry_at) |
/// | may the refresh token be spent already? | [`was_ambiguous`](Self::was_ambiguous) |
/// | does the server take no token at all? | [`is_braked`](Self::is_braked) |
/// | is the program's own set-up at fault? | [`is_misconfigured`](Self::is_misconfigured) |
/// | did the token store fail? | [`source`](error::Error::source) is a [`StoreError`](crate::StoreError) |
///
/// It carries no secret and nothing that a server wrote but a registered error code.
///
/// A [`TokenSource`](crate::TokenSource) makes one to say how its attempt failed:
/// [`transient`](Self::transient), [`rejected`](Self::rejected), [`ambiguous`](Self::ambiguous) or
/// [`misconfigured`](Self::misconfigured).
///
/// ```
/// use tower_reauth::{BoxError, RefreshError};
///
/// fn next_step(error: &BoxError) -> &'static str {
///     match error.downcast_ref::<RefreshError>() {
///         Some(error) if error.needs_login() => "show the login page",
///         Some(_) => "try again later",
///         None => "the API itself failed",
///     }
/// }
/// # assert_eq!(next_step(&RefreshError::rejected().into()), "show the login page");
/// ```
#[derive(Clone)]
pub struct RefreshError(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: Kind,
    code: Option<Cow<'static, str>>,
    ambiguous: bool,
    retry_after: Option<Duration>,
    retry_at: Option<Instant>,
    source: Option<Arc<dyn error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing was spent; the same attempt may work later.
    Transient,
    /// The authorization server's verdict.
    Rejected,
    /// The request may have been processed; the connection is gone, or a gateway answered.
    Ambiguous,
    /// The request may have been processed, and nobody answered as long as we listened.
    Unanswered,
    Misconfigured,
    LoginRequired,
    LoggedOut,
    Closed,
    Braked,
    /// The newest token was refused by the very endpoint it had been fetched for.
    Refused,
    SameToken,
    ExpiredToken,
    /// A waiter's patience ended; the refresh goes on.
    TimedOut,
    NoRuntime,
    /// The source called the session that it serves.
    Reentrant,
    Panicked,
    /// The task of the refresh was dropped, time and again.
    Abandoned,
    Store,
    /// `AuthLayer` had nothing to attach, so nothing was sent.
    Unattached,
    /// The request has no room for one more header field.
    Overfull,
}

impl RefreshError {
    pub(crate) fn new(kind: Kind) -> Self {
        Self(Arc::new(Inner {
            kind,
            code: None,
            ambiguous: matches!(kind, Kind::Ambiguous | Kind::Unanswered),
            retry_after: None,
            retry_at: None,
            source: None,
        }))
    }

    /// The attempt failed and spent nothing: 429, 503, or a request that never left.
    ///
    /// The session tries again, up to its attempts, then cools down.
    #[must_use]
    pub fn transient() -> Self {
        Self::new(Kind::Transient)
    }

    /// The authorization server's verdict: the grant is no longer valid (`invalid_grant`, RFC 6749 §5.2).
    ///
    /// The session ends, unless the source spends no refresh token: then this is a configuration error.
    #[must_use]
    pub fn rejected() -> Self {
        Self::new(Kind::Rejected)
    }

    /// The request may have reached the server, and no usable answer came: a cut connection, 408, 500,
    /// 502, 504, an answer that makes no sense.
    ///
    /// The session keeps the refresh token and tries once more at once, or not at all, as its
    /// [`AmbiguousPolicy`](crate::AmbiguousPolicy) says.
    #[must_use]
    pub fn ambiguous() -> Self {
        Self::new(Kind::Ambiguous)
    }

    /// The authorization server does not accept how it was asked (`invalid_client`, `invalid_scope` and
    /// their like, RFC 6749 §5.2): trying again does not help, and the refresh token is kept.
    #[must_use]
    pub fn misconfigured() -> Self {
        Self::new(Kind::Misconfigured)
    }

    /// The least time to wait before the next attempt, as by `Retry-After` (RFC 9110 §10.2.3).
    ///
    /// Default: none; the session's own cool-down.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        Arc::make_mut(&mut self.0).retry_after = Some(delay);
        self
    }

    /// What failed beneath, for [`source`](error::Error::source). It must print no secret.
    ///
    /// Default: none.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<crate::BoxError>) -> Self {
        Arc::make_mut(&mut self.0).source = Some(source.into().into());
        self
    }

    /// A registered error code, or one that the program listed itself: never free text of a server.
    pub(crate) fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        Arc::make_mut(&mut self.0).code = Some(code.into());
        self
    }

    pub(crate) fn with_retry_at(mut self, at: Option<Instant>) -> Self {
        Arc::make_mut(&mut self.0).retry_at = at;
        self
    }

    /// An earlier attempt of the same refresh was ambiguous, whatever this one says.
    pub(crate) fn after_ambiguity(mut self, ambiguous: bool) -> Self {
        if ambiguous && !self.0.ambiguous {
            Arc::make_mut(&mut self.0).ambiguous = true;
        }
        self
    }

    /// The same of a source that spends nothing: where nothing can be lost, nothing is ambiguous, and
    /// what may have been processed is an attempt that failed.
    pub(crate) fn of_nothing_spent(mut self) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.ambiguous = false;
        if matches!(inner.kind, Kind::Ambiguous | Kind::Unanswered) {
            inner.kind = Kind::Transient;
        }
        self
    }

    /// The same of what had to come before the request for tokens, such as a signature: it is no word of
    /// the authorization server on the grant, and nothing was spent yet.
    pub(crate) fn before_sending(self) -> Self {
        match self.0.kind {
            Kind::Rejected | Kind::LoginRequired | Kind::LoggedOut | Kind::Closed => {
                Self::misconfigured().with_source(self)
            }
            Kind::Transient
            | Kind::Ambiguous
            | Kind::Unanswered
            | Kind::Misconfigured
            | Kind::NoRuntime
            | Kind::Reentrant => self.of_nothing_spent(),
            _ => Self::transient().with_source(self),
        }
    }

    pub(crate) fn into_kind(mut self, kind: Kind) -> Self {
        Arc::make_mut(&mut self.0).kind = kind;
        self
    }

    pub(crate) fn kind(&self) -> Kind {
        self.0.kind
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Only a [login](crate::Session::login) helps: the session ended, was logged out, or never had a token.
    #[must_use]
    pub fn needs_login(&self) -> bool {
        matches!(self.0.kind, Kind::Rejected | Kind::LoginRequired | Kind::LoggedOut)
    }

    /// The authorization server's verdict ended the session; only a new login helps.
    #[must_use]
    pub fn is_session_ended(&self) -> bool {
        self.0.kind == Kind::Rejected
    }

    /// The session was logged out, here or in another process.
    #[must_use]
    pub fn is_logged_out(&self) -> bool {
        self.0.kind == Kind::LoggedOut
    }

    /// Fresh tokens do not help: they are refused where they are needed, so refreshing has paused.
    #[must_use]
    pub fn is_braked(&self) -> bool {
        matches!(self.0.kind, Kind::Braked | Kind::Refused)
    }

    /// The refresh token may have been spent without our learning of its successor.
    #[must_use]
    pub fn was_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// The waiter's patience ended before the refresh did. The refresh goes on.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == Kind::TimedOut
    }

    /// The client's configuration is at fault; neither time nor a login helps.
    #[must_use]
    pub fn is_misconfigured(&self) -> bool {
        matches!(self.0.kind, Kind::Misconfigured | Kind::NoRuntime | Kind::Reentrant)
    }

    /// The session was closed; a needed refresh no longer runs.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.kind == Kind::Closed
    }

    /// When the next request may start another refresh, by the monotonic clock. `None` where time
    /// alone does not help, or is not the matter.
    #[must_use]
    pub fn retry_at(&self) -> Option<Instant> {
        self.0.retry_at
    }

    /// The error code of the token endpoint's answer (RFC 6749 §5.2), if it was a registered one or one
    /// that the program listed as a verdict.
    #[must_use]
    pub fn oauth_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }
}

impl Kind {
    fn describe(self) -> &'static str {
        match self {
            Self::Transient => "the access token could not be refreshed; try again later",
            Self::Rejected => "the authorization server ended the session; log in again",
            Self::Ambiguous => {
                "the refresh failed half-way and may have spent the refresh token; try again later"
            }
            Self::Unanswered => {
                "the token endpoint did not answer and may have spent the refresh token; try again later"
            }
            Self::Misconfigured => "the token endpoint refused the client; check its configuration",
            Self::LoginRequired => "there is no token to start from; log in",
            Self::LoggedOut => "the session was logged out; log in again",
            Self::Closed => "the session was closed; build another one",
            Self::Braked => {
                "fresh access tokens are refused again and again; refreshing has paused"
            }
            Self::Refused => {
                "the resource server refused the access token that was just fetched for it; check audience and scope"
            }
            Self::SameToken => {
                "the refresh returned the access token that was refused; try again later"
            }
            Self::ExpiredToken => {
                "the refresh returned an access token that has expired already; check the clocks"
            }
            Self::TimedOut => "the refresh takes longer than the request waits; it goes on",
            Self::NoRuntime => {
                "a refresh needs a tokio runtime; call from inside one or give one to the session's builder"
            }
            Self::Reentrant => {
                "the token source called the session that it serves; give it a client without these layers"
            }
            Self::Panicked => "the token source panicked; see the panic's own message",
            Self::Abandoned => "the runtime dropped the refresh; try again on one that lives",
            Self::Store => "the token store cannot be used; nothing was sent, try again later",
            Self::Overfull => "the request has more header fields than a map can hold; send fewer",
            Self::Unattached => {
                "there is no valid access token to attach; wait for `Session::token` first"
            }
        }
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.kind.describe())?;
        match &self.0.code {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshError")
            .field("kind", &self.0.kind)
            .field("code", &self.0.code)
            .field("ambiguous", &self.0.ambiguous)
            .field("retry_at", &self.0.retry_at)
            .finish_non_exhaustive()
    }
}

impl error::Error for RefreshError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
