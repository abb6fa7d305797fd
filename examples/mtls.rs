//! A client that its certificate speaks for (RFC 8705): no secret, no assertion.
//!
//! The certificate is the connector's business. Here it is given to the ready `EndpointClient`; any other
//! client whose connector presents one will do.
//!
//! ```console
//! $ cargo run --example mtls --features endpoint-client
//! ```

use std::sync::Arc;

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};
use tower::ServiceExt;
use tower_reauth::{
    BoxError, ClientAuthentication, EndpointClient, RefreshTokenGrant, Session,
    testing::AuthorizationServer,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // What a program has from elsewhere: an authority, a certificate of its own, a server that asks for it.
    let authority = Authority::new()?;
    let (certificate, key) = authority.certify("my-app")?;
    let authorization = AuthorizationServer::new();
    let issuer = serve(authorization.clone(), authority.acceptor()?).await?;
    authorization.issuer(&issuer);

    let client = EndpointClient::builder()
        .authority(authority.0.pem()) // of the server; public ones are trusted anyway
        .client_certificate(certificate.pem(), key.serialize_pem())
        .build()?;
    // `mtls` sends the name alone, and prefers the endpoints that the issuer has for such clients.
    let me = ClientAuthentication::mtls("my-app");
    let session = Session::builder(RefreshTokenGrant::discover(&issuer, me, client)?)
        .tokens(authorization.login())
        .origin("https://api.example.com")
        .build()?;

    let first = session.token().await?;
    let second = session.refresh_after(&first).await?;
    println!("with the certificate: a new token, {}", first != second);

    let bare = EndpointClient::builder().authority(authority.0.pem()).build()?;
    let grant = RefreshTokenGrant::discover(&issuer, ClientAuthentication::mtls("my-app"), bare)?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .origin("https://api.example.com")
        .build()?;
    let error = session.refresh_after(&session.token().await?).await.err().ok_or("let in")?;
    let cause = std::error::Error::source(&error).ok_or("no cause")?;
    println!("without it: {cause}");
    Ok(())
}

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Result<Self, BoxError> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    fn certify(&self, name: &str) -> Result<(rcgen::Certificate, KeyPair), BoxError> {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new([name.to_owned()])?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }

    /// A server's side of TLS that wants to see a certificate of this authority.
    fn acceptor(&self) -> Result<TlsAcceptor, BoxError> {
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()?;
        let (certificate, key) = self.certify("localhost")?;
        let key = PrivateKeyDer::try_from(key.serialize_der())?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config).into())
    }
}

/// Serves on a free port, and returns the origin.
async fn serve(server: AuthorizationServer, acceptor: TlsAcceptor) -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("https://localhost:{}", listener.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (server, acceptor) = (server.clone(), acceptor.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(|request: Request<Incoming>| {
                    let answer = server.clone().oneshot(request);
                    async { answer.await.map_err(std::io::Error::other) }
                });
                let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    });
    Ok(origin)
}
