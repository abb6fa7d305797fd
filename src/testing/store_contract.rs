//! What every store must do, as a suite that its author runs.

mod dead;
mod leases;
mod records;
mod swaps;

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{
    AccessToken, Entry, Expected, Lease, Record, RefreshToken, StoreError, Stored, Swap, TokenSet,
    TokenStore, Version, sync::Arc,
};

/// Check that a store keeps the contract of [`TokenStore`].
///
/// `fresh` is called once for each check. It makes a record that was never there and returns two
/// handles to it, as two processes would open them: two stores on one new file, two clients with one
/// new key. Clones will do for a store that lives in one process only.
///
/// It needs a tokio runtime with timers, several threads for races worth the name, and about a second
/// for waits that must not end. A store without I/O may be checked in paused time.
///
/// Times are compared to the millisecond, which is what a store has to keep.
///
/// # Panics
///
/// With a sentence that names the rule which the store breaks.
///
/// ```
/// use tower_reauth::{MemoryStore, testing::store_contract};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// store_contract(|| async {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// })
/// .await;
/// # }
/// ```
pub async fn store_contract<S, F>(fresh: impl Fn() -> F)
where
    S: TokenStore,
    F: Future<Output = (S, S)>,
{
    check(fresh, |one, other| Pair { one: Arc::new(one), other: Arc::new(other) }).await;
}

/// As [`store_contract`], for a store that does not keep access tokens.
///
/// A record may load with its access token, or with any text in its place and an expiry that has passed,
/// so that nobody sends it. All the rest must come back.
///
/// # Panics
///
/// With a sentence that names the rule which the store breaks.
///
/// ```
/// use tower_reauth::{MemoryStore, testing::store_contract_without_access_tokens};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// store_contract_without_access_tokens(|| async {
///     let store = MemoryStore::new();
///     (store.clone(), store)
/// })
/// .await;
/// # }
/// ```
pub async fn store_contract_without_access_tokens<S, F>(fresh: impl Fn() -> F)
where
    S: TokenStore,
    F: Future<Output = (S, S)>,
{
    check(fresh, dead::completing).await;
}

async fn check<S, F, T>(fresh: impl Fn() -> F, pair: impl Fn(S, S) -> Pair<T>)
where
    F: Future<Output = (S, S)>,
    T: TokenStore,
{
    let fresh = async || {
        let (one, other) = fresh().await;
        pair(one, other)
    };
    records::what_was_never_there_is_none(fresh().await).await;
    records::every_field_comes_back(fresh().await).await;
    records::a_record_replaces_the_whole_of_the_one_before(fresh().await).await;
    records::a_tombstone_is_no_record_and_not_nothing(fresh().await).await;
    records::every_swap_makes_a_version_of_its_own(fresh().await).await;
    for there in [There::Nothing, There::Record, There::Tombstone] {
        for bury in [false, true] {
            for expected in ["any", "absent", "this version", "another version"] {
                swaps::what_is_expected_decides(fresh().await, there, bury, expected).await;
            }
        }
    }
    swaps::a_late_save_does_not_undo_a_burial(fresh().await).await;
    swaps::a_login_replaces_a_tombstone(fresh().await).await;
    swaps::of_racing_swaps_one_happens(fresh().await, There::Nothing).await;
    swaps::of_racing_swaps_one_happens(fresh().await, There::Record).await;
    swaps::of_a_racing_save_and_burial_one_happens(fresh().await).await;
    swaps::a_reader_sees_whole_records_in_their_order(fresh().await).await;
    swaps::a_dropped_swap_happened_or_did_not(fresh().await).await;
    leases::one_lease_is_out_at_a_time(fresh().await).await;
    leases::a_dropped_lease_goes_to_the_one_who_waits(fresh().await).await;
    leases::a_dropped_wait_leaves_nothing_behind(fresh().await).await;
    leases::every_waiter_has_its_turn_alone(fresh().await).await;
    leases::nothing_else_waits_for_a_lease(fresh().await).await;
}

/// Two handles to one record.
struct Pair<S> {
    one: Arc<S>,
    other: Arc<S>,
}

/// What is in the store when a check begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    Nothing,
    Record,
    Tombstone,
}

/// Longer than any call may take that does not wait for a lease.
const LIMIT: Duration = Duration::from_secs(5);

/// How long a wait is watched that must not end.
const WATCHED: Duration = Duration::from_millis(100);

/// The record number `number`, with all its fields.
fn record(number: u64) -> Record {
    let access = AccessToken::new(format!("access-{number}.~+/_==")).expect("a b64token");
    let refresh = RefreshToken::new(format!("{number} \"\\'{{}}<>%&=#;\u{7e}")).expect("visible");
    let tokens = TokenSet::new(access)
        .refresh_token(refresh)
        .expires_at(date(1_893_456_000_000 + number))
        .scope("read write:all");
    Record::new(tokens)
        .issuer(Some("https://login.example.com/tenant"))
        .account(Some("Zoë & Co., \"the\" account"))
        .family(Some(u64::MAX))
}

fn date(millis: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis)
}

/// The answer of a call that may not fail and may not hang.
async fn answered<T>(call: impl Future<Output = Result<T, StoreError>>, what: &str) -> T {
    match tokio::time::timeout(LIMIT, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => panic!("a store answers: {what} failed, {error}"),
        Err(_) => panic!("a store answers in time: {what} took longer than {LIMIT:?}"),
    }
}

async fn load<S: TokenStore>(store: &S) -> Option<Stored> {
    answered(store.load(), "a load").await
}

async fn save<S: TokenStore>(store: &S, expected: Expected, record: &Record) -> Swap {
    answered(store.compare_and_store(expected, record.clone()), "a compare-and-store").await
}

async fn bury<S: TokenStore>(store: &S, expected: Expected) -> Swap {
    answered(store.compare_and_bury(expected), "a compare-and-bury").await
}

/// Put something there, and say which version it is. `None`: nothing.
async fn prepare<S: TokenStore>(store: &S, there: There) -> Option<Version> {
    let swap = match there {
        There::Nothing => return None,
        There::Record => save(store, Expected::Any, &record(0)).await,
        There::Tombstone => bury(store, Expected::Any).await,
    };
    Some(done(swap, "whatever is there, `Expected::Any` admits it"))
}

fn done(swap: Swap, rule: &str) -> Version {
    match swap {
        Swap::Done(version) => version,
        Swap::Moved => panic!("{rule}, but the swap was refused"),
    }
}

/// Wait for a lease, as long as a store may have others wait.
async fn lease<S: TokenStore>(store: &S) -> Lease {
    let wait = async {
        loop {
            match store.lease().await {
                Ok(lease) => return lease,
                Err(error) if error.is_busy() => tokio::task::yield_now().await,
                Err(error) => panic!("a store answers: a lease failed, {error}"),
            }
        }
    };
    match tokio::time::timeout(LIMIT, wait).await {
        Ok(lease) => lease,
        Err(_) => panic!("a lease that nobody holds is granted, but it was not within {LIMIT:?}"),
    }
}

/// Panics unless the store holds exactly this.
async fn holds<S: TokenStore>(store: &S, entry: Option<&Entry>, rule: &str) {
    let stored = load(store).await;
    let stored = stored.as_ref().map(|stored| &stored.entry);
    let same = match (stored, entry) {
        (None, None) | (Some(Entry::Tombstone), Some(Entry::Tombstone)) => true,
        (Some(Entry::Live(stored)), Some(Entry::Live(record))) => {
            records::difference(stored, record).is_none()
        }
        _ => false,
    };
    assert!(same, "{rule}, but the store holds {stored:?}");
}
