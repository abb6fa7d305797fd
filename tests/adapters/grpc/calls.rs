//! Unary calls.

use std::time::Duration;

use futures::future::try_join_all;
use http::{HeaderMap, Response, header::WWW_AUTHENTICATE};
use tonic::{Code, Request, metadata::MetadataValue, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::ServiceBuilder;
use tower_reauth::{
    NoAuth, NoReplay,
    tonic::{ReauthLayer, TrailersLayer, refresh_error},
};

use super::world::{World, refusal, soon};

fn health() -> HealthCheckRequest {
    HealthCheckRequest::default()
}

#[tokio::test]
async fn a_refused_call_is_sent_again_with_a_new_token() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.health(&session);

    let answer = soon(client.check(health())).await.unwrap();
    assert_eq!(answer.get_ref().status, 1);
    assert_eq!(world.door.paths(), ["/grpc.health.v1.Health/Check"; 2]);
    assert_eq!((world.authorization.token_requests(), world.authorization.reused()), (1, 0));

    soon(client.check(health())).await.unwrap();
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (3, 1));
}

#[tokio::test]
async fn a_call_without_a_valid_token_waits_for_one_and_is_sent_once() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    world.authorization.lifetime(Duration::from_secs(3600));

    soon(world.health(&session).check(health())).await.unwrap();
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 1));
}

#[tokio::test]
async fn a_replay_differs_in_its_token_alone() {
    let world = World::new();
    let session = world.stale();
    let mut request = Request::new("tea".to_owned());
    request.set_timeout(Duration::from_secs(50));
    request.metadata_mut().insert("x-text", "one".parse().unwrap());
    request.metadata_mut().append("x-text", "two".parse().unwrap());
    request.metadata_mut().insert_bin("x-bytes-bin", MetadataValue::from_bytes(&[0, 255]));

    assert_eq!(soon(world.chat(&session).say_in(request)).await.unwrap(), "tea");

    let without_token = |index| {
        let mut head: HeaderMap = world.door.head(index);
        let token = head.remove("authorization").unwrap();
        (head, token)
    };
    let ((first, dead), (second, fresh)) = (without_token(0), without_token(1));
    assert_eq!(first, second);
    assert_ne!(dead, fresh);
    assert_eq!(second["grpc-timeout"], "50000000u");
    assert_eq!(second.get_all("x-text").iter().count(), 2);
    assert_eq!(world.chat.heard(), [["tea"]]);
}

#[tokio::test]
async fn every_other_status_is_an_answer() {
    let world = World::new();
    let session = world.session();
    let mut client = world.health(&session);

    for status in 1..=17 {
        if status == Code::Unauthenticated as i32 {
            continue;
        }
        world.door.answer(tonic::Status::new(Code::from(status), "no").into_http());
        let answer = soon(client.check(health())).await.unwrap_err();
        assert_eq!(answer.code(), Code::from(status));
        assert!(refresh_error(&answer).is_none());
    }
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (16, 0));
}

#[tokio::test]
async fn permission_denied_is_an_answer() {
    let world = World::new();
    let session = world.session();
    world.door.answer(tonic::Status::permission_denied("not you").into_http());

    let status = soon(world.health(&session).check(health())).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::PermissionDenied, "not you"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_proxy_on_the_way_refuses_by_http() {
    for (challenge, expected) in [
        (r#"Bearer error="invalid_token""#, (2, 1)),
        (r#"Bearer error="invalid_request""#, (1, 0)),
        (r#"Basic realm="proxy""#, (1, 0)),
    ] {
        let world = World::new();
        let session = world.session();
        let refused = Response::builder().status(401).header(WWW_AUTHENTICATE, challenge);
        world.door.answer(refused.body(()).unwrap());

        let answer = soon(world.health(&session).check(health())).await;
        assert_eq!(answer.is_ok(), expected.1 == 1, "{challenge}");
        assert_eq!((world.door.requests(), world.authorization.token_requests()), expected);
        if let Err(status) = answer {
            assert_eq!(status.code(), Code::Unauthenticated);
        }
    }
}

#[tokio::test]
async fn a_call_can_be_left_alone() {
    let world = World::new();
    let session = world.stale();
    let mut client = world.health(&session);

    let mut anonymous = Request::new(health());
    anonymous.extensions_mut().insert(NoAuth);
    let status = soon(client.check(anonymous)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(!world.door.head(0).contains_key("authorization"));

    let mut own = Request::new(health());
    own.metadata_mut().insert("authorization", "Bearer mine".parse().unwrap());
    soon(client.check(own)).await.unwrap_err();
    assert_eq!(world.door.head(1)["authorization"], "Bearer mine");
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 0));

    // Refused, refreshed for the next, and not sent again.
    let mut once = Request::new(health());
    once.extensions_mut().insert(NoReplay);
    let status = soon(client.check(once)).await.unwrap_err();
    assert_eq!(status.message(), refusal().message());
    assert_eq!(world.door.requests(), 3);
    soon(client.check(health())).await.unwrap();
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (4, 1));
}

/// Case 21.
#[tokio::test]
async fn a_channel_for_one_call_at_a_time_serves_many_that_are_refused() {
    let world = World::new();
    let session = world.stale();
    let endpoint = Channel::from_shared(world.origin.clone()).unwrap().concurrency_limit(1);
    let layers = ServiceBuilder::new().layer(ReauthLayer::new(session)).layer(TrailersLayer::new());
    let client = HealthClient::new(layers.service(endpoint.connect_lazy()));
    let calls = (0..8).map(|_| {
        let mut client = client.clone();
        async move { client.check(health()).await }
    });
    soon(try_join_all(calls)).await.unwrap();
    assert_eq!(world.authorization.token_requests(), 1);
}

#[tokio::test]
async fn calls_that_are_refused_together_share_a_refresh() {
    let world = World::new();
    let session = world.stale();
    let hold = world.authorization.hold();
    let calls = (0..64).map(|_| {
        let mut client = world.health(&session);
        tokio::spawn(async move { client.check(health()).await.map(drop) })
    });
    let calls: Vec<_> = calls.collect();
    soon(hold.until_held(1)).await;
    soon(async {
        while world.door.requests() < 64 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    hold.release();
    for answer in soon(try_join_all(calls)).await.unwrap() {
        answer.unwrap();
    }
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (128, 1));
}
