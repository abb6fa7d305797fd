//! What the inner store of a `Sealed` one gets to see, and what does not open.

use std::{
    cell::Cell,
    error::Error,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tempfile::TempDir;
use tower_reauth::{
    AccessToken, Entry, Expected, FileStore, MemoryStore, Record, RefreshError, RefreshToken,
    Sealed, SealingAlgorithm, SealingKey, Session, StoreError, Stored, Swap, TokenSet, TokenStore,
    UnsealError, Version, source_fn, testing::store_contract,
};

const NAME: &str = "my-app/alice";
const MARKER: &str = "tower-reauth sealed record";
const ALGORITHMS: [SealingAlgorithm; 2] =
    [SealingAlgorithm::XChaCha20Poly1305, SealingAlgorithm::Aes256Gcm];

/// The record of [`record`] under [`NAME`], sealed by [`key`]: by libsodium, and by OpenSSL.
const GOLDEN: [&str; 2] = [
    "v1.XC20P.2026-11.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7B1Gf341D6PalCr9LyRjYu3bJNxCRWKKQ_jAHyFk6WjyJYCwMQdeDmJxjF289OWZzVNT8PenXRtWmYGVqwbiSTiK8r4C-HYYXlS_d966f_Tisme5O643hwbM8yvKD44-YfV-xVYNEvmFl_2pg5Voy99ZCEVDjxcwuy0x7yWQjDOj6EtKzDOriTj6FAQ_EXL1xTy2r63ld7Dt_aY2Zgt5NpSJty2e9qM_uj3v4ghDaGRCyUVqrriPUyhI_m5_DT7DZ2j2wf-wjZ2zpTZNOUasKeLYruv3OsSQoogmxFbFaun0BransteCP0nokJ0urS5QQ31H5LPdDeWsnKui2yZMs-4KCYHED3YweCCo_HTD9MGNfEoGI5T329B6u7Z2c0PRMUd5j-gkL",
    "v1.A256GCM.2026-11.ZGVmZ2hpamtsbW5vMzm4CQuEN-ocWH2ctRIPj2-wY2v-GJtS1bTPJ4nHh2S2jy-yIXPvW4uWCkyULaTtIWq0xVYvM1uTnsL01bGJqHzjsGu4OBk_8E2MIHLvQpU7DHBfwquv_P2QVaceYD18v1O-XBko3gzWibaa1mLTjUwJuj2zHN9G1wr7nOuWJOVB_PfYDBB4CbssN2Gp9y7r4qLfanIu_uJY4xs-v3DRpf1CBWah5dHQW2iRx9xEkvyljOGLXsAhuh1zM3Lg6Gu6ulw8xYd5G2YrEUUGPVufeCwtuGHoNS6R0Hlht4OQf59sHYChzUaAHDaOOrDFPOyocuw0h9G3na6plHMFRWGJ8hkQ798QWrbsjDDvt8yTKCCYu30alUJzqAhEjah7R3vkM6nxSG_y",
];

fn key() -> SealingKey {
    let secret: Vec<u8> = (0..32).collect();
    SealingKey::from_bytes("2026-11", secret).unwrap()
}

fn other_key(id: &str) -> SealingKey {
    SealingKey::from_bytes(id, [0x5a; 32]).unwrap()
}

fn record() -> Record {
    let tokens = TokenSet::new(AccessToken::new("access-1").unwrap())
        .refresh_token(RefreshToken::new("refresh-1").unwrap())
        .scope("read write")
        .expires_at(UNIX_EPOCH + Duration::from_millis(1_900_000_000_123));
    Record::new(tokens)
        .issuer(Some("https://login.example.com"))
        .account(Some("Zoë"))
        .family(Some(3))
        .spending_since(Some(UNIX_EPOCH + Duration::from_millis(1_893_456_000_000)))
}

/// A store that holds [`record`], and what it is in.
async fn sealed(key: SealingKey) -> (Sealed<MemoryStore>, MemoryStore) {
    let inner = MemoryStore::new();
    let store = Sealed::new(inner.clone(), key, NAME);
    let _ = store.compare_and_store(Expected::Any, record()).await.unwrap();
    (store, inner)
}

async fn live(store: &impl TokenStore) -> Record {
    match store.load().await.unwrap().unwrap().entry {
        Entry::Live(record) => record,
        Entry::Tombstone => panic!("a tombstone"),
    }
}

async fn text(inner: &MemoryStore) -> String {
    live(inner).await.tokens().access().expose_secret().to_owned()
}

/// Put this in the inner store, as somebody who can write there.
async fn put(inner: &MemoryStore, text: &str) -> bool {
    let Ok(token) = AccessToken::new(text) else { return false };
    let record = Record::new(TokenSet::new(token)).issuer(Some(MARKER));
    let _ = inner.compare_and_store(Expected::Any, record).await.unwrap();
    true
}

/// Why a load failed.
async fn refusal(store: &impl TokenStore) -> UnsealError {
    reason(store.load().await.unwrap_err())
}

fn reason(error: StoreError) -> UnsealError {
    assert!(error.is_corrupt());
    *error.source().expect("which").downcast_ref().expect("by type")
}

#[tokio::test(start_paused = true)]
async fn a_sealed_store_keeps_the_contract() {
    for algorithm in ALGORITHMS {
        store_contract(|| {
            let inner = MemoryStore::new();
            let store = |inner| Sealed::new(inner, key().algorithm(algorithm), NAME);
            ready((store(inner.clone()), store(inner)))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_file_keeps_the_contract() {
    let folder = TempDir::new().unwrap();
    let files = Cell::new(0);
    store_contract(|| {
        let path = folder.path().join(files.replace(files.get() + 1).to_string());
        let store = || Sealed::new(FileStore::open(&path).unwrap(), key(), NAME);
        ready((store(), store()))
    })
    .await;
}

/// Whoever can write to the file can take the record away, and cannot make another of it.
#[tokio::test]
async fn a_file_with_one_byte_changed_is_the_record_or_an_error() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("session");
    let store = Sealed::new(FileStore::open(&path).unwrap(), key(), NAME);
    let _ = store.compare_and_store(Expected::Any, record()).await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    assert!(!String::from_utf8_lossy(&whole).contains("refresh-1"));
    let mut refused = 0;
    for at in 0..whole.len() {
        for bit in [0, 5] {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            std::fs::write(&path, &changed).unwrap();
            match store.load().await {
                // The version is the file's own, and so are members that nobody knows.
                Ok(Some(Stored { entry: Entry::Live(found), .. })) => assert_eq!(found, record()),
                Ok(other) => panic!("byte {at}: {other:?}"),
                Err(error) => refused += usize::from(error.is_corrupt()),
            }
        }
    }
    assert!(refused > whole.len(), "{refused} of {}", 2 * whole.len());
}

#[tokio::test]
async fn a_record_comes_back_and_the_inner_store_sees_nothing_of_it_but_the_mark() {
    for algorithm in ALGORITHMS {
        let (store, inner) = sealed(key().algorithm(algorithm)).await;
        assert_eq!(live(&store).await, record());
        let kept = live(&inner).await;
        let bare = Record::new(TokenSet::new(kept.tokens().access().clone()));
        let since = record().spent_since();
        assert!(since.is_some());
        assert_eq!(kept, bare.issuer(Some(MARKER)).spending_since(since));
        let text = text(&inner).await;
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text.rsplit('.').next().unwrap()).unwrap();
        for secret in ["access-1", "refresh-1", "tower-reauth", "read write", "login", "19000"] {
            let found = sealed.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found && !text.contains(secret), "{secret}");
        }
    }
}

#[tokio::test]
async fn the_same_record_is_never_sealed_alike() {
    for algorithm in ALGORITHMS {
        let (_, one) = sealed(key().algorithm(algorithm)).await;
        let (_, other) = sealed(key().algorithm(algorithm)).await;
        let (one, other) = (text(&one).await, text(&other).await);
        let header = one.len() - one.rsplit('.').next().unwrap().len();
        assert_eq!(one[..header], other[..header]);
        let nonce = 16;
        assert_ne!(one[header..header + nonce], other[header..header + nonce]);
        assert_ne!(one[one.len() - 40..], other[other.len() - 40..]);
    }
}

#[tokio::test]
async fn what_was_sealed_by_an_earlier_version_opens() {
    for (algorithm, golden) in ALGORITHMS.into_iter().zip(GOLDEN) {
        let (store, inner) = sealed(key().algorithm(algorithm)).await;
        let written = text(&inner).await;
        let header = |text: &str| text.rsplit_once('.').unwrap().0.to_owned();
        assert_eq!((header(&written), written.len()), (header(golden), golden.len()));
        assert!(put(&inner, golden).await);
        assert_eq!(live(&store).await, record());
    }
}

#[tokio::test]
async fn no_byte_can_be_changed() {
    for algorithm in ALGORITHMS {
        let (store, inner) = sealed(key().algorithm(algorithm)).await;
        let text = text(&inner).await;
        let mut tried = 0;
        for at in 0..text.len() {
            for bit in 0..7 {
                let mut changed = text.clone().into_bytes();
                changed[at] ^= 1 << bit;
                if put(&inner, &String::from_utf8(changed).unwrap()).await {
                    refusal(&store).await;
                    tried += 1;
                }
            }
        }
        assert!(tried > 4 * text.len());
    }
}

#[tokio::test]
async fn a_text_that_was_cut_or_grew_does_not_open() {
    for algorithm in ALGORITHMS {
        let (store, inner) = sealed(key().algorithm(algorithm)).await;
        let text = text(&inner).await;
        for length in 1..text.len() {
            if put(&inner, &text[..length]).await {
                refusal(&store).await;
            }
        }
        for more in ["A", "AAAA", ".", "=", ".AAAA"] {
            assert!(put(&inner, &format!("{text}{more}")).await);
            assert!(refusal(&store).await.is_refused());
        }
    }
}

#[tokio::test]
async fn another_key_of_the_same_id_does_not_open() {
    let (_, inner) = sealed(key()).await;
    let store = Sealed::new(inner.clone(), other_key("2026-11"), NAME);
    assert!(refusal(&store).await.is_refused());
    // The right one beside it does.
    assert_eq!(live(&store.also_opens(key())).await, record());
}

#[tokio::test]
async fn a_key_that_was_not_given_is_named_as_the_reason() {
    let (_, inner) = sealed(key()).await;
    for missing in [other_key("2026-12"), key().algorithm(SealingAlgorithm::Aes256Gcm)] {
        let error = refusal(&Sealed::new(inner.clone(), missing, NAME)).await;
        assert!(error.is_unknown_key() && !error.is_refused());
    }
}

#[tokio::test]
async fn a_record_under_another_name_does_not_open() {
    for algorithm in ALGORITHMS {
        let (_, inner) = sealed(key().algorithm(algorithm)).await;
        for name in ["my-app/bob", "my-app/alice ", "", "\nmy-app/alice"] {
            let store = Sealed::new(inner.clone(), key().algorithm(algorithm), name);
            assert!(refusal(&store).await.is_refused());
        }
    }
}

#[tokio::test]
async fn a_record_that_was_not_sealed_is_not_used() {
    let inner = MemoryStore::new();
    let store = Sealed::new(inner.clone(), key(), NAME);
    let plain = record();
    // Nor one whose text was sealed, under an issuer of its own.
    let (_, other) = sealed(key()).await;
    let renamed = Record::new(live(&other).await.tokens().clone());
    for plain in [plain, renamed.clone(), renamed.issuer(Some("https://login.example.com"))] {
        let _ = inner.compare_and_store(Expected::Any, plain).await.unwrap();
        assert!(refusal(&store).await.is_not_sealed());
    }
}

#[tokio::test]
async fn a_later_format_is_told_from_a_broken_one() {
    let (store, inner) = sealed(key()).await;
    let rest = text(&inner).await.split_off(2);
    for (start, newer) in [("v2", true), ("v10", true), ("v", false), ("w1", false), ("v1a", false)]
    {
        assert!(put(&inner, &format!("{start}{rest}")).await);
        let error = refusal(&store).await;
        assert_eq!((error.is_newer(), error.is_refused()), (newer, !newer), "{start}");
    }
    assert!(put(&inner, "v1.A512GCM.2026-11.AAAA").await);
    assert!(refusal(&store).await.is_newer());
    let later = "v1.XC20P.2026-11.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7B1Gf341D6PalCr9LyRjYu3bJNxCRWKKQ_jAHyFk6WjyJYCwMQdeDmJxjF289OWZzVNetsqxC536_0BPNMkA8DV6NFQ";
    assert!(put(&inner, later).await);
    assert!(refusal(&store).await.is_newer());
}

/// Who holds the key sealed something else: a tombstone, which is no record's place.
#[tokio::test]
async fn what_was_sealed_and_is_no_record_is_not_used() {
    let (store, inner) = sealed(key()).await;
    let tombstone = "v1.XC20P.2026-11.ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7B1Gf341D6PalCr9LyRjYu3bJNxCRWKKQ_jAHyFk6WjyJYCwMQdeDmJxjF289OWZzVNT8PenXRtWmYGVqwbiSTiK8qYejGstDiy-G4L-P6zZJ13ONH_p1eA0-5_QMFZ92";
    assert!(put(&inner, tombstone).await);
    assert!(refusal(&store).await.is_refused());
}

#[tokio::test]
async fn only_a_login_or_a_logout_writes_over_what_does_not_open() {
    let (store, inner) = sealed(key()).await;
    let broken = text(&inner).await.replace(".2026-11.", ".2026-12.");
    for step in 0..4 {
        assert!(put(&inner, &broken).await);
        let version = inner.load().await.unwrap().unwrap().version;
        for expected in [Expected::Version(version), Expected::Version(Version::new(0))] {
            let error = store.compare_and_store(expected, record()).await.unwrap_err();
            assert!(reason(error).is_unknown_key());
            let error = store.compare_and_bury(expected).await.unwrap_err();
            assert!(reason(error).is_unknown_key());
        }
        let seed = store.compare_and_store(Expected::Absent, record()).await.unwrap();
        assert_eq!(seed, Swap::Moved);
        assert_eq!(text(&inner).await, broken);
        if step % 2 == 0 {
            let _ = store.compare_and_store(Expected::Any, record()).await.unwrap();
            assert_eq!(live(&store).await, record());
        } else {
            let _ = store.compare_and_bury(Expected::Any).await.unwrap();
            assert_eq!(store.load().await.unwrap().unwrap().entry, Entry::Tombstone);
        }
    }
}

#[tokio::test]
async fn an_old_key_opens_and_the_next_write_is_by_the_new_one() {
    let (old, inner) = sealed(key()).await;
    let new = Sealed::new(inner.clone(), other_key("2027"), NAME).also_opens(key());
    assert_eq!(live(&new).await, record());
    assert!(text(&inner).await.starts_with("v1.XC20P.2026-11."));
    let version = new.load().await.unwrap().unwrap().version;
    let swap = new.compare_and_store(Expected::Version(version), record()).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)));
    assert!(text(&inner).await.starts_with("v1.XC20P.2027."));
    assert_eq!(live(&new).await, record());
    assert!(refusal(&old).await.is_unknown_key());
    // The first step of a change of keys: whoever has not changed yet can read.
    assert_eq!(live(&old.also_opens(other_key("2027"))).await, record());
}

/// A source that counts, and never gets as far as an answer.
fn session(store: impl TokenStore, spent: &Arc<AtomicUsize>) -> Session {
    let spent = spent.clone();
    let source = source_fn(move |_| {
        spent.fetch_add(1, Ordering::Relaxed);
        ready(Err(RefreshError::transient()))
    });
    Session::builder(source)
        .issuer("https://login.example.com")
        .origin("https://api.example.com")
        .store(store)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_session_without_the_key_asks_for_a_login_and_sends_nothing() {
    let (store, inner) = sealed(key()).await;
    let spent = Arc::default();
    let without = session(inner.clone(), &spent);
    assert!(without.token().await.unwrap_err().needs_login());
    assert_eq!(spent.load(Ordering::Relaxed), 0);
    assert_eq!(live(&store).await, record());
}

#[tokio::test(start_paused = true)]
async fn a_session_whose_record_does_not_open_sends_nothing_and_ends_nothing() {
    let (_, inner) = sealed(key()).await;
    let spent = Arc::default();
    let session = session(Sealed::new(inner.clone(), other_key("2026-11"), NAME), &spent);
    let before = text(&inner).await;
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && !error.is_session_ended());
    assert_eq!((spent.load(Ordering::Relaxed), text(&inner).await), (0, before));
    // A login is the way out.
    let tokens = TokenSet::new(AccessToken::new("new").unwrap());
    session.login(tokens).await.unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), "new");
    assert_ne!(text(&inner).await, "new");
}
