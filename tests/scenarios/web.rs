//! The API at home, strangers elsewhere, and redirects between them.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tower::{Service, ServiceExt};
use tower_reauth::{
    BoxError,
    testing::{ResourceServer, ResponseBody},
};

use crate::support::{ORIGIN, World};

/// A second origin of the API, and so of the session.
pub(crate) const FILES: &str = "https://files.example.com";

/// Leads each request to the server that its URI names, whatever else it says.
#[derive(Clone)]
pub(crate) struct Web {
    home: ResourceServer,
    pub(crate) abroad: ResourceServer,
    redirects: HashMap<String, (StatusCode, HeaderValue)>,
}

impl Web {
    pub(crate) fn new(world: &World) -> Self {
        let abroad = ResourceServer::new(&world.authorization);
        Self { home: world.api.clone(), abroad, redirects: HashMap::new() }
    }

    /// Answer `from` by a redirect: at home in place of a 200 only, abroad in any case.
    pub(crate) fn redirect(mut self, status: u16, from: &str, to: &str) -> Self {
        let redirect = (StatusCode::from_u16(status).unwrap(), to.parse().unwrap());
        self.redirects.insert(from.into(), redirect);
        self
    }

    /// Whether any stranger was shown a credential.
    pub(crate) fn is_anything_abroad(&self) -> bool {
        self.abroad.received().iter().any(|request| request.authorizations() > 0)
    }
}

impl<B> Service<Request<B>> for Web
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let uri = request.uri().to_string();
        let is_home = [ORIGIN, FILES].iter().any(|home| uri.starts_with(&format!("{home}/")));
        let server = if is_home { &self.home } else { &self.abroad }.clone();
        let redirect = self.redirects.get(&uri).cloned();
        Box::pin(async move {
            let mut response = server.oneshot(request).await?;
            if let Some((status, location)) = redirect
                && (response.status() == StatusCode::OK || !is_home)
            {
                *response.status_mut() = status;
                response.headers_mut().insert(header::LOCATION, location);
            }
            Ok(response)
        })
    }
}
