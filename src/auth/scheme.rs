//! How a credential is written into a header (RFC 6750 §2.1).

use http::HeaderValue;

use crate::AccessToken;

pub(crate) fn bearer(token: &AccessToken) -> HeaderValue {
    let value = format!("Bearer {}", token.expose_secret());
    #[allow(clippy::expect_used)]
    let mut value = HeaderValue::try_from(value)
        .expect("an access token has only characters that a header value may have");
    value.set_sensitive(true);
    value
}
