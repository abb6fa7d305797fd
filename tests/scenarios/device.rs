//! A login on another device (RFC 8628).

use std::{
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response, StatusCode};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};
use tower_reauth::{
    Assertion, BoxError, ClientAuthentication, DeviceAuthorization, DeviceLogin, RefreshError,
    RefreshTokenGrant, Session,
    testing::{AuthorizationServer, Fault, ResponseBody},
};

use crate::support::{Body, ORIGIN, World, get, send, settle, stack};

const ISSUER: &str = "https://auth.example.com";

/// The kit's server, and when its token endpoint was asked.
#[derive(Clone)]
struct Watched {
    server: AuthorizationServer,
    begin: Instant,
    asked: Arc<Mutex<Vec<u64>>>,
}

impl Watched {
    fn new() -> Self {
        let server = AuthorizationServer::new();
        Self { server, begin: Instant::now(), asked: Arc::default() }
    }

    fn device(&self) -> DeviceAuthorization<Self> {
        DeviceAuthorization::discover(ISSUER, "app", self.clone()).unwrap()
    }

    /// The seconds at which it was polled so far.
    fn polls(&self) -> Vec<u64> {
        self.asked.lock().unwrap().clone()
    }
}

impl Service<Request<Body>> for Watched {
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path().ends_with("/token") {
            self.asked.lock().unwrap().push(self.begin.elapsed().as_secs());
        }
        Box::pin(self.server.clone().oneshot(request))
    }
}

fn refresh_error(error: &dyn Error) -> &RefreshError {
    error.source().unwrap().downcast_ref().unwrap()
}

async fn approve_after(server: AuthorizationServer, login: &DeviceLogin, seconds: u64) {
    let code = login.user_code().to_owned();
    tokio::spawn(async move {
        sleep(Duration::from_secs(seconds)).await;
        assert!(server.approve_device(&code));
    });
}

#[tokio::test(start_paused = true)]
async fn a_device_goes_from_nothing_to_an_answer_of_the_api() {
    let world = World::new();
    let service = world.authorization.clone();
    let grant = RefreshTokenGrant::discover(ISSUER, "app", service.clone()).unwrap();
    let session = Session::builder(grant).origin(ORIGIN).build().unwrap();
    let client = stack(&session, world.api.clone());

    let device = DeviceAuthorization::discover(ISSUER, "app", service).unwrap().scope("api");
    let mut login = device.start().await.unwrap();
    assert_eq!(login.verification_uri(), "https://auth.example.com/activate");
    let complete = login.verification_uri_complete().unwrap();
    assert!(complete.ends_with(login.user_code()));
    assert_eq!(login.expires_in(), Duration::from_secs(600));
    approve_after(world.authorization.clone(), &login, 12).await;
    session.login(login.tokens().await.unwrap()).await.unwrap();

    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&client, get("/orders")).await.unwrap().status(), 200);
    assert_eq!((world.authorization.rotations(), world.authorization.reused()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn polls_are_an_interval_apart_and_five_seconds_where_the_server_names_none() {
    for (interval, polls) in [
        (None, &[5, 10, 15][..]),
        (Some(Duration::from_secs(5)), &[5, 10, 15]),
        (Some(Duration::from_secs(7)), &[7, 14]),
        (Some(Duration::from_secs(0)), &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    ] {
        let watched = Watched::new();
        watched.server.device_interval(interval);
        let mut login = watched.device().start().await.unwrap();
        approve_after(watched.server.clone(), &login, 12).await;
        let tokens = login.tokens().await.unwrap();
        assert!(tokens.refresh().is_some());
        assert_eq!(watched.polls(), polls);
        assert_eq!(watched.server.hasty_polls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn every_slow_down_adds_five_seconds_for_good() {
    let watched = Watched::new();
    let slow_down = || Fault::Json(StatusCode::BAD_REQUEST, r#"{"error":"slow_down"}"#.into());
    let pending = || Fault::Json(StatusCode::OK, r#"{"error":"authorization_pending"}"#.into());
    for fault in [slow_down(), pending(), slow_down(), pending(), pending()] {
        watched.server.fail_next(1, fault);
    }
    let mut login = watched.device().start().await.unwrap();
    assert!(watched.server.approve_device(login.user_code()));
    login.tokens().await.unwrap();
    assert_eq!(watched.polls(), [5, 15, 25, 40, 55, 70]);
}

#[tokio::test(start_paused = true)]
async fn polls_without_an_answer_back_off_and_none_is_lost() {
    let watched = Watched::new();
    watched.server.fail_next(1, Fault::Reset);
    watched.server.fail_next(1, Fault::Html(StatusCode::BAD_GATEWAY));
    let wait = Duration::from_secs(70);
    watched.server.fail_next(1, Fault::RetryAfter(StatusCode::TOO_MANY_REQUESTS, wait));
    let mut login = watched.device().start().await.unwrap();
    approve_after(watched.server.clone(), &login, 107).await;
    login.tokens().await.unwrap();
    // 5 s; twice that and four times that after no answer; as the server asked; 5 s again.
    assert_eq!(watched.polls(), [5, 15, 35, 105, 110]);
}

#[tokio::test(start_paused = true)]
async fn a_poll_that_is_never_answered_is_given_up_and_the_next_one_waits_longer() {
    let watched = Watched::new();
    let mut login = watched.device().start().await.unwrap();
    let hold = watched.server.hold();
    let waiting = tokio::spawn(async move { login.tokens().await });
    sleep(Duration::from_secs(36)).await;
    hold.release();
    sleep(Duration::from_secs(20)).await;
    // Given up at 35 s.
    assert_eq!(watched.polls(), [5, 45, 50, 55]);
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_an_expiry_and_any_other_error_end_the_polling() {
    let watched = Watched::new();
    let mut login = watched.device().start().await.unwrap();
    assert!(watched.server.deny_device(login.user_code()));
    let error = login.tokens().await.unwrap_err();
    assert!(error.is_denied() && !error.is_expired() && error.source().is_none());
    assert_eq!(watched.polls(), [5]);

    let watched = Watched::new();
    let declined = r#"{"error":"authorization_declined"}"#; // Entra ID's word for it
    watched.server.fail_next(1, Fault::Json(StatusCode::BAD_REQUEST, declined.into()));
    let mut login = watched.device().start().await.unwrap();
    assert!(login.tokens().await.unwrap_err().is_denied());

    for (code, status) in
        [("expired_token", 400), ("invalid_grant", 400), ("invalid_client", 401), ("canary", 400)]
    {
        let watched = Watched::new();
        let status = StatusCode::from_u16(status).unwrap();
        watched.server.fail_next(1, Fault::Json(status, format!(r#"{{"error":"{code}"}}"#)));
        let mut login = watched.device().start().await.unwrap();
        let error = login.tokens().await.unwrap_err();
        assert_eq!(error.is_expired(), code == "expired_token");
        let named = code.starts_with("invalid").then_some(code);
        assert_eq!(error.oauth_code(), named);
        let printed = format!("{error} {error:?} {login:?}");
        assert!(!printed.contains("canary") && !printed.contains(login.user_code()), "{printed}");
        assert_eq!(watched.polls(), [5], "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn codes_that_expire_are_told_without_another_poll() {
    let watched = Watched::new();
    watched.server.device_code_lifetime(Duration::from_secs(22));
    let mut login = watched.device().start().await.unwrap();
    let error = login.tokens().await.unwrap_err();
    assert!(error.is_expired());
    assert_eq!(watched.polls(), [5, 10, 15, 20]);
    assert_eq!(login.expires_in(), Duration::from_secs(2));
    assert!(login.tokens().await.unwrap_err().is_expired());
    assert_eq!(watched.polls().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_stops_polling_and_can_be_taken_up_again() {
    let watched = Watched::new();
    let mut login = watched.device().start().await.unwrap();
    let cut = tokio::time::timeout(Duration::from_secs(7), login.tokens()).await;
    assert!(cut.is_err());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(watched.polls(), [5]);
    // It does not forget the interval.
    let cut = tokio::time::timeout(Duration::from_secs(3), login.tokens()).await;
    assert!(cut.is_err());
    assert_eq!(watched.polls(), [5, 10]);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(watched.polls(), [5, 10]);
}

#[tokio::test(start_paused = true)]
async fn the_answer_of_a_poll_under_way_is_not_lost_with_the_future_that_began_it() {
    let watched = Watched::new();
    let mut login = watched.device().start().await.unwrap();
    assert!(watched.server.approve_device(login.user_code()));
    let hold = watched.server.hold();
    let cut = tokio::time::timeout(Duration::from_secs(6), login.tokens()).await;
    assert!(cut.is_err());
    assert_eq!(watched.server.refreshes(), 1);
    hold.release();
    settle().await;
    let tokens = login.tokens().await.unwrap();
    assert!(watched.server.is_valid(tokens.access()));
    assert_eq!(watched.polls(), [5]);
}

#[tokio::test(start_paused = true)]
async fn the_request_names_the_client_and_what_is_asked_for() {
    let server = AuthorizationServer::new();
    let client = ClientAuthentication::basic("app", "secret");
    let device = DeviceAuthorization::new(
        &server.device_authorization_endpoint().to_string(),
        &server.token_endpoint().to_string(),
        client,
        server.clone(),
    )
    .unwrap()
    .scope("api")
    .parameter("audience", "first")
    .parameter("audience", "orders")
    .parameter("scope", "everything");
    let mut login = device.start().await.unwrap();
    server.omit(["scope"]);
    assert!(server.approve_device(login.user_code()));
    let tokens = login.tokens().await.unwrap();
    assert_eq!(tokens.granted_scope(), Some("api"));
    let poll = server.last_token_request().unwrap();
    assert!(poll.headers().contains_key("authorization"));
    assert_eq!(poll.parameters().collect::<Vec<_>>(), ["grant_type", "device_code"]);
    assert_eq!(server.metadata_requests(), 0);
}

/// A signer is the program's own code.
#[tokio::test(start_paused = true)]
async fn a_signer_that_panics_in_a_poll_is_told_once_and_the_login_goes_on() {
    let server = AuthorizationServer::new();
    let turn = Arc::new(Mutex::new(0));
    let assertion = Assertion::from_fn({
        let turn = turn.clone();
        move |_| {
            *turn.lock().unwrap() += 1;
            let turn = *turn.lock().unwrap();
            async move {
                tokio::task::yield_now().await;
                assert_ne!(turn, 2, "told to");
                Ok("e30.e30.e30".to_owned())
            }
        }
    });
    let device = DeviceAuthorization::new(
        &server.device_authorization_endpoint().to_string(),
        &server.token_endpoint().to_string(),
        ClientAuthentication::assertion("app", assertion),
        server.clone(),
    );
    let mut login = device.unwrap().start().await.unwrap();
    let error = login.tokens().await.unwrap_err();
    assert!(!error.is_denied() && !error.is_expired());
    assert!(refresh_error(&error).to_string().contains("panicked"));
    assert!(server.approve_device(login.user_code()));
    // Another poll, with another signature.
    login.tokens().await.unwrap();
    assert_eq!(*turn.lock().unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_interval_of_years_is_not_believed_and_a_code_that_misleads_is_refused() {
    let answering = |answer: &'static str| {
        let service = tower::service_fn(move |_: Request<Body>| async move {
            Ok::<_, BoxError>(Response::new(Body::from(answer)))
        });
        let (device, token) = ("https://as.example/device", "https://as.example/token");
        DeviceAuthorization::new(device, token, "app", service).unwrap()
    };
    let patient = r#"{"device_code":"d","user_code":"u","verification_uri":"https://a/","expires_in":900,"interval":315360000}"#;
    let mut login = answering(patient).start().await.unwrap();
    let begin = Instant::now();
    // The answer to the poll is none: it was asked all the same, and asked again.
    let error = login.tokens().await.unwrap_err();
    assert!(error.is_expired() && begin.elapsed() < Duration::from_secs(900), "{error:?}");

    let wrong = r#"{"device_code":"d","user_code":"\u202eYRANAC","verification_uri":"https://a/"}"#;
    let error = answering(wrong).start().await.unwrap_err();
    let refresh = refresh_error(&error);
    assert!(refresh.is_misconfigured());
    let cause = refresh.source().unwrap().to_string();
    assert!(cause.contains("user code") && !cause.contains("YRANAC"), "{cause}");
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_says_why_and_nothing_of_what_a_server_wrote() {
    type Answer = fn() -> Result<Response<Body>, BoxError>;
    fn answer(status: u16, body: &'static str) -> Result<Response<Body>, BoxError> {
        Ok(Response::builder().status(status).body(body.into())?)
    }
    let cases: [(Answer, bool); 6] = [
        (|| answer(400, r#"{"error":"unauthorized_client","error_description":"canary"}"#), true),
        (|| answer(200, r#"{"device_code":"canary"}"#), true),
        (|| answer(200, "<h1>canary</h1>"), false),
        (|| answer(404, "canary"), true),
        (|| answer(503, "canary"), false),
        (|| Err("canary".into()), false),
    ];
    for (number, (answer, misconfigured)) in cases.into_iter().enumerate() {
        let service = tower::service_fn(move |_: Request<Body>| async move { answer() });
        let (device, token) = ("https://as.example/device", "https://as.example/token");
        let device = DeviceAuthorization::new(device, token, "app", service).unwrap();
        let error = device.start().await.unwrap_err();
        let refresh = refresh_error(&error);
        assert_eq!(refresh.is_misconfigured(), misconfigured, "{number}");
        let printed = format!("{error} {error:?} {refresh} {refresh:?} {device:?}");
        assert!(!printed.contains("canary"), "{number}: {printed}");
    }
    for (device, token) in [
        ("http://as.example/device", "https://as.example/token"),
        ("https://as.example/device", "http://as.example/token"),
    ] {
        assert!(DeviceAuthorization::new(device, token, "app", ()).is_err());
        assert!(DeviceAuthorization::new_insecure(device, token, "app", ()).is_ok());
    }
}
