//! Token exchange (RFC 8693).

use std::{fmt, future::Future};

use zeroize::Zeroizing;

use super::{
    Grant,
    kind::{Fields, Sealed},
};
use crate::{
    Audience, ClientAuthentication, Held, InvalidEndpoint, RefreshError, source::fetch::Fetch,
};

/// Gets tokens for a token that somebody else issued (RFC 8693); see [`Grant`] for what it is made of.
///
/// Each exchange shows the subject's newest token. One session is for one subject, with its actor,
/// audiences, resources and scope: what is exchanged for another subject belongs in a session of its own.
///
/// ```
/// use tower_reauth::{RefreshError, SecurityToken, Session, TokenExchange};
///
/// # fn exchange(login: Session) -> Result<(), tower_reauth::InvalidEndpoint> {
/// # let client = ();
/// // `login` is the session of the user who logged in.
/// let subject = SecurityToken::access_token(move || {
///     let login = login.clone();
///     async move { Ok(login.token().await?.expose_secret().to_owned()) }
/// });
/// let source = TokenExchange::new("https://login.example.com/token", subject, client)?
///     .client("my-app")
///     .audience("reports");
/// # let _ = source;
/// # Ok(()) }
/// ```
pub type TokenExchange<S> = Grant<S, Exchanging>;

/// The kind of a [`TokenExchange`](crate::TokenExchange).
#[derive(Clone, Debug)]
pub struct Exchanging {
    subject: SecurityToken,
    actor: Option<SecurityToken>,
    requested_type: String,
}

impl<S> Grant<S, Exchanging> {
    /// A grant that shows `token_endpoint`, an `https` URI, the token of a subject.
    ///
    /// # Errors
    ///
    /// As for [`RefreshTokenGrant::new`](crate::RefreshTokenGrant::new).
    pub fn new(
        token_endpoint: &str,
        subject: SecurityToken,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::over(token_endpoint, false, nobody, service, Exchanging::of(subject))
    }

    /// The same for endpoints over plain `http`, such as `http://127.0.0.1:8080/token`: whoever is on
    /// the path can read the subject's token.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        token_endpoint: &str,
        subject: SecurityToken,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::over(token_endpoint, true, nobody, service, Exchanging::of(subject))
    }

    /// A grant that asks where `issuer` says in its [metadata](Grant#discovery). This fetches nothing yet.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer is not an absolute `https` URI without user information, query
    /// and fragment.
    pub fn discover(
        issuer: &str,
        subject: SecurityToken,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::discovering(issuer, false, nobody, service, Exchanging::of(subject))
    }

    /// The same for an issuer, or endpoints, over plain `http`: whoever is on the path can read
    /// the subject's token.
    ///
    /// # Errors
    ///
    /// As for [`discover`](Self::discover), but for the scheme.
    pub fn discover_insecure(
        issuer: &str,
        subject: SecurityToken,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let nobody = ClientAuthentication::anonymous();
        Self::discovering(issuer, true, nobody, service, Exchanging::of(subject))
    }

    /// The client that asks for the exchange.
    ///
    /// Default: none; whoever holds the subject's token may exchange it.
    #[must_use]
    pub fn client(mut self, client: impl Into<ClientAuthentication>) -> Self {
        self.endpoint.set_client(client.into());
        self
    }

    /// On whose behalf nobody acts but this actor (RFC 8693 §1.1): the new token says so, or says that
    /// the actor is the subject.
    ///
    /// Default: none.
    #[must_use]
    pub fn actor(mut self, actor: SecurityToken) -> Self {
        self.kind.actor = Some(actor);
        self
    }

    /// The type of the token to get, such as [`SecurityToken::ACCESS_TOKEN`]. It must be one that can be
    /// attached to a request: an answer that says `N_A` is a configuration error.
    ///
    /// Default: none is sent; the server decides.
    #[must_use]
    pub fn requested_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.kind.requested_type = token_type.into();
        self
    }
}

impl Exchanging {
    fn of(subject: SecurityToken) -> Self {
        Self { subject, actor: None, requested_type: String::new() }
    }
}

impl Sealed for Exchanging {
    const NAME: &'static str = "TokenExchange";
    const GRANT_TYPE: &'static str = "urn:ietf:params:oauth:grant-type:token-exchange";
    const SEVERAL_AUDIENCES: bool = true;
    // RFC 8693 §2.2.1. A server without it has not understood what it was asked.
    const REQUIRED_MEMBER: Option<&'static str> = Some("issued_token_type");

    async fn fields(&self, _: &Held, _: &Audience) -> Result<Fields, RefreshError> {
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let mut fields = vec![
            ("subject_token", self.subject.fetch.text(()).await?),
            ("subject_token_type", text(&self.subject.token_type)),
        ];
        if let Some(actor) = &self.actor {
            let token = actor.fetch.text(()).await?;
            fields.extend([("actor_token", token), ("actor_token_type", text(&actor.token_type))]);
        }
        fields.push(("requested_token_type", text(&self.requested_type)));
        Ok(fields)
    }
}

/// A token to exchange, and its type (RFC 8693 §3): a closure that is asked anew for each exchange,
/// because the token at hand may have expired since the last one.
///
/// An error of the closure is one of the exchange: [`RefreshError::transient`] is tried again.
#[derive(Clone)]
pub struct SecurityToken {
    token_type: String,
    fetch: Fetch<()>,
}

impl SecurityToken {
    /// An OAuth 2.0 access token (RFC 8693 §3).
    pub const ACCESS_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:access_token";
    /// An OpenID Connect ID token (RFC 8693 §3).
    pub const ID_TOKEN: &'static str = "urn:ietf:params:oauth:token-type:id_token";
    /// A JWT, such as a workload's identity (RFC 8693 §3).
    pub const JWT: &'static str = "urn:ietf:params:oauth:token-type:jwt";

    /// A token of any type, a URI of RFC 8693 §3 or of one's own.
    pub fn new<F, Fut>(token_type: impl Into<String>, fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self { token_type: token_type.into(), fetch: Fetch::new(move |()| fetch()) }
    }

    /// An OAuth 2.0 access token, such as that of another session.
    pub fn access_token<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self::new(Self::ACCESS_TOKEN, fetch)
    }

    /// A JWT, such as the one that a cluster mounts for a workload.
    pub fn jwt<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self::new(Self::JWT, fetch)
    }
}

impl fmt::Debug for SecurityToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityToken")
            .field("token_type", &self.token_type)
            .finish_non_exhaustive()
    }
}
