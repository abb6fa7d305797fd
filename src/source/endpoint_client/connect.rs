//! How a connection comes to be: TCP and TLS, within one bound.

use std::{error, fmt, sync::Arc, time::Duration};

use http::Uri;
use hyper_rustls::{HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier, client::WantsClientCert,
    crypto::ring,
};
use tokio::net::TcpStream;
use tower::{ServiceExt, service_fn, util::BoxCloneSyncService};

use super::EndpointClient;
use crate::BoxError;

/// Node closes idle connections after 5 s, and is among the first to do so.
const IDLE: Duration = Duration::from_secs(2);

pub(super) type Connector =
    BoxCloneSyncService<Uri, MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>;

pub(super) fn mozilla() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    roots
}

/// TLS 1.2 and 1.3 by `ring`, which needs a C compiler and nothing else to build. It is named here, so
/// it does not matter which provider the program installed, or that it installed none.
pub(super) fn trusting(roots: RootCertStore) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let builder: ConfigBuilder<_, WantsVerifier> =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            // It fails only for a provider without cipher suites of either version.
            .expect("ring has cipher suites of both versions");
    builder.with_root_certificates(roots)
}

impl EndpointClient {
    pub(super) fn over(tls: ClientConfig, limit: Duration, loopback_http: bool) -> Self {
        let mut tcp = HttpConnector::new();
        // Which plain `http` is admitted was decided on the URI.
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls);
        let https = if loopback_http { https.https_or_http() } else { https.https_only() };
        let https = https.enable_http1().wrap_connector(tcp);
        let bounded = service_fn(move |uri: Uri| {
            let connecting = https.clone().oneshot(uri);
            async move {
                let connected = tokio::time::timeout(limit, connecting).await;
                connected.unwrap_or_else(|_| Err(ConnectTimeout.into()))
            }
        });
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(BoxCloneSyncService::new(bounded));
        Self { http, loopback_http }
    }
}

#[derive(Debug)]
pub(super) struct ConnectTimeout;

impl fmt::Display for ConnectTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("connecting took too long")
    }
}

impl error::Error for ConnectTimeout {}
