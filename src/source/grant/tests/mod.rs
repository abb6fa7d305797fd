mod kinds;
mod silent;
mod table;

use std::{
    convert::Infallible,
    error::Error,
    future::{Ready, ready},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{FutureExt, stream};
use http::{Method, Version, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tower::{service_fn, util::BoxCloneSyncService};
use tower_test::mock;

use super::*;
use crate::{AccessToken, ClientAuthentication, RefreshToken, RefreshTokenGrant, error::Kind};

const ENDPOINT: &str = "https://as.example/token?tenant=a";
const SUCCESS: &str = r#"{"access_token":"a2","token_type":"Bearer","refresh_token":"r2"}"#;

fn set() -> TokenSet {
    let refresh = RefreshToken::new("r1+/=&").unwrap();
    TokenSet::new(AccessToken::new("a1").unwrap()).refresh_token(refresh)
}

fn held() -> Held {
    Held::new(Some(set()))
}

fn response(status: u16, body: &str) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(body.to_owned().into()).unwrap()
}

type Sent = Arc<Mutex<Vec<Request<Full<Bytes>>>>>;

/// A service that keeps what it is sent and always answers alike.
#[derive(Clone)]
struct Endpoint {
    sent: Sent,
    answer: Answer,
}

#[derive(Clone)]
enum Answer {
    Response(u16, &'static str),
    Error(fn() -> BoxError),
}

impl Service<Request<Full<Bytes>>> for Endpoint {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.sent.lock().unwrap().push(request);
        ready(match self.answer {
            Answer::Response(status, body) => Ok(response(status, body)),
            Answer::Error(error) => Err(error()),
        })
    }
}

fn answering(answer: Answer) -> (RefreshTokenGrant<Endpoint>, Sent) {
    let sent = Sent::default();
    let service = Endpoint { sent: sent.clone(), answer };
    (RefreshTokenGrant::new(ENDPOINT, "my app", service).unwrap(), sent)
}

fn endpoint(status: u16, body: &'static str) -> (RefreshTokenGrant<Endpoint>, Sent) {
    answering(Answer::Response(status, body))
}

fn failing(error: fn() -> BoxError) -> RefreshTokenGrant<Endpoint> {
    answering(Answer::Error(error)).0
}

async fn body(sent: &Sent) -> String {
    let request = sent.lock().unwrap().pop().unwrap();
    assert!(sent.lock().unwrap().is_empty(), "one request only");
    String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().into()).unwrap()
}

#[tokio::test]
async fn the_request_is_a_form_with_each_parameter_once() {
    let (grant, sent) = endpoint(200, SUCCESS);
    let tokens = TokenSource::refresh(&grant, held()).await.unwrap();
    assert_eq!(tokens.refresh().unwrap().expose_secret(), "r2");

    let request = sent.lock().unwrap()[0].clone();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(request.version(), Version::HTTP_11);
    assert_eq!(request.uri(), ENDPOINT);
    assert_eq!(request.headers().len(), 2);
    assert_eq!(request.headers()[header::CONTENT_TYPE], "application/x-www-form-urlencoded");
    assert_eq!(request.headers()[header::ACCEPT], "application/json");
    let form = "grant_type=refresh_token&refresh_token=r1%2B%2F%3D%26&client_id=my+app";
    assert_eq!(request.body().size_hint().exact(), Some(form.len() as u64));
    assert_eq!(body(&sent).await, form);
}

#[tokio::test]
async fn a_parameter_of_the_program_overrides_none_of_the_grant() {
    let (grant, sent) = endpoint(200, SUCCESS);
    let grant = grant
        .parameter("grant_type", "password")
        .parameter("refresh_token", "other")
        .parameter("client_id", "other")
        .parameter("scope", "everything")
        .parameter("audience", "first")
        .parameter("audience", "api&b")
        .parameter("empty", "")
        .scope("a b");
    TokenSource::refresh(&grant, held()).await.unwrap();
    assert_eq!(
        body(&sent).await,
        "grant_type=refresh_token&refresh_token=r1%2B%2F%3D%26&scope=a+b&audience=api%26b&client_id=my+app"
    );
}

#[tokio::test]
async fn the_client_authenticates_in_one_way_which_no_parameter_changes() {
    let with = |client: ClientAuthentication| {
        let (mut grant, sent) = endpoint(200, SUCCESS);
        grant.endpoint.set_client(client);
        let names = ["client_id", "client_secret", "client_assertion", "client_assertion_type"];
        let grant = names.into_iter().fold(grant, |grant, name| grant.parameter(name, "other"));
        (grant.revocation_endpoint("https://as.example/revoke").unwrap(), sent)
    };

    let (grant, sent) = with(ClientAuthentication::basic("my app", "s3cr:t%+ /~"));
    TokenSource::refresh(&grant, held()).await.unwrap();
    let authorization = sent.lock().unwrap()[0].headers()[header::AUTHORIZATION].clone();
    assert_eq!(authorization, "Basic bXkrYXBwOnMzY3IlM0F0JTI1JTJCKyUyRiU3RQ==");
    assert!(authorization.is_sensitive());
    assert_eq!(body(&sent).await, "grant_type=refresh_token&refresh_token=r1%2B%2F%3D%26");
    TokenSource::revoke(&grant, set()).await.unwrap();
    assert_eq!(sent.lock().unwrap()[0].headers()[header::AUTHORIZATION], authorization);
    assert_eq!(body(&sent).await, "token=r1%2B%2F%3D%26&token_type_hint=refresh_token");

    let (grant, sent) = with(ClientAuthentication::post("my app", "s3cr:t%+ /~"));
    TokenSource::refresh(&grant, held()).await.unwrap();
    assert!(!sent.lock().unwrap()[0].headers().contains_key(header::AUTHORIZATION));
    assert_eq!(
        body(&sent).await,
        "grant_type=refresh_token&refresh_token=r1%2B%2F%3D%26&client_id=my+app&client_secret=s3cr%3At%25%2B+%2F%7E"
    );
    TokenSource::revoke(&grant, set()).await.unwrap();
    assert!(body(&sent).await.ends_with("&client_id=my+app&client_secret=s3cr%3At%25%2B+%2F%7E"));
}

#[tokio::test]
async fn a_scope_is_asked_for_only_if_the_program_does() {
    let (grant, sent) = endpoint(200, SUCCESS);
    TokenSource::refresh(&grant, Held::new(Some(set().scope("granted")))).await.unwrap();
    assert!(!body(&sent).await.contains("scope"));
}

/// RFC 6749 §6: only the server may widen what was granted.
#[tokio::test]
async fn a_refresh_never_asks_for_more_than_was_granted() {
    for (asked, granted, sent_scope) in [
        ("read", "read write", Some("read")),
        ("write read", "read write", Some("write+read")),
        ("read admin", "read write", Some("read")),
        ("reader", "read write", None),
        ("admin", "read write", None),
        ("read", "read", Some("read")),
    ] {
        let (grant, sent) = endpoint(200, SUCCESS);
        let grant = grant.scope(asked).parameter("scope", "admin");
        TokenSource::refresh(&grant, Held::new(Some(set().scope(granted)))).await.unwrap();
        let scope = sent_scope.map_or(String::new(), |scope| format!("&scope={scope}"));
        let form = format!(
            "grant_type=refresh_token&refresh_token=r1%2B%2F%3D%26{scope}&client_id=my+app"
        );
        assert_eq!(body(&sent).await, form, "{asked} of {granted}");
    }
}

#[tokio::test]
async fn nothing_is_sent_without_a_refresh_token() {
    let (grant, sent) = endpoint(200, SUCCESS);
    let error = TokenSource::refresh(&grant, Held::new(None)).await.unwrap_err();
    assert!(error.needs_login());
    assert!(sent.lock().unwrap().is_empty());
}

#[tokio::test]
async fn case_65_a_redirection_is_not_followed() {
    let (grant, sent) = endpoint(307, "");
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert!(error.is_misconfigured());
    assert_eq!(sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_code_that_the_program_listed_is_a_verdict() {
    let (grant, _) = endpoint(200, r#"{"error":"bad_refresh_token"}"#);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert!(error.is_misconfigured() && error.oauth_code().is_none());

    let grant = grant.verdict_code("bad_refresh_token");
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert!(error.is_session_ended());
    assert_eq!(error.oauth_code(), Some("bad_refresh_token"));

    let (grant, _) = endpoint(400, r#"{"error":"invalid_grant"}"#);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert!(error.is_session_ended());
}

#[tokio::test]
async fn one_call_is_one_attempt() {
    let (grant, sent) = endpoint(503, "");
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert_eq!(sent.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_error_of_the_service_is_ambiguous_unless_it_was_not_sent() {
    let refused = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionRefused));
    let reset = || BoxError::from(io::Error::from(io::ErrorKind::ConnectionReset));
    let not_sent = |error: &BoxError| {
        error
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };

    let error = TokenSource::refresh(&failing(refused), held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    let grant = failing(refused).not_sent(not_sent);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.source().unwrap().to_string().contains("connection refused"));
    let grant = failing(reset).not_sent(not_sent);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
}

#[tokio::test]
async fn a_body_that_is_cut_was_sent_whatever_not_sent_says() {
    let service = service_fn(|_: Request<Full<Bytes>>| async {
        let frames = [
            Ok(Frame::data(Bytes::from_static(br#"{"access_token":"a2","#))),
            Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        ];
        Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(frames))))
    });
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", service).unwrap().not_sent(|_| true);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    assert!(error.source().unwrap().to_string().contains("connection reset"));
}

#[tokio::test]
async fn an_answer_without_end_is_ambiguous() {
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let polls = counted.clone();
        let frames = stream::repeat_with(move || {
            polls.fetch_add(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[b' '; 1024])))
        });
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames))))
    });
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", service).unwrap();
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    assert_eq!(polls.load(Ordering::Relaxed), 1025);
}

type Mock = mock::Mock<Request<Full<Bytes>>, Response<Full<Bytes>>>;

#[tokio::test]
async fn the_service_is_ready_before_it_is_called() {
    let (service, mut handle): (Mock, _) = mock::pair();
    handle.allow(0);
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", service).unwrap();
    let mut refresh = tokio_test::task::spawn(TokenSource::refresh(&grant, held()));
    assert!(refresh.poll().is_pending());
    assert!(handle.next_request().now_or_never().is_none());

    handle.allow(1);
    assert!(refresh.is_woken());
    assert!(refresh.poll().is_pending());
    let (_, respond) = handle.next_request().now_or_never().unwrap().unwrap();
    respond.send_response(response(200, SUCCESS));
    assert!(tokio_test::assert_ready!(refresh.poll()).is_ok());
}

#[tokio::test]
async fn a_service_that_is_never_ready_has_sent_nothing() {
    let (service, mut handle): (Mock, _) = mock::pair();
    handle.send_error(io::Error::from(io::ErrorKind::HostUnreachable));
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", service).unwrap();
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
    assert!(error.source().unwrap().to_string().contains("host unreachable"));
}

#[tokio::test]
async fn a_client_with_the_layers_that_it_serves_is_told_so() {
    let error = || RefreshError::new(Kind::Reentrant).into();
    let grant = failing(error).not_sent(|_| true);
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Reentrant);

    let (service, mut handle): (Mock, _) = mock::pair();
    handle.send_error(RefreshError::new(Kind::Reentrant));
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", service).unwrap();
    let error = TokenSource::refresh(&grant, held()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Reentrant);
}

#[tokio::test]
async fn the_verdict_of_another_session_is_none_of_this_one() {
    let error = TokenSource::refresh(&failing(|| RefreshError::rejected().into()), held()).await;
    assert_eq!(error.unwrap_err().kind(), Kind::Ambiguous);
}

#[tokio::test(start_paused = true)]
async fn the_refresh_token_is_revoked_where_the_program_says() {
    let (grant, sent) = endpoint(200, "");
    TokenSource::revoke(&grant, set()).await.unwrap();
    assert!(sent.lock().unwrap().is_empty(), "no revocation endpoint");

    let grant = grant.revocation_endpoint("https://as.example/revoke").unwrap();
    TokenSource::revoke(&grant, set()).await.unwrap();
    assert_eq!(sent.lock().unwrap()[0].uri(), "https://as.example/revoke");
    assert_eq!(
        body(&sent).await,
        "token=r1%2B%2F%3D%26&token_type_hint=refresh_token&client_id=my+app"
    );

    TokenSource::revoke(&grant, TokenSet::new(AccessToken::new("a1").unwrap())).await.unwrap();
    assert_eq!(body(&sent).await, "token=a1&token_type_hint=access_token&client_id=my+app");

    let (grant, _) = endpoint(503, "");
    let grant = grant.revocation_endpoint("https://as.example/revoke").unwrap();
    let error = TokenSource::revoke(&grant, set()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);
}

#[test]
fn every_endpoint_is_https_unless_the_program_meant_it() {
    assert!(RefreshTokenGrant::new("http://as.example/token", "app", ()).is_err());
    let grant = RefreshTokenGrant::new(ENDPOINT, "app", ()).unwrap();
    assert!(grant.revocation_endpoint("http://as.example/revoke").is_err());

    let grant = RefreshTokenGrant::new_insecure("http://as.example/token", "app", ()).unwrap();
    assert!(grant.clone().revocation_endpoint("http://as.example/revoke").is_ok());
    assert!(grant.revocation_endpoint("https://as.example/revoke#a").is_err());
    assert!(RefreshTokenGrant::new_insecure(ENDPOINT, "app", ()).is_ok());
}

#[test]
fn the_issuer_is_the_origin_of_the_endpoint_unless_it_is_set() {
    let (grant, _) = endpoint(200, SUCCESS);
    assert_eq!(TokenSource::issuer(&grant).as_deref(), Some("https://as.example"));
    let grant = grant.issuer("https://as.example/tenant");
    assert_eq!(TokenSource::issuer(&grant).as_deref(), Some("https://as.example/tenant"));
    assert!(TokenSource::spends_refresh_token(&grant));
}

#[test]
fn it_speaks_over_a_hyper_client_and_over_a_boxed_service() {
    fn assert_source(_: Result<impl TokenSource, InvalidEndpoint>) {}
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    assert_source(RefreshTokenGrant::new(ENDPOINT, "app", client.clone()));
    let boxed = BoxCloneSyncService::new(client);
    assert_source(RefreshTokenGrant::new(ENDPOINT, "app", boxed));
}
