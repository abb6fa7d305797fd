//! Telling the issuer that tokens are no longer used (RFC 7009).

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::runtime::Handle;
use tower::Service;

use super::{Form, TokenEndpoint, address::Address, outcome};
use crate::{Audience, BoxError, Clock, RefreshError, TokenSet, error::Kind, source::Departure};

/// How long the waits between attempts may be in all. A session allows a revocation 10 s.
const WAIT: Duration = Duration::from_secs(8);

/// The first wait, where the server does not ask for a longer one; it doubles.
const FIRST: Duration = Duration::from_millis(500);

impl<S, B> TokenEndpoint<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Revoke the refresh token, and with it what was minted from it; the access token, where there is
    /// no other or the server does not revoke that kind. Nothing happens where there is no revocation
    /// endpoint.
    pub(crate) async fn revoke(&self, tokens: &TokenSet) -> Result<(), RefreshError> {
        let found;
        let (address, audience) = match &self.revocation {
            // An assertion alone has to know where the token endpoint is.
            Some(address) if !self.client.is_assertion() => (address, None),
            named => {
                found = self.endpoints().await?;
                let address = match (named, &found.revocation) {
                    (Some(address), _) | (None, Some(Ok(address))) => address,
                    (None, Some(Err(flaw))) => {
                        return Err(RefreshError::misconfigured().with_source(*flaw));
                    }
                    (None, None) => return Ok(()),
                };
                (address, Some(&*found))
            }
        };
        let audience = self.audience(audience);
        let refresh = tokens.refresh().map(|token| (token.expose_secret(), "refresh_token"));
        let access = (tokens.access().expose_secret(), "access_token");
        for (token, hint) in refresh.into_iter().chain([access]) {
            match self.revoke_one(address, &audience, token, hint).await {
                // RFC 7009 §2.2.1: the server revokes no tokens of this kind.
                Err(error) if error.oauth_code() == Some(outcome::UNSUPPORTED_TOKEN_TYPE) => {}
                revoked => return revoked,
            }
        }
        Ok(())
    }

    /// RFC 7009 §2.2.1: after a 503 the token is taken to be alive. To revoke it twice does no harm, so
    /// what may have been processed is tried again too.
    async fn revoke_one(
        &self,
        address: &Address,
        audience: &Audience,
        token: &str,
        hint: &str,
    ) -> Result<(), RefreshError> {
        let (mut left, mut step) = (WAIT, FIRST);
        loop {
            let form = Form::new().field("token", token).field("token_type_hint", hint);
            let revoked = match self.post(address, audience, form, &Departure::default()).await {
                Ok(answer) => outcome::revocation(&answer, Clock::system().now().wall),
                Err(error) => Err(error),
            };
            let Err(error) = revoked else { return Ok(()) };
            let again = matches!(error.kind(), Kind::Transient | Kind::Ambiguous);
            let wait = error.retry_after().unwrap_or_default().max(step);
            if !again || wait > left || Handle::try_current().is_err() {
                return Err(error);
            }
            tokio::time::sleep(wait).await;
            (left, step) = (left - wait, 2 * step);
        }
    }
}
