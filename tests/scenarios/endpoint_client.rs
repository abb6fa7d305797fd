//! The ready client for token requests, on real sockets, under an authority made for the test.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig, crypto::ring, pki_types::PrivateKeyDer,
        server::WebPkiClientVerifier,
    },
};
use tower::ServiceExt;
use tower_reauth::{
    EndpointClient, EndpointClientError, Event, RefreshError, RefreshTokenGrant, Session,
    testing::AuthorizationServer,
};

use crate::support::{ORIGIN, told};

const TOKENS: &str = r#"{"access_token":"a2","token_type":"Bearer","refresh_token":"r2"}"#;

/// An authority, and what it stands for.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn certify(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    /// A server's side of TLS for `name`. `clients`: whose certificates it wants to see.
    fn acceptor(&self, name: &str, clients: Option<&Self>) -> TlsAcceptor {
        let (certificate, key) = self.certify(name);
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).unwrap();
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
        Arc::new(config).into()
    }
}

/// A token endpoint over TLS that grants whatever it is asked for.
struct Served {
    address: String,
    requests: Arc<AtomicUsize>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Served {
    async fn new(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}/token", listener.local_addr().unwrap().port());
        let (requests, connections) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let counts = (requests.clone(), connections.clone());
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counts.1.fetch_add(1, Ordering::SeqCst);
                let (acceptor, requests) = (acceptor.clone(), counts.0.clone());
                tokio::spawn(async move {
                    let mut stream = acceptor.accept(stream).await?;
                    while read_request(&mut stream).await? {
                        requests.fetch_add(1, Ordering::SeqCst);
                        write_tokens(&mut stream).await?;
                    }
                    Ok::<_, io::Error>(())
                });
            }
        });
        Self { address, requests, connections, task }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// `false` at the end of the connection.
async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<bool> {
    let mut read = Vec::new();
    loop {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Ok(false);
        }
        read.extend_from_slice(&chunk[..length]);
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let told = head.split("content-length: ").nth(1).and_then(|it| it.split("\r\n").next());
        if body.len() >= told.unwrap_or("0").parse().unwrap() {
            return Ok(true);
        }
    }
}

async fn write_tokens(stream: &mut (impl AsyncWriteExt + Unpin)) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", TOKENS.len());
    stream.write_all((head + TOKENS).as_bytes()).await?;
    stream.flush().await
}

/// One session that refreshes at `address`, and what came of its refresh.
async fn refresh(client: EndpointClient, address: &str) -> Result<(), RefreshError> {
    let grant = RefreshTokenGrant::new_insecure(address, "app", client).unwrap();
    let session = Session::builder(grant)
        .tokens(AuthorizationServer::new().login().expires_in(Duration::ZERO))
        .attempts(1, Duration::ZERO)
        .origin(ORIGIN)
        .build()
        .unwrap();
    session.token().await.map(drop)
}

fn cause(error: &RefreshError) -> EndpointClientError {
    *error.source().unwrap().downcast_ref().unwrap()
}

fn trusting(authority: &Authority) -> EndpointClient {
    EndpointClient::builder().authority(authority.pem()).build().unwrap()
}

#[tokio::test]
async fn a_private_authority_is_trusted_once_it_is_named() {
    let authority = Authority::new();
    let served = Served::new(authority.acceptor("localhost", None)).await;

    let error = refresh(EndpointClient::new(), &served.address).await.unwrap_err();
    assert!(cause(&error).is_certificate() && !error.was_ambiguous(), "{error:?}");
    assert_eq!(served.requests(), 0);

    refresh(trusting(&authority), &served.address).await.unwrap();
    assert_eq!(served.requests(), 1);
}

/// Read from the environment, which a process is given when it begins: the test is run once more, in
/// another one.
#[tokio::test]
async fn the_platforms_authorities_are_trusted_where_the_program_says_so() {
    const ADDRESS: &str = "TOKEN_ENDPOINT_OF_THE_TEST";
    if let Ok(address) = std::env::var(ADDRESS) {
        let said = match EndpointClient::builder().platform_authorities().build() {
            Err(error) => error.to_string(),
            Ok(client) => match refresh(client, &address).await {
                Err(error) if cause(&error).is_certificate() => "a stranger".into(),
                answer => format!("{answer:?}"),
            },
        };
        println!("said: {said}");
        return;
    }
    let authority = Authority::new();
    let served = Served::new(authority.acceptor("localhost", None)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("authorities.pem");
    let said = async |authorities: &str| {
        std::fs::write(&file, authorities).unwrap();
        let child = tokio::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("endpoint_client::the_platforms_authorities_are_trusted_where_the_program_says_so")
            .env(ADDRESS, &served.address)
            .env("SSL_CERT_FILE", &file)
            .env_remove("SSL_CERT_DIR")
            .kill_on_drop(true)
            .output();
        let output = String::from_utf8(child.await.unwrap().stdout).unwrap();
        let said = output.lines().find_map(|line| line.split_once("said: ")).expect(&output).1;
        said.to_owned()
    };

    assert_eq!(said(&authority.pem()).await, "Ok(())");
    assert_eq!(served.requests(), 1);
    // Beside one that cannot be read.
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert_eq!(said(&(broken.to_owned() + &authority.pem())).await, "Ok(())");
    assert_eq!(said(&Authority::new().pem()).await, "a stranger");
    assert_eq!(said("").await, "the platform's authorities cannot be read, or there are none");
    assert_eq!(served.requests(), 2);
}

#[tokio::test]
async fn a_certificate_of_another_host_is_not_trusted() {
    let authority = Authority::new();
    let served = Served::new(authority.acceptor("canary.example", None)).await;
    let error = refresh(trusting(&authority), &served.address).await.unwrap_err();
    assert!(cause(&error).is_certificate() && !error.was_ambiguous());
    let printed = format!("{error} {error:?} {} {:?}", cause(&error), cause(&error));
    assert!(printed.contains("another host") && !printed.contains("canary"), "{printed}");
    assert_eq!(served.requests(), 0);
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_wanted() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let served = Served::new(authority.acceptor("localhost", Some(&clients))).await;

    let error = refresh(trusting(&authority), &served.address).await.unwrap_err();
    assert!(cause(&error).is_client_certificate(), "{:?}", cause(&error));
    assert!(!error.was_ambiguous());
    assert_eq!(served.requests(), 0);

    let (certificate, key) = clients.certify("app");
    let client = EndpointClient::builder()
        .authority(authority.pem())
        .client_certificate(certificate.pem(), key.serialize_pem())
        .build()
        .unwrap();
    refresh(client, &served.address).await.unwrap();
    assert_eq!(served.requests(), 1);
}

#[tokio::test]
async fn what_cannot_be_reached_was_not_sent_and_nobody_has_to_say_so() {
    // A port that was free a moment ago.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}/token", listener.local_addr().unwrap());
    drop(listener);
    let error = refresh(EndpointClient::new(), &address).await.unwrap_err();
    assert!(!error.was_ambiguous() && cause(&error).is_not_sent());
    assert!(cause(&error).to_string().contains("connection refused"));
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_has_not_got_the_request() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}/token", listener.local_addr().unwrap());
    let client =
        EndpointClient::builder().connect_timeout(Duration::from_millis(50)).build().unwrap();
    let error = refresh(client, &address).await.unwrap_err();
    assert!(!error.was_ambiguous());
    assert!(cause(&error).to_string().contains("too long"));
    drop(listener);
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_was_allowed() {
    let server = AuthorizationServer::new();
    let served = server.serve().await.unwrap();
    let address = served.uri("/token").to_string();
    let error = refresh(EndpointClient::new(), &address).await.unwrap_err();
    assert!(cause(&error).is_plain_http() && error.is_misconfigured());
    assert_eq!(server.token_requests(), 0);

    let client = EndpointClient::builder().allow_loopback_http().build().unwrap();
    let grant = RefreshTokenGrant::new_insecure(&address, "app", client).unwrap();
    let session = Session::builder(grant)
        .tokens(server.login().expires_in(Duration::ZERO))
        .origin(ORIGIN)
        .build()
        .unwrap();
    session.token().await.unwrap();
    assert_eq!(server.token_requests(), 1);
}

fn request(address: &str) -> Request<Full<Bytes>> {
    Request::post(address).body(Full::from("a=b")).unwrap()
}

async fn whole(
    response: Response<impl http_body::Body<Data = Bytes, Error = EndpointClientError>>,
) -> Bytes {
    response.into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn a_request_that_comes_soon_after_another_shares_its_connection() {
    let authority = Authority::new();
    let served = Served::new(authority.acceptor("localhost", None)).await;
    let client = trusting(&authority);
    for _ in 0..2 {
        assert_eq!(
            whole(client.clone().oneshot(request(&served.address)).await.unwrap()).await,
            TOKENS
        );
    }
    assert_eq!(served.connections.load(Ordering::SeqCst), 1);
    assert_eq!(served.requests(), 2);
}

/// Serves one connection after the other, and closes each as it is told.
async fn by_hand(listener: TcpListener, closing: impl AsyncFn(TcpStream, usize)) {
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        closing(stream, number).await;
    }
}

#[tokio::test]
async fn a_connection_that_the_server_closed_meanwhile_costs_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let (closed, mut is_closed) = mpsc::unbounded_channel();
    let serving = tokio::spawn(by_hand(listener, async move |mut stream, _| {
        assert!(read_request(&mut stream).await.unwrap());
        write_tokens(&mut stream).await.unwrap();
        drop(stream);
        closed.send(()).unwrap();
    }));
    let client = EndpointClient::builder().allow_loopback_http().build().unwrap();
    for _ in 0..20 {
        let response = client.clone().oneshot(request(&address)).await;
        assert_eq!(whole(response.unwrap()).await, TOKENS);
        is_closed.recv().await.unwrap();
    }
    serving.abort();
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_is_ambiguous_and_is_not_tried_again() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/token", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = requests.clone();
    let serving = tokio::spawn(by_hand(listener, async move |mut stream, number| {
        assert!(read_request(&mut stream).await.unwrap());
        counted.fetch_add(1, Ordering::SeqCst);
        if number == 1 {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{").await.unwrap();
        }
    }));
    let client = EndpointClient::builder().allow_loopback_http().build().unwrap();
    let error = client.clone().oneshot(request(&address)).await.unwrap_err();
    assert!(!error.is_not_sent());
    assert_eq!(requests.load(Ordering::SeqCst), 1);

    let response = client.oneshot(request(&address)).await.unwrap();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(!error.is_not_sent());
    serving.abort();
}

#[tokio::test]
async fn a_logout_and_a_redirection_stay_where_they_are() {
    let server = AuthorizationServer::new();
    let served = server.serve().await.unwrap();
    let client = EndpointClient::builder().allow_loopback_http().build().unwrap();
    let grant =
        RefreshTokenGrant::new_insecure(&served.uri("/token").to_string(), "app", client.clone())
            .unwrap()
            .revocation_endpoint(&served.uri("/revoke").to_string())
            .unwrap();
    let session = Session::builder(grant).tokens(server.login()).origin(ORIGIN).build().unwrap();
    let mut events = session.events();
    session.token().await.unwrap();
    session.logout().await.unwrap();
    assert_eq!(server.revocations(), 1);
    let failed = |event: &Event| matches!(event, Event::RevokeFailed(_));
    assert!(!told(&mut events).iter().any(failed));

    let mut fault = Response::new(Bytes::new());
    *fault.status_mut() = http::StatusCode::TEMPORARY_REDIRECT;
    let elsewhere = served.uri("/elsewhere/token").to_string();
    fault.headers_mut().insert(http::header::LOCATION, elsewhere.parse().unwrap());
    server.fail_next(1, tower_reauth::testing::Fault::Response(fault));
    let response = client.oneshot(request(&served.uri("/token").to_string())).await.unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(server.token_requests(), 1);
}
