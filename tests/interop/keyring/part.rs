//! A part of a test: a function of this program, in a process of its own.

use std::{env, path::Path, time::Duration};

use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

/// How a part learns where it is.
pub(super) const BACKEND: &str = "REAUTH_TEST_KEYRING";
pub(super) const FOLDER: &str = "REAUTH_TEST_FOLDER";
pub(super) const USER: &str = "REAUTH_TEST_USER";
pub(super) const ENDPOINT: &str = "REAUTH_TEST_ENDPOINT";
pub(super) const SEED: &str = "REAUTH_TEST_SEED";
pub(super) const EXPECTED: &str = "REAUTH_TEST_EXPECTED";

/// What the parts of one test share.
pub(super) struct Ground {
    folder: TempDir,
    user: String,
    variables: Vec<(&'static str, String)>,
}

impl Ground {
    pub(super) fn new(backend: &str) -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            // The kernel has one place for all tests of a user.
            user: format!("{:016x}", rand()),
            variables: vec![(BACKEND, backend.into())],
        }
    }

    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.into()));
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Run the part `name` of [`inside`](super::inside), as the last arguments of `command`.
    pub(super) async fn run(&self, mut command: Command, name: &str) {
        command
            .args([&format!("keyring::inside::{name}"), "--exact", "--ignored"])
            .args(["--nocapture", "--test-threads=1"])
            .env(FOLDER, self.folder.path())
            .env(USER, &self.user)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .kill_on_drop(true);
        // A contract suite makes hundreds of connections to a Secret Service, and agrees on a key in each.
        let output = timeout(Duration::from_secs(300), command.output()).await;
        let output = output.unwrap_or_else(|_| panic!("the part {name} hangs")).unwrap();
        let text = [&output.stdout[..], &output.stderr[..]].concat();
        let text = String::from_utf8_lossy(&text);
        let ran = text.contains("1 passed") && output.status.success();
        assert!(ran, "the part {name} failed: {text}");
    }
}

/// This program.
pub(super) fn this_program() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// Random bits of the operating system, by way of a hasher's keys.
fn rand() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}
