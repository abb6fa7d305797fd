//! The refresh token grant (RFC 6749 §6).

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use zeroize::Zeroizing;

use super::{
    ClientAuthentication, Held, TokenSource,
    token_endpoint::{Form, InvalidEndpoint, TokenEndpoint},
};
use crate::{BoxError, RefreshError, TokenSet, error::Kind};

/// Spends a refresh token at a token endpoint (RFC 6749 §6).
///
/// It speaks over any HTTP [`Service`], a hyper client for one, which must not be the stack that the
/// session serves. The service must not follow redirects: a `307` would carry the refresh token
/// elsewhere (RFC 9700 §4.12). It must check the server's certificate, and needs no timeout of its own.
///
/// One call is one attempt, and this is what its answer means:
///
/// | answer | meaning |
/// |---|---|
/// | 2xx with an `access_token` | success; a missing refresh token or scope stays as it was |
/// | `invalid_grant`, or a [`verdict_code`](Self::verdict_code), in a 2xx or 4xx | rejected |
/// | 425, 429, 503, `temporarily_unavailable`, `slow_down`, a service that is not ready, an error that is [`not_sent`](Self::not_sent) | transient |
/// | 408, any other 5xx, `server_error`, a 2xx that makes no sense, an answer cut short, any other error of the service | ambiguous |
/// | any other code, a redirect, any other 4xx | misconfigured |
/// | a token that is no bearer token | misconfigured, and [`was_ambiguous`](RefreshError::was_ambiguous): the refresh token is spent |
///
/// No more than 1 MiB of an answer is read. Both bodies are zeroized once they are done with.
///
/// ```
/// use bytes::Bytes;
/// use http_body_util::Full;
/// use hyper_util::{client::legacy::{Client, Error}, rt::TokioExecutor};
/// use tower_reauth::RefreshTokenGrant;
///
/// # let https = hyper_util::client::legacy::connect::HttpConnector::new();
/// let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
/// let grant = RefreshTokenGrant::new("https://login.example.com/token", "my-app", client)?
///     .not_sent(|error| error.downcast_ref().is_some_and(Error::is_connect));
/// # Ok::<(), tower_reauth::InvalidEndpoint>(())
/// ```
#[derive(Clone)]
pub struct RefreshTokenGrant<S> {
    endpoint: TokenEndpoint<S>,
    scope: String,
    parameters: Vec<(String, Zeroizing<String>)>,
}

impl<S> RefreshTokenGrant<S> {
    /// A grant that asks `token_endpoint`, an `https` URI, for tokens of `client`: a public client's
    /// `client_id`, or a [`ClientAuthentication`].
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if it is not an absolute URI, has user information or a fragment, or is
    /// plain `http`. A query is kept (RFC 6749 §3.2).
    pub fn new(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::over(TokenEndpoint::new(token_endpoint, false, client.into(), service)?))
    }

    /// The same for endpoints over plain `http`, such as `http://127.0.0.1:8080/token`: whoever is on
    /// the path can read the refresh token.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::over(TokenEndpoint::new(token_endpoint, true, client.into(), service)?))
    }

    fn over(endpoint: TokenEndpoint<S>) -> Self {
        Self { endpoint, scope: String::new(), parameters: Vec::new() }
    }

    /// The scope to ask for, names with a space between them: some or all of what was granted at the
    /// login, never more (RFC 6749 §6).
    ///
    /// Default: none is sent, which asks for all of it.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// One more parameter of the token request, such as `audience`. Each name is sent once: a later
    /// value replaces an earlier one, and none replaces what the grant sends of its own (`grant_type`,
    /// `refresh_token`, `client_id`, and `scope` if it is set). An empty value is not sent.
    ///
    /// Default: none.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.parameters.retain(|(present, _)| *present != name);
        self.parameters.push((name, Zeroizing::new(value.into())));
        self
    }

    /// One more error code by which the server says that the grant is dead, such as GitHub's
    /// `bad_refresh_token`.
    ///
    /// Default: `invalid_grant` alone.
    #[must_use]
    pub fn verdict_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.endpoint.add_verdict(code.into());
        self
    }

    /// Which errors of the service say that the request never left, so that nothing can have been spent
    /// and the same refresh token may be sent again.
    ///
    /// Default: none; only a service that fails before it is ready is known not to have sent anything.
    #[must_use]
    pub fn not_sent(
        mut self,
        classify: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.endpoint.set_not_sent(classify);
        self
    }

    /// Whose tokens these are, as [`TokenSource::issuer`] reports it.
    ///
    /// Default: the token endpoint's origin, such as `https://login.example.com`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.endpoint.set_issuer(issuer.into());
        self
    }

    /// Where tokens are revoked (RFC 7009): the refresh token, or the access token of a set without
    /// one. The same service reaches it.
    ///
    /// Default: nowhere; tokens that are no longer used live on until they expire.
    ///
    /// # Errors
    ///
    /// As for the token endpoint: plain `http` only in a grant from [`new_insecure`](Self::new_insecure).
    pub fn revocation_endpoint(mut self, endpoint: &str) -> Result<Self, InvalidEndpoint> {
        self.endpoint.set_revocation(endpoint)?;
        Ok(self)
    }
}

impl<S, B> TokenSource for RefreshTokenGrant<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send,
    B::Error: Into<BoxError>,
{
    async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
        let Some(refresh_token) = held.refresh_token() else {
            return Err(RefreshError::new(Kind::LoginRequired));
        };
        let form = Form::new()
            .field("grant_type", "refresh_token")
            .field("refresh_token", refresh_token.expose_secret())
            .field("scope", &self.scope);
        // Last, because the first of a name counts.
        let form = self.parameters.iter().fold(form, |form, (name, value)| form.field(name, value));
        self.endpoint.request_tokens(form).await
    }

    async fn revoke(&self, tokens: TokenSet) -> Result<(), RefreshError> {
        let (token, hint) = match tokens.refresh() {
            Some(token) => (token.expose_secret(), "refresh_token"),
            None => (tokens.access().expose_secret(), "access_token"),
        };
        let form = Form::new().field("token", token).field("token_type_hint", hint);
        self.endpoint.revoke(form).await
    }

    fn issuer(&self) -> Option<String> {
        Some(self.endpoint.issuer().to_owned())
    }
}

impl<S> fmt::Debug for RefreshTokenGrant<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshTokenGrant")
            .field("token_endpoint", &format_args!("{}/…", self.endpoint.origin()))
            .field("client", self.endpoint.client())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
