//! An issuer whose metadata and endpoints a test can change, with a log of what it was asked.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Method, Request, Response, header};
use http_body_util::{BodyExt, Full};
use tokio::sync::watch;
use tower::{Service, ServiceExt};
use tower_reauth::{
    BoxError, RefreshTokenGrant, Session, TokenSource,
    testing::{AuthorizationServer, ResponseBody},
};

use crate::support::{Body, ORIGIN};

pub(crate) const ISSUER: &str = "https://auth.example.com";
pub(crate) const OAUTH: &str = "https://auth.example.com/.well-known/oauth-authorization-server";
pub(crate) const OPENID: &str = "https://auth.example.com/.well-known/openid-configuration";

pub(crate) type Answer = fn() -> Result<Response<Bytes>, BoxError>;

/// An authorization server at its issuer's addresses, with other answers at some of them, and a log of
/// what it was asked.
#[derive(Clone, Default)]
pub(crate) struct Issuer {
    pub(crate) server: AuthorizationServer,
    instead: Arc<Mutex<HashMap<String, Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// While it holds `true`, answers to requests for metadata wait.
    pub(crate) held: Arc<Mutex<Option<watch::Receiver<bool>>>>,
}

impl Issuer {
    pub(crate) fn grant(&self) -> RefreshTokenGrant<Self> {
        RefreshTokenGrant::discover(ISSUER, "app", self.clone()).unwrap()
    }

    pub(crate) fn session(&self, source: impl TokenSource) -> Session {
        Session::builder(source)
            .tokens(self.server.login().expires_in(Duration::ZERO))
            .attempts(1, Duration::ZERO)
            .origin(ORIGIN)
            .build()
            .unwrap()
    }

    /// Answer so at this address from now on.
    pub(crate) fn answer(&self, address: &str, answer: Answer) {
        self.instead.lock().unwrap().insert(address.to_owned(), answer);
    }

    pub(crate) fn recover(&self, address: &str) {
        self.instead.lock().unwrap().remove(address);
    }

    /// What was asked since the last call, each as method and address.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Service<Request<Body>> for Issuer {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (method, uri) = (request.method().clone(), request.uri().to_string());
        if method == Method::GET {
            assert_eq!(request.headers()[header::ACCEPT], "application/json");
        }
        self.asked.lock().unwrap().push(format!("{method} {uri}"));
        let instead = self.instead.lock().unwrap().get(&uri).copied();
        let (server, held) = (self.server.clone(), self.held.lock().unwrap().clone());
        Box::pin(async move {
            if let Some(mut held) = held.filter(|_| method == Method::GET) {
                held.wait_for(|held| !*held).await.unwrap();
            }
            match instead {
                Some(answer) => Ok(answer()?.map(Full::new)),
                None => whole(server.oneshot(request).await?).await,
            }
        })
    }
}

async fn whole(response: Response<ResponseBody>) -> Result<Response<Full<Bytes>>, BoxError> {
    let (head, body) = response.into_parts();
    Ok(Response::from_parts(head, Full::new(body.collect().await?.to_bytes())))
}

pub(crate) fn json(text: &'static str) -> Result<Response<Bytes>, BoxError> {
    Ok(Response::new(text.into()))
}

pub(crate) fn status(status: u16) -> Result<Response<Bytes>, BoxError> {
    Ok(Response::builder().status(status).body("<h1>canary</h1>".into()).unwrap())
}

pub(crate) fn get(address: &str) -> String {
    format!("GET {address}")
}

pub(crate) fn post(path: &str) -> String {
    format!("POST {ISSUER}{path}")
}
