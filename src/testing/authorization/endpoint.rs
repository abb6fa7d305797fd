//! The endpoints: requests in, answers out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value, json};
use tower::Service;

use super::{
    AuthorizationServer, Settings, State, TokenRequest,
    clients::{JWT_BEARER, TOKEN_EXCHANGE},
    device::DEVICE_CODE,
    ledger::{Denied, Granted, Ledger, Minted, Spent},
};
use crate::{
    BoxError,
    testing::{
        ResponseBody,
        fault::{Outcome, typed},
        jwt::Millis,
    },
};

/// RFC 8693 §3.
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

/// No form is longer.
const LIMIT: usize = 64 * 1024;

/// In memory. It is always ready; the work begins when the future is polled.
impl<B> Service<Request<B>> for AuthorizationServer
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let server = self.clone();
        Box::pin(async move {
            // RFC 8414 §3: before the issuer's path, or after it.
            if request.uri().path().contains("/.well-known/") {
                return Ok(server.metadata());
            }
            // The last segment alone: an issuer may have a path, and a proxy may add one.
            let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            let token_name = server.state().settings.token_name.clone();
            match name.as_str() {
                name if name == token_name => server.token(request).await,
                "revoke" => server.revocation(request).await,
                "device" => server.device_authorization(request).await,
                _ => Ok(error(StatusCode::NOT_FOUND, "not_found", "no such endpoint")),
            }
        })
    }
}

impl AuthorizationServer {
    async fn token<B>(self, request: Request<B>) -> Outcome
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        self.state().counts.token_requests += 1;
        let request = read(request).await?;
        let number = self.state().log.push(request.clone());

        let conduct = &self.0.conduct;
        let turn = conduct.arrive().await;
        if let Some(outcome) = turn.instead() {
            self.decided(number, outcome.as_ref().ok());
            return conduct.send(outcome).await;
        }
        let answer = self.exchange(&request);
        self.decided(number, Some(&answer));
        conduct.answer(turn, answer).await
    }

    fn decided<B>(&self, number: usize, answer: Option<&Response<B>>) {
        let status = answer.map(Response::status);
        self.state().log.amend(number, |request| request.decide(status));
    }

    /// RFC 6749 §4.4.2 and §6: the grants.
    fn exchange(&self, request: &TokenRequest) -> Response<ResponseBody> {
        if let Some(refusal) = unfit(request) {
            return refusal;
        }
        let now = self.now();
        let mut state = self.state();
        if let Some(refusal) = state.refuses(request, now) {
            return refusal;
        }
        let scope = match request.parameter("scope") {
            Some(asked) if !covers(&state.settings.scope, asked) => {
                return error(StatusCode::BAD_REQUEST, "invalid_scope", "more than was granted");
            }
            Some(asked) => asked.to_owned(),
            None => state.settings.scope.clone(),
        };
        let granted = match request.parameter("grant_type") {
            Some("refresh_token") => match request.parameter("refresh_token") {
                Some(token) => self.refresh(&mut state, token, now),
                None => return invalid_request("no refresh_token"),
            },
            Some(DEVICE_CODE) => match self.device_tokens(&mut state, request, now) {
                Ok(granted) => Ok(granted),
                Err(refusal) => return refusal.answer(),
            },
            Some("client_credentials") => {
                let client = request.parameter("client_id").unwrap_or("client");
                Ok(self.grant_alone(&mut state, client, now))
            }
            Some(JWT_BEARER) => {
                let assertion = request.parameter("assertion").unwrap_or_default();
                if !state.believes(assertion, now) {
                    return error(StatusCode::BAD_REQUEST, "invalid_grant", "nobody believes it");
                }
                Ok(self.grant_alone(&mut state, "account", now))
            }
            Some(TOKEN_EXCHANGE) => {
                let subject = request.parameter("subject_token").unwrap_or_default();
                let typed = request.parameter("subject_token_type") == Some(ACCESS_TOKEN);
                if !typed || self.verify_in(&state, subject, false, now).is_err() {
                    return invalid_request("no access token of this server to exchange");
                }
                Ok(self.grant_alone(&mut state, "user", now))
            }
            Some(_) => {
                return error(StatusCode::BAD_REQUEST, "unsupported_grant_type", "no such grant");
            }
            None => return invalid_request("no grant_type"),
        };
        match granted {
            Ok(granted) => {
                state.counts.refreshes += 1;
                // RFC 8693 §2.2.1.
                let exchanged = request.parameter("grant_type") == Some(TOKEN_EXCHANGE);
                let issued = exchanged.then_some(ACCESS_TOKEN);
                tokens(granted, &scope, now, issued, &state.settings.omit)
            }
            Err(denied) => {
                let why = match denied {
                    Denied::Unknown => "no such refresh token",
                    Denied::Revoked => "the refresh token was revoked",
                    Denied::Reused => "the refresh token was spent before",
                };
                error(StatusCode::BAD_REQUEST, "invalid_grant", why)
            }
        }
    }

    fn refresh(&self, state: &mut State, token: &str, now: Millis) -> Result<Granted, Denied> {
        let State { ledger, settings, counts, .. } = state;
        let mint = |ledger: &mut Ledger| self.mint_for_answer(ledger, settings, "user", now);
        match ledger.spend(token, self.0.clock.now().mono, settings.rules, mint) {
            Ok(Spent::Rotated(granted)) => {
                counts.rotations += 1;
                Ok(granted)
            }
            Ok(Spent::Kept(granted)) => Ok(granted),
            Ok(Spent::Repeated(granted)) => {
                counts.repeats += 1;
                Ok(granted)
            }
            Err(denied) => {
                counts.reused += usize::from(denied == Denied::Reused);
                Err(denied)
            }
        }
    }

    /// An access token without a refresh token.
    fn grant_alone(&self, state: &mut State, subject: &str, now: Millis) -> Granted {
        let State { ledger, settings, .. } = state;
        let access = self.mint_for_answer(ledger, settings, subject, now);
        ledger.grant(access)
    }

    pub(super) fn mint_for_answer(
        &self,
        ledger: &mut Ledger,
        settings: &Settings,
        subject: &str,
        now: Millis,
    ) -> Minted {
        if settings.already_expired {
            let expiry = now.plus_seconds(-1);
            return self.mint(ledger, settings, subject, expiry.before(settings.lifetime), expiry);
        }
        self.mint(ledger, settings, subject, now, now.after(settings.lifetime))
    }

    /// RFC 7009 §2: also a token that nobody knows is answered 200.
    async fn revocation<B>(self, request: Request<B>) -> Outcome
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let request = read(request).await?;
        if let Some(refusal) = unfit(&request) {
            return Ok(refusal);
        }
        let now = self.now();
        if let Some(refusal) = self.state().refuses(&request, now) {
            return Ok(refusal);
        }
        let Some(token) = request.parameter("token") else {
            return Ok(invalid_request("no token"));
        };
        self.revoke(token);
        Ok(Response::new(ResponseBody::whole("")))
    }
}

pub(super) async fn read<B>(request: Request<B>) -> Result<TokenRequest, BoxError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LIMIT).collect().await?.to_bytes();
    Ok(TokenRequest::new(head, &body))
}

/// The refusal of what is no request of a client to either endpoint.
pub(super) fn unfit(request: &TokenRequest) -> Option<Response<ResponseBody>> {
    if request.method() != Method::POST {
        let mut response =
            error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "only POST will do");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    request.flaw().map(invalid_request)
}

fn covers(granted: &str, asked: &str) -> bool {
    asked.split(' ').all(|value| granted.split(' ').any(|granted| granted == value))
}

/// RFC 6749 §5.1.
fn tokens(
    granted: Granted,
    scope: &str,
    now: Millis,
    issued_type: Option<&str>,
    omit: &[&str],
) -> Response<ResponseBody> {
    let Granted { access, refresh } = granted;
    let left = access.expiry.since(now);
    let expires_in = match left.subsec_millis() {
        0 => json!(left.as_secs()),
        _ => json!(left.as_millis() as f64 / 1000.0),
    };
    let mut members = Map::new();
    members.insert("access_token".into(), access.token.into());
    members.insert("token_type".into(), "Bearer".into());
    members.insert("expires_in".into(), expires_in);
    if let Some(refresh) = refresh {
        members.insert("refresh_token".into(), refresh.into());
    }
    members.insert("scope".into(), scope.into());
    if let Some(issued_type) = issued_type {
        members.insert("issued_token_type".into(), issued_type.into());
    }
    members.retain(|name, _| !omit.contains(&name.as_str()));
    json_answer(StatusCode::OK, members)
}

/// RFC 6749 §5.2.
pub(super) fn error(status: StatusCode, code: &str, description: &str) -> Response<ResponseBody> {
    let mut members = Map::new();
    members.insert("error".into(), code.into());
    members.insert("error_description".into(), description.into());
    json_answer(status, members)
}

pub(super) fn invalid_request(description: &str) -> Response<ResponseBody> {
    error(StatusCode::BAD_REQUEST, "invalid_request", description)
}

pub(super) fn json_answer(
    status: StatusCode,
    members: Map<String, Value>,
) -> Response<ResponseBody> {
    let mut response = typed(status, "application/json", Value::Object(members).to_string());
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}
