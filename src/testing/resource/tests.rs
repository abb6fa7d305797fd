use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Service, ServiceExt};

use super::*;
use crate::{AccessToken, testing::ResponseBody};

fn servers() -> (AuthorizationServer, ResourceServer) {
    let authorization = AuthorizationServer::new();
    let resource = ResourceServer::new(&authorization);
    (authorization, resource)
}

fn with_token(path: &str, token: &AccessToken) -> Request<Full<Bytes>> {
    Request::post(path)
        .header("authorization", format!("Bearer {}", token.expose_secret()))
        .body(Full::from("a body"))
        .unwrap()
}

async fn send(server: &ResourceServer, request: Request<Full<Bytes>>) -> Response<ResponseBody> {
    server.clone().oneshot(request).await.unwrap()
}

fn challenge(response: &Response<ResponseBody>) -> &str {
    response.headers()[header::WWW_AUTHENTICATE].to_str().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_good_token_is_answered_with_an_echo() {
    let (authorization, resource) = servers();
    let login = authorization.login();
    let response = send(&resource, with_token("/orders?page=2", login.access())).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["echo-method"], "POST");
    assert_eq!(response.headers()["echo-path"], "/orders");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "a body");

    let received = resource.received().pop().unwrap();
    assert_eq!(received.authorizations(), 1);
    assert_eq!(received.bearer(), Some(login.access().expose_secret()));
    assert_eq!((&received.body[..], received.complete), (&b"a body"[..], true));
    assert_eq!(received.status, Some(StatusCode::OK));
    assert_eq!((resource.requests(), resource.accepted(), resource.unauthorized()), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn who_sends_no_token_is_told_no_error() {
    let (_, resource) = servers();
    for request in [
        Request::get("/").body(Full::default()).unwrap(),
        Request::get("/").header("authorization", "Basic dTpw").body(Full::default()).unwrap(),
    ] {
        let response = send(&resource, request).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(challenge(&response), r#"Bearer realm="api""#);
    }
    assert_eq!(resource.unauthorized(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_expired_a_revoked_and_a_foreign_token_are_invalid() {
    let (authorization, resource) = servers();
    authorization.lifetime(Duration::from_secs(2));
    let expired = authorization.login();
    tokio::time::advance(Duration::from_secs(2)).await;
    let revoked = authorization.login();
    authorization.revoke_access_tokens();
    let foreign = AuthorizationServer::new().login();

    for (tokens, why) in [(expired, "expired"), (revoked, "revoked"), (foreign, "ours")] {
        let response = send(&resource, with_token("/", tokens.access())).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let challenge = challenge(&response);
        assert!(challenge.starts_with(r#"Bearer realm="api", error="invalid_token""#));
        assert!(challenge.contains(why), "{challenge}");
    }
    assert_eq!((resource.unauthorized(), resource.accepted()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn two_credentials_are_a_malformed_request() {
    let (authorization, resource) = servers();
    let mut request = with_token("/", authorization.login().access());
    let value = request.headers()[header::AUTHORIZATION].clone();
    request.headers_mut().append(header::AUTHORIZATION, value);
    assert_eq!(send(&resource, request).await.status(), StatusCode::BAD_REQUEST);
    assert_eq!((resource.accepted(), resource.unauthorized()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_path_can_refuse_every_token_and_another_can_ask_for_more_scope() {
    let (authorization, resource) = servers();
    let login = authorization.login();
    resource.always_401("/never");
    resource.insufficient_scope("/admin", "api admin");

    assert_eq!(send(&resource, with_token("/never", login.access())).await.status(), 401);
    let response = send(&resource, with_token("/admin", login.access())).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(challenge(&response).contains(r#"error="insufficient_scope""#));
    assert!(challenge(&response).ends_with(r#"scope="api admin""#));
    assert_eq!(send(&resource, with_token("/", login.access())).await.status(), 200);

    authorization.revoke_access_tokens();
    assert_eq!(send(&resource, with_token("/admin", login.access())).await.status(), 401);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_token_can_be_made_to_do() {
    let (authorization, resource) = servers();
    let (first, second) = (authorization.login(), authorization.login());
    assert_eq!(send(&resource, with_token("/", first.access())).await.status(), 200);
    resource.newest_only(true);
    assert_eq!(send(&resource, with_token("/", first.access())).await.status(), 401);
    assert_eq!(send(&resource, with_token("/", second.access())).await.status(), 200);
}

/// A body whose frames a test sends by hand.
fn upload() -> (futures::channel::mpsc::UnboundedSender<Frame<Bytes>>, Upload) {
    let (sender, frames) = futures::channel::mpsc::unbounded();
    let frames = futures_util::StreamExt::map(frames, Ok as fn(_) -> _);
    (sender, StreamBody::new(frames))
}

type Upload = StreamBody<
    stream::Map<
        futures::channel::mpsc::UnboundedReceiver<Frame<Bytes>>,
        fn(Frame<Bytes>) -> Result<Frame<Bytes>, Infallible>,
    >,
>;

#[test]
fn an_early_refusal_comes_before_any_byte_was_read_and_drops_the_rest() {
    let (_, resource) = servers();
    resource.read_before_refusal(0);
    let (sender, body) = upload();
    let mut call = task::spawn(resource.clone().oneshot(Request::post("/").body(body).unwrap()));
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 401);
    assert!(sender.is_closed());
    assert!(!resource.received()[0].complete);
}

#[test]
fn a_refusal_can_come_in_the_middle_of_an_upload() {
    let (_, resource) = servers();
    resource.read_before_refusal(5);
    let (sender, body) = upload();
    let mut call = task::spawn(resource.clone().oneshot(Request::post("/").body(body).unwrap()));
    sender.unbounded_send(Frame::data("1234".into())).unwrap();
    assert_pending!(call.poll());
    sender.unbounded_send(Frame::data("5678".into())).unwrap();
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 401);
    assert_eq!(resource.received()[0].body, "12345678");
}

#[tokio::test(start_paused = true)]
async fn the_rest_of_a_refused_upload_can_be_drained() {
    let (_, resource) = servers();
    resource.read_before_refusal(0);
    resource.drain_after_refusal(true);
    let (sender, body) = upload();
    let request = Request::post("/").body(body).unwrap();
    assert_eq!(resource.clone().oneshot(request).await.unwrap().status(), 401);
    tokio::task::yield_now().await;
    assert!(!sender.is_closed());
    sender.close_channel();
}

#[test]
fn a_good_token_is_judged_on_the_head_and_the_body_read_to_its_end() {
    let (authorization, resource) = servers();
    resource.read_before_refusal(0);
    let login = authorization.login();
    let (sender, body) = upload();
    let request = with_token("/", login.access()).map(|_| body);
    let mut call = task::spawn(resource.clone().oneshot(request));
    assert_pending!(call.poll());
    authorization.revoke_access_tokens();

    let mut trailers = HeaderMap::new();
    trailers.insert("digest", "abc".parse().unwrap());
    sender.unbounded_send(Frame::data("1234".into())).unwrap();
    sender.unbounded_send(Frame::trailers(trailers.clone())).unwrap();
    drop(sender);
    assert_eq!(assert_ready!(call.poll()).unwrap().status(), 200);
    let received = resource.received().pop().unwrap();
    assert_eq!((&received.body[..], received.trailers), (&b"1234"[..], Some(trailers)));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_fails_is_no_request_and_what_came_of_it_is_kept() {
    let (authorization, resource) = servers();
    let frames = vec![
        Ok(Frame::data(Bytes::from("12"))),
        Err(std::io::Error::other("gone")),
        Ok(Frame::data("34".into())),
    ];
    let body = StreamBody::new(stream::iter(frames));
    let request = with_token("/", authorization.login().access()).map(|_| body);
    assert!(resource.clone().oneshot(request).await.is_err());
    let received = resource.received().pop().unwrap();
    assert_eq!((&received.body[..], received.complete), (&b"12"[..], false));
    assert_eq!((received.status, resource.accepted()), (None, 0));
}

#[test]
fn refusals_can_come_late_one_by_one_while_others_pass() {
    let (authorization, resource) = servers();
    let (old, new) = (authorization.login(), authorization.login());
    resource.newest_only(true);
    let hold = resource.hold_refusals();
    let mut calls =
        [(); 2].map(|()| task::spawn(resource.clone().oneshot(with_token("/", old.access()))));
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let mut good = task::spawn(resource.clone().oneshot(with_token("/", new.access())));
    assert_eq!(assert_ready!(good.poll()).unwrap().status(), 200);
    assert_eq!((hold.held(), resource.unauthorized()), (2, 2));

    hold.release_one();
    assert_eq!(assert_ready!(calls[0].poll()).unwrap().status(), 401);
    assert_pending!(calls[1].poll());
    drop(hold);
    assert_eq!(assert_ready!(calls[1].poll()).unwrap().status(), 401);
}

#[tokio::test(start_paused = true)]
async fn a_resource_server_can_fail_too() {
    let (authorization, resource) = servers();
    resource.fail_next(1, Fault::Status(StatusCode::INTERNAL_SERVER_ERROR));
    resource.fail_next(1, Fault::LostAnswer);
    let login = authorization.login();
    assert_eq!(send(&resource, with_token("/", login.access())).await.status(), 500);
    assert!(resource.clone().oneshot(with_token("/", login.access())).await.is_err());
    assert_eq!((resource.requests(), resource.accepted()), (2, 1));
}

#[test]
fn it_is_always_ready() {
    let (_, mut resource) = servers();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let ready = Service::<Request<Full<Bytes>>>::poll_ready(&mut resource, &mut cx);
    assert!(matches!(ready, Poll::Ready(Ok(()))));
}
