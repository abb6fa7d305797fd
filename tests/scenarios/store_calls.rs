//! How often a store is asked for anything.

use crate::{
    faulty_store::{FaultyStore, Op},
    support::{World, get, send},
};

fn calls(store: &FaultyStore) -> [usize; 6] {
    [Op::Lease, Op::Load, Op::Mark, Op::Save, Op::Bury, Op::Settle].map(|op| store.calls(op))
}

/// P16.
#[tokio::test(start_paused = true)]
async fn while_the_token_is_good_no_store_is_touched() {
    let (world, store) = (World::new(), FaultyStore::new());
    let session = world.builder().store(store.clone()).build().unwrap();
    let client = world.client(&session);
    send(&client, get("/first")).await.unwrap();
    let before = calls(&store);
    for _ in 0..1000 {
        send(&client, get("/orders")).await.unwrap();
        session.token().await.unwrap();
    }
    assert_eq!(world.api.accepted(), 1001);
    assert_eq!(calls(&store), before);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_takes_one_lease_one_load_and_two_writes() {
    let (world, store) = (World::new(), FaultyStore::new());
    let session = world.builder().store(store.clone()).build().unwrap();
    let token = session.token().await.unwrap();
    let [lease, load, mark, save, bury, settle] = calls(&store);
    assert_ne!(session.refresh_after(&token).await.unwrap(), token);
    assert_eq!(calls(&store), [lease + 1, load + 1, mark + 1, save + 1, bury, settle]);
}

/// What another process fetched is one lease and one load.
#[tokio::test(start_paused = true)]
async fn to_adopt_what_another_process_fetched_writes_nothing() {
    let (world, store) = (World::new(), FaultyStore::new());
    let one = world.builder().store(store.clone()).build().unwrap();
    let other = world.builder().store(store.clone()).build().unwrap();
    let token = one.token().await.unwrap();
    assert_eq!(other.token().await.unwrap(), token);
    one.refresh_after(&token).await.unwrap();
    let [lease, load, mark, save, bury, settle] = calls(&store);
    assert_eq!(other.refresh_after(&token).await.unwrap(), one.token().await.unwrap());
    assert_eq!(calls(&store), [lease + 1, load + 1, mark, save, bury, settle]);
    assert_eq!(world.authorization.token_requests(), 1);
}
