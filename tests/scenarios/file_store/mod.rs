//! One record in a file, between the handles and processes of one machine.

#[cfg(unix)]
mod children;
mod obstacles;
mod sharing;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::FutureExt;
use tempfile::TempDir;
use tower_reauth::{
    Entry, Expected, FileStore, Record, StoreError, Swap, TokenStore, Version,
    testing::store_contract,
};

use crate::scripted::pair;

/// A folder of this test's own, and a path in it where nothing is yet.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app/session.json");
    (folder, path)
}

/// The same, and the folder is there.
fn empty_place() -> (TempDir, PathBuf) {
    let (folder, path) = place();
    fs::create_dir(path.parent().unwrap()).unwrap();
    (folder, path)
}

fn open(path: &Path) -> FileStore {
    FileStore::open(path).unwrap()
}

fn record(name: &str) -> Record {
    Record::new(pair(name, name))
}

async fn save(store: &FileStore, expected: Expected, name: &str) -> Result<Swap, StoreError> {
    store.compare_and_store(expected, record(name)).await
}

fn done(swap: Result<Swap, StoreError>) -> Version {
    match swap {
        Ok(Swap::Done(version)) => version,
        other => panic!("{other:?}"),
    }
}

/// The access token in the store, or `tombstone`.
async fn found(store: &FileStore) -> Option<String> {
    Some(match store.load().await.unwrap()?.entry {
        Entry::Live(record) => record.tokens().access().expose_secret().to_owned(),
        Entry::Tombstone => "tombstone".to_owned(),
    })
}

/// The names of all that is in the folder of the record.
fn names(path: &Path) -> Vec<String> {
    let entries = fs::read_dir(path.parent().unwrap()).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[cfg(unix)]
fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let number = AtomicUsize::new(0);
    store_contract(|| async {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let path = folder.path().join(format!("app/{number}.json"));
        (open(&path), open(&path))
    })
    .await;
}

/// Case 43.
#[cfg(unix)]
#[tokio::test]
async fn files_and_folders_are_the_owners_alone() {
    let (folder, _) = place();
    let path = folder.path().join("a/b/session.json");
    let store = open(&path);
    assert!(store.load().await.unwrap().is_none());
    assert!(!folder.path().join("a").exists(), "to look creates nothing");

    done(save(&store, Expected::Absent, "one").await);
    drop(store.lease().await.unwrap());
    done(store.compare_and_bury(Expected::Any).await);
    done(save(&store, Expected::Any, "two").await);

    assert_eq!(names(&path), ["session.json", "session.json.lease", "session.json.lock"]);
    for name in names(&path) {
        assert_eq!(mode(&path.with_file_name(name)), 0o600);
    }
    for created in ["a", "a/b"] {
        assert_eq!(mode(&folder.path().join(created)), 0o700);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_was_there_is_left_as_it_is_and_a_record_is_not() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = empty_place();
    let readable = |mode| fs::Permissions::from_mode(mode);
    fs::set_permissions(path.parent().unwrap(), readable(0o750)).unwrap();
    let store = open(&path);
    done(save(&store, Expected::Absent, "one").await);
    fs::set_permissions(&path, readable(0o644)).unwrap();

    done(save(&store, Expected::Any, "two").await);

    assert_eq!(mode(path.parent().unwrap()), 0o750);
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_relative_path_is_taken_from_where_the_program_was() {
    let store = FileStore::open("session.json/").unwrap();
    let whole = std::env::current_dir().unwrap().join("session.json");
    assert!(format!("{store:?}").contains(&format!("{whole:?}")), "{store:?}");
    for nowhere in ["", "/"] {
        assert!(FileStore::open(nowhere).unwrap_err().is_unavailable());
    }
}

/// As in each process of a program that seeds it when it starts.
#[test]
fn a_version_is_a_new_one_though_the_same_random_numbers_are_drawn() {
    let (_folder, path) = place();
    let store = open(&path);
    let save = |expected, name| {
        fastrand::seed(7);
        // On this thread.
        save(&store, expected, name).now_or_never().unwrap().unwrap()
    };
    let first = done(Ok(save(Expected::Absent, "one")));
    done(Ok(save(Expected::Any, "two")));
    assert_eq!(save(Expected::Version(first), "late"), Swap::Moved);
}

#[tokio::test]
async fn a_record_that_was_deleted_is_lost_and_its_version_does_not_come_back() {
    let (_folder, path) = place();
    let (store, other) = (open(&path), open(&path));
    let first = done(save(&store, Expected::Absent, "one").await);

    fs::remove_file(&path).unwrap();
    assert!(other.load().await.unwrap().is_none());
    let second = done(save(&other, Expected::Absent, "one").await);

    assert_ne!(first, second);
    assert_eq!(save(&store, Expected::Version(first), "late").await.unwrap(), Swap::Moved);
    assert_eq!(found(&store).await.as_deref(), Some("one"));
}

#[tokio::test]
async fn members_that_another_version_wrote_are_kept() {
    let (_folder, path) = place();
    let store = open(&path);
    done(save(&store, Expected::Absent, "one").await);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains("tower-reauth record"), "it says what it is");
    fs::write(&path, text.replacen('{', r#"{"colour":{"of":"the sea"},"#, 1)).unwrap();

    done(save(&store, Expected::Any, "two").await);
    assert_eq!(found(&store).await.as_deref(), Some("two"));
    done(store.compare_and_bury(Expected::Any).await);

    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(r#""colour":{"of":"the sea"}"#) && !text.contains("two"), "{text}");
}

/// Case 44.
#[test]
fn a_reader_looping_during_a_thousand_saves_always_parses() {
    let (_folder, path) = place();
    let (writer, reader) = (open(&path), open(&path));
    futures::executor::block_on(async { done(save(&writer, Expected::Absent, "0").await) });
    let saves = std::thread::spawn(move || {
        futures::executor::block_on(async {
            for number in 1..=1000 {
                done(save(&writer, Expected::Any, &number.to_string()).await);
            }
        });
    });
    let (mut newest, mut reads) = (0, 0);
    while !saves.is_finished() {
        let name = futures::executor::block_on(found(&reader)).unwrap();
        let number: u32 = name.parse().unwrap();
        assert!(number >= newest, "{number} after {newest}");
        (newest, reads) = (number, reads + 1);
    }
    saves.join().unwrap();
    assert_eq!(futures::executor::block_on(found(&reader)).as_deref(), Some("1000"));
    assert!(reads > 0);
}
