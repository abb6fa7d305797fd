//! However many requests need it, one refresh runs.

use crate::support::{World, get, send};
use futures::future::join_all;

/// Case 1.
#[tokio::test(start_paused = true)]
async fn requests_refused_at_once_share_one_refresh() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    world.authorization.revoke_access_tokens();
    world.authorization.delay(std::time::Duration::from_millis(20));
    let hold = world.api.hold_refusals();

    let requests = (0..256)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { send(&client, get("/orders")).await.unwrap().status() }
            })
        })
        .collect::<Vec<_>>();
    hold.until_held(256).await;
    hold.release();

    for status in join_all(requests).await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(world.authorization.reused(), 0);
    assert_eq!(world.api.requests(), 1 + 2 * 256);
}
