//! Every public type, holding secrets wherever it can.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_reauth::{
    AccessToken, AmbiguousPolicy, Assertion, Audience, AuthLayer, BaseUrlLayer, BearerClassifier,
    BoxError, Challenge, ClientAuthentication, ClientCredentials, Clock, DeviceAuthorization,
    EndpointClient, Entry, Event, Expected, FileStore, GraphQlData, GraphQlErrors, GrpcClassifier,
    Held, InspectLayer, JsonPointer, JwtBearer, Keyring, KeyringError, KeyringStore, Lease,
    MemoryStore, NoAuth, NoReplay, NotReplayed, Origins, OutagePolicy, Record, RedirectPolicy,
    RedisStore, RefreshCause, RefreshError, RefreshLayer, RefreshToken, RefreshTokenGrant,
    ReplayBody, ResponseHead, Sealed, SealingAlgorithm, SealingKey, SecurityToken, Session,
    SignedAssertion, SigningAlgorithm, SigningKey, Status, StoreError, Stored, Swap, TokenExchange,
    TokenSet, TokenStore, UnresolvedUri, UnsealError, Verdict, Version, classify_body_fn,
    classify_fn, map_body, source_fn,
    testing::{AuthorizationServer, Fault, ManualClock, ResourceServer},
    tonic::{ReauthLayer, TrailersLayer},
};

use crate::printed::{assert_clean, chain, debug};

const ORIGIN: &str = "https://api.example.com";
const ADDRESS: &str = "https://as.example/token?canary=canary";

/// Where public names come from.
const EXPORTS: &[&str] = &[
    include_str!("../../src/lib.rs"),
    include_str!("../../src/auth/mod.rs"),
    include_str!("../../src/base_url/mod.rs"),
    include_str!("../../src/inspect/mod.rs"),
    include_str!("../../src/refresh/mod.rs"),
    include_str!("../../src/reqwest/mod.rs"),
    include_str!("../../src/testing/mod.rs"),
    include_str!("../../src/tonic/mod.rs"),
];

/// Traits, functions, a module and an alias.
const NO_VALUES: &[&str] = &[
    "BoxError",
    "Classify",
    "ClassifyBody",
    "Credential",
    "SelectSession",
    "TokenSource",
    "TokenStore",
    "classify_body_fn",
    "classify_fn",
    "describe_metrics",
    "grant",
    "map_body",
    "redirect_policy",
    "refresh_error",
    "source_fn",
    "store_contract",
    "store_contract_without_access_tokens",
];

fn access() -> AccessToken {
    AccessToken::new("canary-access").unwrap()
}

fn tokens() -> TokenSet {
    TokenSet::new(access())
        .refresh_token(RefreshToken::new("canary-refresh").unwrap())
        .expires_in(Duration::from_secs(3600))
        .scope("canary-scope")
}

fn challenge() -> Challenge {
    let mut headers = HeaderMap::new();
    let line = "Bearer realm=\"canary\", error=\"canary\", error_description=\"canary\", canary=x, Canary canary==";
    headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(line));
    Challenge::parse_all(&headers).remove(0)
}

fn request() -> Request<Full<Bytes>> {
    Request::post(format!("{ORIGIN}/orders")).body(Full::from("canary-body")).unwrap()
}

/// A store that keeps its first record, and never takes another.
struct Broken;

impl TokenStore for Broken {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        Ok(None)
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        Ok(Lease::new(()))
    }

    async fn compare_and_store(&self, _: Expected, _: Record) -> Result<Swap, StoreError> {
        Err(StoreError::unavailable())
    }

    async fn compare_and_bury(&self, _: Expected) -> Result<Swap, StoreError> {
        Err(StoreError::unavailable())
    }
}

/// What every public type prints, by its name.
async fn printed() -> BTreeMap<&'static str, String> {
    let mut printed = BTreeMap::<&'static str, String>::new();
    let mut note = |name, text: String| printed.entry(name).or_default().push_str(&text);

    note("AccessToken", debug(access()));
    note("RefreshToken", debug(tokens().refresh()));
    note("TokenSet", debug(tokens()) + &debug(tokens().expires_at(SystemTime::UNIX_EPOCH)));
    let invalid = AccessToken::new("canary\n-").unwrap_err();
    note("InvalidToken", debug(invalid) + &chain(&invalid));

    let record = Record::new(tokens()).spending_since(Some(SystemTime::UNIX_EPOCH));
    let stored = Stored { entry: Entry::Live(record.clone()), version: Version::new(1) };
    note("Record", debug(&record));
    note("Entry", debug(&stored.entry) + &debug(Entry::Tombstone));
    note("Stored", debug(&stored));
    note("Version", debug(stored.version));
    note("Expected", debug(Expected::Version(stored.version)));
    let store = MemoryStore::new();
    let swap = store.compare_and_store(Expected::Absent, record.clone()).await.unwrap();
    note("Swap", debug(swap));
    note("Lease", debug(store.lease().await.unwrap()));
    note("MemoryStore", debug(&store));
    note_file(&mut note, record).await;
    note_redis(&mut note).await;
    note_sealed(&mut note).await;
    note_keyring(&mut note).await;
    for error in [StoreError::unavailable(), StoreError::busy(), StoreError::corrupt()] {
        note("StoreError", debug(&error) + &chain(&error));
    }

    for error in [
        RefreshError::transient(),
        RefreshError::rejected(),
        RefreshError::ambiguous(),
        RefreshError::misconfigured(),
        RefreshError::transient().with_source(StoreError::busy()),
    ] {
        note("RefreshError", debug(&error) + &chain(&error));
    }
    note("Challenge", debug(challenge()));
    note("Verdict", debug(Verdict::StepUp(challenge())) + &debug(Verdict::Challenge));
    note("BearerClassifier", debug(BearerClassifier::new().also(StatusCode::FORBIDDEN)));
    note("GrpcClassifier", debug(GrpcClassifier::default()));
    let secret = String::from("canary");
    note(
        "ClassifyFn",
        debug(classify_fn(move |_: &ResponseHead<'_>| {
            let _ = &secret;
            Verdict::Challenge
        })),
    );
    let response = Response::builder().header("x-canary", "canary").body(()).unwrap();
    note("ResponseHead", debug(ResponseHead::new(&response)));

    for event in [
        Event::LoggedIn,
        Event::Refreshed(RefreshCause::Early),
        Event::RefreshFailed(RefreshError::ambiguous()),
        Event::SessionEnded(RefreshError::rejected()),
        Event::LoggedOut,
        Event::PersistFailed(StoreError::corrupt()),
        Event::Persisted,
        Event::SeedRefused,
        Event::RevokeFailed(RefreshError::transient()),
        Event::StepUpRequired(challenge()),
        Event::DroppedInFlight,
        Event::Missed(1),
    ] {
        note("Event", debug(event));
    }
    note("RefreshCause", debug(RefreshCause::Early));
    note("NoAuth", debug(NoAuth));
    note("NoReplay", debug(NoReplay));
    note("NotReplayed", debug(NotReplayed::Body));
    note("AmbiguousPolicy", debug(AmbiguousPolicy::RetryOnce));
    note("OutagePolicy", debug(OutagePolicy::GoOn));
    note("Clock", debug(Clock::system()));
    let origins = Origins::new(ORIGIN).unwrap();
    note("Origins", debug(&origins));
    note("RedirectPolicy", debug(RedirectPolicy::with_origins(origins.clone())));
    let invalid = Origins::new("https://user:canary@api.example.com/canary").unwrap_err();
    note("InvalidOrigin", debug(invalid) + &chain(&invalid));

    let secret = tokens();
    let source = source_fn(move |held: Held| {
        let secret = secret.clone();
        async move {
            let _ = held;
            Ok(secret)
        }
    });
    note("SourceFn", debug(&source));
    let builder = Session::builder(source.from_nothing()).tokens(tokens()).origin(ORIGIN);
    note("SessionBuilder", debug(&builder));
    let session = builder.build().unwrap();
    note("Session", debug(&session));
    session.token().await.unwrap();
    note("Session", debug(&session));
    note("Status", debug(session.status()) + &debug(Status::Ended));
    note("Events", debug(session.events()));
    note("StatusStream", debug(session.status_stream()));
    let builder = Session::builder(source_fn(|_: Held| async { Err(RefreshError::rejected()) }));
    let error = builder.origin("https://canary:canary@x").build().unwrap_err();
    note("BuildError", debug(&error) + &chain(&error));

    let broken = Session::builder(source_fn(|_: Held| async { Err(RefreshError::rejected()) }))
        .tokens(tokens())
        .store(Broken)
        .origin(ORIGIN)
        .build()
        .unwrap();
    broken.token().await.unwrap();
    let unsaved = broken.close().await.unwrap_err();
    assert!(unsaved.tokens().is_some());
    note("Unsaved", debug(&unsaved) + &chain(&unsaved));

    // The source is told what is held, and the grant has parameters that may be secret.
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let source = source_fn(move |held: Held| {
        let _ = tell.send(held);
        async { Err(RefreshError::transient()) }
    });
    let asked = Session::builder(source)
        .tokens(tokens().expires_in(Duration::ZERO))
        .attempts(1, Duration::ZERO)
        .origin(ORIGIN)
        .build()
        .unwrap();
    note("RefreshError", chain(&asked.token().await.unwrap_err()));
    let held = told.recv().await.unwrap();
    assert!(held.refresh_token().is_some());
    note("Held", debug(held));
    let endpoint = service_fn(|_: Request<Full<Bytes>>| async {
        Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
    });
    let grant = RefreshTokenGrant::new(ADDRESS, "app", endpoint)
        .unwrap()
        .scope("canary")
        .parameter("client_secret", "canary");
    note("RefreshTokenGrant", debug(&grant));
    let me = ClientAuthentication::basic("app", "canary");
    note("ClientCredentials", debug(ClientCredentials::new(ADDRESS, me, endpoint).unwrap()));
    let assertion = Assertion::from_fn(|_| async { Ok("canary".into()) });
    note("Assertion", debug(&assertion));
    let pem = include_str!("../keys/ed25519.pem");
    let key = SigningKey::from_pem(SigningAlgorithm::EdDsa, pem).unwrap();
    note("SigningAlgorithm", debug(SigningAlgorithm::EdDsa));
    note("SigningKey", debug(&key));
    let signed = SignedAssertion::new("robot", key.clone()).claim("x", "canary");
    note("SignedAssertion", debug(&signed));
    note("Assertion", debug(Assertion::from(signed)));
    note("ClientAuthentication", debug(ClientAuthentication::private_key_jwt("app", key)));
    let invalid = SigningKey::from_jwk(SigningAlgorithm::EdDsa, "canary").unwrap_err();
    note("InvalidKey", debug(invalid) + &chain(&invalid));
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let asking = Assertion::from_fn(move |audience: Audience| {
        let _ = tell.send(audience);
        async { Err(RefreshError::transient()) }
    });
    let asking = JwtBearer::new("https://as.example/token", asking, endpoint).unwrap();
    let asking = Session::builder(asking).attempts(1, Duration::ZERO).origin(ORIGIN);
    note("RefreshError", chain(&asking.build().unwrap().token().await.unwrap_err()));
    note("Audience", debug(told.recv().await.unwrap()));
    note("JwtBearer", debug(JwtBearer::new(ADDRESS, assertion, endpoint).unwrap()));
    let subject = SecurityToken::jwt(|| async { Ok("canary".into()) });
    note("SecurityToken", debug(&subject));
    note("TokenExchange", debug(TokenExchange::new(ADDRESS, subject, endpoint).unwrap()));
    for client in [
        ClientAuthentication::basic("app", "canary"),
        ClientAuthentication::basic_raw("app", "canary"),
        ClientAuthentication::post("app", "canary"),
    ] {
        note("ClientAuthentication", debug(client));
    }
    let address = "https://user:canary@as.example/token";
    let invalid = RefreshTokenGrant::new(address, "app", endpoint).unwrap_err();
    note("InvalidEndpoint", debug(invalid) + &chain(&invalid));

    note_cookies(&mut note);
    note_device(&mut note).await;
    note_endpoint_client(&mut note).await;
    note_tonic(&mut note, &session).await;
    note_base_url(&mut note).await;
    note_inspect(&mut note).await;

    // The stack, and what goes through it.
    let layer = AuthLayer::from_fn(origins, || Some(access()));
    note("AuthLayer", debug(&layer) + &debug(AuthLayer::new(session.clone())));
    note("RefreshLayer", debug(RefreshLayer::new(session.clone())));
    let api = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| async move {
        assert!(request.headers()[header::AUTHORIZATION].to_str().unwrap().contains("canary"));
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(debug(request))))
    });
    let auth = AuthLayer::new(session.clone()).layer(api);
    note("Auth", debug(&auth));
    let mut refresh = RefreshLayer::new(session.clone()).layer(auth);
    note("Refresh", debug(&refresh));
    let future = refresh.ready().await.unwrap().call(request());
    note("ResponseFuture", debug(&future));
    let response = future.await.unwrap();
    note("ReplayBody", text(response).await);
    let closure = layer.layer(service_fn(|request: Request<Full<Bytes>>| async move {
        let _ = request.headers()[header::AUTHORIZATION].to_str().unwrap();
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(debug(request.headers()))))
    }));
    note("TokenFn", debug(&closure));
    let future = closure.oneshot(request());
    note("TokenFn", text(future.await.unwrap()).await);
    let mapped = map_body(|_: ReplayBody<Full<Bytes>>| Full::<Bytes>::default());
    note("MapBody", debug(mapped.layer(())));
    note("MapBodyLayer", debug(mapped));

    // By reqwest, whose client prints its default headers.
    let canary = HeaderMap::from_iter([(header::COOKIE, HeaderValue::from_static("canary"))]);
    let client = reqwest::Client::builder().default_headers(canary).build().unwrap();
    let mut service = tower_reauth::ReqwestService::new(client);
    note("ReqwestService", debug(&service));
    let bearer = Request::get("http://127.0.0.1:1/canary")
        .header(header::AUTHORIZATION, "Bearer canary")
        .body(String::from("canary"))
        .unwrap();
    note("ResponseFuture", debug(service.call(bearer)));

    // The kit, whose tokens are not ours to choose.
    note("ManualClock", debug(ManualClock::new()));
    let authorization = AuthorizationServer::new();
    authorization.scope("canary");
    let hold = authorization.hold();
    note("Hold", debug(&hold));
    hold.release();
    let endpoint = authorization.token_endpoint();
    let form = "grant_type=refresh_token&refresh_token=canary&client_id=canary";
    let request = Request::post(endpoint)
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header("x-canary-key", "x")
        .body(Full::<Bytes>::from(form))
        .unwrap();
    let answer = authorization.clone().oneshot(request).await.unwrap();
    note("ResponseBody", debug(answer.body()));
    note(
        "TokenRequest",
        debug(authorization.last_token_request().unwrap()).replace("x-canary-key", ""),
    );
    note("AuthorizationServer", debug(&authorization));
    let api = ResourceServer::new(&authorization);
    let request = Request::get(ORIGIN)
        .header(header::AUTHORIZATION, "Bearer canary")
        .body(Full::<Bytes>::from("canary"))
        .unwrap();
    let _ = api.clone().oneshot(request).await.unwrap();
    note("Received", debug(api.received()));
    note("ResourceServer", debug(&api));
    note("Fault", debug(Fault::Reset) + &debug(Fault::Status(StatusCode::BAD_GATEWAY)));
    note("Loopback", debug(api.serve().await.unwrap()));
    printed
}

/// The cookies of a login, and a source that spends them.
fn note_cookies(note: &mut impl FnMut(&'static str, String)) {
    use tower_reauth::{CookieGrant, Cookies, Csrf};

    let grant = CookieGrant::new(ADDRESS, ()).unwrap().csrf(Csrf::laravel()).unwrap();
    let name = header::HeaderName::from_static("x-canary");
    note("CookieGrant", debug(grant.header(name, HeaderValue::from_static("canary"))));
    let csrf = Csrf::new("canary", header::HeaderName::from_static("x-csrf")).path("/canary");
    note("Csrf", debug(csrf));
    let cookies = Cookies::new(ADDRESS).unwrap().cookie("canary", "canary").unwrap();
    note("Cookies", debug(&cookies) + &debug(cookies.tokens()) + &debug(cookies.refresh_token()));
    let invalid = cookies.cookie("canary", ";canary").unwrap_err();
    note("InvalidCookies", debug(invalid) + &chain(&invalid));
    let invalid = Cookies::new(ADDRESS).unwrap().tokens().unwrap_err();
    note("InvalidCookies", debug(invalid) + &chain(&invalid));
}

/// A login on another device, and each way in which it ends.
async fn note_device(note: &mut impl FnMut(&'static str, String)) {
    let device = |answers: &'static [(u16, &'static str)]| {
        let turn = Arc::new(AtomicUsize::new(0));
        let endpoint = service_fn(move |_: Request<Full<Bytes>>| {
            let (status, body) = answers[turn.fetch_add(1, Ordering::Relaxed)];
            let response = Response::builder().status(status).body(Full::<Bytes>::from(body));
            std::future::ready(response)
        });
        DeviceAuthorization::new(
            "https://as.example/device?canary",
            "https://as.example/token?canary",
            ClientAuthentication::post("app", "canary"),
            endpoint,
        )
        .unwrap()
        .scope("canary")
        .parameter("canary", "canary")
    };
    const CODES: (u16, &str) = (
        200,
        r#"{"device_code":"canary","user_code":"canary","verification_uri":"https://as.example/canary","interval":1,"expires_in":9}"#,
    );
    let refused = device(&[(400, r#"{"error":"canary","error_description":"canary"}"#)]);
    note("DeviceAuthorization", debug(&refused));
    let error = refused.start().await.unwrap_err();
    note("DeviceError", debug(&error) + &chain(&error));
    for end in [
        &[CODES, (400, r#"{"error":"access_denied","error_description":"canary"}"#)][..],
        &[CODES, (400, r#"{"error":"expired_token","error_description":"canary"}"#)],
        &[CODES, (400, r#"{"error":"canary","error_description":"canary"}"#)],
    ] {
        let mut login = device(end).start().await.unwrap();
        note("DeviceLogin", debug(&login));
        tokio::time::pause();
        let error = login.tokens().await.unwrap_err();
        tokio::time::resume();
        note("DeviceError", debug(&error) + &chain(&error));
    }
}

/// A file, and what is no record in it.
async fn note_file(note: &mut impl FnMut(&'static str, String), record: Record) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let store = FileStore::open(&path).unwrap();
    let _ = store.compare_and_store(Expected::Absent, record).await.unwrap();
    note("FileStore", debug(&store));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("canary-refresh"));
    for broken in [&text[1..], &text.replace("canary-access", "canary access")] {
        std::fs::write(&path, broken).unwrap();
        let error = store.load().await.unwrap_err();
        note("StoreError", debug(&error) + &chain(&error));
    }
}

/// A Redis that is not there, and an address that is none.
async fn note_redis(note: &mut impl FnMut(&'static str, String)) {
    let store = RedisStore::open("redis://canary:canary@127.0.0.1:1/0", "canary").unwrap();
    note("RedisStore", debug(&store));
    for error in [
        store.load().await.unwrap_err(),
        RedisStore::open("https://canary:canary@canary", "canary").unwrap_err(),
    ] {
        note("StoreError", debug(&error) + &chain(&error));
    }
}

/// An entry that no storage admits, and so the reason why it cannot be used, where there is one or not.
async fn note_keyring(note: &mut impl FnMut(&'static str, String)) {
    let keyring = Keyring::new("canary", "can\0ary");
    // Which asks nobody.
    #[cfg(target_os = "linux")]
    let keyring = keyring.keyutils();
    note("Keyring", debug(&keyring));
    let folder = tempfile::tempdir().unwrap();
    let store = KeyringStore::open(keyring.clone(), folder.path().join("session")).unwrap();
    note("KeyringStore", debug(&store));
    for error in [
        store.load().await.unwrap_err(),
        store.compare_and_bury(Expected::Any).await.unwrap_err(),
        keyring.sealed_file(folder.path().join("session")).await.unwrap_err(),
    ] {
        note("StoreError", debug(&error) + &chain(&error));
        let source = error.source().unwrap();
        note("KeyringError", debug(source.downcast_ref::<KeyringError>().unwrap()));
        note("KeyringError", chain(source));
    }
}

/// A sealed store, its key, and what does not open.
async fn note_sealed(note: &mut impl FnMut(&'static str, String)) {
    let inner = MemoryStore::new();
    let record = Record::new(tokens()).issuer(Some("canary")).account(Some("canary"));
    let _ = inner.compare_and_store(Expected::Any, record).await.unwrap();
    let key = SealingKey::from_bytes("canary", b"canary-canary-canary-canary-cana").unwrap();
    note("SealingKey", debug(&key));
    note("SealingAlgorithm", debug(SealingAlgorithm::Aes256Gcm));
    for id in ["canary", "canary canary"] {
        let error = SealingKey::from_base64(id, "canary").unwrap_err();
        note("InvalidSealingKey", debug(error) + &chain(&error));
    }
    let store = Sealed::new(inner, key, "canary");
    note("Sealed", debug(&store));
    let error = store.load().await.unwrap_err();
    note("StoreError", debug(&error) + &chain(&error));
    let source = error.source().unwrap();
    note("UnsealError", debug(source.downcast_ref::<UnsealError>().unwrap()) + &chain(source));
}

/// The ready client, and what it answers with and fails with.
async fn note_endpoint_client(note: &mut impl FnMut(&'static str, String)) {
    let builder = EndpointClient::builder().allow_loopback_http();
    note("EndpointClientBuilder", debug(&builder));
    let client = builder.build().unwrap();
    note("EndpointClient", debug(&client));
    let invalid = EndpointClient::builder().authority("canary").build().unwrap_err();
    note("InvalidTls", debug(invalid) + &chain(&invalid));
    let authorization = AuthorizationServer::new();
    let served = authorization.serve().await.unwrap();
    let canary = Response::new(Bytes::from("canary"));
    authorization.fail_next(1, Fault::Response(canary));
    authorization.fail_next(1, Fault::Reset);
    for _ in 0..2 {
        let address = served.uri("/canary/token?canary=canary");
        let request = Request::post(address).body(Full::from("token=canary")).unwrap();
        match client.clone().oneshot(request).await {
            Ok(response) => note("EndpointBody", debug(response.body())),
            Err(error) => note("EndpointClientError", debug(error) + &chain(&error)),
        }
    }
}

/// tonic's own text for the errors of this crate, too.
async fn note_tonic(note: &mut impl FnMut(&'static str, String), session: &Session) {
    let layer = ReauthLayer::new(session.clone());
    note("ReauthLayer", debug(&layer));
    let mut reauth = layer.layer(service_fn(|request: Request<tonic::body::Body>| async move {
        assert!(request.headers()[header::AUTHORIZATION].to_str().unwrap().contains("canary"));
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(debug(request))))
    }));
    note("Reauth", debug(&reauth));
    note("TrailersLayer", debug(TrailersLayer::new()));
    let channel = service_fn(|request: Request<tonic::body::Body>| async move {
        Ok::<_, BoxError>(Response::new(tonic::body::Body::new(Full::from(debug(request)))))
    });
    let mut trailers = TrailersLayer::new().layer(channel);
    let future = trailers.call(Request::new(tonic::body::Body::new(Full::from("canary"))));
    note("Trailers", debug(&future) + &debug(future.await.unwrap()));
    let request = || Request::post(ORIGIN).body(tonic::body::Body::empty()).unwrap();
    let future = reauth.ready().await.unwrap().call(request());
    note("ResponseFuture", debug(&future));
    note("Reauth", text(future.await.unwrap()).await);

    let source = source_fn(|_: Held| async { Err(RefreshError::rejected()) }).from_nothing();
    let ended = Session::builder(source).origin(ORIGIN).build().unwrap();
    let reauth =
        ReauthLayer::new(ended).layer(service_fn(async |_: Request<tonic::body::Body>| {
            Ok::<_, BoxError>(Response::new(Full::<Bytes>::default()))
        }));
    let error = reauth.oneshot(request()).await.unwrap_err();
    note("RefreshError", debug(&error) + &chain(&*error));
}

/// Requests that have a secret in their URI.
async fn note_base_url(note: &mut impl FnMut(&'static str, String)) {
    let layer = BaseUrlLayer::new("https://api.example.com/v2/").unwrap();
    note("BaseUrlLayer", debug(&layer));
    let client = layer.layer(());
    note("BaseUrl", debug(&client));
    let client =
        layer.layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(()))));
    let request = Request::get("//canary/?canary").body(()).unwrap();
    let future = client.oneshot(request);
    note(
        "ResponseFuture",
        debug(
            layer
                .layer(service_fn(async |_: Request<()>| Ok::<_, BoxError>(Response::new(()))))
                .call(Request::get("/canary").body(()).unwrap()),
        ),
    );
    let error = *future.await.unwrap_err().downcast::<UnresolvedUri>().unwrap();
    note("UnresolvedUri", debug(error) + &chain(&error));
    for text in ["https://user:canary@api.example.com/", "https://api.example.com/?canary"] {
        let error = BaseUrlLayer::new(text).unwrap_err();
        note("InvalidBaseUrl", debug(error) + &chain(&error));
    }
}

/// A body with a secret in it, and classifiers that know it.
async fn note_inspect(note: &mut impl FnMut(&'static str, String)) {
    note("GraphQlErrors", debug(GraphQlErrors::new().code("canary")));
    note("GraphQlData", debug(GraphQlData::Refused));
    let pointer = JsonPointer::new("/message", "canary").unwrap();
    note("JsonPointer", debug(pointer.verdict(Verdict::StepUp(challenge()))));
    let invalid = JsonPointer::new("canary", "canary").unwrap_err();
    note("InvalidPointer", debug(invalid) + &chain(&invalid));
    let secret = String::from("canary");
    let judge = classify_body_fn(
        |_: &ResponseHead<'_>| true,
        move |_: &ResponseHead<'_>, body: &[u8]| {
            (body == secret.as_bytes()).then_some(Verdict::Challenge)
        },
    );
    note("ClassifyBodyFn", debug(&judge));
    let layer = InspectLayer::new(judge);
    note("InspectLayer", debug(&layer));
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, BoxError>(Response::new(Full::<Bytes>::from("canary")))
    });
    let mut inspect = layer.layer(inner);
    note("Inspect", debug(layer.layer(())));
    let future = inspect.ready().await.unwrap().call(Request::new(()));
    note("ResponseFuture", debug(&future));
    let response = future.await.unwrap();
    assert!(response.extensions().get::<Verdict>().is_some());
    note("InspectedBody", debug(response.body()) + &debug(&response));
}

async fn text(response: Response<Full<Bytes>>) -> String {
    use http_body_util::BodyExt;
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Case 67.
#[tokio::test]
async fn no_public_type_prints_a_secret() {
    for (name, text) in printed().await {
        assert_clean(name, &text);
    }
}

/// A type that is added to the exports must be added above.
#[tokio::test]
async fn every_public_name_is_looked_at() {
    let exported = EXPORTS.iter().flat_map(|source| exports(source)).collect::<BTreeSet<_>>();
    let printed = printed().await;
    let known = printed.keys().chain(NO_VALUES).copied().collect::<BTreeSet<_>>();
    let apart = exported.symmetric_difference(&known).collect::<Vec<_>>();
    assert!(apart.is_empty(), "public and not looked at, or the other way round: {apart:?}");
}

/// The names that a file's `pub use` and `pub type` items export.
fn exports(source: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for item in source.split("\npub use ").skip(1) {
        let paths = item.split(';').next().unwrap();
        names.extend(
            paths
                .split([',', '{', '}', ' ', '\n'])
                .map(|path| path.rsplit("::").next().unwrap().trim())
                .filter(|name| !name.is_empty()),
        );
    }
    let aliases = source.split("\npub type ").skip(1);
    names.extend(aliases.filter_map(|alias| alias.split([' ', '<']).next()));
    names
}
