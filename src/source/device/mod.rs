//! Device authorization (RFC 8628): a login for programs without a browser.

mod error;
mod login;
mod pace;

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::Service;
use zeroize::Zeroizing;

pub use self::{error::DeviceError, login::DeviceLogin};
use self::{error::Kind, login::Poll, pace::Pace};
use super::{
    ClientAuthentication, Departure,
    token_endpoint::{Form, InvalidEndpoint, TokenEndpoint},
};
use crate::{BoxError, Clock, RefreshError, TokenSet, caught::caught, error::Kind as Failure};

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// As long as a session listens for an answer.
const LIMIT: Duration = Duration::from_secs(30);

/// A login on another device (RFC 8628), for programs without a browser: the user opens a page on a
/// phone, say, and enters a short code there. It ends in the tokens that a session begins with.
///
/// It speaks over the same kind of service as a grant does.
///
/// ```
/// use tower_reauth::{DeviceAuthorization, RefreshTokenGrant, Session};
/// # use tower_reauth::testing::AuthorizationServer;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), tower_reauth::BoxError> {
/// # let server = AuthorizationServer::new();
/// # let (issuer, client) = ("https://auth.example.com", server.clone());
/// let session = Session::builder(RefreshTokenGrant::discover(issuer, "my-app", client.clone())?)
///     .origin("https://api.example.com")
///     .build()?;
///
/// let device = DeviceAuthorization::discover(issuer, "my-app", client)?.scope("api");
/// let mut login = device.start().await?;
/// println!("Open {} and enter {}", login.verification_uri(), login.user_code());
/// # server.approve_device(login.user_code());
/// session.login(login.tokens().await?).await?;
/// # assert!(session.peek().is_some());
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct DeviceAuthorization<S> {
    endpoint: TokenEndpoint<S>,
    scope: String,
    parameters: Vec<(String, Zeroizing<String>)>,
}

impl<S> DeviceAuthorization<S> {
    /// A login at these two `https` endpoints, for `client`: a public client's `client_id`, or a
    /// [`ClientAuthentication`].
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if one of them is not an absolute URI, has user information or a fragment, or
    /// is plain `http`.
    pub fn new(
        device_endpoint: &str,
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::at(device_endpoint, token_endpoint, false, client.into(), service)
    }

    /// The same for endpoints over plain `http`: whoever is on the path can read the tokens.
    ///
    /// # Errors
    ///
    /// As for [`new`](Self::new); `https` is allowed here too.
    pub fn new_insecure(
        device_endpoint: &str,
        token_endpoint: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Self::at(device_endpoint, token_endpoint, true, client.into(), service)
    }

    /// A login at the endpoints that `issuer` names in its
    /// [metadata](crate::grant::Grant#discovery). This fetches nothing yet.
    ///
    /// # Errors
    ///
    /// [`InvalidEndpoint`] if the issuer is not an absolute `https` URI without user information, query
    /// and fragment.
    pub fn discover(
        issuer: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::over(TokenEndpoint::discover(issuer, false, client.into(), service)?))
    }

    /// The same for an issuer, or endpoints, over plain `http`: whoever is on the path can read the
    /// tokens.
    ///
    /// # Errors
    ///
    /// As for [`discover`](Self::discover), but for the scheme.
    pub fn discover_insecure(
        issuer: &str,
        client: impl Into<ClientAuthentication>,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        Ok(Self::over(TokenEndpoint::discover(issuer, true, client.into(), service)?))
    }

    fn at(
        device_endpoint: &str,
        token_endpoint: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let mut endpoint = TokenEndpoint::new(token_endpoint, plain, client, service)?;
        endpoint.set_device(device_endpoint)?;
        Ok(Self::over(endpoint))
    }

    fn over(endpoint: TokenEndpoint<S>) -> Self {
        Self { endpoint, scope: String::new(), parameters: Vec::new() }
    }

    /// The scope to ask for, names with a space between them. Many servers give a refresh token only if
    /// `offline_access` is among them.
    ///
    /// Default: none is sent.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// One more parameter of the device authorization request, such as `audience`. Each name is sent
    /// once: a later value replaces an earlier one, and none replaces what says who the client is or the
    /// `scope` that was set. An empty value is not sent.
    ///
    /// Default: none.
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        let name = name.into();
        self.parameters.retain(|(present, _)| *present != name);
        self.parameters.push((name, Zeroizing::new(value.into())));
        self
    }
}

impl<S, B> DeviceAuthorization<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    /// Ask for the codes, and begin to wait for the user.
    ///
    /// It listens for an answer for 30 s, and may be dropped at any await. It needs a tokio runtime with
    /// time enabled.
    ///
    /// # Errors
    ///
    /// A [`DeviceError`] whose source is a [`RefreshError`]: nobody answered, the client may not do this,
    /// or the issuer has no device authorization endpoint.
    pub async fn start(&self) -> Result<DeviceLogin, DeviceError> {
        let asked = Clock::system().now().mono;
        let form = Form::new().field("scope", &self.scope);
        let form = self.parameters.iter().fold(form, |form, (name, value)| form.field(name, value));
        let codes = within(self.endpoint.request_device_codes(form)).await.map_err(Kind::Failed)?;
        let answered = Clock::system().now().mono;
        let pace = Pace::new(asked, answered, codes.lifetime, codes.interval);
        let polling = Arc::new(Polling {
            endpoint: self.endpoint.clone(),
            device_code: codes.device_code,
            scope: self.scope.clone(),
        });
        Ok(DeviceLogin {
            user_code: codes.user_code,
            verification_uri: codes.verification_uri,
            verification_uri_complete: codes.verification_uri_complete,
            pace,
            begin: Box::new(move || -> Poll {
                let polling = polling.clone();
                Box::pin(async move {
                    // A signer may panic, and what panicked must not be polled again.
                    let answer = caught(within(polling.poll())).await;
                    answer.unwrap_or_else(|| Err(RefreshError::new(Failure::Panicked)))
                })
            }),
            polling: None,
        })
    }
}

struct Polling<S> {
    endpoint: TokenEndpoint<S>,
    device_code: Zeroizing<String>,
    scope: String,
}

impl<S, B> Polling<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    async fn poll(&self) -> Result<TokenSet, RefreshError> {
        let at = self.endpoint.endpoints().await?;
        let form =
            Form::new().field("grant_type", DEVICE_CODE).field("device_code", &self.device_code);
        let asked = self.endpoint.request_tokens(&at, form, &Departure::default()).await;
        let tokens = asked.map_err(|failed| failed.error)?;
        // RFC 6749 §5.1: a scope that is left out is the one that was asked for.
        let asked = tokens.granted_scope().is_none() && !self.scope.is_empty();
        Ok(if asked { tokens.scope(&self.scope) } else { tokens })
    }
}

async fn within<T>(
    asking: impl Future<Output = Result<T, RefreshError>>,
) -> Result<T, RefreshError> {
    let answer = tokio::time::timeout(LIMIT, asking).await;
    answer.unwrap_or_else(|_| Err(RefreshError::new(Failure::Unanswered)))
}

impl<S> fmt::Debug for DeviceAuthorization<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceAuthorization")
            .field("token_endpoint", &format_args!("{}/…", self.endpoint.origin()))
            .field("client", self.endpoint.client())
            .finish_non_exhaustive()
    }
}
