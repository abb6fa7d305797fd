//! One round to the issuer's well-known addresses.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body::Body;
use http_body_util::Full;
use tokio::runtime::Handle;
use tower::{Service, ServiceExt};

use super::{
    Discovery,
    metadata::{self, Endpoints, MetadataError},
};
use crate::{
    BoxError, Clock, RefreshError,
    source::token_endpoint::{answer::Answer, exchange::confidential, outcome, transport},
};

/// How long the issuer may take, both addresses together: nothing is spent by asking, and the request for
/// tokens wants what is left of the attempt's time.
pub(super) const LIMIT: Duration = Duration::from_secs(10);

/// The same where older metadata can serve: a request that waits for the token has 10 s in all.
pub(super) const LIMIT_OF_NEWER: Duration = Duration::from_secs(3);

enum Failure {
    /// The issuer may answer another time.
    Later(RefreshError),
    /// The client's set-up is at fault.
    Never(RefreshError),
    Unusable(MetadataError),
}

impl Discovery {
    pub(super) async fn ask<S, B>(
        &self,
        service: S,
        limit: Duration,
    ) -> Result<Endpoints, RefreshError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        let asking = self.ask_in_turn(service);
        if Handle::try_current().is_err() {
            return asking.await;
        }
        let answer = tokio::time::timeout(limit, asking).await;
        answer.unwrap_or_else(|_| Err(RefreshError::transient()))
    }

    /// The first document of this very issuer. RFC 8414's own address comes first; a server that has
    /// nothing there may answer in any way.
    async fn ask_in_turn<S, B>(&self, mut service: S) -> Result<Endpoints, RefreshError>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut later = None;
        let mut unusable = MetadataError::NotFound;
        for uri in &self.issuer.well_known {
            match self.ask_at(uri, &mut service).await {
                Ok(endpoints) => return Ok(endpoints),
                Err(Failure::Never(error)) => return Err(error),
                Err(Failure::Later(error)) => later = Some(error),
                Err(Failure::Unusable(error)) => unusable = unusable.or(error),
            }
        }
        Err(later.unwrap_or_else(|| RefreshError::misconfigured().with_source(unusable)))
    }

    async fn ask_at<S, B>(&self, uri: &Uri, service: &mut S) -> Result<Endpoints, Failure>
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>>,
        S::Error: Into<BoxError>,
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        let ready = service.ready().await.map_err(failed)?;
        let answer = Answer::read(ready.call(confidential(request)).await.map_err(failed)?).await;
        let status = answer.status;
        if status.is_success() && answer.cut.is_none() {
            return metadata::read(&answer.content, self.issuer.as_str(), self.plain, self.mtls)
                .map_err(Failure::Unusable);
        }
        let busy = matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
        if busy || status.is_server_error() || answer.cut.is_some() {
            let error =
                outcome::waiting(RefreshError::transient(), &answer, Clock::system().now().wall);
            return Err(Failure::Later(match answer.cut {
                Some(cut) => error.with_source(cut),
                None => error,
            }));
        }
        Err(Failure::Unusable(MetadataError::NotFound))
    }
}

fn failed(error: impl Into<BoxError>) -> Failure {
    let error = transport::unspent(&error.into());
    if error.is_misconfigured() { Failure::Never(error) } else { Failure::Later(error) }
}
