//! Other processes: this program, started again for one of the tests that are none.

use std::{
    env,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::{fs::MetadataExt, process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::time::timeout;
use tower_reauth::{Expected, Session, TokenStore};

use super::{done, empty_place, found, mode, names, open, place, save};
use crate::{
    scripted::{Scripted, expired},
    support::ORIGIN,
};

const PATH: &str = "REAUTH_RECORD";
const LIMIT: Duration = Duration::from_secs(30);

/// The path that this process was started for. `None`: it runs all tests.
fn told() -> Option<std::ffi::OsString> {
    env::var_os(PATH)
}

fn command(program: impl AsRef<OsStr>, test: &str, path: &Path) -> Command {
    let mut command = Command::new(program);
    let name = format!("file_store::children::{test}");
    command.args(["--exact", &name, "--nocapture"]).env(PATH, path);
    command
}

/// Another process that has the lease. It ends when its input does.
struct Holder(Child);

impl Holder {
    fn of(path: &Path) -> Self {
        let mut child = command(env::current_exe().unwrap(), "a_process_holds_the_lease", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "held"), "the other process has no lease");
        Self(child)
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_holds_the_lease() {
    let Some(path) = told() else { return };
    let held = open(Path::new(&path)).lease().await.unwrap();
    eprintln!("held");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(held);
}

/// Case 40: nobody has to delete a file.
#[tokio::test]
async fn the_lease_of_a_killed_process_goes_to_the_one_who_waits() {
    let (_folder, path) = place();
    let holder = Holder::of(&path);
    let store = open(&path).patience(LIMIT);
    let waiter = tokio::spawn(async move { store.lease().await.map(drop) });
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(!waiter.is_finished(), "another process has it");

    holder.signal("-KILL");
    timeout(LIMIT, waiter).await.unwrap().unwrap().unwrap();
}

/// Case 40: its refresh token may be on its way, so it is not robbed.
#[tokio::test]
async fn a_stopped_process_keeps_its_lease_and_makes_the_others_busy() {
    let (_folder, path) = place();
    let mut holder = Holder::of(&path);
    holder.signal("-STOP");
    let store = open(&path).patience(Duration::from_millis(100));
    assert!(store.lease().await.unwrap_err().is_busy());
    // Nobody else is in its way.
    done(save(&store, Expected::Absent, "one").await);

    holder.signal("-CONT");
    assert!(store.lease().await.unwrap_err().is_busy(), "it goes on with what it holds");
    drop(holder.0.stdin.take());
    drop(store.patience(LIMIT).lease().await.unwrap());
}

/// A process on its own that may not write into the folder, which root always may.
fn powerless(test: &str, path: &Path) -> Command {
    let is_root = fs::metadata(path).unwrap().uid() == 0;
    if !is_root {
        return command(env::current_exe().unwrap(), test, path);
    }
    // By this name also where the program's own folder is closed to others.
    let mut command = command("/proc/self/exe", test, path);
    command.uid(65534).gid(65534);
    command
}

#[tokio::test]
async fn a_session_refreshes_in_a_folder_that_cannot_be_written() {
    let Some(path) = told() else { return };
    let path = Path::new(&path);
    let source = Scripted::new();
    let session =
        Session::builder(source.clone()).store(open(path)).origin(ORIGIN).build().unwrap();

    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && error.retry_at().is_some(), "{error:?}");
    assert_eq!(source.calls(), 0, "the refresh token is not spent if the next one cannot be kept");
    assert!(save(&open(path), Expected::Any, "two").await.unwrap_err().is_unavailable());
    assert!(open(path).compare_and_bury(Expected::Any).await.unwrap_err().is_unavailable());
    assert_eq!(found(&open(path)).await.as_deref(), Some("old"));
    eprintln!("nothing was sent");
}

#[tokio::test]
async fn nothing_is_sent_if_the_answer_could_not_be_saved() {
    use std::os::unix::fs::PermissionsExt;
    let rights = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    let (folder, path) = empty_place();
    let seed = Session::builder(Scripted::new()).store(open(&path)).origin(ORIGIN).build().unwrap();
    seed.login(expired("old", "first")).await.unwrap();
    rights(folder.path(), 0o755);
    // With lock files that can be locked, and without any.
    for locks in [true, false] {
        if locks {
            drop(open(&path).lease().await.unwrap());
        }
        for name in names(&path) {
            let name = path.with_file_name(name);
            if locks || name == path {
                rights(&name, 0o666);
            } else {
                fs::remove_file(&name).unwrap();
            }
        }
        rights(path.parent().unwrap(), 0o555);

        let output =
            powerless("a_session_refreshes_in_a_folder_that_cannot_be_written", &path).output();
        let output = output.unwrap();

        rights(path.parent().unwrap(), 0o755);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && said.contains("nothing was sent"), "{output:?}");
    }
    assert_eq!(mode(&path), 0o666);
}
