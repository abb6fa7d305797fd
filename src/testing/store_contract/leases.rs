//! The right to refresh: one holder at a time, and nobody else in its way.

use std::{
    pin::pin,
    sync::atomic::{AtomicUsize, Ordering},
    task::Poll,
    time::Duration,
};

use futures_util::future::join_all;

use super::{Pair, WATCHED, bury, lease, load, record, save};
use crate::{Expected, TokenStore, sync::Arc};

/// Panics if the store grants a lease while there is one.
async fn is_withheld<S: TokenStore>(store: &S, rule: &str) {
    match tokio::time::timeout(WATCHED, store.lease()).await {
        Ok(Ok(_)) => panic!("{rule}, but a second one was granted"),
        Ok(Err(error)) if !error.is_busy() => {
            panic!("who cannot have a lease now waits or is told `busy`, but: {error}")
        }
        Ok(Err(_)) | Err(_) => {}
    }
}

pub(super) async fn one_lease_is_out_at_a_time<S: TokenStore>(pair: Pair<S>) {
    let held = lease(&*pair.one).await;
    is_withheld(&*pair.other, "one lease is out at a time, between two handles").await;
    is_withheld(&*pair.one, "one lease is out at a time, at one handle").await;
    drop(held);
    drop(lease(&*pair.other).await);
    drop(lease(&*pair.one).await);
}

pub(super) async fn a_dropped_lease_goes_to_the_one_who_waits<S: TokenStore>(pair: Pair<S>) {
    let held = lease(&*pair.one).await;
    let waiting = Arc::clone(&pair.other);
    let waiter = tokio::spawn(async move { lease(&*waiting).await });
    tokio::time::sleep(WATCHED / 2).await;
    assert!(!waiter.is_finished(), "one lease is out at a time, but a second one was granted");
    drop(held);
    match waiter.await {
        Ok(theirs) => {
            is_withheld(&*pair.one, "one lease is out at a time, also one that was waited for")
                .await;
            drop(theirs);
        }
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}

pub(super) async fn a_dropped_wait_leaves_nothing_behind<S: TokenStore>(pair: Pair<S>) {
    for polls in 0..8 {
        let held = lease(&*pair.one).await;
        {
            let mut wait = pin!(pair.other.lease());
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        drop(held);
        // Granted to nobody, the lease would be gone for good.
        drop(lease(&*pair.other).await);
    }
}

pub(super) async fn every_waiter_has_its_turn_alone<S: TokenStore>(pair: Pair<S>) {
    let inside = Arc::new(AtomicUsize::new(0));
    let waiters = (0..12).map(|number| {
        let store = Arc::clone(if number % 2 == 0 { &pair.one } else { &pair.other });
        let inside = Arc::clone(&inside);
        tokio::spawn(async move {
            let held = lease(&*store).await;
            let others = inside.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(1)).await;
            inside.fetch_sub(1, Ordering::SeqCst);
            drop(held);
            others
        })
    });
    for others in join_all(waiters).await {
        match others {
            Ok(others) => assert_eq!(others, 0, "one lease is out at a time, among many waiters"),
            Err(failure) => std::panic::resume_unwind(failure.into_panic()),
        }
    }
}

pub(super) async fn nothing_else_waits_for_a_lease<S: TokenStore>(pair: Pair<S>) {
    let held = lease(&*pair.one).await;
    let rule = "loads and swaps do not wait for somebody's lease";
    let work = async {
        for store in [&pair.one, &pair.other] {
            let _ = save(&**store, Expected::Any, &record(1)).await;
            let _ = load(&**store).await;
            let _ = bury(&**store, Expected::Any).await;
        }
    };
    assert!(tokio::time::timeout(super::LIMIT / 2, work).await.is_ok(), "{rule}");
    is_withheld(&*pair.other, "a lease outlives the swaps that happen meanwhile").await;
    drop(held);
}
