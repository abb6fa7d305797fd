//! How a credential is written into a header (RFC 6750 §2.1).

use bytes::Bytes;
use http::HeaderValue;
use zeroize::Zeroizing;

use crate::AccessToken;

const SCHEME: &str = "Bearer ";

/// Its text is zeroized when the last request that carries it is gone.
pub(crate) fn bearer(token: &AccessToken) -> HeaderValue {
    let token = token.expose_secret();
    // A buffer that grew would leave a copy behind.
    let mut text = Zeroizing::new(String::with_capacity(SCHEME.len() + token.len()));
    text.push_str(SCHEME);
    text.push_str(token);
    #[allow(clippy::expect_used)]
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(text))
        .expect("an access token has only characters that a header value may have");
    value.set_sensitive(true);
    value
}
