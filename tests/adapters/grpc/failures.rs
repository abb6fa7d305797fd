//! Where no token can be had.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::{Layer, ServiceBuilder};
use tower_reauth::{
    AuthLayer, GrpcClassifier, Held, RefreshError, RefreshLayer, Session, map_body, source_fn,
    testing::Fault,
    tonic::{ReauthLayer, refresh_error},
};

use super::world::{World, refusal, soon};

const BUSY: Fault = Fault::Status(http::StatusCode::SERVICE_UNAVAILABLE);

async fn check<T>(client: &mut HealthClient<T>) -> Result<(), Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::Error: Into<tower_reauth::BoxError>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<tower_reauth::BoxError> + Send,
{
    soon(client.check(HealthCheckRequest::default())).await.map(drop)
}

#[tokio::test]
async fn a_refused_call_ends_in_the_servers_status_with_the_reason_behind_it() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.health(&session);
    world.authorization.fail_next(usize::MAX, BUSY);

    let status = check(&mut client).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unauthenticated, refusal().message()));
    assert_eq!(status.details(), refusal().details());
    assert_eq!(status.metadata().get("x-server").unwrap(), "tonic");
    let error = refresh_error(&status).unwrap();
    assert!(!error.needs_login() && error.retry_at().is_some(), "{error:?}");
    assert_eq!(world.door.requests(), 1);
}

#[tokio::test]
async fn a_session_that_ended_asks_for_a_login_and_sends_nothing() {
    let world = World::new();
    let session = world.session();
    let mut client = world.health(&session);
    check(&mut client).await.unwrap();
    world.authorization.revoke_all();

    // The challenge is the answer, then nothing is sent any more.
    for sent in [2, 2] {
        let status = check(&mut client).await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated);
        let error = refresh_error(&status).unwrap();
        assert!(error.needs_login() && error.is_session_ended(), "{error:?}");
        assert_eq!(world.door.requests(), sent);
    }
    assert_eq!(world.authorization.token_requests(), 1);

    session.login(world.authorization.login()).await.unwrap();
    check(&mut client).await.unwrap();
    session.logout().await.unwrap();
    let status = check(&mut client).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(refresh_error(&status).unwrap().is_logged_out());
}

#[tokio::test]
async fn what_may_work_later_is_unavailable() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    world.authorization.fail_next(usize::MAX, BUSY);

    let status = check(&mut world.health(&session)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(refresh_error(&status).unwrap().retry_at().is_some());
    assert_eq!(status.message(), refresh_error(&status).unwrap().to_string());
    assert_eq!(world.door.requests(), 0);
}

#[tokio::test]
async fn what_only_the_program_can_mend_is_unauthenticated() {
    let world = World::new();
    let source = source_fn(|_: Held| async { Err(RefreshError::misconfigured()) }).from_nothing();
    let session = Session::builder(source).assume_insecure_origin(&world.origin).build().unwrap();
    let mut client = world.health(&session);
    let status = check(&mut client).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(refresh_error(&status).unwrap().is_misconfigured());

    let session = Session::builder(world.grant()).assume_insecure_origin(&world.origin);
    let session = session.build().unwrap();
    let status = check(&mut world.health(&session)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(refresh_error(&status).unwrap().needs_login());
}

#[tokio::test]
async fn a_closed_session_is_unauthenticated() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    session.close().await.unwrap();
    let status = check(&mut world.health(&session)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(refresh_error(&status).unwrap().is_closed());
}

#[tokio::test]
async fn a_server_that_takes_no_token_is_heard() {
    let world = World::new();
    let session = world.session();
    let mut client = world.health(&session);
    // Refused with the token that was just fetched for it.
    world.door.hold({
        let authorization = world.authorization.clone();
        move || {
            authorization.revoke_access_tokens();
            async {}
        }
    });
    let status = check(&mut client).await.unwrap_err();
    assert_eq!(status.message(), refusal().message());
    assert!(refresh_error(&status).unwrap().is_braked());
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_no_matter_of_tokens() {
    let world = World::new();
    let session = world.session();
    let nowhere = tonic::transport::Channel::from_static("http://127.0.0.1:1").connect_lazy();
    let mut client = HealthClient::new(ReauthLayer::new(session).layer(nowhere));
    let status = check(&mut client).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(refresh_error(&status).is_none());
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test]
async fn the_layers_written_out_do_the_same() {
    let world = World::new();
    let session = world.stale();
    let channel = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).classifier(GrpcClassifier::default()))
        .layer(AuthLayer::new(session.clone()))
        .layer(map_body(tonic::body::Body::new))
        .service(world.channel());
    let mut client = HealthClient::new(channel);
    check(&mut client).await.unwrap();
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));

    session.logout().await.unwrap();
    let status = check(&mut client).await.unwrap_err();
    assert!(refresh_error(&status).unwrap().is_logged_out());
    assert_eq!(world.door.requests(), 2);
}

/// In a response's extensions tonic does not show it.
#[tokio::test]
async fn by_hand_the_reason_of_a_refused_call_is_there_if_it_is_asked_for_as_an_error() {
    for as_error in [false, true] {
        let world = World::new();
        let session = world.stale();
        world.authorization.fail_next(usize::MAX, BUSY);
        let refresh = RefreshLayer::new(session.clone()).classifier(GrpcClassifier::default());
        let channel = ServiceBuilder::new()
            .layer(if as_error { refresh.error_instead_of_challenge() } else { refresh })
            .layer(AuthLayer::new(session.clone()))
            .layer(map_body(tonic::body::Body::new))
            .service(world.channel());
        let status = check(&mut HealthClient::new(channel)).await.unwrap_err();
        assert_eq!(refresh_error(&status).is_some(), as_error, "{status:?}");
        assert_eq!(status.message() == refusal().message(), !as_error);
        assert_eq!(world.door.requests(), 1);
    }
}
