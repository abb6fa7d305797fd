//! What runs in a process of its own, inside a storage that [`desktop`](super::desktop) or
//! [`kernel`](super::kernel) set up. None of these is a test by itself.

use std::{
    cell::Cell,
    env,
    error::Error,
    fs,
    future::ready,
    os::unix::net::UnixListener,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use keyring_core::api::CredentialStoreApi;
use tokio::time::sleep;
use tower_reauth::{
    AccessToken, Entry, Expected, FileStore, Keyring, KeyringError, KeyringStore, Record,
    RefreshError, RefreshToken, RefreshTokenGrant, Sealed, Session, StoreError, Stored, Swap,
    TokenSet, TokenStore, Version, source_fn,
    testing::{store_contract, store_contract_without_access_tokens},
};

use super::part::{BACKEND, ENDPOINT, EXPECTED, FOLDER, SEED, USER};
use crate::support::endpoint_client;

const SERVICE: &str = "tower-reauth tests";
const ISSUER: &str = "https://login.example.com";

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("a part of a test, which sets {name}"))
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(variable(FOLDER)).join(name)
}

fn keyring() -> Keyring {
    entry_of(&variable(USER))
}

fn entry_of(user: &str) -> Keyring {
    let keyring = Keyring::new(SERVICE, user);
    match &*variable(BACKEND) {
        "keyutils" => keyring.keyutils(),
        _ => keyring,
    }
}

/// The same entry, by the crates beneath.
fn beneath(user: &str) -> keyring_core::Entry {
    match &*variable(BACKEND) {
        "keyutils" => {
            linux_keyutils_keyring_store::Store::new().unwrap().build(SERVICE, user, None)
        }
        _ => zbus_secret_service_keyring_store::Store::new().unwrap().build(SERVICE, user, None),
    }
    .unwrap()
}

fn store() -> KeyringStore {
    KeyringStore::open(keyring(), path("session")).unwrap()
}

async fn sealed() -> Sealed<FileStore> {
    keyring().sealed_file(path("sealed")).await.unwrap()
}

fn record() -> Record {
    record_of("refresh-1")
}

fn record_of(refresh: &str) -> Record {
    let tokens = TokenSet::new(AccessToken::new("access-1").unwrap())
        .refresh_token(RefreshToken::new(refresh).unwrap())
        .scope("read write")
        .expires_at(UNIX_EPOCH + Duration::from_secs(4_000_000_000));
    Record::new(tokens)
        .issuer(Some(ISSUER))
        .account(Some("Zoë"))
        .family(Some(u64::MAX))
        .spending_since(Some(UNIX_EPOCH + Duration::from_secs(1_900_000_000)))
}

async fn live(store: &impl TokenStore) -> Record {
    match store.load().await.unwrap() {
        Some(Stored { entry: Entry::Live(record), .. }) => record,
        other => panic!("no record: {other:?}"),
    }
}

async fn refresh_token(store: &impl TokenStore) -> String {
    live(store).await.tokens().refresh().unwrap().expose_secret().to_owned()
}

fn reason(error: &StoreError) -> KeyringError {
    assert!(error.is_unavailable(), "{error}");
    *error.source().expect("which").downcast_ref().expect("by type")
}

#[track_caller]
fn is_as_expected(error: &StoreError) {
    let reason = reason(error);
    let is = match &*variable(EXPECTED) {
        "locked" => reason.is_locked(),
        _ => reason.is_unreachable(),
    };
    assert!(is, "{reason}");
}

#[ignore = "a part of a test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept() {
    let number = Cell::new(0);
    let user = |number: u32| format!("{}-{number}", variable(USER));
    store_contract_without_access_tokens(|| {
        let now = number.replace(number.get() + 1);
        if now > 0 {
            remove(&user(now - 1));
        }
        let open = || {
            let path = path(&format!("session-{now}"));
            KeyringStore::open(entry_of(&user(now)), path).unwrap()
        };
        ready((open(), open()))
    })
    .await;
    remove(&user(number.get() - 1));
}

/// A user's part of the kernel is small.
fn remove(user: &str) {
    match beneath(user).delete_credential() {
        Ok(()) | Err(keyring_core::Error::NoEntry) => {}
        Err(error) => panic!("{error}"),
    }
}

#[ignore = "a part of a test"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_contract_is_kept_by_a_sealed_file() {
    let number = Cell::new(0);
    store_contract(|| {
        let now = number.replace(number.get() + 1);
        async move {
            let path = path(&format!("sealed-{now}"));
            let open = async || keyring().sealed_file(&path).await.unwrap();
            tokio::join!(open(), open())
        }
    })
    .await;
    remove(&variable(USER));
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn many_who_open_a_sealed_file_at_once_have_one_key() {
    let stores = futures::future::join_all((0..8).map(|_| sealed())).await;
    let _ = stores[0].compare_and_store(Expected::Absent, record()).await.unwrap();
    for store in &stores {
        assert_eq!(live(store).await, record());
    }
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_record_is_stored() {
    let store = store();
    assert!(store.load().await.unwrap().is_none());
    let _ = store.compare_and_store(Expected::Absent, record()).await.unwrap();
    // This process has the access token still.
    assert_eq!(live(&store).await, record());
    let text = beneath(&variable(USER)).get_secret().unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("refresh-1") && !text.contains("access-1"), "{text}");
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn the_record_is_there_but_for_its_access_token() {
    let found = live(&store()).await;
    assert_ne!(found.tokens().access(), record().tokens().access());
    assert_eq!(found.expiry(), Some(UNIX_EPOCH));
    let tokens = TokenSet::new(found.tokens().access().clone())
        .refresh_token(record().tokens().refresh().unwrap().clone())
        .scope("read write")
        .expires_at(UNIX_EPOCH);
    let rest = Record::new(tokens)
        .issuer(record().issued_by())
        .account(record().belongs_to())
        .family(record().family_id())
        .spending_since(record().spent_since());
    assert_eq!(found, rest);
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn the_entry_is_removed() {
    remove(&variable(USER));
}

/// A session that counts what its source is asked for, and never gets an answer.
fn session(store: impl TokenStore, spent: &Arc<AtomicUsize>) -> Session {
    let spent = spent.clone();
    let source = source_fn(move |_| {
        spent.fetch_add(1, Ordering::Relaxed);
        ready(Err(RefreshError::transient()))
    });
    Session::builder(source)
        .issuer(ISSUER)
        .origin("https://api.example.com")
        .store(store)
        .build()
        .unwrap()
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn nothing_can_be_told() {
    let store = store();
    is_as_expected(&store.load().await.unwrap_err());
    everything_is_refused().await;
    let spent = Arc::default();
    let session = session(store, &spent);
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && !error.is_session_ended(), "{error}");
    assert_eq!(spent.load(Ordering::Relaxed), 0);
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn nothing_can_be_written() {
    everything_is_refused().await;
}

async fn everything_is_refused() {
    let store = store();
    for expected in [Expected::Any, Expected::Absent] {
        is_as_expected(&store.compare_and_store(expected, record()).await.unwrap_err());
        is_as_expected(&store.compare_and_bury(expected).await.unwrap_err());
    }
    is_as_expected(&keyring().sealed_file(path("sealed")).await.unwrap_err());
}

/// How many threads of this process are in a call.
fn threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.trim() == "reauth-keyring").count()
}

#[ignore = "a part of a test"]
#[test]
fn a_silent_bus_is_waited_for_no_longer_than_the_limit() {
    let bus = UnixListener::bind(path("silent")).unwrap();
    let keyring = keyring().time_limit(Duration::from_millis(300));
    let store = KeyringStore::open(keyring, path("session")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let loads = (0..8).map(|_| store.load());
        for result in futures::future::join_all(loads).await {
            assert!(reason(&result.unwrap_err()).is_timeout());
        }
        let spent = Arc::default();
        let session = session(store.clone(), &spent);
        assert!(!session.token().await.unwrap_err().needs_login());
        assert_eq!(spent.load(Ordering::Relaxed), 0);
    });
    assert_eq!(threads(), 1);
    // Ends, with the thread where it is.
    drop(runtime);
    assert_eq!(threads(), 1);
    // What hangs there fails, and the next call is made.
    drop(bus);
    fs::remove_file(path("silent")).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        for _ in 0..500 {
            if reason(&store.load().await.unwrap_err()).is_unreachable() {
                return;
            }
        }
        panic!("the thread still hangs");
    });
    // This test's own process ends with the next one still at it.
    let _silent = UnixListener::bind(path("silent")).unwrap();
    runtime.block_on(store.load()).unwrap_err();
    assert_eq!(threads(), 1);
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_login_times_out_and_does_not_come_late() {
    let keyring = keyring().time_limit(Duration::from_millis(300));
    let store = KeyringStore::open(keyring, path("session")).unwrap();
    let login = store.compare_and_store(Expected::Any, record_of("late"));
    assert!(reason(&login.await.unwrap_err()).is_timeout());
    // Nor does anybody else write, as long as that is on its way.
    let section = fs::File::open(path("session.lock")).unwrap();
    assert!(matches!(section.try_lock(), Err(fs::TryLockError::WouldBlock)));
    drop(section);
    let patient = self::keyring().time_limit(Duration::from_secs(60));
    let other = KeyringStore::open(patient, path("session")).unwrap();
    fs::write(path("waits"), "").unwrap();
    // This one waits for the section, and so for the end of the login.
    let elsewhere = Expected::Version(Version::new(0));
    let mut swap = other.compare_and_bury(elsewhere).await;
    for _ in 0..10 {
        if swap.is_ok() {
            break;
        }
        swap = other.compare_and_bury(elsewhere).await;
    }
    assert_eq!(swap.unwrap(), Swap::Moved);
    assert_eq!(refresh_token(&other).await, "refresh-1");
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn what_is_no_record_is_left_alone() {
    let (store, entry) = (store(), beneath(&variable(USER)));
    let newer = r#"{"format":"tower-reauth record","format_version":2}"#;
    let _ = sealed().await;
    let key = String::from_utf8(entry.get_secret().unwrap()).unwrap();
    for text in ["a shopping list", newer, &key] {
        entry.set_secret(text.as_bytes()).unwrap();
        assert!(store.load().await.unwrap_err().is_corrupt());
        for expected in [Expected::Any, Expected::Absent] {
            let error = store.compare_and_store(expected, record()).await.unwrap_err();
            assert!(error.is_corrupt());
            assert!(store.compare_and_bury(expected).await.unwrap_err().is_corrupt());
        }
        assert_eq!(entry.get_secret().unwrap(), text.as_bytes());
        let sealed = keyring().sealed_file(path("sealed")).await;
        assert_eq!(sealed.is_err_and(|error| error.is_corrupt()), text != key);
    }
    // A record that lost a part, which a login replaces.
    let damaged = r#"{"format":"tower-reauth record","format_version":1,"version":1}"#;
    entry.set_secret(damaged.as_bytes()).unwrap();
    assert!(store.load().await.unwrap_err().is_corrupt());
    let refused = store.compare_and_store(Expected::Absent, record()).await.unwrap_err();
    assert!(refused.is_corrupt());
    let login = store.compare_and_store(Expected::Any, record()).await.unwrap();
    assert!(matches!(login, Swap::Done(_)));
    // Members that this version does not know stay.
    let mut text: serde_json::Value = serde_json::from_slice(&entry.get_secret().unwrap()).unwrap();
    text["colour"] = "blue".into();
    entry.set_secret(text.to_string().as_bytes()).unwrap();
    let _ = store.compare_and_bury(Expected::Any).await.unwrap();
    let text = String::from_utf8(entry.get_secret().unwrap()).unwrap();
    assert!(text.contains("\"colour\":\"blue\"") && !text.contains("refresh"), "{text}");
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_record_that_is_too_long_is_refused() {
    let store = store();
    let _ = store.compare_and_store(Expected::Any, record()).await.unwrap();
    let long = record_of(&"r".repeat(32_767));
    let error = store.compare_and_store(Expected::Any, long).await.unwrap_err();
    assert!(reason(&error).is_too_long());
    assert_eq!(live(&store).await, record());
    remove(&variable(USER));
}

async fn wait_for(name: &str) {
    for _ in 0..500 {
        if path(name).exists() {
            return;
        }
        sleep(Duration::from_millis(20)).await;
    }
    panic!("{name}: not within 10 s");
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_record_is_read_before_and_after_another_session_replaced_it() {
    assert_eq!(refresh_token(&store()).await, "refresh-1");
    fs::write(path("read"), "").unwrap();
    wait_for("replaced").await;
    assert_eq!(refresh_token(&store()).await, "refresh-2");
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_record_that_was_read_elsewhere_is_replaced() {
    wait_for("read").await;
    let _ = store().compare_and_store(Expected::Any, record_of("refresh-2")).await.unwrap();
    fs::write(path("replaced"), "").unwrap();
}

/// A session over the real grant, with the tokens of a login that every process is given.
fn client(store: impl TokenStore) -> Session {
    let grant = RefreshTokenGrant::new_insecure(&variable(ENDPOINT), "app", endpoint_client());
    let seed = TokenSet::new(AccessToken::new("seed").unwrap())
        .refresh_token(RefreshToken::new(variable(SEED)).unwrap())
        .expires_at(UNIX_EPOCH);
    Session::builder(grant.unwrap())
        .tokens(seed)
        .origin("https://api.example.com")
        .store(store)
        .build()
        .unwrap()
}

async fn gets_a_token(store: impl TokenStore) {
    let session = client(store);
    let token = session.token().await.unwrap();
    assert!(!["seed", "not-kept-in-the-keyring"].contains(&token.expose_secret()));
    session.close().await.unwrap();
}

async fn logs_out(store: impl TokenStore) {
    client(store).logout().await.unwrap();
}

async fn needs_a_login(store: impl TokenStore) {
    assert!(client(store).token().await.unwrap_err().needs_login());
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_the_storage_gets_a_token() {
    gets_a_token(store()).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_the_storage_logs_out() {
    logs_out(store()).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_the_storage_needs_a_login() {
    needs_a_login(store()).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_a_sealed_file_gets_a_token() {
    gets_a_token(sealed().await).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_a_sealed_file_logs_out() {
    logs_out(sealed().await).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn a_session_over_a_sealed_file_needs_a_login() {
    needs_a_login(sealed().await).await;
}

#[ignore = "a part of a test"]
#[tokio::test]
async fn two_sessions_over_one_store_refresh_once() {
    let store = store();
    let (one, other) = (client(store.clone()), client(store));
    let (first, second) = tokio::join!(one.token(), other.token());
    assert_eq!(first.unwrap(), second.unwrap());
}
