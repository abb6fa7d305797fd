//! One call to the back end: the requests that it takes, and what their answers make of the cookies.

use std::time::SystemTime;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, COOKIE, ORIGIN, REFERER},
};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use url::Url;

use super::{
    CookieGrant, Place,
    csrf::{Csrf, NoCookie},
    jar::Jar,
};
use crate::{
    BoxError, Clock, RefreshError, RefreshToken, ResponseHead,
    source::{
        Departure,
        token_endpoint::{answer::Answer, outcome},
    },
};

/// Laravel's "page expired": the CSRF token is no longer good.
const PAGE_EXPIRED: u16 = 419;

/// What is spent, and what the cookies are by now.
pub(super) struct Call<'a, S> {
    grant: &'a CookieGrant<S>,
    spent: &'a RefreshToken,
    pub(super) jar: Jar,
    departure: Departure,
    /// Whether it is a refresh: its answer may be the end of the session, and another attempt may follow,
    /// which must send the cookies of this one.
    refreshes: bool,
}

impl<'a, S> Call<'a, S> {
    /// `None`: no cookie is left that could say which session this is.
    pub(super) fn refresh(
        grant: &'a CookieGrant<S>,
        spent: &'a RefreshToken,
        departure: Departure,
    ) -> Option<Self> {
        Self::new(grant, spent, departure, true)
    }

    /// `None`: as for [`refresh`](Self::refresh).
    pub(super) fn logout(grant: &'a CookieGrant<S>, spent: &'a RefreshToken) -> Option<Self> {
        Self::new(grant, spent, Departure::default(), false)
    }

    fn new(
        grant: &'a CookieGrant<S>,
        spent: &'a RefreshToken,
        departure: Departure,
        refreshes: bool,
    ) -> Option<Self> {
        let newest = grant.successors.of(spent);
        let jar = Jar::read(newest.expose_secret(), &grant.refresh.url)?;
        let call = Self { grant, spent, jar, departure, refreshes };
        call.says_who(&grant.refresh).then_some(call)
    }

    /// Whether a request to this place has any cookie that could say which session this is.
    fn says_who(&self, place: &Place) -> bool {
        let csrf = self.grant.csrf.as_ref().map(|(csrf, _)| &*csrf.cookie);
        self.jar.has_beside(csrf, &place.url, now())
    }

    fn receive<B>(&mut self, response: &Response<B>, url: &Url) {
        if outcome::is_trouble(response.status()) {
            self.jar.receive_living(response.headers(), url, now());
        } else {
            self.jar.receive(response.headers(), url, now());
        }
        if self.refreshes
            && let Ok(next) = self.jar.text(now())
            && next != *self.spent
        {
            self.grant.successors.add(self.spent, next);
        }
    }

    /// What a request to this place has to show beside its cookies.
    fn csrf(&self, place: &Place) -> Option<HeaderValue> {
        let (csrf, _) = self.grant.csrf.as_ref()?;
        csrf.echo(&self.jar.value(&csrf.cookie, &place.url, now())?)
    }
}

impl<S, B> Call<'_, S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Ask once, or twice where the first was refused for its CSRF token alone. The flag: the program calls
    /// the answer the end of the session.
    pub(super) async fn post(&mut self, place: &Place) -> Result<(Answer, bool), RefreshError> {
        let Some((csrf, source)) = &self.grant.csrf else {
            return self.ask(Method::POST, place, None).await;
        };
        if let Some(source) = source
            && self.csrf(place).is_none()
        {
            self.fetch_csrf(source, place).await?;
        }
        let shown = self.csrf(place);
        let field = |value: &Option<HeaderValue>| value.clone().map(|value| (csrf, value));
        let (answer, over) = self.ask(Method::POST, place, field(&shown)).await?;
        let refused = answer.status == StatusCode::FORBIDDEN || answer.status == PAGE_EXPIRED;
        // One that deleted the session's cookie would be asked who this is, and its 401 is no verdict.
        if over || !refused || !self.says_who(place) {
            return Ok((answer, over));
        }
        if let Some(source) = source {
            // What it says is not the answer to the refresh.
            let _ = self.fetch_csrf(source, place).await;
        }
        let now = self.csrf(place);
        if now.is_none() || now == shown {
            return Ok((answer, over));
        }
        self.ask(Method::POST, place, field(&now)).await
    }

    /// Nothing is spent by this, whatever comes of it.
    async fn fetch_csrf(&mut self, source: &Place, place: &Place) -> Result<(), RefreshError> {
        let asked = self.ask(Method::GET, source, None).await;
        let (answer, _) = asked.map_err(RefreshError::of_nothing_spent)?;
        if self.csrf(place).is_some() {
            return Ok(());
        }
        Err(if answer.status.is_success() {
            RefreshError::misconfigured().with_source(NoCookie)
        } else {
            outcome::failure(&answer, None, &[], now()).of_nothing_spent()
        })
    }

    async fn ask(
        &mut self,
        method: Method,
        place: &Place,
        shown: Option<(&Csrf, HeaderValue)>,
    ) -> Result<(Answer, bool), RefreshError> {
        let grant = self.grant;
        let ready = grant.exchange.ready().await?;
        let mut request = Request::new(Full::default());
        *request.headers_mut() = grant.headers.clone();
        let headers = request.headers_mut();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.remove(COOKIE);
        if let Some(cookies) = self.jar.header(&place.url, now()) {
            headers.insert(COOKIE, cookies);
        }
        if let Some((csrf, value)) = shown {
            headers.insert(csrf.header.clone(), value);
        }
        let posts = method == Method::POST;
        if posts {
            if let Some((origin, page)) = &grant.page {
                headers.insert(ORIGIN, origin.clone());
                headers.insert(REFERER, page.clone());
            }
            self.departure.leave();
        }
        *request.method_mut() = method;
        *request.uri_mut() = place.address.uri.clone();
        let response = ready.send(request).await?;
        // With the head, before the body that may be cut off: a cookie that was replaced is not sent again.
        self.receive(&response, &place.url);
        let asked_for_tokens = self.refreshes && posts;
        let over = asked_for_tokens && (grant.verdict)(&ResponseHead::new(&response));
        Ok((Answer::read(response).await, over))
    }
}

pub(super) fn now() -> SystemTime {
    Clock::system().now().wall
}
