//! One request to an endpoint that secrets are sent to, over the program's service.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Service, ServiceExt};

use super::transport::{self, TransportError};
use crate::{BoxError, RefreshError};

#[derive(Clone)]
pub(in crate::source) struct Exchange<S> {
    service: S,
    not_sent: Option<NotSent>,
}

type NotSent = Arc<dyn Fn(&BoxError) -> bool + Send + Sync>;

/// A service that is ready, for one request.
pub(in crate::source) struct Ready<S> {
    service: S,
    not_sent: Option<NotSent>,
}

impl<S> Exchange<S> {
    pub(in crate::source) fn new(service: S) -> Self {
        Self { service, not_sent: None }
    }

    pub(in crate::source) fn set_not_sent(
        &mut self,
        classify: impl Fn(&BoxError) -> bool + Send + Sync + 'static,
    ) {
        self.not_sent = Some(Arc::new(classify));
    }

    pub(super) fn service(&self) -> &S {
        &self.service
    }

    /// Nothing was handed over yet where this fails, so nothing can have been spent.
    pub(in crate::source) async fn ready(&self) -> Result<Ready<S>, RefreshError>
    where
        S: Service<Request<Full<Bytes>>> + Clone,
        S::Error: Into<BoxError>,
    {
        let mut service = self.service.clone();
        match service.ready().await {
            Ok(_) => Ok(Ready { service, not_sent: self.not_sent.clone() }),
            Err(error) => Err(transport::unspent(&error.into())),
        }
    }
}

impl<S> Ready<S> {
    /// The head of the answer.
    pub(in crate::source) async fn send<B>(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<B>, RefreshError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
    {
        let sent = self.service.call(confidential(request)).await;
        sent.map_err(|error| self.lost(&error.into()))
    }

    /// What an error of the service's call means. The server may have got the request all the same.
    fn lost(&self, error: &BoxError) -> RefreshError {
        if let Some(reentrance) = transport::reentrance(error) {
            return reentrance;
        }
        #[cfg(feature = "endpoint-client")]
        if let Some(known) = transport::known(error) {
            return known;
        }
        match &self.not_sent {
            Some(not_sent) if not_sent(error) => RefreshError::transient(),
            Some(_) | None => RefreshError::ambiguous(),
        }
        .with_source(TransportError::of(&**error))
    }
}

/// Marked, for a client that follows redirects.
#[cfg(feature = "reqwest")]
pub(super) fn confidential<B>(mut request: Request<B>) -> Request<B> {
    request.extensions_mut().insert(crate::extension::Confidential);
    request
}

#[cfg(not(feature = "reqwest"))]
pub(super) fn confidential<B>(request: Request<B>) -> Request<B> {
    request
}
