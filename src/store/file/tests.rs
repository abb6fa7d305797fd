//! A process that dies between any two steps of a save.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::Command,
};

use futures_util::FutureExt;

use super::{Dropped, FileStore, disk::Disk, fault::Step};
use crate::{AccessToken, Entry, Expected, Record, Stored, Swap, TokenSet, TokenStore, Version};

const PATH: &str = "REAUTH_RECORD";

fn record(name: &str) -> Record {
    Record::new(TokenSet::new(AccessToken::new(name).unwrap()))
}

/// Save a record from here, without a runtime.
fn save(path: &Path, expected: Expected, name: &str) -> Swap {
    let stored =
        Stored { entry: Entry::Live(record(name)), version: Version::new(fastrand::u64(..)) };
    Disk::new(path.to_owned()).swap(expected, stored, || false).unwrap()
}

/// The name of the record that is there.
fn found(path: &Path) -> Option<String> {
    let stored = Disk::new(path.to_owned()).load().unwrap()?;
    match stored.entry {
        Entry::Live(record) => Some(record.tokens().access().expose_secret().to_owned()),
        Entry::Tombstone => panic!("nobody buried it"),
    }
}

fn beside(path: &Path, infix: &str) -> Vec<PathBuf> {
    let prefix = format!("{}.{infix}-", path.file_name().unwrap().to_str().unwrap());
    let entries = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap());
    let matching = entries.filter(|entry| entry.file_name().to_str().unwrap().starts_with(&prefix));
    matching.map(|entry| entry.path()).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Not a test by itself: the process that is told to die.
#[test]
fn a_child_saves() {
    let Some(path) = std::env::var_os(PATH) else { return };
    let store = FileStore::open(path).unwrap();
    let swap = store.compare_and_store(Expected::Any, record("new"));
    let swap = swap.now_or_never().expect("no runtime, no waiting");
    assert!(matches!(swap, Ok(Swap::Done(_))));
}

/// Run the child, and say whether it died of the fault.
fn dies(path: &Path, step: Option<Step>) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "store::file::tests::a_child_saves"]).env(PATH, path);
    if let Some(step) = step {
        child.env(Step::VARIABLE, format!("{step:?}"));
    }
    let output = child.output().unwrap();
    assert!(output.status.success() || output.status.signal().is_some(), "{output:?}");
    !output.status.success()
}

/// Case 43.
#[test]
fn a_writer_killed_between_any_two_steps_leaves_the_old_record_or_the_new_one() {
    for step in Step::ALL {
        for there in [None, Some("old"), Some("no record")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("app/session.json");
            match there {
                Some("old") => {
                    fs::create_dir(path.parent().unwrap()).unwrap();
                    let _ = save(&path, Expected::Absent, "old");
                }
                Some(text) => {
                    fs::create_dir(path.parent().unwrap()).unwrap();
                    fs::write(&path, text).unwrap();
                }
                None => {}
            }
            let is_reached = step != Step::MovedAside || there == Some("no record");

            assert_eq!(dies(&path, Some(step)), is_reached, "{step:?}, {there:?}");

            let is_new = !is_reached || matches!(step, Step::Renamed | Step::Durable);
            if is_new {
                assert_eq!(found(&path).as_deref(), Some("new"), "{step:?}, {there:?}");
                assert_eq!(mode(&path), 0o600);
            } else if there == Some("no record") {
                // Somebody's text is there, under the one name or the other.
                let kept = beside(&path, "kept").pop().unwrap_or_else(|| path.clone());
                assert_eq!(fs::read_to_string(kept).unwrap(), "no record", "{step:?}");
            } else {
                assert_eq!(found(&path).as_deref(), there, "{step:?}, {there:?}");
            }
            // Written down is saved, for whoever has the lease next.
            let is_whole = match step {
                Step::WrittenUnsynced | Step::Written => there != Some("no record"),
                Step::MovedAside => true,
                _ => is_new,
            };
            for left in beside(&path, "new") {
                assert_eq!(mode(&left), 0o600, "what was on its way was nobody else's to read");
            }

            let store = FileStore::open(&path).unwrap();
            drop(store.lease().now_or_never().expect("no runtime, no waiting").unwrap());
            assert!(beside(&path, "new").is_empty(), "{step:?}, {there:?}");
            if is_whole {
                assert_eq!(found(&path).as_deref(), Some("new"), "{step:?}, {there:?}");
            } else if there != Some("no record") {
                assert_eq!(found(&path).as_deref(), there, "{step:?}, {there:?}");
            }

            // The next writer goes on.
            assert!(!dies(&path, None), "{step:?}, {there:?}");
            assert_eq!(found(&path).as_deref(), Some("new"));
            assert!(beside(&path, "new").is_empty());
            assert_eq!(mode(&path), 0o600);
            if there.is_none() {
                assert_eq!(mode(path.parent().unwrap()), 0o700);
            }
        }
    }
}

#[test]
fn a_login_that_was_dropped_comes_too_late_and_what_a_refresh_brought_does_not() {
    for expected in [Expected::Any, Expected::Absent, Expected::Version(Version::new(1))] {
        let dropped = Dropped::default();
        let is_late = dropped.makes_late(expected);
        assert!(!is_late());
        drop(dropped);
        assert_eq!(is_late(), expected == Expected::Any);
    }
}

#[test]
fn only_what_a_writer_left_is_taken_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let stays = [
        "session.json.new",
        "session.json.new-0123456789abcdef",
        "session.json.new-0123456789abcdef-1",
        "session.json.new-0123456789abcdef-0123456789abcdeg",
        "session.json.new-0123456789abcdef-+123456789abcdef",
        "other.json.new-0123456789abcdef-0123456789abcdef",
    ];
    for name in stays.into_iter().chain(["session.json.new-0123456789abcdef-0123456789abcdef"]) {
        fs::write(folder.path().join(name), "").unwrap();
    }

    let _ = save(&path, Expected::Absent, "new");

    let mut left: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
    left.sort();
    let mut expected = [&stays[..], &["session.json"]].concat();
    expected.sort_unstable();
    assert_eq!(left, expected);
}

/// Somebody has gone on since it was written.
#[test]
fn what_follows_another_record_is_not_put_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("session.json");
    let _ = save(&path, Expected::Absent, "late");
    let late = fs::read(&path).unwrap();
    let _ = save(&path, Expected::Any, "newest");
    for follows in [0_u64, 1] {
        let name = format!("session.json.new-{follows:016x}-0123456789abcdef");
        fs::write(folder.path().join(name), &late).unwrap();
    }

    drop(FileStore::open(&path).unwrap().lease().now_or_never().unwrap().unwrap());

    assert_eq!(found(&path).as_deref(), Some("newest"));
    assert!(beside(&path, "new").is_empty());
}
