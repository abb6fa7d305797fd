use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use jsonwebtoken::dangerous::insecure_decode_claims;
use serde_json::{Value, json};
use tokio_test::{assert_pending, assert_ready, task};
use tower::ServiceExt;

use super::*;
use crate::{
    BoxError,
    testing::{ManualClock, ResponseBody},
    token::Lifetime,
};

const FORM: &str = "application/x-www-form-urlencoded";

fn request(path: &str, form: &str) -> Request<Full<&'static [u8]>> {
    let form: &'static [u8] = form.as_bytes().to_vec().leak();
    Request::post(path).header("content-type", FORM).body(Full::new(form)).unwrap()
}

fn refresh_request(token: &str) -> Request<Full<&'static [u8]>> {
    let form = format!("grant_type=refresh_token&client_id=app&refresh_token={token}");
    request("/token", &form)
}

async fn send(
    server: &AuthorizationServer,
    request: Request<Full<&'static [u8]>>,
) -> Result<Response<ResponseBody>, BoxError> {
    server.clone().oneshot(request).await
}

async fn answer(
    server: &AuthorizationServer,
    request: Request<Full<&'static [u8]>>,
) -> (StatusCode, Value) {
    let response = send(server, request).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
    assert_eq!(response.headers()[header::CACHE_CONTROL], "no-store");
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap())
}

async fn refresh(server: &AuthorizationServer, token: &str) -> Value {
    let (status, tokens) = answer(server, refresh_request(token)).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    tokens
}

async fn refused(server: &AuthorizationServer, request: Request<Full<&'static [u8]>>) -> String {
    let (status, error) = answer(server, request).await;
    assert!(status.is_client_error());
    error["error"].as_str().unwrap().to_owned()
}

fn text<'a>(tokens: &'a Value, member: &str) -> &'a str {
    tokens[member].as_str().unwrap()
}

fn access(tokens: &Value) -> AccessToken {
    AccessToken::new(text(tokens, "access_token")).unwrap()
}

fn first(tokens: &TokenSet) -> &str {
    tokens.refresh().unwrap().expose_secret()
}

#[tokio::test(start_paused = true)]
async fn a_refresh_answers_as_rfc_6749_says_and_rotates() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let tokens = refresh(&server, first(&login)).await;

    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], "api");
    assert_ne!(text(&tokens, "refresh_token"), first(&login));
    assert!(server.is_valid(login.access()) && server.is_valid(&access(&tokens)));

    assert_eq!((server.token_requests(), server.refreshes(), server.rotations()), (1, 1, 1));
    assert_eq!(server.reused(), 0);
    let seen = server.last_token_request().unwrap();
    assert_eq!(seen.parameter("refresh_token"), Some(first(&login)));
}

#[tokio::test(start_paused = true)]
async fn every_call_is_remembered_with_the_status_that_was_decided_on() {
    let server = AuthorizationServer::new();
    let login = server.login();
    server.fail_next(1, Fault::Status(StatusCode::SERVICE_UNAVAILABLE));
    server.fail_next(1, Fault::Reset);
    server.fail_next(1, Fault::LostAnswer);
    for _ in 0..4 {
        let _ = send(&server, refresh_request(first(&login))).await;
    }

    let calls = server.received();
    let decided: Vec<_> = calls.iter().map(|it| it.status().map(|it| it.as_u16())).collect();
    assert_eq!(decided, [Some(503), None, Some(200), Some(400)]);
    assert!(calls.iter().all(|it| it.parameter("refresh_token") == Some(first(&login))));
}

#[tokio::test(start_paused = true)]
async fn every_access_token_is_another_and_a_jwt_with_the_five_claims() {
    let clock = ManualClock::new();
    let server = AuthorizationServer::with_clock(clock.clock());
    let one: Value = insecure_decode_claims(server.login().access().expose_secret()).unwrap();
    let two: Value = insecure_decode_claims(server.login().access().expose_secret()).unwrap();
    assert_ne!(one["jti"], two["jti"]);
    assert_eq!(one["iss"], "https://auth.example.com");
    assert_eq!(one["sub"], "user");
    assert_eq!(one["iat"], 1_893_456_000);
    assert_eq!(one["exp"], 1_893_459_600);
}

#[tokio::test(start_paused = true)]
async fn a_token_runs_out_to_the_millisecond_in_paused_time() {
    let server = AuthorizationServer::new();
    server.lifetime(Duration::from_secs(2));
    let tokens = server.login();
    assert_eq!(tokens.lifetime(), Some(Lifetime::In(Duration::from_secs(2))));

    tokio::time::advance(Duration::from_millis(1_999)).await;
    assert!(server.is_valid(tokens.access()));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(!server.is_valid(tokens.access()));
}

#[tokio::test(start_paused = true)]
async fn a_stepped_wall_clock_ends_a_token() {
    let clock = ManualClock::new();
    let server = AuthorizationServer::with_clock(clock.clock());
    let tokens = server.login();
    clock.step(Duration::from_secs(3600));
    assert!(!server.is_valid(tokens.access()));
    clock.step_back(Duration::from_millis(1));
    assert!(server.is_valid(tokens.access()));
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_half_a_second_is_told_as_a_fraction() {
    let server = AuthorizationServer::new();
    server.lifetime(Duration::from_millis(500));
    let tokens = refresh(&server, first(&server.login())).await;
    assert_eq!(tokens["expires_in"], json!(0.5));
}

#[tokio::test(start_paused = true)]
async fn a_spent_refresh_token_that_comes_back_ends_the_session() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let tokens = refresh(&server, first(&login)).await;

    assert_eq!(refused(&server, refresh_request(first(&login))).await, "invalid_grant");
    assert_eq!(server.reused(), 1);
    assert!(!server.is_valid(&access(&tokens)));
    let newest = refresh_request(text(&tokens, "refresh_token"));
    assert_eq!(refused(&server, newest).await, "invalid_grant");
    assert_eq!((server.reused(), server.revocations()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn within_the_grace_window_the_same_pair_comes_again() {
    let server = AuthorizationServer::new();
    server.grace(Duration::from_secs(10));
    let login = server.login();
    let tokens = refresh(&server, first(&login)).await;
    tokio::time::advance(Duration::from_secs(5)).await;

    let again = refresh(&server, first(&login)).await;
    assert_eq!(again["access_token"], tokens["access_token"]);
    assert_eq!(again["refresh_token"], tokens["refresh_token"]);
    assert_eq!(again["expires_in"], 3595);
    assert_eq!((server.rotations(), server.repeats(), server.reused()), (1, 1, 0));

    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(refused(&server, refresh_request(first(&login))).await, "invalid_grant");
    assert_eq!(server.reused(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_rotate_keeps_the_refresh_token() {
    let server = AuthorizationServer::new();
    let login = server.login();
    server.rotate(false);
    assert_eq!(refresh(&server, first(&login)).await["refresh_token"], first(&login));
    server.omit_refresh_token(true);
    assert_eq!(refresh(&server, first(&login)).await["refresh_token"], Value::Null);
    refresh(&server, first(&login)).await;
    assert_eq!((server.refreshes(), server.rotations()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn members_can_be_left_out_of_an_answer() {
    let server = AuthorizationServer::new();
    server.omit(["expires_in", "scope"]);
    let tokens = refresh(&server, first(&server.login())).await;
    assert_eq!((&tokens["expires_in"], &tokens["scope"]), (&Value::Null, &Value::Null));
    assert!(tokens["refresh_token"].is_string());
}

#[tokio::test(start_paused = true)]
async fn the_same_access_token_comes_with_what_is_left_of_its_life() {
    let server = AuthorizationServer::new();
    server.same_access_token(true);
    let login = server.login();
    tokio::time::advance(Duration::from_secs(600)).await;
    let tokens = refresh(&server, first(&login)).await;
    assert_eq!(access(&tokens), *login.access());
    assert_eq!(tokens["expires_in"], 3000);
    assert_ne!(text(&tokens, "refresh_token"), first(&login));
}

#[tokio::test(start_paused = true)]
async fn an_expired_access_token_can_be_handed_out() {
    let server = AuthorizationServer::new();
    server.already_expired(true);
    let tokens = refresh(&server, first(&server.login())).await;
    assert_eq!(tokens["expires_in"], 0);
    assert!(!server.is_valid(&access(&tokens)));
}

#[tokio::test(start_paused = true)]
async fn a_skewed_server_misdates_its_tokens_and_still_honours_them() {
    let clock = ManualClock::new();
    let server = AuthorizationServer::with_clock(clock.clock());
    server.skew(-7200);
    let tokens = refresh(&server, first(&server.login())).await;
    let claims: Value = insecure_decode_claims(text(&tokens, "access_token")).unwrap();
    assert_eq!(claims["exp"], 1_893_456_000 - 3600);
    assert_eq!(tokens["expires_in"], 3600);
    assert!(server.is_valid(&access(&tokens)));
}

#[tokio::test(start_paused = true)]
async fn access_tokens_can_be_revoked_and_the_session_goes_on() {
    let server = AuthorizationServer::new();
    let login = server.login();
    server.revoke_access_tokens();
    assert!(!server.is_valid(login.access()));
    let tokens = refresh(&server, first(&login)).await;
    assert!(server.is_valid(&access(&tokens)));
    server.revoke_all();
    let newest = refresh_request(text(&tokens, "refresh_token"));
    assert_eq!(refused(&server, newest).await, "invalid_grant");
    assert_eq!((server.revocations(), server.reused()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_revocation_endpoint_ends_a_family_and_shrugs_at_strangers() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let revoke = |token: &str| {
        request("/revoke", &format!("client_id=app&token_type_hint=refresh_token&token={token}"))
    };
    for token in ["never-seen", first(&login), first(&login)] {
        assert_eq!(send(&server, revoke(token)).await.unwrap().status(), StatusCode::OK);
    }
    assert_eq!(server.revocations(), 1);
    assert!(!server.is_valid(login.access()));
    assert_eq!(refused(&server, refresh_request(first(&login))).await, "invalid_grant");
    assert_eq!((server.token_requests(), server.reused()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_access_token_can_be_revoked_alone() {
    let server = AuthorizationServer::new();
    let login = server.login();
    assert!(server.revoke(login.access().expose_secret()));
    assert!(!server.is_valid(login.access()));
    refresh(&server, first(&login)).await;
}

#[tokio::test(start_paused = true)]
async fn client_credentials_give_an_access_token_alone() {
    let server = AuthorizationServer::new();
    let form = "grant_type=client_credentials&client_id=worker&scope=api";
    let (status, tokens) = answer(&server, request("/token", form)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(tokens["refresh_token"], Value::Null);
    assert!(server.is_valid(&access(&tokens)));
    let claims: Value = insecure_decode_claims(text(&tokens, "access_token")).unwrap();
    assert_eq!(claims["sub"], "worker");
}

#[tokio::test(start_paused = true)]
async fn a_bad_request_is_told_so_and_spends_nothing() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let token = first(&login);
    for (form, error) in [
        (format!("grant_type=refresh_token&refresh_token={token}"), "invalid_client"),
        ("grant_type=refresh_token&client_id=app".into(), "invalid_request"),
        (format!("client_id=app&refresh_token={token}"), "invalid_request"),
        (
            format!("grant_type=password&client_id=app&refresh_token={token}"),
            "unsupported_grant_type",
        ),
        (
            format!("grant_type=refresh_token&client_id=app&scope=api+root&refresh_token={token}"),
            "invalid_scope",
        ),
        (
            format!("grant_type=refresh_token&client_id=app&client_id=app&refresh_token={token}"),
            "invalid_request",
        ),
        ("grant_type=refresh_token&client_id=app&refresh_token=stranger".into(), "invalid_grant"),
    ] {
        assert_eq!(refused(&server, request("/token", &form)).await, error, "{form}");
    }
    let mut get = refresh_request(token);
    *get.method_mut() = http::Method::GET;
    assert_eq!(send(&server, get).await.unwrap().status(), StatusCode::METHOD_NOT_ALLOWED);
    let elsewhere = send(&server, request("/elsewhere", "")).await.unwrap();
    assert_eq!(elsewhere.status(), StatusCode::NOT_FOUND);

    refresh(&server, token).await;
    assert_eq!((server.token_requests(), server.refreshes()), (9, 1));
}

#[tokio::test(start_paused = true)]
async fn faults_before_the_work_spend_nothing() {
    let server = AuthorizationServer::new();
    let login = server.login();
    server.fail_next(1, Fault::Status(StatusCode::BAD_GATEWAY));
    server.fail_next(1, Fault::Html(StatusCode::OK));
    server.fail_next(2, Fault::Reset);

    let response = send(&server, refresh_request(first(&login))).await.unwrap();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    let response = send(&server, refresh_request(first(&login))).await.unwrap();
    assert_eq!(response.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    for _ in 0..2 {
        assert!(send(&server, refresh_request(first(&login))).await.is_err());
    }
    refresh(&server, first(&login)).await;
    assert_eq!((server.token_requests(), server.rotations()), (5, 1));
}

#[tokio::test(start_paused = true)]
async fn faults_after_the_work_leave_a_spent_token() {
    for fault in [Fault::LostAnswer, Fault::Truncated, Fault::Gateway(StatusCode::BAD_GATEWAY)] {
        let server = AuthorizationServer::new();
        let login = server.login();
        server.fail_next(1, fault);
        match send(&server, refresh_request(first(&login))).await {
            Ok(response) if response.status().is_success() => {
                assert!(response.into_body().collect().await.is_err());
            }
            Ok(response) => assert_eq!(response.status(), StatusCode::BAD_GATEWAY),
            Err(error) => {
                let error = error.downcast::<io::Error>().unwrap();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
            }
        }
        assert_eq!(server.rotations(), 1);
        assert_eq!(refused(&server, refresh_request(first(&login))).await, "invalid_grant");
        assert_eq!(server.reused(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_down_for_good_recovers() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let down = Fault::RetryAfter(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(30));
    server.fail_next(usize::MAX, down);
    for _ in 0..3 {
        let response = send(&server, refresh_request(first(&login))).await.unwrap();
        assert_eq!(response.headers()[header::RETRY_AFTER], "30");
    }
    server.recover();
    refresh(&server, first(&login)).await;
}

#[test]
fn a_held_answer_is_given_after_its_work_and_needs_no_time() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let hold = server.hold();
    let mut call = task::spawn(server.clone().oneshot(refresh_request(first(&login))));
    assert_pending!(call.poll());
    assert_eq!((server.rotations(), hold.held()), (1, 1));
    hold.release();
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_comes_after_its_work_and_slow_work_comes_later() {
    let server = AuthorizationServer::new();
    let login = server.login();
    server.delay_before(Duration::from_millis(10));
    server.delay(Duration::from_millis(50));
    let mut call = task::spawn(server.clone().oneshot(refresh_request(first(&login))));
    assert_pending!(call.poll());
    assert_eq!((server.token_requests(), server.rotations()), (1, 0));
    tokio::time::advance(Duration::from_millis(11)).await;
    assert_pending!(call.poll());
    assert_eq!(server.rotations(), 1);
    tokio::time::advance(Duration::from_millis(51)).await;
    assert_ready!(call.poll()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_undo_the_work() {
    let server = AuthorizationServer::new();
    let login = server.login();
    let hold = server.hold();
    let mut call = task::spawn(server.clone().oneshot(refresh_request(first(&login))));
    assert_pending!(call.poll());
    drop(call);
    assert_eq!((server.rotations(), hold.held()), (1, 0));
}

#[test]
fn the_endpoints_are_beneath_the_issuer() {
    let server = AuthorizationServer::new();
    assert_eq!(server.token_endpoint(), "https://auth.example.com/token");
    server.issuer("https://auth.example.org/tenant/");
    assert_eq!(server.revocation_endpoint(), "https://auth.example.org/tenant/revoke");
}

#[test]
#[should_panic = "not an issuer"]
fn a_path_is_no_issuer() {
    AuthorizationServer::new().issuer("/tenant");
}

#[test]
fn tokens_of_another_server_are_not_valid() {
    let server = AuthorizationServer::new();
    assert!(!server.is_valid(AuthorizationServer::new().login().access()));
    assert!(!server.is_valid(&AccessToken::new("opaque").unwrap()));
}
