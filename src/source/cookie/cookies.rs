//! What a login response set, handed to a session.

use std::{error, fmt, time::SystemTime};

use http::HeaderMap;
use url::Url;

use super::jar::Jar;
use crate::{
    AccessToken, Clock, InvalidEndpoint, InvalidToken, RefreshToken, TokenSet,
    source::token_endpoint::address::Address, unique,
};

/// The cookies of a login, for a session over a [`CookieGrant`](crate::CookieGrant).
///
/// A session keeps them where others keep a refresh token, in memory and in its store. `Debug` shows none
/// of them.
///
/// Each is taken as a browser would take it from that address: one for another domain is left out, and so
/// is a `__Host-` or `__Secure-` name without what the prefix promises, `SameSite=None` without `Secure`, a
/// name and value of more than 4096 bytes, and what comes after the 64th. One without `Max-Age` and
/// `Expires` lives as long as the session. `SameSite` does not keep any from being sent: all requests of
/// the grant are to the site that set them.
///
/// ```
/// use http::Response;
/// use tower_reauth::Cookies;
///
/// # let response = Response::builder()
/// #     .header("set-cookie", "refresh=R1; Path=/auth; Secure; HttpOnly; SameSite=Strict").body(())?;
/// // of a `POST https://app.example.com/auth/login` that the program sent itself
/// let tokens = Cookies::new("https://app.example.com/auth/login")?
///     .received(response.headers())
///     .tokens()?;
/// # let _ = tokens; // session.login(tokens).await
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Cookies {
    url: Url,
    jar: Jar,
}

impl Cookies {
    /// Of answers from this address: no cookie yet.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not an absolute URI, or has user information or a fragment.
    pub fn new(address: &str) -> Result<Self, InvalidEndpoint> {
        Ok(Self { url: Address::parse(address, true)?.url()?, jar: Jar::default() })
    }

    /// What the `Set-Cookie` fields of an answer set and delete.
    #[must_use]
    pub fn received(mut self, headers: &HeaderMap) -> Self {
        self.jar.receive(headers, &self.url, Clock::system().now().wall);
        self
    }

    /// A cookie that came by another way, such as from a browser: for this very host, all of its paths and,
    /// if the address is `https`, for `https` alone. It lives as long as the session.
    ///
    /// # Errors
    ///
    /// [`InvalidCookies`] if this is no name or no value of a cookie.
    pub fn cookie(mut self, name: &str, value: &str) -> Result<Self, InvalidCookies> {
        if self.jar.set(name, value, &self.url) { Ok(self) } else { Err(InvalidCookies(Flaw::No)) }
    }

    /// A token set to log in with where the back end gave no access token yet: the first request asks for
    /// one.
    ///
    /// # Errors
    ///
    /// As for [`refresh_token`](Self::refresh_token).
    pub fn tokens(&self) -> Result<TokenSet, InvalidCookies> {
        // No two logins have the same, and none is ever sent: it expired in 1970.
        let none = AccessToken::new(format!("none.{:016x}", unique::number()));
        let none = none.map_err(|flaw| InvalidCookies(Flaw::Token(flaw)))?;
        let tokens = TokenSet::new(none).expires_at(SystemTime::UNIX_EPOCH);
        Ok(tokens.refresh_token(self.refresh_token()?))
    }

    /// The cookies as a refresh token, to go with the access token that the login gave.
    ///
    /// ```
    /// # use http::HeaderMap;
    /// use tower_reauth::{AccessToken, Cookies, TokenSet};
    ///
    /// # fn log_in(access_token: &str, headers: &HeaderMap) -> Result<(), Box<dyn std::error::Error>> {
    /// let cookies = Cookies::new("https://app.example.com/auth/login")?.received(headers);
    /// let tokens = TokenSet::new(AccessToken::new(access_token)?)
    ///     .refresh_token(cookies.refresh_token()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InvalidCookies`] if there is none that may be kept.
    pub fn refresh_token(&self) -> Result<RefreshToken, InvalidCookies> {
        let now = Clock::system().now().wall;
        if self.jar.is_empty(now) {
            return Err(InvalidCookies(Flaw::None));
        }
        self.jar.text(now).map_err(|flaw| InvalidCookies(Flaw::Token(flaw)))
    }
}

impl fmt::Debug for Cookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cookies").finish_non_exhaustive()
    }
}

/// What is no cookie, or a login that set none.
///
/// It says what is wrong, and nothing of the cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidCookies(Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    No,
    None,
    Token(InvalidToken),
}

impl fmt::Display for InvalidCookies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::No => "this is no cookie: its name is empty, or it is too long or has characters that no cookie has",
            Flaw::None => "there is no cookie to keep: the answer set none that is meant for its own host",
            Flaw::Token(_) => "the cookies cannot be written down",
        })
    }
}

impl error::Error for InvalidCookies {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Flaw::Token(flaw) => Some(flaw),
            Flaw::No | Flaw::None => None,
        }
    }
}
