//! What is in the way: files that are no record, folders that cannot be written.

use std::{fs, path::Path};

use tower_reauth::{Expected, Session, TokenStore, Version};

use super::{done, empty_place, found, names, open, record, save};
use crate::{
    scripted::{Scripted, pair},
    support::ORIGIN,
};

/// A record of this crate with something done to it.
async fn record_with(path: &Path, old: &str, new: &str) -> String {
    let store = open(path);
    done(save(&store, Expected::Any, "one").await);
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(old), "{text}");
    fs::remove_file(path).unwrap();
    text.replace(old, new)
}

#[tokio::test]
async fn what_is_no_record_is_an_error_and_is_not_overwritten() {
    let (_folder, path) = empty_place();
    let cut = record_with(&path, "}", "").await;
    let bad = record_with(&path, r#""access_token":"one""#, r#""access_token":"o n e""#).await;
    let newer = record_with(&path, r#""format_version":1"#, r#""format_version":2"#).await;
    let huge = "x".repeat(1024 * 1024 + 1);
    for text in ["", "a shopping list", "{}", &cut, &bad, &newer, &huge] {
        fs::write(&path, text).unwrap();
        let store = open(&path);

        assert!(store.load().await.unwrap_err().is_corrupt(), "{text:.40}");
        for expected in [Expected::Absent, Expected::Version(Version::new(1))] {
            assert!(save(&store, expected, "two").await.unwrap_err().is_corrupt());
            assert!(store.compare_and_bury(expected).await.unwrap_err().is_corrupt());
        }

        assert!(fs::read_to_string(&path).unwrap() == text, "{text:.40}");
        assert_eq!(names(&path), ["session.json", "session.json.lock"]);
    }
}

#[tokio::test]
async fn a_login_or_a_logout_keeps_aside_what_is_in_its_way() {
    let (_folder, path) = empty_place();
    let store = open(&path);
    fs::write(&path, "a shopping list").unwrap();
    done(save(&store, Expected::Any, "one").await);
    assert_eq!(found(&store).await.as_deref(), Some("one"));
    fs::write(&path, "another").unwrap();
    done(store.compare_and_bury(Expected::Any).await);
    assert_eq!(found(&store).await.as_deref(), Some("tombstone"));

    let kept = [1, 2].map(|number| path.with_file_name(format!("session.json.kept-{number}")));
    assert_eq!(fs::read_to_string(&kept[0]).unwrap(), "a shopping list");
    assert_eq!(fs::read_to_string(&kept[1]).unwrap(), "another");
    #[cfg(unix)]
    assert_eq!(kept.map(|path| super::mode(&path)), [0o600; 2]);
}

#[tokio::test]
async fn a_record_of_a_later_format_stays_where_it_is() {
    let (_folder, path) = empty_place();
    let newer = record_with(&path, r#""format_version":1"#, r#""format_version":2"#).await;
    fs::write(&path, &newer).unwrap();
    let store = open(&path);

    let error = save(&store, Expected::Any, "two").await.unwrap_err();
    let reason = std::error::Error::source(&error).and_then(|it| it.source()).unwrap().to_string();
    assert!(error.is_corrupt() && reason.contains("update this program"), "{reason}");
    assert!(store.compare_and_bury(Expected::Any).await.unwrap_err().is_corrupt());

    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    assert_eq!(names(&path), ["session.json", "session.json.lock"]);
}

#[tokio::test]
async fn a_folder_in_place_of_the_file_is_kept_aside_too() {
    let (_folder, path) = empty_place();
    fs::create_dir_all(path.join("inside")).unwrap();
    let store = open(&path);
    assert!(store.load().await.unwrap_err().is_corrupt());
    assert!(save(&store, Expected::Absent, "one").await.unwrap_err().is_corrupt());

    done(save(&store, Expected::Any, "one").await);
    assert!(path.with_file_name("session.json.kept-1").join("inside").is_dir());
}

/// It would be another file than the one whose locks are held.
#[cfg(unix)]
#[tokio::test]
async fn a_link_is_not_followed() {
    let (folder, path) = empty_place();
    let target = folder.path().join("elsewhere.json");
    done(save(&open(&target), Expected::Absent, "theirs").await);
    let text = fs::read(&target).unwrap();
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let store = open(&path);

    assert!(store.load().await.unwrap_err().is_corrupt());
    assert!(save(&store, Expected::Absent, "ours").await.unwrap_err().is_corrupt());
    done(save(&store, Expected::Any, "ours").await);

    assert_eq!(found(&store).await.as_deref(), Some("ours"));
    assert_eq!(fs::read(&target).unwrap(), text);
    assert_eq!(fs::read_link(path.with_file_name("session.json.kept-1")).unwrap(), target);
}

/// To open one for reading would wait for somebody who writes.
#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_not_opened() {
    let (_folder, path) = empty_place();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(open(&path).load().await.unwrap_err().is_corrupt());
}

#[tokio::test]
async fn a_file_where_the_folder_should_be_is_unavailable() {
    let (_folder, path) = empty_place();
    fs::write(&path, "no folder").unwrap();
    let store = open(&path.join("session.json"));
    assert!(save(&store, Expected::Any, "one").await.unwrap_err().is_unavailable());
    assert!(store.lease().await.unwrap_err().is_unavailable());
    assert!(store.load().await.unwrap_err().is_unavailable());
}

#[tokio::test]
async fn errors_name_the_path_and_nothing_of_what_is_in_it() {
    let (_folder, path) = empty_place();
    fs::write(&path, "canary").unwrap();
    let error = open(&path).load().await.unwrap_err();
    let mut printed = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(&error);
    while let Some(error) = cause {
        printed += &format!(" {error} {error:?}");
        cause = error.source();
    }
    assert!(printed.contains(path.to_str().unwrap()) && !printed.contains("canary"), "{printed}");
}

fn session(path: &Path) -> Session {
    Session::builder(Scripted::new()).store(open(path)).origin(ORIGIN).build().unwrap()
}

/// Until somebody logs in there is nothing that could be used, and nothing that may be overwritten.
#[tokio::test]
async fn a_session_over_what_is_no_record_asks_nobody_and_a_login_mends_it() {
    let (_folder, path) = empty_place();
    fs::write(&path, "a shopping list").unwrap();
    let session = session(&path);
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && error.retry_at().is_some(), "{error:?}");
    assert!(session.logout().await.unwrap_err().is_corrupt());
    assert_eq!(fs::read_to_string(&path).unwrap(), "a shopping list");

    session.login(pair("new", "second")).await.unwrap();
    assert_eq!(found(&open(&path)).await.as_deref(), Some("new"));
    assert!(path.with_file_name("session.json.kept-1").exists());
}

#[tokio::test]
async fn what_another_program_wrote_is_adopted() {
    let (_folder, path) = empty_place();
    let session = session(&path);
    done(open(&path).compare_and_store(Expected::Absent, record("theirs")).await);
    assert_eq!(session.token().await.unwrap().expose_secret(), "theirs");
}
