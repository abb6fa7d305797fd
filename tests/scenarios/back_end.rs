//! A first-party back end that keeps the refresh token in an HttpOnly cookie, rotates it, ends the session
//! when a spent one comes back, and wants its CSRF cookie in a header. Its API is another origin.

use std::{
    collections::{HashSet, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{HeaderMap, Request, Response, header, request::Parts};
use http_body_util::Full;
use tower::Service;
use tower_reauth::{CookieGrant, Cookies, Csrf, Session, SessionBuilder, TokenSet};

use crate::support::ORIGIN;

pub(crate) const HOME: &str = "https://app.example.com";

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It is answered so, and nothing else happens.
    Answer(u16, &'static str, &'static [(&'static str, &'static str)]),
    /// It is processed, and its answer never arrives.
    Lost,
    /// It is processed; head and cookies arrive, and the body does not.
    Cut,
    /// It never left.
    Refused,
}

#[derive(Clone)]
pub(crate) struct BackEnd(Arc<Mutex<State>>);

struct State {
    refresh: u32,
    access: u32,
    csrf: u32,
    alive: bool,
    spent: HashSet<String>,
    requests: Vec<Seen>,
    troubles: VecDeque<(&'static str, Trouble)>,
    rotates: bool,
    delay: Duration,
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: HeaderMap,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

impl BackEnd {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            refresh: 1,
            access: 1,
            csrf: 1,
            alive: true,
            spent: HashSet::new(),
            requests: Vec::new(),
            troubles: VecDeque::new(),
            rotates: true,
            delay: Duration::ZERO,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// With the next request to the refresh endpoint that has none yet.
    pub(crate) fn trouble(&self, trouble: Trouble) {
        self.trouble_at("POST /auth/refresh", trouble);
    }

    /// The same with any request, by its first line.
    pub(crate) fn trouble_at(&self, line: &'static str, trouble: Trouble) {
        self.state().troubles.push_back((line, trouble));
    }

    /// From now on the refresh cookie stays as it is.
    pub(crate) fn keep_the_cookie(&self) {
        self.state().rotates = false;
    }

    /// Answer that much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    pub(crate) fn expire_access_tokens(&self) {
        self.state().access += 1;
    }

    /// The CSRF cookie that clients hold is no longer good.
    pub(crate) fn change_csrf(&self) {
        self.state().csrf += 1;
    }

    pub(crate) fn is_alive(&self) -> bool {
        self.state().alive
    }

    /// The requests to the back end itself.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().requests.clone()
    }

    /// Their first lines, without the origin.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.lines().iter().filter(|line| *line == "POST /auth/refresh").count()
    }

    /// Another login, by another refresh cookie.
    pub(crate) fn login_anew(&self) -> TokenSet {
        self.state().refresh += 1;
        self.login()
    }

    /// What a login sets.
    pub(crate) fn cookies(&self) -> Cookies {
        let state = self.state();
        let mut headers = HeaderMap::new();
        for cookie in [state.refresh_cookie(), state.csrf_cookie()] {
            headers.append(header::SET_COOKIE, cookie.parse().unwrap());
        }
        Cookies::new("https://app.example.com/auth/login").unwrap().received(&headers)
    }

    pub(crate) fn login(&self) -> TokenSet {
        self.cookies().tokens().unwrap()
    }

    pub(crate) fn grant(&self) -> CookieGrant<Self> {
        CookieGrant::new("https://app.example.com/auth/refresh", self.clone())
            .unwrap()
            .csrf(Csrf::django().path("/auth/csrf"))
            .unwrap()
            .logout("/auth/logout")
            .unwrap()
            .not_sent(|error| {
                let error = error.downcast_ref::<io::Error>();
                error.is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
            })
    }

    pub(crate) fn builder(&self) -> SessionBuilder {
        self.builder_over(self.grant())
    }

    pub(crate) fn builder_over(&self, grant: CookieGrant<Self>) -> SessionBuilder {
        Session::builder(grant).tokens(self.login()).origin(ORIGIN)
    }
}

impl State {
    fn refresh_cookie(&self) -> String {
        format!("refresh=R{}; Path=/auth; Secure; HttpOnly; SameSite=Strict", self.refresh)
    }

    fn csrf_cookie(&self) -> String {
        format!("csrftoken=C{}; Path=/; Secure; Max-Age=3600", self.csrf)
    }

    fn answer(&mut self, line: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        match line {
            "GET /auth/csrf" => Response::builder()
                .status(204)
                .header(header::SET_COOKIE, self.csrf_cookie())
                .body(Full::default())
                .unwrap(),
            "POST /auth/refresh" | "POST /auth/logout" => self.posted(line, headers),
            _ => status(404),
        }
    }

    fn posted(&mut self, line: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let csrf = format!("C{}", self.csrf);
        let header = headers.get("x-csrftoken").and_then(|value| value.to_str().ok());
        if cookie(headers, "csrftoken") != Some(&csrf) || header != Some(&*csrf) {
            return status(403);
        }
        let Some(presented) = cookie(headers, "refresh") else { return status(401) };
        if self.spent.contains(presented) {
            self.alive = false;
        }
        if !self.alive || presented != format!("R{}", self.refresh) {
            return status(401);
        }
        if line == "POST /auth/logout" {
            self.alive = false;
            return status(204);
        }
        self.access += 1;
        let mut answer = Response::builder();
        if self.rotates {
            self.spent.insert(presented.to_owned());
            self.refresh += 1;
            answer = answer.header(header::SET_COOKIE, self.refresh_cookie());
        }
        let json = format!(r#"{{"access_token":"A{}","expires_in":600}}"#, self.access);
        answer.body(Full::from(json)).unwrap()
    }
}

fn status(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    cookies.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

impl<B: Send + 'static> Service<Request<B>> for BackEnd {
    type Response = Response<Full<Bytes>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        let (head, _) = request.into_parts();
        Box::pin(async move { this.take(&head).await })
    }
}

impl BackEnd {
    async fn take(&self, head: &Parts) -> io::Result<Response<Full<Bytes>>> {
        let (uri, headers) = (head.uri.to_string(), &head.headers);
        if uri.starts_with(ORIGIN) {
            assert!(!headers.contains_key(header::COOKIE) && !headers.contains_key("x-csrftoken"));
            let expected = format!("Bearer A{}", self.state().access);
            let allowed = headers.get(header::AUTHORIZATION).is_some_and(|it| *it == *expected);
            return Ok(status(if allowed { 200 } else { 401 }));
        }
        assert!(!headers.contains_key(header::AUTHORIZATION));
        let line = format!("{} {}", head.method, uri.strip_prefix(HOME).expect("it is home"));
        let trouble = {
            let mut state = self.state();
            state.requests.push(Seen { line: line.clone(), headers: headers.clone() });
            let found = state.troubles.iter().position(|(at, _)| *at == line);
            found.and_then(|found| state.troubles.remove(found)).map(|(_, trouble)| trouble)
        };
        if let Some(Trouble::Answer(code, body, fields)) = &trouble {
            let answer =
                fields.iter().fold(Response::builder().status(*code), |it, (name, value)| {
                    it.header(*name, *value)
                });
            return Ok(answer.body(Full::from(*body)).unwrap());
        }
        if matches!(trouble, Some(Trouble::Refused)) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let answer = self.state().answer(&line, headers);
        let delay = self.state().delay;
        tokio::time::sleep(delay).await;
        match trouble {
            Some(Trouble::Lost) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Trouble::Cut) => Ok(answer.map(|_| Full::default())),
            _ => Ok(answer),
        }
    }
}
