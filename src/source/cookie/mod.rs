//! A source for first-party back ends that keep the refresh token in an HttpOnly cookie.

mod answer;
mod call;
mod cookies;
mod csrf;
mod jar;
mod successors;

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use url::Url;

use self::{
    answer::Places,
    call::{Call, now},
    successors::Successors,
};
pub use self::{
    cookies::{Cookies, InvalidCookies},
    csrf::Csrf,
};
use super::{
    Held, TokenSource,
    token_endpoint::{InvalidEndpoint, address::Address, exchange::Exchange, outcome},
};
use crate::{BoxError, RefreshError, ResponseHead, TokenSet, error::Kind};

/// Asks a first-party back end for access tokens, with the session in a cookie.
///
/// `POST https://app.example.com/auth/refresh` goes out with the cookies that are meant for that address;
/// the answer is JSON with an access token, and its `Set-Cookie` fields replace cookies. No other request
/// gets a cookie, and the program's requests carry the access token as with any other source.
///
/// The cookies are the session's refresh token: [`Cookies`] makes one of what a login response set. They
/// are saved, leased, spent and buried as one, so a session can be continued from its
/// [store](crate::TokenStore) after a restart and by several processes at once. A session that is given
/// cookies and no access token asks for one at its first request.
///
/// ```
/// # use http::HeaderMap;
/// use tower_reauth::{CookieGrant, Cookies, Csrf, Session};
///
/// # fn log_in(client: impl Clone + Send + Sync + 'static + tower::Service<
/// #     http::Request<http_body_util::Full<bytes::Bytes>>,
/// #     Response = http::Response<http_body_util::Full<bytes::Bytes>>,
/// #     Error = std::io::Error,
/// #     Future: Send,
/// # >, login_headers: &HeaderMap) -> Result<(), Box<dyn std::error::Error>> {
/// let grant = CookieGrant::new("https://app.example.com/auth/refresh", client)?
///     .csrf(Csrf::django())? // echo `csrftoken` in `X-CSRFToken`
///     .logout("/auth/logout")?; // told when the session logs out
/// let cookies = Cookies::new("https://app.example.com/auth/login")?.received(login_headers);
/// let session = Session::builder(grant)
///     .tokens(cookies.tokens()?)
///     .origin("https://api.example.com")
///     .build()?;
/// # Ok(()) }
/// ```
///
/// The service that reaches the back end is like that of a [`Grant`](crate::grant::Grant): not the stack
/// that the session serves, without cookies of its own, and following no redirect.
///
/// # What an answer means
///
/// | answer | meaning |
/// |---|---|
/// | 2xx with an access token | success |
/// | 401, or what [`verdict`](Self::verdict) says instead; `invalid_grant` in JSON of a 2xx or 4xx | rejected: the session is over |
/// | 403, 419 | a CSRF token that is missing or old: with a [`Csrf::path`] or a new cookie in that answer one more attempt, then misconfigured |
/// | 425, 429, 503, a service that is not ready, an error that is [`not_sent`](Self::not_sent) | transient |
/// | 408, any other 5xx, a 2xx without an access token, an answer cut short, any other error of the service | ambiguous |
/// | any other 4xx, a redirect | misconfigured |
///
/// Cookies that an answer sets count whatever else it says: the next attempt sends those, and a request
/// that is repeated after a cut answer does not send a cookie that is known to have been replaced. What a
/// 408, 425, 429 or 5xx deletes is kept: it comes from what has trouble, and is no verdict. Until
/// an answer is a success only this process knows of them: another one, and this one after a restart, sends
/// what the store has.
///
/// Where no cookie but the CSRF one is left (deleted, or expired by the wall clock) nothing is asked, and
/// the error [needs a login](RefreshError::needs_login).
#[derive(Clone)]
pub struct CookieGrant<S> {
    exchange: Exchange<S>,
    refresh: Place,
    logout: Option<Place>,
    issuer: String,
    csrf: Option<(Csrf, Option<Place>)>,
    headers: HeaderMap,
    page: Option<(HeaderValue, HeaderValue)>,
    places: Places,
    verdict: Verdict,
    successors: Successors,
}

/// An address, as HTTP clients and as cookies know it.
#[derive(Clone)]
struct Place {
    address: Address,
    url: Url,
}

type Verdict = Arc<dyn Fn(&ResponseHead<'_>) -> bool + Send + Sync>;

impl Place {
    fn new(address: Address) -> Result<Self, InvalidEndpoint> {
        let url = address.url()?;
        Ok(Self { address, url })
    }
}

impl<S> CookieGrant<S> {
    /// A grant that asks `endpoint`, an `https` URI.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not an absolute URI, has user information or a fragment, or is plain
    /// `http`.
    pub fn new(endpoint: &str, service: S) -> Result<Self, InvalidEndpoint> {
        Self::over(Address::parse(endpoint, false)?, service)
    }

    /// The same over plain `http`, such as `http://127.0.0.1:8080/auth/refresh`: whoever is on the path can
    /// read the cookies. Those that are `Secure` are sent to this machine itself alone.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(endpoint: &str, service: S) -> Result<Self, InvalidEndpoint> {
        Self::over(Address::parse(endpoint, true)?, service)
    }

    fn over(endpoint: Address, service: S) -> Result<Self, InvalidEndpoint> {
        Ok(Self {
            exchange: Exchange::new(service),
            issuer: endpoint.origin.to_string(),
            refresh: Place::new(endpoint)?,
            logout: None,
            csrf: None,
            headers: HeaderMap::new(),
            page: None,
            places: Places::default(),
            verdict: Arc::new(|head| head.status() == StatusCode::UNAUTHORIZED),
            successors: Successors::default(),
        })
    }

    /// The cookie that the back end wants to see in a header too.
    ///
    /// Default: none.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if its [`path`](Csrf::path) is not a path.
    pub fn csrf(mut self, csrf: Csrf) -> Result<Self, InvalidEndpoint> {
        let path = csrf.path.as_deref();
        let place = path.map(|path| self.beside(path)).transpose()?;
        self.csrf = Some((csrf, place));
        Ok(self)
    }

    /// What is asked by `POST`, with the cookies, when the session logs out: a path of the refresh
    /// endpoint's own origin.
    ///
    /// Default: nothing; the back end's session lives on until it expires.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not a path.
    pub fn logout(mut self, path: &str) -> Result<Self, InvalidEndpoint> {
        self.logout = Some(self.beside(path)?);
        Ok(self)
    }

    /// The page that a browser would be showing: `Origin` and `Referer` of the requests by `POST` say so,
    /// which back ends look at beside or instead of a CSRF token (Django over https, Rails, SvelteKit).
    ///
    /// Default: none is named.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not an absolute URI, or has user information or a fragment.
    pub fn page(mut self, page: &str) -> Result<Self, InvalidEndpoint> {
        let page = Address::parse(page, true)?;
        let value = |text: String| HeaderValue::try_from(text).ok();
        self.page = value(page.origin.to_string()).zip(value(page.uri.to_string()));
        Ok(self)
    }

    /// One more header field of each request to the back end, such as `X-Requested-With`. None replaces
    /// what this grant sends of its own; a later value replaces an earlier one.
    ///
    /// Default: none.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Where in the answer the access token is: the name of a member, or a JSON pointer through objects
    /// such as `/data/token` (RFC 6901).
    ///
    /// Default: `access_token`, or else `accessToken`.
    #[must_use]
    pub fn access_token(mut self, place: impl Into<Cow<'static, str>>) -> Self {
        self.places.access_token = vec![place.into()];
        self
    }

    /// Where in the answer the access token's lifetime in seconds is, in the same way.
    ///
    /// Default: `expires_in`, or else `expiresIn`. Where neither is there, the lifetime is unknown; if the
    /// token is a JWT, [`SessionBuilder::expiry_from_jwt`](crate::SessionBuilder::expiry_from_jwt) helps.
    #[must_use]
    pub fn expires_in(mut self, place: impl Into<Cow<'static, str>>) -> Self {
        self.places.expires_in = vec![place.into()];
        self
    }

    /// Which answers of the refresh endpoint mean that the session is over: a back end that redirects to
    /// its login page, or says 403. What it says of a 5xx counts for nothing, nor what it says of answers to
    /// other requests of this grant.
    ///
    /// Default: 401.
    #[must_use]
    pub fn verdict(
        mut self,
        is_over: impl Fn(&ResponseHead<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.verdict = Arc::new(is_over);
        self
    }

    /// Which errors of the service say that the request never left, so that the same cookies may be sent
    /// again.
    ///
    /// Default: none; only a service that fails before it is ready is known not to have sent anything.
    #[must_use]
    pub fn not_sent(
        mut self,
        classify: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.exchange.set_not_sent(classify);
        self
    }

    /// Whose tokens these are, as [`TokenSource::issuer`] reports it.
    ///
    /// Default: the refresh endpoint's origin, such as `https://app.example.com`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = issuer.into();
        self
    }

    fn beside(&self, path: &str) -> Result<Place, InvalidEndpoint> {
        Place::new(self.refresh.address.beside(path)?)
    }
}

impl<S, B> TokenSource for CookieGrant<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
        held.departure().prepare();
        let login_required = || RefreshError::new(Kind::LoginRequired);
        let spent = held.refresh_token().ok_or_else(login_required)?;
        let departure = held.departure().clone();
        let mut call = Call::refresh(self, spent, departure).ok_or_else(login_required)?;
        let (answer, over) = call.post(&self.refresh).await?;
        let tokens = answer::tokens(&answer, &self.places, over, now())?;
        let cookies = call.jar.text(now()).map_err(|flaw| outcome::unusable().with_source(flaw))?;
        self.successors.forget(spent);
        Ok(tokens.refresh_token(cookies))
    }

    async fn revoke(&self, tokens: TokenSet) -> Result<(), RefreshError> {
        let (Some(logout), Some(held)) = (&self.logout, tokens.refresh()) else { return Ok(()) };
        // Without cookies there is no session at the back end.
        let Some(mut call) = Call::logout(self, held) else { return Ok(()) };
        let (answer, _) = call.post(logout).await?;
        let over = answer.status.is_success()
            // To the login page, as after a logout in a browser.
            || answer.status.is_redirection()
            || answer.status == StatusCode::UNAUTHORIZED;
        if over { Ok(()) } else { Err(outcome::failure(&answer, None, &[], now())) }
    }

    fn spends_refresh_token(&self) -> bool {
        true
    }

    fn issuer(&self) -> Option<String> {
        Some(self.issuer.clone())
    }
}

impl<S> fmt::Debug for CookieGrant<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieGrant")
            .field("endpoint", &format_args!("{}/…", self.refresh.address.origin))
            .finish_non_exhaustive()
    }
}
