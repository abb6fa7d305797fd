//! Sessions in several processes, over both set-ups: the record in the storage, and a sealed file's key.

use std::time::Duration;

use tower_reauth::testing::AuthorizationServer;

use super::{
    desktop::Desktop,
    kernel::Kernel,
    part::{ENDPOINT, Ground, SEED},
};

/// A server on a socket, that revokes the family of a refresh token that comes twice.
async fn server(ground: &mut Ground) -> (AuthorizationServer, tower_reauth::testing::Loopback) {
    let authorization = AuthorizationServer::new();
    let served = authorization.serve().await.unwrap();
    ground.set(ENDPOINT, served.uri("/token").to_string());
    let seed = authorization.login();
    ground.set(SEED, seed.refresh().unwrap().expose_secret());
    // What the parts start from is dead already.
    authorization.revoke_access_tokens();
    authorization.lifetime(Duration::from_secs(3600));
    (authorization, served)
}

/// Each process refreshes once, with the newest refresh token.
#[tokio::test]
async fn processes_over_a_secret_service_spend_the_newest_refresh_token() {
    let mut desktop = Desktop::unlocked().await;
    let (authorization, _served) = server(&mut desktop.ground).await;
    for process in 1..=3 {
        desktop.run("a_session_over_the_storage_gets_a_token").await;
        assert_eq!((authorization.rotations(), authorization.reused()), (process, 0));
    }
    desktop.run("a_session_over_the_storage_logs_out").await;
    desktop.run("a_session_over_the_storage_needs_a_login").await;
    assert_eq!((authorization.rotations(), authorization.reused()), (3, 0));
}

#[tokio::test]
async fn processes_over_the_kernel_spend_the_newest_refresh_token() {
    let mut kernel = Kernel::new();
    let (authorization, _served) = server(&mut kernel.ground).await;
    for process in 1..=3 {
        kernel.run("a_session_over_the_storage_gets_a_token").await;
        assert_eq!((authorization.rotations(), authorization.reused()), (process, 0));
    }
    kernel.run("the_entry_is_removed").await;
}

/// The first one refreshes, and the others use its access token.
#[tokio::test]
async fn processes_over_a_sealed_file_share_the_access_token_too() {
    let mut desktop = Desktop::unlocked().await;
    let (authorization, _served) = server(&mut desktop.ground).await;
    for _ in 0..3 {
        desktop.run("a_session_over_a_sealed_file_gets_a_token").await;
        assert_eq!((authorization.rotations(), authorization.reused()), (1, 0));
    }
    desktop.run("a_session_over_a_sealed_file_logs_out").await;
    desktop.run("a_session_over_a_sealed_file_needs_a_login").await;
    assert_eq!((authorization.rotations(), authorization.reused()), (1, 0));
}

#[tokio::test]
async fn sessions_of_one_process_share_what_it_refreshed() {
    let mut desktop = Desktop::unlocked().await;
    let (authorization, _served) = server(&mut desktop.ground).await;
    desktop.run("two_sessions_over_one_store_refresh_once").await;
    assert_eq!((authorization.rotations(), authorization.reused()), (1, 0));
}
