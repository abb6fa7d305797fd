//! Access token, refresh token and the set of both. Redaction lives here alone.

use std::{
    error, fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use zeroize::Zeroizing;

/// An access token (RFC 6749 §1.4), fit for an `Authorization` header.
///
/// Cheap to clone. Neither `Debug` nor any error shows a part of it, and its memory is zeroized when
/// the last clone is dropped.
///
/// ```
/// use tower_reauth::AccessToken;
///
/// let token = AccessToken::new("mF_9.B5f-4.1JqM\n")?; // as read from a file
/// assert_eq!(token.expose_secret(), "mF_9.B5f-4.1JqM");
/// assert_eq!(format!("{token:?}"), "AccessToken([redacted])");
/// # Ok::<(), tower_reauth::InvalidToken>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Secret);

impl AccessToken {
    /// Take `token`, without the white space that may surround it.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if nothing is left, or a byte is a space or not visible ASCII (RFC 6749 appendix
    /// A.12). RFC 6750 §2.1 allows fewer in a bearer token, and large servers issue others: `!`, `|`.
    pub fn new(token: impl AsRef<str>) -> Result<Self, InvalidToken> {
        let token = token.as_ref().trim();
        if token.trim_end_matches('=').is_empty() {
            return Err(InvalidToken(Flaw::Empty));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidToken(Flaw::NotGraphic));
        }
        Ok(Self(Secret::new(token)))
    }

    /// The token itself. Take care where it goes.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken([redacted])")
    }
}

/// A refresh token (RFC 6749 §1.5), which goes to its own token endpoint only.
///
/// Cheap to clone. Neither `Debug` nor any error shows a part of it, and its memory is zeroized when
/// the last clone is dropped.
///
/// ```
/// use tower_reauth::RefreshToken;
///
/// let token = RefreshToken::new("8xLOxBtZp8")?;
/// assert_eq!(format!("{token:?}"), "RefreshToken([redacted])");
/// # Ok::<(), tower_reauth::InvalidToken>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct RefreshToken(Secret);

impl RefreshToken {
    /// Take `token`, without the white space that may surround it.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] if nothing is left, or a byte is not visible ASCII (RFC 6749 appendix A.17).
    pub fn new(token: impl AsRef<str>) -> Result<Self, InvalidToken> {
        let token = token.as_ref().trim();
        if token.is_empty() {
            return Err(InvalidToken(Flaw::Empty));
        }
        if !token.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(InvalidToken(Flaw::NotVisible));
        }
        Ok(Self(Secret::new(token)))
    }

    /// The token itself. Take care where it goes.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken([redacted])")
    }
}

/// What a login or a refresh yields: an access token, perhaps a refresh token, and how long it lives.
///
/// ```
/// use std::time::Duration;
/// use tower_reauth::{AccessToken, RefreshToken, TokenSet};
///
/// let tokens = TokenSet::new(AccessToken::new("2YotnFZFEjr1zCsicMWpAA")?)
///     .refresh_token(RefreshToken::new("tGzv3JOkF0XG5Qx2TlKWIA")?)
///     .expires_in(Duration::from_secs(3600));
/// # Ok::<(), tower_reauth::InvalidToken>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSet {
    access: AccessToken,
    refresh: Option<RefreshToken>,
    lifetime: Option<Lifetime>,
    scope: Option<Arc<str>>,
}

/// How long an access token lives, as far as its issuer or its holder said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// From when the request for it was sent, or from when it was handed in.
    In(Duration),
    At(SystemTime),
}

impl TokenSet {
    /// An access token alone, of unknown lifetime: it is used until a server refuses it.
    #[must_use]
    pub fn new(access_token: AccessToken) -> Self {
        Self { access: access_token, refresh: None, lifetime: None, scope: None }
    }

    /// The refresh token that came with it.
    ///
    /// Default: none; from a refresh, the one that was spent stays (RFC 6749 §6).
    #[must_use]
    pub fn refresh_token(mut self, token: RefreshToken) -> Self {
        self.refresh = Some(token);
        self
    }

    /// `expires_in` (RFC 6749 §5.1): how long the access token lives, from when the request for it
    /// was sent, or from when the set is handed to a session.
    ///
    /// Default: unknown; then only a refusal leads to a refresh.
    #[must_use]
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(Lifetime::In(lifetime));
        self
    }

    /// When the access token expires, by the wall clock: for tokens kept since an earlier run.
    ///
    /// Default: unknown; then only a refusal leads to a refresh.
    #[must_use]
    pub fn expires_at(mut self, expiry: SystemTime) -> Self {
        self.lifetime = Some(Lifetime::At(expiry));
        self
    }

    /// The scope that was granted, as the server wrote it (RFC 6749 §3.3).
    ///
    /// Default: unknown; from a refresh, the one before stays.
    #[must_use]
    pub fn scope(mut self, scope: impl AsRef<str>) -> Self {
        self.scope = Some(scope.as_ref().into());
        self
    }

    /// The access token.
    #[must_use]
    pub fn access(&self) -> &AccessToken {
        &self.access
    }

    /// The refresh token, if there is one.
    #[must_use]
    pub fn refresh(&self) -> Option<&RefreshToken> {
        self.refresh.as_ref()
    }

    /// The scope that was granted, if the server said so.
    #[must_use]
    pub fn granted_scope(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    pub(crate) fn lifetime(&self) -> Option<Lifetime> {
        self.lifetime
    }

    pub(crate) fn without_refresh_token(self) -> Self {
        Self { refresh: None, ..self }
    }

    /// The refresh token and scope of this set, with the access token of `other`.
    pub(crate) fn with_access_of(self, other: &Self) -> Self {
        Self { access: other.access.clone(), lifetime: other.lifetime, ..self }
    }

    /// RFC 6749 §6: what the answer to a refresh leaves out stays as it was.
    pub(crate) fn succeeding(mut self, previous: &Self) -> Self {
        self.refresh = self.refresh.or_else(|| previous.refresh.clone());
        self.scope = self.scope.or_else(|| previous.scope.clone());
        self
    }
}

impl fmt::Debug for TokenSet {
    /// Without the scope, which is text that a server wrote.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("access", &self.access)
            .field("refresh", &self.refresh)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

/// A text that is no token.
///
/// It says what is wrong, and nothing of the text.
///
/// ```
/// use tower_reauth::AccessToken;
///
/// let error = AccessToken::new("two\nlines").unwrap_err();
/// assert!(!error.to_string().contains("two"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidToken(pub(crate) Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Empty,
    NotGraphic,
    NotVisible,
    #[cfg(feature = "oauth2")]
    NotBearer,
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::Empty => "the token is empty",
            Flaw::NotGraphic => {
                "the access token has a space or a character that is not visible ASCII"
            }
            Flaw::NotVisible => "the refresh token has a character that is not visible ASCII",
            #[cfg(feature = "oauth2")]
            Flaw::NotBearer => {
                "the access token is of another type than bearer (RFC 6749 section 7.1)"
            }
        })
    }
}

impl error::Error for InvalidToken {}

/// Text that is zeroized when its last holder goes, and that nothing here prints.
#[derive(Clone)]
pub(crate) struct Secret(Arc<Zeroizing<Box<str>>>);

impl Secret {
    pub(crate) fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.into())))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Secret {}
