//! A login that waits for its user.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use super::{
    error::{DeviceError, Kind},
    pace::{Pace, Polled},
};
use crate::{
    Clock, RefreshError, TokenSet, error, source::token_endpoint::outcome::AUTHORIZATION_DECLINED,
};

pub(super) type Poll = Pin<Box<dyn Future<Output = Result<TokenSet, RefreshError>> + Send>>;

/// A login that waits for its user to enter a code on another device; made by
/// [`DeviceAuthorization::start`](crate::DeviceAuthorization::start).
pub struct DeviceLogin {
    pub(super) user_code: String,
    pub(super) verification_uri: String,
    pub(super) verification_uri_complete: Option<String>,
    pub(super) pace: Pace,
    pub(super) begin: Box<dyn Fn() -> Poll + Send>,
    /// A poll under way outlives the future that began it: its answer comes only once.
    pub(super) polling: Option<Poll>,
}

impl DeviceLogin {
    /// What the user enters there. It is not secret.
    #[must_use]
    pub fn user_code(&self) -> &str {
        &self.user_code
    }

    /// Where the user enters it: an absolute URI, `https` unless plain `http` was allowed.
    #[must_use]
    pub fn verification_uri(&self) -> &str {
        &self.verification_uri
    }

    /// The same with the code in it, for a link or a QR code. Show the
    /// [code](Self::user_code) beside it, so that the user can compare (RFC 8628 §3.3.1).
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<&str> {
        self.verification_uri_complete.as_deref()
    }

    /// How long the user still has.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.pace.left(Clock::system().now().mono)
    }

    /// Wait for the user, and get the tokens: for a session's [`login`](crate::Session::login).
    ///
    /// It polls as RFC 8628 §3.5 says: not before the interval is over, 5 s more for good after each
    /// `slow_down`, and less and less often while there is no answer, or a `429` or `5xx`. Any other
    /// error ends it.
    ///
    /// Cancel safe: dropping the future stops the polling, and the next call goes on where it was, with
    /// the answer of a poll that was under way. It needs a tokio runtime with time enabled.
    ///
    /// # Errors
    ///
    /// A [`DeviceError`]: the user refused, or did not agree in time, or the server will never give any.
    pub async fn tokens(&mut self) -> Result<TokenSet, DeviceError> {
        loop {
            if self.polling.is_none() {
                let next = self.pace.next().ok_or(Kind::Expired)?;
                tokio::time::sleep_until(next.into()).await;
            }
            let answer = self.polling.get_or_insert_with(&self.begin).await;
            self.polling = None;
            let error = match answer {
                Ok(tokens) => return Ok(tokens),
                Err(error) => error,
            };
            self.pace.polled(polled(error)?, Clock::system().now().mono);
        }
    }
}

fn polled(error: RefreshError) -> Result<Polled, Kind> {
    match error.oauth_code() {
        Some("authorization_pending") => Ok(Polled::Pending),
        Some("slow_down") => Ok(Polled::SlowDown),
        Some("access_denied" | AUTHORIZATION_DECLINED) => Err(Kind::Denied),
        Some("expired_token") => Err(Kind::Expired),
        _ => match error.kind() {
            error::Kind::Transient | error::Kind::Ambiguous | error::Kind::Unanswered => {
                Ok(Polled::Unanswered(error.retry_after().unwrap_or_default()))
            }
            _ => Err(Kind::Failed(error)),
        },
    }
}

impl fmt::Debug for DeviceLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceLogin")
            .field("expires_in", &self.expires_in())
            .finish_non_exhaustive()
    }
}
