//! The ways in which a server can be told to fail.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use super::body::{ResponseBody, disconnected};
use crate::BoxError;

/// How the next answer goes wrong.
///
/// Told to a server by `fail_next`. Some faults stand *instead of* the server's work: the request
/// changes nothing there. Others come *after* it: the work is done, a refresh token is spent, and the
/// client does not learn of it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Fault {
    /// Instead: this status with an empty body.
    Status(StatusCode),
    /// Instead: this status and `Retry-After` in whole seconds (RFC 9110 §10.2.3). For the form with a
    /// date, see [`Fault::Response`].
    RetryAfter(StatusCode, Duration),
    /// Instead: this status and this text as `application/json`, whether it is JSON or not.
    Json(StatusCode, String),
    /// Instead: this status and a page of HTML.
    Html(StatusCode),
    /// Instead: this response, for all that the others cannot say, such as a redirect.
    Response(Response<Bytes>),
    /// Instead: no answer, the connection is gone. In memory the call fails with an
    /// [`io::Error`](std::io::Error) of kind `ConnectionReset`; on a socket the connection is closed,
    /// with all that runs over it.
    Reset,
    /// After: as [`Fault::Reset`], but the request was processed.
    LostAnswer,
    /// After: the head and half of the body arrive, then the connection is gone.
    Truncated,
    /// After: a gateway answers in the server's place, with this status and a page of HTML.
    Gateway(StatusCode),
}

pub(super) type Outcome = Result<Response<ResponseBody>, BoxError>;

impl Fault {
    /// What the client gets instead of the server's work, if this fault stands in its way.
    pub(super) fn instead(&self) -> Option<Outcome> {
        match self {
            Self::Status(status) => Some(Ok(plain(*status))),
            Self::RetryAfter(status, wait) => {
                let mut response = plain(*status);
                response.headers_mut().insert(header::RETRY_AFTER, wait.as_secs().into());
                Some(Ok(response))
            }
            Self::Json(status, text) => Some(Ok(typed(*status, "application/json", text.clone()))),
            Self::Html(status) => Some(Ok(page(*status))),
            Self::Response(response) => Some(Ok(response.clone().map(ResponseBody::whole))),
            Self::Reset => Some(Err(disconnected())),
            Self::LostAnswer | Self::Truncated | Self::Gateway(_) => None,
        }
    }

    /// What becomes of the answer after the server's work.
    pub(super) fn spoil(&self, answer: Response<ResponseBody>) -> Outcome {
        match self {
            Self::LostAnswer => Err(disconnected()),
            Self::Truncated => Ok(answer.map(ResponseBody::cut)),
            Self::Gateway(status) => Ok(page(*status)),
            _ => Ok(answer),
        }
    }
}

/// The faults to come, in the order in which they were told.
#[derive(Debug, Default)]
pub(super) struct FaultQueue(VecDeque<(usize, Fault)>);

impl FaultQueue {
    pub(super) fn push(&mut self, times: usize, fault: Fault) {
        if times > 0 {
            self.0.push_back((times, fault));
        }
    }

    pub(super) fn next(&mut self) -> Option<Fault> {
        let (times, fault) = self.0.front_mut()?;
        *times -= 1;
        if *times > 0 {
            return Some(fault.clone());
        }
        self.0.pop_front().map(|(_, fault)| fault)
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

fn plain(status: StatusCode) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(Bytes::new()));
    *response.status_mut() = status;
    response
}

/// A response whose body is `text` of this media type.
pub(super) fn typed(
    status: StatusCode,
    media_type: &'static str,
    text: impl Into<Bytes>,
) -> Response<ResponseBody> {
    let mut response = Response::new(ResponseBody::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}

fn page(status: StatusCode) -> Response<ResponseBody> {
    let text = format!("<!doctype html><title>{status}</title><h1>{status}</h1>\n");
    typed(status, "text/html; charset=utf-8", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_order_and_as_often_as_told() {
        let mut queue = FaultQueue::default();
        queue.push(2, Fault::Reset);
        queue.push(0, Fault::Truncated);
        queue.push(1, Fault::LostAnswer);

        assert!(matches!(queue.next(), Some(Fault::Reset)));
        assert!(matches!(queue.next(), Some(Fault::Reset)));
        assert!(matches!(queue.next(), Some(Fault::LostAnswer)));
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_fault_for_ever_lasts_until_it_is_cleared() {
        let mut queue = FaultQueue::default();
        queue.push(usize::MAX, Fault::Reset);
        assert!((0..1000).all(|_| queue.next().is_some()));
        queue.clear();
        assert!(queue.next().is_none());
    }

    #[test]
    fn retry_after_is_told_in_seconds() {
        let fault = Fault::RetryAfter(StatusCode::TOO_MANY_REQUESTS, Duration::from_secs(30));
        let response = fault.instead().unwrap().unwrap();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    }
}
