//! Where the token of a channel may go.

use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::world::{World, soon};

#[tokio::test]
async fn a_path_alone_has_no_origin_and_gets_no_token() {
    let world = World::new();
    let session = world.builder().insecure_origin(&world.origin).build().unwrap();
    let mut client = world.health(&session);

    let status = soon(client.check(HealthCheckRequest::default())).await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(!world.door.head(0).contains_key("authorization"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}

#[tokio::test]
async fn a_client_can_name_the_origin_itself() {
    let world = World::new();
    let session = world.builder().insecure_origin(&world.origin).build().unwrap();
    world.authorization.revoke_access_tokens();
    let origin = world.origin.parse().unwrap();
    let mut client = HealthClient::with_origin(world.guarded(&session), origin);

    soon(client.check(HealthCheckRequest::default())).await.unwrap();
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (2, 1));
}

#[tokio::test]
async fn a_client_that_names_another_origin_gets_no_token() {
    let world = World::new();
    let session = world.session();
    let origin = "http://elsewhere.example.net".parse().unwrap();
    let mut client = HealthClient::with_origin(world.guarded(&session), origin);

    // The channel goes where it always goes.
    soon(client.check(HealthCheckRequest::default())).await.unwrap_err();
    assert!(!world.door.head(0).contains_key("authorization"));
    assert_eq!((world.door.requests(), world.authorization.token_requests()), (1, 0));
}
