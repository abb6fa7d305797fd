//! The kernel's keyrings, each process in a session of its own.

use super::part::{EXPECTED, Ground, this_program};
use crate::support::program;

/// A place in the kernel.
pub(super) struct Kernel {
    pub(super) ground: Ground,
}

impl Kernel {
    pub(super) fn new() -> Self {
        Self { ground: Ground::new("keyutils") }
    }

    /// Run a part of the test in a new session.
    pub(super) async fn run(&self, part: &str) {
        self.run_as("exec \"$0\" \"$@\"", "-", part).await;
    }

    /// Run it as `script` does, in a new session of this name.
    async fn run_as(&self, script: &str, session: &str, part: &str) {
        let mut command = program("keyctl");
        command
            .args(["session", session, "sh", "-c", script])
            .arg(this_program().as_std().get_program());
        self.ground.run(command, part).await;
    }
}

#[tokio::test]
async fn the_kernel_keeps_the_contract_but_for_access_tokens() {
    Kernel::new().run("the_contract_is_kept").await;
}

#[tokio::test]
async fn a_file_that_is_sealed_by_a_key_in_the_kernel_keeps_the_contract() {
    Kernel::new().run("the_contract_is_kept_by_a_sealed_file").await;
}

#[tokio::test]
async fn a_record_is_found_in_the_next_session() {
    let kernel = Kernel::new();
    kernel.run("a_record_is_stored").await;
    kernel.run("the_record_is_there_but_for_its_access_token").await;
    kernel.run("the_entry_is_removed").await;
}

/// Two sessions that are open at once: neither may find what the other replaced.
#[tokio::test]
async fn sessions_side_by_side_see_one_record() {
    let kernel = Kernel::new();
    kernel.run("a_record_is_stored").await;
    let reader = kernel.run("a_record_is_read_before_and_after_another_session_replaced_it");
    let writer = kernel.run("a_record_that_was_read_elsewhere_is_replaced");
    tokio::join!(reader, writer);
    kernel.run("the_entry_is_removed").await;
}

#[tokio::test]
async fn a_session_that_was_revoked_finds_no_record_and_says_so() {
    let mut kernel = Kernel::new();
    kernel.run("a_record_is_stored").await;
    kernel.ground.set(EXPECTED, "locked");
    let revoked = "keyctl revoke @s && exec \"$0\" \"$@\"";
    kernel.run_as(revoked, "-", "nothing_can_be_told").await;
    kernel.run("the_entry_is_removed").await;
}

/// Where there is no session, the kernel shows the user's default one, by this name.
#[tokio::test]
async fn outside_of_a_session_nothing_can_be_told() {
    let mut kernel = Kernel::new();
    kernel.ground.set(EXPECTED, "unreachable");
    let name = "_uid_ses.0";
    kernel.run_as("exec \"$0\" \"$@\"", name, "nothing_can_be_told").await;
    let shown = program("keyctl").args(["rdescribe", "@s"]).output().await.unwrap();
    if String::from_utf8_lossy(&shown.stdout).contains("_uid_ses.") {
        // As it is where these tests were started by no login, but by a container's first process.
        kernel.ground.run(this_program(), "nothing_can_be_told").await;
    }
}

#[tokio::test]
async fn a_record_that_is_too_long_is_a_typed_error() {
    let kernel = Kernel::new();
    kernel.run("a_record_that_is_too_long_is_refused").await;
}
