use bytes::Bytes;
use http::{Request, StatusCode, Version, header};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{io::AsyncReadExt, net::TcpStream};

use super::*;
use crate::testing::{AuthorizationServer, Fault, ResourceServer};

fn client(version: Version) -> Client<HttpConnector, Full<Bytes>> {
    Client::builder(TokioExecutor::new()).http2_only(version == Version::HTTP_2).build_http()
}

fn refresh(server: &Loopback, token: &str) -> Request<Full<Bytes>> {
    let form = format!("grant_type=refresh_token&client_id=app&refresh_token={token}");
    Request::post(server.uri("/token"))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Full::from(form))
        .unwrap()
}

#[tokio::test]
async fn both_servers_speak_http_1_and_http_2_on_sockets() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let authorization = AuthorizationServer::new();
        let resource = ResourceServer::new(&authorization);
        let (tokens, api) = (authorization.serve().await.unwrap(), resource.serve().await.unwrap());
        let client = client(version);

        let login = authorization.login();
        let spent = login.refresh().unwrap().expose_secret();
        let answer = client.request(refresh(&tokens, spent)).await.unwrap();
        assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
        let token = answer["access_token"].as_str().unwrap();

        let request = Request::put(api.uri("/orders/1?x=y"))
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Full::from("a body"))
            .unwrap();
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["echo-path"], "/orders/1");
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "a body");

        let anonymous = Request::get(api.uri("/")).body(Full::default()).unwrap();
        let answer = client.request(anonymous).await.unwrap();
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], r#"Bearer realm="api""#);
    }
}

#[tokio::test]
async fn a_lost_answer_closes_the_connection_and_the_next_call_opens_another() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let authorization = AuthorizationServer::new();
        let server = authorization.serve().await.unwrap();
        let client = client(version);
        let login = authorization.login();
        let spent = login.refresh().unwrap().expose_secret();

        authorization.fail_next(1, Fault::LostAnswer);
        assert!(client.request(refresh(&server, spent)).await.is_err());
        assert_eq!(authorization.rotations(), 1);

        let again = client.request(refresh(&server, spent)).await.unwrap();
        assert_eq!(again.status(), StatusCode::BAD_REQUEST);
        assert_eq!(authorization.reused(), 1);
    }
}

#[tokio::test]
async fn a_reset_takes_the_whole_http_2_connection_and_all_streams_on_it() {
    let authorization = AuthorizationServer::new();
    let server = authorization.serve().await.unwrap();
    let client = client(Version::HTTP_2);
    let hold = authorization.hold();
    let held = tokio::spawn(client.request(refresh(&server, "stranger")));
    hold.until_held(1).await;
    hold.seal();

    authorization.fail_next(1, Fault::Reset);
    assert!(client.request(refresh(&server, "stranger")).await.is_err());
    assert!(held.await.unwrap().is_err());
}

#[tokio::test]
async fn a_truncated_answer_has_a_head_and_no_end() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let authorization = AuthorizationServer::new();
        let server = authorization.serve().await.unwrap();
        authorization.fail_next(1, Fault::Truncated);
        let login = authorization.login();
        let request = refresh(&server, login.refresh().unwrap().expose_secret());
        let answer = client(version).request(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.into_body().collect().await.is_err());
        assert_eq!(authorization.rotations(), 1);
    }
}

#[tokio::test]
async fn dropping_it_closes_its_connections_and_the_port() {
    let server = AuthorizationServer::new().serve().await.unwrap();
    let address = server.address();
    let mut open = TcpStream::connect(address).await.unwrap();
    drop(server);

    let closed = open.read(&mut [0; 1]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn dropping_it_ends_the_requests_that_run() {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let authorization = AuthorizationServer::new();
        let server = authorization.serve().await.unwrap();
        let hold = authorization.hold();
        let call = tokio::spawn(client(version).request(refresh(&server, "stranger")));
        hold.until_held(1).await;
        drop(server);
        assert!(call.await.unwrap().is_err());
        while hold.held() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_path_becomes_a_uri_and_anything_else_panics() {
    let server = AuthorizationServer::new().serve().await.unwrap();
    assert_eq!(server.uri("/a?b=c").to_string(), format!("{}/a?b=c", server.origin()));
    for bad in ["", "token", "@evil.example/", "/a b"] {
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| server.uri(bad)));
        assert!(caught.is_err(), "{bad}");
    }
}
