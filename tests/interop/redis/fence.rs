//! What the number of a lease is for: whoever was overtaken marks nothing, and loses nothing.

use std::time::{Duration, SystemTime};

use tokio::runtime::{Builder, Runtime};
use tower_reauth::{Expected, Lease, RedisStore, Sealed, SealingKey, Swap, TokenStore, Version};

use super::{done, record, server::Redis, stored};
use crate::support::soon;

const SHORT: Duration = Duration::from_millis(200);

/// A process that stands still between its steps: its runtime only runs in them.
struct Stopped {
    runtime: Runtime,
    store: RedisStore,
    lease: Option<Lease>,
}

impl Stopped {
    fn with_a_lease(redis: &Redis) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let store = redis.store("alice").lease_duration(SHORT);
        let lease = runtime.block_on(store.lease()).unwrap();
        Self { runtime, store, lease: Some(lease) }
    }

    fn mark(&self, expected: Version) -> Swap {
        let mark = record("1").spending_since(Some(SystemTime::UNIX_EPOCH));
        self.runtime
            .block_on(self.store.compare_and_store(Expected::Version(expected), mark))
            .unwrap()
    }

    fn save(&self, expected: Version) -> Swap {
        let save = self.store.compare_and_store(Expected::Version(expected), record("late"));
        self.runtime.block_on(save).unwrap()
    }
}

fn world() -> (Runtime, Redis, Version) {
    let main = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let redis = main.block_on(Redis::start());
    let saved = redis.store("alice");
    let saved = main.block_on(saved.compare_and_store(Expected::Any, record("1"))).unwrap();
    (main, redis, done(saved))
}

#[test]
fn the_mark_of_a_holder_is_taken_while_nobody_else_was_granted_the_lease() {
    let (_main, redis, version) = world();
    let holder = Stopped::with_a_lease(&redis);
    std::thread::sleep(2 * SHORT);
    assert!(matches!(holder.mark(version), Swap::Done(_)), "it ran out, and nobody wanted it");
}

#[test]
fn the_mark_of_an_older_holder_is_refused_while_a_newer_one_has_the_lease() {
    let (main, redis, version) = world();
    let older = Stopped::with_a_lease(&redis);
    let newer = redis.store("alice");
    let lease = main.block_on(soon(newer.lease())).unwrap();
    // Nothing was written: by its version the record is the one that the older holder read.
    assert_eq!(older.mark(version), Swap::Moved);
    assert_eq!(main.block_on(newer.load()).unwrap().unwrap().version, version);
    drop(lease);
}

#[test]
fn the_mark_of_an_older_holder_is_refused_after_a_newer_one_gave_its_lease_back() {
    let (main, redis, version) = world();
    let older = Stopped::with_a_lease(&redis);
    main.block_on(async { drop(soon(redis.store("alice").lease()).await.unwrap()) });
    assert_eq!(older.mark(version), Swap::Moved);
    let newer = redis.store("alice");
    assert_eq!(main.block_on(newer.load()).unwrap().unwrap().version, version, "it is untouched");
}

/// What is encrypted is marked and fenced as what is not.
#[test]
fn the_sealed_mark_of_an_older_holder_is_refused_too() {
    let (main, redis, _) = world();
    let sealed = |store| {
        let key = SealingKey::from_bytes("key", [7; 32]).unwrap();
        Sealed::new(store, key, "alice")
    };
    let older = Stopped::with_a_lease(&redis);
    let newer = sealed(redis.store("alice"));
    let version = main.block_on(newer.compare_and_store(Expected::Any, record("1"))).unwrap();
    let version = done(version);
    let Stopped { runtime, store, lease } = older;
    let store = sealed(store);
    let mark = || record("1").spending_since(Some(SystemTime::UNIX_EPOCH));
    let marked = store.compare_and_store(Expected::Version(version), mark());
    let version = done(runtime.block_on(marked).unwrap());
    main.block_on(async { drop(soon(newer.lease()).await.unwrap()) });
    let marked = store.compare_and_store(Expected::Version(version), mark());
    assert_eq!(runtime.block_on(marked).unwrap(), Swap::Moved);
    drop(lease);
}

/// To lose tokens that were rotated would be worse than anything they could undo.
#[test]
fn the_late_save_of_an_older_holder_is_taken_unless_the_record_moved_on() {
    let (main, redis, version) = world();
    let older = Stopped::with_a_lease(&redis);
    let newer = redis.store("alice");
    let lease = main.block_on(soon(newer.lease())).unwrap();
    assert!(matches!(older.save(version), Swap::Done(_)));
    assert_eq!(main.block_on(stored(&newer)).as_deref(), Some("access-late"));

    let version = main.block_on(newer.load()).unwrap().unwrap().version;
    let moved = newer.compare_and_store(Expected::Version(version), record("newer"));
    done(main.block_on(moved).unwrap());
    assert_eq!(older.save(version), Swap::Moved);
    assert_eq!(main.block_on(stored(&newer)).as_deref(), Some("access-newer"));
    drop(lease);
}

#[test]
fn a_login_and_a_logout_need_no_lease() {
    let (main, redis, _) = world();
    let older = Stopped::with_a_lease(&redis);
    let newer = redis.store("alice");
    let lease = main.block_on(soon(newer.lease())).unwrap();
    let runtime = &older.runtime;
    done(runtime.block_on(older.store.compare_and_store(Expected::Any, record("login"))).unwrap());
    done(runtime.block_on(older.store.compare_and_bury(Expected::Any)).unwrap());
    drop(lease);
}

/// What the number protects is one handle's own: another one, beside it, has none.
#[test]
fn a_handle_whose_lease_was_given_back_is_held_by_no_number() {
    let (main, redis, version) = world();
    let mut older = Stopped::with_a_lease(&redis);
    older.lease = None;
    main.block_on(async { drop(soon(redis.store("alice").lease()).await.unwrap()) });
    assert!(matches!(older.mark(version), Swap::Done(_)), "a refresh without a store's lease");
}

#[test]
fn a_redis_that_lost_its_numbers_refuses_nobody_who_holds_the_only_lease() {
    let (main, mut redis, _) = world();
    main.block_on(async { drop(redis.store("alice").lease().await.unwrap()) });
    let holder = Stopped::with_a_lease(&redis);
    main.block_on(redis.restart_empty());
    let saved = redis.store("alice");
    let saved = saved.compare_and_store(Expected::Absent, record("1"));
    let version = done(main.block_on(saved).unwrap());
    assert!(matches!(holder.mark(version), Swap::Done(_)));
}
