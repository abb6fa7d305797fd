//! Grants and client authentication, through a whole session.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use futures::{StreamExt, future::join_all};
use http::{Request, StatusCode, header};
use tokio::time::sleep;
use tower::{ServiceExt, limit::ConcurrencyLimit};
use tower_reauth::{
    Assertion, ClientAuthentication, ClientCredentials, Entry, Event, MemoryStore, RefreshError,
    RefreshTokenGrant, SecurityToken, Session, TokenExchange, TokenStore,
    testing::{AuthorizationServer, Fault},
};

use crate::faulty_store::FaultyStore;
use crate::support::{Body, ORIGIN, World, get, send, send_all, settle, told};

/// A secret that only the right encoding brings across.
const SECRET: &str = "s3cr:t%+ /~";

fn me() -> ClientAuthentication {
    ClientAuthentication::basic("my app", SECRET)
}

fn credentials(
    world: &World,
    client: impl Into<ClientAuthentication>,
) -> ClientCredentials<AuthorizationServer> {
    let endpoint = world.authorization.token_endpoint().to_string();
    ClientCredentials::new(&endpoint, client, world.authorization.clone()).unwrap()
}

fn session(world: &World, client: impl Into<ClientAuthentication>) -> Session {
    Session::builder(credentials(world, client)).origin(ORIGIN).build().unwrap()
}

fn registered() -> World {
    let world = World::new();
    world.authorization.client_secret("my app", SECRET);
    world.authorization.lifetime(Duration::from_secs(60));
    world
}

#[tokio::test(start_paused = true)]
async fn client_credentials_need_no_login_and_are_shown_again_when_the_token_expires() {
    let world = registered();
    let store = MemoryStore::new();
    let builder = Session::builder(credentials(&world, me())).origin(ORIGIN).store(store.clone());
    let client = world.client(&builder.build().unwrap());
    for round in 1..=3 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), round);
        let request = world.authorization.last_token_request().unwrap();
        assert_eq!(request.parameters().collect::<Vec<_>>(), ["grant_type"]);
        sleep(Duration::from_secs(61)).await;
    }
    let Entry::Live(record) = store.load().await.unwrap().unwrap().entry else { panic!("buried") };
    assert!(record.tokens().refresh().is_none());
}

#[tokio::test(start_paused = true)]
async fn however_many_need_a_first_token_the_credentials_are_shown_once() {
    let world = registered();
    let client = world.client(&session(&world, me()));
    for answer in join_all(send_all(&client, (0..256).map(|_| get("/")))).await {
        assert_eq!(answer.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_show_a_secret_is_one_that_the_server_takes() {
    let world = registered();
    for client in [me(), ClientAuthentication::post("my app", SECRET)] {
        assert!(session(&world, client).token().await.is_ok());
    }
    for client in [
        ClientAuthentication::none("my app"),
        ClientAuthentication::post("my app", "wrong"),
        ClientAuthentication::basic("my app", "wrong"),
        ClientAuthentication::basic_raw("my app", SECRET),
    ] {
        let error = session(&world, client).token().await.unwrap_err();
        assert!(error.is_misconfigured());
        assert_eq!(error.oauth_code(), Some("invalid_client"));
    }
}

/// P5.
#[tokio::test(start_paused = true)]
async fn no_answer_ends_a_session_that_spends_nothing() {
    for (name, status, code) in [
        ("a verdict", 400, "invalid_grant"),
        ("a listed verdict", 200, "interaction_required"),
        ("a wrong secret", 401, "invalid_client"),
        ("a scope too many", 400, "invalid_scope"),
    ] {
        let world = registered();
        let source = credentials(&world, me()).verdict_code("interaction_required");
        let session = Session::builder(source).origin(ORIGIN).build().unwrap();
        let mut events = session.events();
        let body = format!(r#"{{"error":"{code}"}}"#);
        let status = StatusCode::from_u16(status).unwrap();
        world.authorization.fail_next(1, Fault::Json(status, body));

        let error = session.token().await.unwrap_err();
        assert!(error.is_misconfigured() && !error.needs_login(), "{name}");
        assert!(!error.was_ambiguous() && error.retry_at().is_some(), "{name}");
        assert_eq!(error.oauth_code(), Some(code), "{name}");

        // A cool-down, not an end.
        assert!(session.token().await.is_err(), "{name}");
        assert_eq!(world.authorization.token_requests(), 1, "{name}");
        sleep(Duration::from_secs(1)).await;
        assert!(session.token().await.is_ok(), "{name}");
        let ended = |event: &Event| matches!(event, Event::SessionEnded(_));
        assert!(!told(&mut events).iter().any(ended), "{name}");
    }
}

/// Section 5: where nothing is spent, nothing can be lost.
#[tokio::test(start_paused = true)]
async fn an_answer_that_got_lost_is_asked_for_again_and_is_not_ambiguous() {
    for fault in [
        Fault::LostAnswer,
        Fault::Truncated,
        Fault::Reset,
        Fault::Gateway(StatusCode::BAD_GATEWAY),
        Fault::Status(StatusCode::INTERNAL_SERVER_ERROR),
    ] {
        let world = registered();
        let session = session(&world, me());
        world.authorization.fail_next(2, fault.clone());
        assert!(session.token().await.is_ok(), "{fault:?}");
        assert_eq!(world.authorization.token_requests(), 3, "{fault:?}");

        sleep(Duration::from_secs(61)).await;
        world.authorization.fail_next(usize::MAX, fault.clone());
        let error = session.token().await.unwrap_err();
        assert!(!error.was_ambiguous() && !error.is_misconfigured(), "{fault:?} {error}");
        assert_eq!(world.authorization.token_requests(), 6, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_not_ambiguous_where_nothing_is_spent() {
    let world = registered();
    let session = session(&world, me());
    let mut events = session.events();
    world.authorization.delay(Duration::from_secs(3600));
    assert!(session.token().await.unwrap_err().is_timeout());
    let error = loop {
        if let Some(Event::RefreshFailed(error)) = events.next().await {
            break error;
        }
    };
    assert!(!error.was_ambiguous(), "{error}");
}

/// Section 2 of RFC 6749: the client says who it is in every request.
#[tokio::test(start_paused = true)]
async fn a_confidential_client_authenticates_when_it_refreshes_and_when_it_revokes() {
    let world = registered();
    let endpoint = world.authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&endpoint, me(), world.authorization.clone()).unwrap();
    let revocation = world.authorization.revocation_endpoint().to_string();
    let session = world.builder_over(grant.revocation_endpoint(&revocation).unwrap());
    let session = session.build().unwrap();
    session.token().await.unwrap();
    sleep(Duration::from_secs(61)).await;
    let token = session.token().await.unwrap();
    let request = world.authorization.last_token_request().unwrap();
    assert!(request.headers().contains_key(header::AUTHORIZATION));
    assert!(world.authorization.is_valid(&token));

    session.logout().await.unwrap();
    settle().await;
    assert!(!world.authorization.is_valid(&token), "revoked");
}

/// A signer that needs a token of its own: what became of it says nothing of this session's grant.
#[tokio::test(start_paused = true)]
async fn a_signer_whose_own_session_ended_ends_no_other() {
    for (failure, misconfigured) in [
        (RefreshError::rejected(), true),
        (RefreshError::ambiguous(), false),
        (RefreshError::transient(), false),
    ] {
        let world = World::new();
        world.authorization.lifetime(Duration::from_secs(60));
        let broken = Arc::new(AtomicBool::new(true));
        let assertion = Assertion::from_fn({
            let broken = broken.clone();
            move |_| {
                let answer = match broken.load(SeqCst) {
                    true => Err(failure.clone()),
                    false => Ok("e30.e30.e30".to_owned()),
                };
                async move { answer }
            }
        });
        let signed = ClientAuthentication::assertion("app", assertion);
        let endpoint = world.authorization.token_endpoint().to_string();
        let grant = RefreshTokenGrant::new(&endpoint, signed, world.authorization.clone());
        let session = world
            .builder_over(grant.unwrap())
            .tokens(world.authorization.login().expires_in(Duration::ZERO))
            .attempts(1, Duration::ZERO)
            .build()
            .unwrap();

        let error = session.token().await.unwrap_err();

        assert!(!error.needs_login() && !error.was_ambiguous(), "{error}");
        assert_eq!(error.is_misconfigured(), misconfigured, "{error}");
        assert_eq!(world.authorization.token_requests(), 0);
        broken.store(false, SeqCst);
        sleep(Duration::from_secs(2)).await;
        let later = session.token().await;
        assert!(!later.is_err_and(|error| error.needs_login()), "the refresh token is kept");
        assert_ne!(world.authorization.token_requests(), 0);
    }
}

/// A signer that never comes to an end, and one that does too late.
#[tokio::test(start_paused = true)]
async fn a_request_that_was_not_signed_in_time_never_left() {
    let world = World::new();
    let stalls = Arc::new(AtomicBool::new(true));
    let assertion = Assertion::from_fn({
        let stalls = stalls.clone();
        move |_| {
            let stalls = stalls.load(SeqCst);
            async move {
                if stalls {
                    std::future::pending::<()>().await;
                }
                Ok("e30.e30.e30".to_owned())
            }
        }
    });
    let signed = ClientAuthentication::assertion("app", assertion);
    let endpoint = world.authorization.token_endpoint().to_string();
    let grant = RefreshTokenGrant::new(&endpoint, signed, world.authorization.clone());
    let store = FaultyStore::new();
    let session = world
        .builder_over(grant.unwrap())
        .tokens(world.authorization.login().expires_in(Duration::ZERO))
        .store(store.clone())
        .patience(Duration::from_secs(60))
        .build()
        .unwrap();

    let error = session.token().await.unwrap_err();

    assert!(!error.was_ambiguous() && !error.needs_login() && !error.is_misconfigured());
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not ready to be sent"), "{cause}");
    assert_eq!(world.authorization.token_requests(), 0);
    // Nobody who comes next has to take the refresh token for spent.
    assert_eq!(store.record().unwrap().spent_since(), None);
    stalls.store(false, SeqCst);
    sleep(Duration::from_secs(2)).await;
    let _ = session.token().await;
    assert_ne!(world.authorization.token_requests(), 0);
}

/// What has left may be processed, however quiet it is since.
#[tokio::test(start_paused = true)]
async fn a_request_that_left_and_is_not_answered_is_ambiguous() {
    let world = World::new();
    let hold = world.authorization.hold();
    let store = FaultyStore::new();
    let session = world
        .builder()
        .tokens(world.authorization.login().expires_in(Duration::ZERO))
        .store(store.clone())
        .patience(Duration::from_secs(60))
        .build()
        .unwrap();
    assert!(session.token().await.unwrap_err().was_ambiguous());
    assert!(store.record().unwrap().spent_since().is_some());
    drop(hold);
}

/// A key service behind the same client.
#[tokio::test(start_paused = true)]
async fn a_signer_may_ask_by_the_client_that_the_grant_is_given() {
    let world = World::new();
    let service = ConcurrencyLimit::new(world.authorization.clone(), 1);
    let endpoint = world.authorization.token_endpoint().to_string();
    let assertion = Assertion::from_fn({
        let service = service.clone();
        move |_| {
            let mut service = service.clone();
            async move {
                let ready = ServiceExt::<Request<Body>>::ready(&mut service).await;
                ready.map(|_| "e30.e30.e30".to_owned()).map_err(|_| RefreshError::misconfigured())
            }
        }
    });
    let signed = ClientAuthentication::assertion("app", assertion);
    let source = ClientCredentials::new(&endpoint, signed, service).unwrap();
    let builder = Session::builder(source).attempts(1, Duration::ZERO).origin(ORIGIN);
    let error = builder.build().unwrap().token().await.err();
    assert!(!error.is_some_and(|error| error.is_timeout()), "it waits for itself");
    assert_eq!(world.authorization.token_requests(), 1);
}

/// RFC 6749 §6, and only what the server says is granted.
#[tokio::test(start_paused = true)]
async fn a_refresh_asks_at_most_for_what_was_granted_last() {
    let world = World::new();
    world.authorization.scope("read write admin");
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world
        .builder_over(world.grant().scope("write read"))
        .tokens(world.authorization.login().scope("read admin"))
        .build()
        .unwrap();
    session.token().await.unwrap();
    for _ in 0..2 {
        sleep(Duration::from_secs(61)).await;
        session.token().await.unwrap();
        let request = world.authorization.last_token_request().unwrap();
        assert_eq!(request.parameter("scope"), Some("read"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_exchange_follows_the_session_of_its_subject() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let login = world.session();
    let subject = SecurityToken::access_token({
        let login = login.clone();
        move || {
            let login = login.clone();
            async move { Ok(login.token().await?.expose_secret().to_owned()) }
        }
    });
    let endpoint = world.authorization.token_endpoint().to_string();
    let source = TokenExchange::new(&endpoint, subject, world.authorization.clone()).unwrap();
    let source = source.resource("https://a.example/").resource("https://b.example/");
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    let client = world.client(&session);
    let mut shown = Vec::new();
    for _ in 0..3 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        let request = world.authorization.last_token_request().unwrap();
        shown.push(request.parameter("subject_token").unwrap().to_owned());
        sleep(Duration::from_secs(61)).await;
    }
    shown.dedup();
    assert_eq!(shown.len(), 3, "the newest token each time");
    // The login was refreshed twice, and its tokens were exchanged three times.
    assert_eq!((world.authorization.rotations(), world.authorization.token_requests()), (2, 5));

    login.logout().await.unwrap();
    let error = session.token().await.unwrap_err();
    assert!(error.needs_login(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_no_exchange_is_a_configuration_error() {
    let world = World::new();
    let token = world.authorization.login().access().expose_secret().to_owned();
    let subject = SecurityToken::access_token(move || {
        let token = token.clone();
        async move { Ok(token) }
    });
    let endpoint = world.authorization.token_endpoint().to_string();
    let source = TokenExchange::new(&endpoint, subject, world.authorization.clone()).unwrap();
    let session = Session::builder(source).origin(ORIGIN).build().unwrap();
    world.authorization.omit(["issued_token_type"]);
    let error = session.token().await.unwrap_err();
    assert!(error.is_misconfigured() && !error.was_ambiguous());
    world.authorization.omit([]);
    sleep(Duration::from_secs(1)).await;
    assert!(session.token().await.is_ok());
}

#[cfg(feature = "sign-rust-crypto")]
mod signed {
    use tower_reauth::{JwtBearer, SignedAssertion, SigningAlgorithm, SigningKey};

    use super::*;

    fn key(algorithm: SigningAlgorithm, pem: &str) -> SigningKey {
        SigningKey::from_pem(algorithm, pem).unwrap()
    }

    fn ed25519() -> SigningKey {
        key(SigningAlgorithm::EdDsa, include_str!("../keys/ed25519.pem"))
    }

    /// The server's clock goes ahead in paused time, and the one that assertions are signed by does not.
    const LONG: Duration = Duration::from_secs(24 * 60 * 60);

    #[tokio::test(start_paused = true)]
    async fn a_client_may_say_who_it_is_by_a_key_of_any_kind() {
        for key in [
            ed25519(),
            key(SigningAlgorithm::Es256, include_str!("../keys/p256.pem")),
            key(SigningAlgorithm::Ps256, include_str!("../keys/rsa.pem")),
            key(SigningAlgorithm::Rs256, include_str!("../keys/rsa.pem")),
        ] {
            let world = World::new();
            world.authorization.client_key("my app", &key.public_jwk());
            let client = ClientAuthentication::private_key_jwt("my app", key.clone());
            assert!(session(&world, client).token().await.is_ok(), "{key:?}");
            let request = world.authorization.last_token_request().unwrap();
            assert!(!request.headers().contains_key(header::AUTHORIZATION));
            assert!(request.parameter("client_secret").is_none());

            let stranger = ClientAuthentication::private_key_jwt("other", key);
            let error = session(&world, stranger).token().await.unwrap_err();
            assert_eq!(error.oauth_code(), Some("invalid_client"));
        }
    }

    /// RFC 7523 §3: a server takes an assertion once.
    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_is_repeated_has_an_assertion_of_its_own() {
        let world = World::new();
        world.authorization.client_key("my app", &ed25519().public_jwk());
        world.authorization.lifetime(Duration::from_secs(60));
        world.authorization.grace(Duration::from_secs(10));
        let endpoint = world.authorization.token_endpoint().to_string();
        let assertion = SignedAssertion::of_client("my app", ed25519()).lifetime(LONG);
        let client = ClientAuthentication::assertion("my app", assertion);
        let server = world.authorization.clone();
        let grant = RefreshTokenGrant::new(&endpoint, client.clone(), server).unwrap();
        for session in [world.builder_over(grant).build().unwrap(), session(&world, client)] {
            session.token().await.unwrap();
            for fault in [
                // Processed: the server has seen the assertion.
                Fault::LostAnswer,
                Fault::Gateway(StatusCode::BAD_GATEWAY),
                // Not processed.
                Fault::Status(StatusCode::SERVICE_UNAVAILABLE),
            ] {
                sleep(Duration::from_secs(61)).await;
                let before = world.authorization.token_requests();
                world.authorization.fail_next(1, fault.clone());
                let token = session.token().await;
                assert!(token.is_ok(), "{fault:?} {token:?}");
                assert_eq!(world.authorization.token_requests(), before + 2, "{fault:?}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_audience_is_the_issuer_unless_the_server_wants_its_own_address() {
        let world = World::new();
        world.authorization.issuer("https://auth.example.com/tenant");
        world.authorization.client_key("my app", &ed25519().public_jwk());
        let assertion = || SignedAssertion::of_client("my app", ed25519());
        let as_client = |assertion| ClientAuthentication::assertion("my app", assertion);
        // What is known of the issuer is only the origin of its endpoint.
        assert!(session(&world, as_client(assertion())).token().await.is_err());
        let by_address = as_client(assertion().audience_token_endpoint());
        assert!(session(&world, by_address).token().await.is_ok());
        let by_name = credentials(&world, as_client(assertion()));
        let by_name = by_name.issuer("https://auth.example.com/tenant");
        let session = Session::builder(by_name).origin(ORIGIN).build().unwrap();
        assert!(session.token().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_account_signs_anew_for_each_token() {
        let world = World::new();
        world.authorization.account_key("robot", &ed25519().public_jwk());
        world.authorization.lifetime(Duration::from_secs(60));
        let endpoint = world.authorization.token_endpoint().to_string();
        let assertion = SignedAssertion::new("robot", ed25519()).subject("user").lifetime(LONG);
        let source = JwtBearer::new(&endpoint, assertion, world.authorization.clone()).unwrap();
        let client = world.client(&Session::builder(source).origin(ORIGIN).build().unwrap());
        for round in 1..=3 {
            assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
            assert_eq!(world.authorization.token_requests(), round);
            sleep(Duration::from_secs(61)).await;
        }

        let stranger = SignedAssertion::new("nobody", ed25519());
        let source = JwtBearer::new(&endpoint, stranger, world.authorization.clone()).unwrap();
        let session = Session::builder(source).origin(ORIGIN).build().unwrap();
        let error = session.token().await.unwrap_err();
        assert!(error.is_misconfigured() && !error.needs_login());
        assert_eq!(error.oauth_code(), Some("invalid_grant"));
    }
}
