//! A token endpoint: send one form, read one answer, say what it means (RFC 6749 §3.2).
//!
//! One call is one attempt. How long to listen and whether to ask again is the session's business.

pub(super) mod address;
pub(super) mod answer;
mod device;
mod discovery;
pub(super) mod exchange;
mod form;
pub(super) mod outcome;
pub(super) mod response;
mod revocation;
mod transport;

use std::{borrow::Cow, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::Full;
use tower::Service;

pub use self::address::InvalidEndpoint;
pub(crate) use self::form::Form;
use self::{
    address::Address,
    answer::Answer,
    discovery::{Discovery, NotListed, Terms},
    exchange::Exchange,
    outcome::Expected,
};
pub(crate) use self::{device::DeviceCodes, discovery::Endpoints};
use super::{ClientAuthentication, Departure, assertion::Audience};
use crate::{BoxError, Clock, RefreshError, TokenSet, error::Kind};

/// The endpoints of one authorization server, the client that asks them, and the service that reaches
/// them.
#[derive(Clone)]
pub(crate) struct TokenEndpoint<S> {
    exchange: Exchange<S>,
    client: ClientAuthentication,
    issuer: String,
    /// Whether plain `http` will do.
    plain: bool,
    whereabouts: Whereabouts,
    /// One that the program named, whatever the issuer says.
    revocation: Option<Address>,
    verdicts: Vec<Cow<'static, str>>,
    required: Option<&'static str>,
}

#[derive(Clone)]
enum Whereabouts {
    Named(Arc<Endpoints>),
    Discovered(Arc<Discovery>),
}

/// How a request for tokens failed.
pub(crate) struct Failed {
    pub(crate) error: RefreshError,
    /// Nobody was there who could have given any, so that another address may help.
    pub(crate) gone: bool,
}

impl<S> TokenEndpoint<S> {
    /// `plain`: whether `http` will do.
    pub(crate) fn new(
        address: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let token = Address::parse(address, plain)?;
        let issuer = token.origin.to_string();
        let named = Endpoints { token, revocation: None, device: None, methods: Vec::new() };
        Ok(Self::at(Whereabouts::Named(Arc::new(named)), issuer, plain, client, service))
    }

    /// The endpoints that `issuer` names in its metadata.
    pub(crate) fn discover(
        issuer: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let discovery = Discovery::new(issuer, plain, client.is_mtls())?;
        let discovered = Whereabouts::Discovered(Arc::new(discovery));
        Ok(Self::at(discovered, issuer.to_owned(), plain, client, service))
    }

    fn at(
        whereabouts: Whereabouts,
        issuer: String,
        plain: bool,
        client: ClientAuthentication,
        service: S,
    ) -> Self {
        Self {
            exchange: Exchange::new(service),
            client,
            issuer,
            plain,
            whereabouts,
            revocation: None,
            verdicts: vec![outcome::INVALID_GRANT.into()],
            required: None,
        }
    }

    /// How long metadata is taken for true.
    pub(crate) fn set_metadata_lifetime(&mut self, lifetime: Duration) {
        self.discover_afresh(|terms| Terms { lifetime, ..terms });
    }

    /// How much longer it serves while no newer can be had.
    pub(crate) fn set_metadata_grace(&mut self, grace: Duration) {
        self.discover_afresh(|terms| Terms { grace, ..terms });
    }

    pub(crate) fn set_client(&mut self, client: ClientAuthentication) {
        self.client = client;
        self.discover_afresh(|terms| terms);
    }

    fn discover_afresh(&mut self, terms: impl FnOnce(Terms) -> Terms) {
        if let Whereabouts::Discovered(discovery) = &mut self.whereabouts {
            let terms = terms(discovery.terms());
            *discovery = Arc::new(discovery.afresh(self.client.is_mtls(), terms));
        }
    }

    pub(crate) fn set_issuer(&mut self, issuer: String) {
        self.issuer = issuer;
    }

    pub(crate) fn set_revocation(&mut self, address: &str) -> Result<(), InvalidEndpoint> {
        self.revocation = Some(Address::parse(address, self.plain)?);
        Ok(())
    }

    /// The device authorization endpoint of one that was not discovered.
    pub(crate) fn set_device(&mut self, address: &str) -> Result<(), InvalidEndpoint> {
        let device = Address::parse(address, self.plain)?;
        if let Whereabouts::Named(endpoints) = &mut self.whereabouts {
            let token = endpoints.token.clone();
            *endpoints = Arc::new(Endpoints {
                token,
                revocation: None,
                device: Some(Ok(device)),
                methods: Vec::new(),
            });
        }
        Ok(())
    }

    pub(crate) fn add_verdict(&mut self, code: Cow<'static, str>) {
        self.verdicts.push(code);
    }

    /// What a token answer must have beside an `access_token`.
    pub(crate) fn require(&mut self, member: Option<&'static str>) {
        self.required = member;
    }

    pub(crate) fn set_not_sent(
        &mut self,
        classify: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) {
        self.exchange.set_not_sent(classify);
    }

    pub(crate) fn client(&self) -> &ClientAuthentication {
        &self.client
    }

    /// Whose tokens these are. Default: the issuer that was discovered, or the token endpoint's origin.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Scheme, host and port, without anything that the address may hold besides.
    pub(crate) fn origin(&self) -> String {
        match &self.whereabouts {
            Whereabouts::Named(endpoints) => endpoints.token.origin.to_string(),
            Whereabouts::Discovered(discovery) => discovery.origin(),
        }
    }

    /// For whom an assertion is; `None` where none will be shown.
    pub(crate) fn audience(&self, at: Option<&Endpoints>) -> Audience {
        let token_endpoint = at.map(|at| at.token.uri.to_string()).unwrap_or_default();
        Audience { issuer: self.issuer.clone(), token_endpoint }
    }
}

impl<S, B> TokenEndpoint<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) async fn request_tokens(
        &self,
        at: &Endpoints,
        form: Form<'_>,
        departure: &Departure,
    ) -> Result<TokenSet, Failed> {
        let audience = self.audience(Some(at));
        let answer = match self.post(&at.token, &audience, form, departure).await {
            Ok(answer) => answer,
            Err(error) => return Err(Failed { gone: error.kind() == Kind::Transient, error }),
        };
        let expected = Expected { verdicts: &self.verdicts, member: self.required };
        outcome::tokens(&answer, expected, Clock::system().now().wall).map_err(|error| {
            let gone = matches!(
                answer.status,
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE
            );
            // A code is the word of a token endpoint.
            let nobody = error.is_misconfigured() && error.oauth_code().is_none();
            let refused = error.oauth_code() == Some("invalid_client");
            let error = if refused && at.lists_none(self.client.registered_as()) {
                error.with_source(NotListed)
            } else {
                error
            };
            Failed { gone: gone && nobody, error }
        })
    }

    /// Codes for a device and its user (RFC 8628 §3.1).
    pub(crate) async fn request_device_codes(
        &self,
        form: Form<'_>,
    ) -> Result<DeviceCodes, RefreshError> {
        let at = self.endpoints().await?;
        let address = match &at.device {
            Some(Ok(address)) => address,
            Some(Err(flaw)) => return Err(RefreshError::misconfigured().with_source(*flaw)),
            None => return Err(RefreshError::misconfigured().with_source(device::NoEndpoint)),
        };
        let answer =
            self.post(address, &self.audience(Some(&at)), form, &Departure::default()).await?;
        device::codes(&answer, self.plain, Clock::system().now().wall)
    }

    /// Where to ask: as the program said, or as the issuer does.
    pub(crate) async fn endpoints(&self) -> Result<Arc<Endpoints>, RefreshError> {
        match &self.whereabouts {
            Whereabouts::Named(endpoints) => Ok(endpoints.clone()),
            Whereabouts::Discovered(discovery) => {
                discovery.endpoints(self.exchange.service()).await
            }
        }
    }

    /// Where to ask instead, if the issuer has moved its token endpoint.
    pub(crate) async fn moved(&self, before: &Endpoints) -> Option<Arc<Endpoints>> {
        match &self.whereabouts {
            Whereabouts::Named(_) => None,
            Whereabouts::Discovered(discovery) => {
                discovery.moved(before, self.exchange.service()).await
            }
        }
    }

    async fn post(
        &self,
        address: &Address,
        audience: &Audience,
        form: Form<'_>,
        departure: &Departure,
    ) -> Result<Answer, RefreshError> {
        // Before the service is ready: a signer may wait for that very service, and a permit that is held
        // meanwhile is one that nobody can use.
        let shown = self.client.show(audience).await?;
        let ready = self.exchange.ready().await?;
        let form = form.without(&ClientAuthentication::PARAMETERS);
        let form = shown.fields.iter().fold(form, |form, (name, value)| form.field(name, value));
        let mut request = Request::new(Full::new(form.encode()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = address.uri.clone();
        let headers = request.headers_mut();
        // Registered without a charset, and some servers compare the value as a whole.
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(CONTENT_TYPE, form_type);
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = shown.authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        departure.leave();
        Ok(Answer::read(ready.send(request).await?).await)
    }
}
