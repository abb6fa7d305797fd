//! Requests in, answers out.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::BodyExt;
use tower::Service;

use super::{Received, ResourceServer};
use crate::{
    BoxError,
    testing::{
        ResponseBody,
        authorization::Refused,
        fault::{Outcome, typed},
    },
};

/// In memory. It is always ready; the work begins when the future is polled.
impl<B> Service<Request<B>> for ResourceServer
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
        Box::pin(async move { server.answer(request).await })
    }
}

/// What a request gets, decided on its head.
enum Verdict {
    Accept,
    /// 400 or 401, with this challenge.
    Refuse(StatusCode, String),
    /// 403: a better token of the same kind does not help.
    Forbid(String),
}

impl ResourceServer {
    async fn answer<B>(self, request: Request<B>) -> Outcome
    where
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let (head, body) = request.into_parts();
        let received = Received::new(head);
        let number = {
            let mut state = self.state();
            state.counts.requests += 1;
            state.log.push(received.clone())
        };

        let conduct = &self.0.conduct;
        let turn = conduct.arrive().await;
        if let Some(outcome) = turn.instead() {
            let status = outcome.as_ref().ok().map(Response::status);
            self.state().log.amend(number, |received| received.status = status);
            return conduct.send(outcome).await;
        }

        let verdict = self.judge(&received);
        let limit = match verdict {
            Verdict::Accept => u64::MAX,
            Verdict::Refuse(..) | Verdict::Forbid(_) => self.state().settings.read_before_refusal,
        };
        let mut upload = Upload::new(body);
        let read = upload.read(limit).await;
        self.state().log.amend(number, |received| {
            received.body = upload.data.clone().freeze();
            received.trailers = upload.trailers.clone();
            received.complete = upload.complete;
        });
        read?;
        let response = verdict.response(&received, upload.data.split().freeze());
        let drain = {
            let mut state = self.state();
            let status = response.status();
            state.log.amend(number, |received| received.status = Some(status));
            state.counts.accepted += usize::from(status == StatusCode::OK);
            state.counts.unauthorized += usize::from(status == StatusCode::UNAUTHORIZED);
            state.settings.drain_after_refusal
        };
        if !upload.complete && drain {
            tokio::spawn(upload.drain());
        } else {
            drop(upload);
        }
        conduct.answer(turn, response).await
    }

    fn judge(&self, received: &Received) -> Verdict {
        let path = received.uri.path();
        let (refused, needed, newest_only) = {
            let settings = &self.state().settings;
            let needed = settings.scopes.get(path).cloned();
            (settings.refused.contains(path), needed, settings.newest_only)
        };
        // RFC 6750 §3.1: more than one way of sending a token is a malformed request.
        if received.authorizations() > 1 {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request", "more than one credential");
        }
        // RFC 6750 §3.1: who sent no token is told no error.
        let Some(token) = received.bearer() else {
            return Verdict::Refuse(StatusCode::UNAUTHORIZED, r#"Bearer realm="api""#.into());
        };
        let why = match self.0.authorization.verify(token, newest_only) {
            Ok(()) if refused => "no token is good enough here",
            Ok(()) => {
                return needed.map_or(Verdict::Accept, |scope| {
                    let error = challenge("insufficient_scope", "the token may not do this");
                    Verdict::Forbid(format!(r#"{error}, scope="{scope}""#))
                });
            }
            Err(Refused::Foreign) => "the access token is not one of ours",
            Err(Refused::Expired) => "the access token expired",
            Err(Refused::Revoked) => "the access token was revoked",
            Err(Refused::Superseded) => "the access token was replaced by a newer one",
        };
        refuse(StatusCode::UNAUTHORIZED, "invalid_token", why)
    }
}

fn challenge(error: &str, description: &str) -> String {
    format!(r#"Bearer realm="api", error="{error}", error_description="{description}""#)
}

fn refuse(status: StatusCode, error: &str, description: &str) -> Verdict {
    Verdict::Refuse(status, challenge(error, description))
}

impl Verdict {
    fn response(self, request: &Received, body: Bytes) -> Response<ResponseBody> {
        let (status, challenge) = match self {
            Self::Accept => return echo(request, body),
            Self::Refuse(status, challenge) => (status, challenge),
            Self::Forbid(challenge) => (StatusCode::FORBIDDEN, challenge),
        };
        let mut response = typed(status, "text/plain; charset=utf-8", format!("{status}\n"));
        // A scope that cannot be written into a header is left out with its challenge.
        if let Ok(challenge) = HeaderValue::from_str(&challenge) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

fn echo(request: &Received, body: Bytes) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(body));
    let headers = response.headers_mut();
    if let Some(media_type) = request.headers.get(header::CONTENT_TYPE) {
        headers.insert(header::CONTENT_TYPE, media_type.clone());
    }
    // A method is a token and a path has no control character, so both are fit for a header.
    for (name, value) in
        [("echo-method", request.method.as_str()), ("echo-path", request.uri.path())]
    {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

/// The body of a request, as far as it was read.
struct Upload<B> {
    body: Pin<Box<B>>,
    data: BytesMut,
    trailers: Option<HeaderMap>,
    complete: bool,
}

impl<B> Upload<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn new(body: B) -> Self {
        Self { body: Box::pin(body), data: BytesMut::new(), trailers: None, complete: false }
    }

    /// Read until `limit` bytes or more are there, or the body ends.
    async fn read(&mut self, limit: u64) -> Result<(), BoxError> {
        self.complete = self.body.is_end_stream();
        while !self.complete && (self.data.len() as u64) < limit {
            match self.body.frame().await {
                None => self.complete = true,
                Some(frame) => match frame.map_err(Into::into)?.into_data() {
                    Ok(mut data) => {
                        while data.has_remaining() {
                            let chunk = data.chunk();
                            self.data.extend_from_slice(chunk);
                            let length = chunk.len();
                            data.advance(length);
                        }
                    }
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Ok(())
    }

    async fn drain(mut self) {
        while let Some(Ok(_)) = self.body.frame().await {}
    }
}
