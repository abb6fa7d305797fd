//! What a response says about the token that its request carried, judged by the head.
//!
//! [`BearerClassifier`] is the default and [`GrpcClassifier`] its sibling for gRPC. Where a server has
//! words of its own, write a [`Classify`], most often by [`classify_fn`] around one of the two.

mod bearer;
mod function;
mod grpc;
#[cfg(test)]
mod tests;

use std::fmt;

use http::{Extensions, HeaderMap, Response, StatusCode};

pub use self::{
    bearer::BearerClassifier,
    function::{ClassifyFn, classify_fn},
    grpc::GrpcClassifier,
};
use crate::challenge::Challenge;

/// What a response says about the token that its request carried.
///
/// With feature `inspect-body` a layer beneath [`RefreshLayer`](crate::RefreshLayer) may put one into the
/// extensions of a response. Then no classifier is asked.
///
/// `Debug` shows no text of the server; see [`Challenge`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Verdict {
    /// Nothing that a new token would change: the caller gets the response.
    Answer,
    /// The token was refused, and a new one may be accepted: refresh, and send again.
    Challenge,
    /// The token was understood and is not enough: another login, more scope or more claims are asked
    /// for (RFC 6750 §3.1 `insufficient_scope`, RFC 9470), which no refresh gives. The caller gets the
    /// response, and an event carries the challenge with its parameters.
    StepUp(Challenge),
}

/// Judges response heads: which of them mean that the access token was refused.
///
/// It is asked once for each response to a request that carried the session's token, and never about
/// the answers of other origins. It runs on the task of the request, for every response, so it should
/// compare and not compute. How often a request is sent again is not its business: it may call every
/// answer a [`Verdict::Challenge`], and the bounds on replays and refreshes still hold.
///
/// For a closure there is [`classify_fn`].
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_reauth::{BearerClassifier, Classify, ResponseHead, Verdict};
///
/// /// A gateway that redirects to its login page where it should answer 401.
/// struct Gateway(BearerClassifier);
///
/// impl Classify for Gateway {
///     fn classify(&self, head: &ResponseHead<'_>) -> Verdict {
///         match head.status() {
///             StatusCode::FOUND if head.headers().contains_key("x-login") => Verdict::Challenge,
///             _ => self.0.classify(head),
///         }
///     }
/// }
///
/// let response = Response::builder().status(302).header("x-login", "1").body(()).unwrap();
/// let gateway = Gateway(BearerClassifier::new());
/// assert_eq!(gateway.classify(&ResponseHead::new(&response)), Verdict::Challenge);
/// ```
pub trait Classify: Send + Sync + 'static {
    /// The verdict on one response head.
    fn classify(&self, head: &ResponseHead<'_>) -> Verdict;
}

/// The head of a response: all of it that a [`Classify`] sees.
#[derive(Clone, Copy)]
pub struct ResponseHead<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    extensions: &'a Extensions,
}

impl<'a> ResponseHead<'a> {
    /// The head of `response`, whatever its body is.
    #[must_use]
    pub fn new<B>(response: &'a Response<B>) -> Self {
        Self {
            status: response.status(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The header fields.
    #[must_use]
    pub fn headers(&self) -> &'a HeaderMap {
        self.headers
    }

    /// What the layers beneath left in the response's extensions.
    #[must_use]
    pub fn extensions(&self) -> &'a Extensions {
        self.extensions
    }
}

/// The status only: headers hold a server's text, and cookies.
impl fmt::Debug for ResponseHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseHead").field("status", &self.status).finish_non_exhaustive()
    }
}
