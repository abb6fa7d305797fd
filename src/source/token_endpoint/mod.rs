//! A token endpoint: send one form, read one answer, say what it means (RFC 6749 §3.2).
//!
//! One call is one attempt. How long to listen and whether to ask again is the session's business.

mod address;
mod answer;
mod form;
mod outcome;
mod response;
mod transport;

use std::{borrow::Cow, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use http_body::Body;
use http_body_util::Full;
use tower::{Service, ServiceExt};

pub use self::address::InvalidEndpoint;
pub(crate) use self::form::Form;
use self::{address::Address, answer::Answer, outcome::Expected, transport::TransportError};
use super::client_authentication::{ClientAuthentication, Recipient};
use crate::{BoxError, Clock, RefreshError, TokenSet};

/// The endpoints of one authorization server, the client that asks them, and the service that reaches
/// them.
#[derive(Clone)]
pub(crate) struct TokenEndpoint<S> {
    service: S,
    client: ClientAuthentication,
    issuer: String,
    /// Whether plain `http` will do.
    plain: bool,
    token: Address,
    revocation: Option<Address>,
    verdicts: Vec<Cow<'static, str>>,
    required: Option<&'static str>,
    not_sent: Option<NotSent>,
}

type NotSent = Arc<dyn Fn(&BoxError) -> bool + Send + Sync>;

impl<S> TokenEndpoint<S> {
    /// `plain`: whether `http` will do.
    pub(crate) fn new(
        address: &str,
        plain: bool,
        client: ClientAuthentication,
        service: S,
    ) -> Result<Self, InvalidEndpoint> {
        let token = Address::parse(address, plain)?;
        Ok(Self {
            service,
            client,
            issuer: token.origin.to_string(),
            plain,
            token,
            revocation: None,
            verdicts: vec![outcome::INVALID_GRANT.into()],
            required: None,
            not_sent: None,
        })
    }

    pub(crate) fn set_client(&mut self, client: ClientAuthentication) {
        self.client = client;
    }

    pub(crate) fn set_issuer(&mut self, issuer: String) {
        self.issuer = issuer;
    }

    pub(crate) fn set_revocation(&mut self, address: &str) -> Result<(), InvalidEndpoint> {
        self.revocation = Some(Address::parse(address, self.plain)?);
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
        self.not_sent = Some(Arc::new(classify));
    }

    pub(crate) fn client(&self) -> &ClientAuthentication {
        &self.client
    }

    /// Whose tokens these are. Default: the token endpoint's origin.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Scheme, host and port, without anything that the address may hold besides.
    pub(crate) fn origin(&self) -> String {
        self.token.origin.to_string()
    }

    /// Whom an assertion is for.
    pub(crate) fn recipient(&self) -> Recipient {
        Recipient { issuer: self.issuer.clone(), token_endpoint: self.token.uri.to_string() }
    }

    /// What an error of the service's call means. The server may have got the request all the same.
    fn lost(&self, error: BoxError) -> RefreshError {
        if let Some(reentrance) = transport::reentrance(&error) {
            return reentrance;
        }
        #[cfg(feature = "endpoint-client")]
        if let Some(known) = transport::known(&error) {
            return known;
        }
        let lost = TransportError::of(&*error);
        match &self.not_sent {
            Some(not_sent) if not_sent(&error) => RefreshError::transient(),
            Some(_) | None => RefreshError::ambiguous(),
        }
        .with_source(lost)
    }
}

impl<S, B> TokenEndpoint<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(crate) async fn request_tokens(&self, form: Form<'_>) -> Result<TokenSet, RefreshError> {
        let answer = self.post(&self.token, form).await?;
        let expected = Expected { verdicts: &self.verdicts, member: self.required };
        outcome::tokens(&answer, expected, Clock::system().now().wall)
    }

    /// Nothing happens where there is no revocation endpoint.
    pub(crate) async fn revoke(&self, form: Form<'_>) -> Result<(), RefreshError> {
        let Some(address) = &self.revocation else { return Ok(()) };
        let answer = self.post(address, form).await?;
        outcome::revocation(&answer, Clock::system().now().wall)
    }

    async fn post(&self, address: &Address, form: Form<'_>) -> Result<Answer, RefreshError> {
        let mut service = self.service.clone();
        if let Err(error) = service.ready().await {
            // Nothing was handed over yet, so nothing can have been spent.
            let error = error.into();
            return Err(transport::reentrance(&error).unwrap_or_else(|| {
                RefreshError::transient().with_source(TransportError::of(&*error))
            }));
        }
        let shown = self.client.show(&self.recipient(), Clock::system().now().wall)?;
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
        let sent = service.call(request).await;
        let response = sent.map_err(|error| self.lost(error.into()))?;
        Ok(Answer::read(response).await)
    }
}
