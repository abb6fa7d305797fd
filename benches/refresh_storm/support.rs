//! The clients that people write, as the other benches have them.

#[path = "../support/mutex_client.rs"]
pub(crate) mod mutex_client;
#[path = "../support/retry_policy.rs"]
pub(crate) mod retry_policy;

use std::time::Duration;

use http::HeaderValue;
use tower_reauth::{AccessToken, BoxError};

/// What a token endpoint answers.
#[derive(Clone)]
pub(crate) struct Fresh {
    pub(crate) token: String,
    pub(crate) lifetime: Duration,
}

impl Fresh {
    pub(crate) fn new(token: &AccessToken) -> Self {
        let token = token.expose_secret().to_owned();
        Self { token, lifetime: Duration::from_secs(3600) }
    }

    /// As it is written into a request.
    pub(crate) fn header(&self) -> Result<HeaderValue, BoxError> {
        let mut header = HeaderValue::try_from(format!("Bearer {}", self.token))?;
        header.set_sensitive(true);
        Ok(header)
    }
}
