//! The grants of OAuth 2.0 that need no user: one type, [`Grant`], in four kinds.
//!
//! | grant | spends | for |
//! |---|---|---|
//! | [`RefreshTokenGrant`](crate::RefreshTokenGrant) (RFC 6749 §6) | the refresh token | a user who logged in once |
//! | [`ClientCredentials`](crate::ClientCredentials) (RFC 6749 §4.4) | nothing | a program on its own behalf |
//! | [`JwtBearer`](crate::JwtBearer) (RFC 7523 §2.1) | nothing | a service account with a key |
//! | [`TokenExchange`](crate::TokenExchange) (RFC 8693) | nothing | a token for one that another issuer gave |
//!
//! A grant that spends nothing starts from nothing: its session needs no login and cannot end. What would
//! be a verdict is a configuration error there, and the session cools down; an answer that got lost is
//! asked for again. A refresh token that comes all the same is left aside (RFC 6749 §4.4.3), so the same
//! grant gets the next access token too.

mod client_credentials;
mod jwt_bearer;
mod kind;
mod refresh_token;
mod token_exchange;

use std::{borrow::Cow, fmt, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use zeroize::Zeroizing;

pub use self::{
    client_credentials::{AsClient, ClientCredentials},
    jwt_bearer::{JwtBearer, WithAssertion},
    kind::Kind,
    refresh_token::{RefreshTokenGrant, WithRefreshToken},
    token_exchange::{Exchanging, SecurityToken, TokenExchange},
};
use super::{
    ClientAuthentication, Held, TokenSource,
    token_endpoint::{Endpoints, Failed, Form, InvalidEndpoint, TokenEndpoint},
};
use crate::{BoxError, RefreshError, TokenSet};

/// Asks a token endpoint for tokens, over any HTTP [`Service`].
///
/// A hyper client is such a service. It must not be the stack that the session serves, and must not
/// follow redirects: a `307` would carry the secrets elsewhere (RFC 9700 §4.12). It must check the
/// server's certificate, and needs no timeout of its own.
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
/// Each parameter is sent once, `resource` and the `audience` of a token exchange excepted.
///
/// # Discovery
///
/// A grant made by `discover` knows its issuer alone, and asks where the issuer's metadata says
/// (RFC 8414, OpenID Connect Discovery). The metadata is fetched with the first token request: from
/// `/.well-known/oauth-authorization-server`, with the path of the issuer after it, or else from the
/// issuer's own path with `/.well-known/openid-configuration` after that. It is kept for
/// [an hour](Self::metadata_lifetime), used [up to a day](Self::metadata_grace) longer while no newer can
/// be had within 3 s, and fetched again, at most every 10 s, when nobody is at the token endpoint: no
/// connection, 404, 405 or 410. A request that failed so is then sent to where the endpoint is now.
///
/// A document counts only if its `issuer` is the same, character by character. Its endpoints must be
/// `https` too; they may be on other hosts. The revocation endpoint is taken from it, and for a client
/// with a [certificate](ClientAuthentication::mtls) the endpoints that are meant for it (RFC 8705 §5).
///
/// The issuer is then [whose tokens these are](Self::issuer). A store whose records were made with a named
/// endpoint has that endpoint's origin there: a program that changes from the one to the other says which
/// by [`SessionBuilder::issuer`](crate::SessionBuilder::issuer), or its users log in anew.
///
/// Metadata that cannot be had spends nothing: transient, or misconfigured if it is of another issuer or
/// of no use.
#[derive(Clone)]
pub struct Grant<S, K> {
    endpoint: TokenEndpoint<S>,
    scope: String,
    audiences: Vec<String>,
    resources: Vec<String>,
    parameters: Vec<(String, Zeroizing<String>)>,
    kind: K,
}

impl<S, K: Kind> Grant<S, K> {
    fn over(
        token_endpoint: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
        kind: K,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::at(TokenEndpoint::new(token_endpoint, plain, client, service)?, kind))
    }

    fn discovering(
        issuer: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
        kind: K,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::at(TokenEndpoint::discover(issuer, plain, client, service)?, kind))
    }

    fn at(mut endpoint: TokenEndpoint<S>, kind: K) -> Self {
        endpoint.require(K::REQUIRED_MEMBER);
        Self {
            endpoint,
            scope: String::new(),
            audiences: Vec::new(),
            resources: Vec::new(),
            parameters: Vec::new(),
            kind,
        }
    }

    /// The scope to ask for, names with a space between them.
    ///
    /// A refresh asks for some or all of what was granted at the login, never more (RFC 6749 §6): names
    /// that are not in the scope that the session knows to be granted are left out.
    ///
    /// Default: none is sent. A refresh then asks for all that was granted, any other grant for what the
    /// server gives by default.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// For which service the token is meant, by the name that the authorization server knows it by. A
    /// token exchange may name several (RFC 8693 §2.1), one call for each; elsewhere the last one counts.
    ///
    /// Default: none is sent.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        if !K::SEVERAL_AUDIENCES {
            self.audiences.clear();
        }
        self.audiences.push(audience.into());
        self
    }

    /// For which service the token is meant, by its absolute URI without a fragment (RFC 8707 §2): one
    /// call for each.
    ///
    /// Default: none is sent.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.resources.push(resource.into());
        self
    }

    /// One more parameter of the token request. Each name is sent once: a later value replaces an
    /// earlier one. None replaces what the grant sends of its own, what says who the client is, or what
    /// has a setter that was called; `scope` goes by its setter alone. An empty value is not sent.
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
    /// `bad_refresh_token` or Entra's `interaction_required`.
    ///
    /// [`RefreshError::oauth_code`] then shows it.
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

    /// Whose tokens these are, as [`TokenSource::issuer`] reports it: the issuer identifier of the
    /// authorization server (RFC 8414 §2), for which assertions are signed too.
    ///
    /// Default: the [discovered](Self#discovery) issuer, or the token endpoint's origin, such as
    /// `https://login.example.com`.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.endpoint.set_issuer(issuer.into());
        self
    }

    /// How long a [discovered](Self#discovery) issuer's metadata is taken for true.
    ///
    /// Default: 1 h.
    #[must_use]
    pub fn metadata_lifetime(mut self, lifetime: Duration) -> Self {
        self.endpoint.set_metadata_lifetime(lifetime);
        self
    }

    /// How much longer than its [lifetime](Self::metadata_lifetime) a discovered issuer's metadata serves
    /// while no newer can be had. After that a refresh fails, as it does where none was ever had: what the
    /// metadata names may belong to somebody else by then.
    ///
    /// Default: 24 h. `Duration::MAX` sets no bound.
    #[must_use]
    pub fn metadata_grace(mut self, grace: Duration) -> Self {
        self.endpoint.set_metadata_grace(grace);
        self
    }

    /// Where tokens are revoked (RFC 7009): the refresh token, or the access token of a set without
    /// one. The same service reaches it.
    ///
    /// Default: where the [discovered](Self#discovery) issuer says, and otherwise nowhere: tokens that
    /// are no longer used live on until they expire.
    ///
    /// # Errors
    ///
    /// As for the token endpoint: plain `http` only in a grant from `new_insecure`.
    pub fn revocation_endpoint(mut self, endpoint: &str) -> Result<Self, InvalidEndpoint> {
        self.endpoint.set_revocation(endpoint)?;
        Ok(self)
    }
}

impl<S, B, K> TokenSource for Grant<S, K>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    K: Kind,
{
    async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
        held.departure().prepare();
        let at = self.endpoint.endpoints().await?;
        match self.attempt(&at, &held).await {
            Err(Failed { gone: true, error }) => match self.endpoint.moved(&at).await {
                Some(now) => self.attempt(&now, &held).await.map_err(|failed| failed.error),
                None => Err(error),
            },
            attempt => attempt.map_err(|failed| failed.error),
        }
    }

    async fn revoke(&self, tokens: TokenSet) -> Result<(), RefreshError> {
        self.endpoint.revoke(&tokens).await
    }

    fn spends_refresh_token(&self) -> bool {
        K::SPENDS_REFRESH_TOKEN
    }

    fn issuer(&self) -> Option<String> {
        Some(self.endpoint.issuer().to_owned())
    }
}

impl<S, B, K> Grant<S, K>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    K: Kind,
{
    async fn attempt(&self, at: &Endpoints, held: &Held) -> Result<TokenSet, Failed> {
        let unsent = |error| Failed { error, gone: false };
        let own =
            self.kind.fields(held, &self.endpoint.audience(Some(at))).await.map_err(unsent)?;
        let scope = match held.scope() {
            Some(granted) if K::SPENDS_REFRESH_TOKEN => within(&self.scope, granted),
            Some(_) | None => Cow::Borrowed(self.scope.as_str()),
        };
        let form = Form::new().field("grant_type", K::GRANT_TYPE);
        let form = own.iter().fold(form, |form, (name, value)| form.field(name, value));
        let form = form.field("scope", &scope);
        let form = self.audiences.iter().fold(form, |form, it| form.repeated("audience", it));
        let form = self.resources.iter().fold(form, |form, it| form.repeated("resource", it));
        // Last, because the first of a name counts.
        let others = self.parameters.iter().filter(|(name, _)| name != "scope");
        let form = others.fold(form, |form, (name, value)| form.field(name, value));
        let tokens = self.endpoint.request_tokens(at, form, held.departure()).await?;
        Ok(if K::SPENDS_REFRESH_TOKEN { tokens } else { tokens.without_refresh_token() })
    }
}

/// What of `asked` is in `granted` (RFC 6749 §3.3: names, in any order, with a space between them).
fn within<'a>(asked: &'a str, granted: &str) -> Cow<'a, str> {
    let is_granted = |name: &&str| granted.split(' ').any(|granted| granted == *name);
    if asked.split(' ').all(|name| is_granted(&name)) {
        return Cow::Borrowed(asked);
    }
    Cow::Owned(asked.split(' ').filter(is_granted).collect::<Vec<_>>().join(" "))
}

impl<S, K: Kind> fmt::Debug for Grant<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(K::NAME)
            .field("token_endpoint", &format_args!("{}/…", self.endpoint.origin()))
            .field("client", self.endpoint.client())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
