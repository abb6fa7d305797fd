//! GNOME Keyring on a session bus, each of them in a process of its own, with an empty home.

use std::{process::Stdio, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    process::{Child, Command},
    time::sleep,
};

use super::part::{EXPECTED, Ground, this_program};
use crate::support::program;

/// A session bus. Nothing is started by itself there, and nobody asks a user.
pub(super) struct Desktop {
    pub(super) ground: Ground,
    keyring: Option<Child>,
    _bus: Child,
}

impl Desktop {
    /// A desktop where nobody keeps secrets.
    pub(super) async fn bare() -> Self {
        let ground = Ground::new("secret-service");
        let socket = ground.folder().join("bus");
        let config = ground.folder().join("bus.conf");
        let text = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
                "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>
            <policy context="default"><allow send_destination="*" eavesdrop="true"/>
            <allow eavesdrop="true"/><allow own="*"/></policy>
            </busconfig>"#,
            socket.display()
        );
        std::fs::write(&config, text).unwrap();
        let mut bus = program("dbus-daemon");
        bus.arg(format!("--config-file={}", config.display())).arg("--nofork");
        let bus = bus.stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let desktop = Self { ground, keyring: None, _bus: bus };
        desktop.until("the bus listens", async || socket.exists()).await;
        desktop
    }

    /// A desktop with an unlocked keyring.
    pub(super) async fn unlocked() -> Self {
        let mut desktop = Self::bare().await;
        desktop.start().await;
        desktop
    }

    /// Start the keyring, and unlock it.
    pub(super) async fn start(&mut self) {
        let mut keyring = program("gnome-keyring-daemon");
        keyring.args(["--foreground", "--unlock", "--components=secrets"]);
        self.join(&mut keyring);
        keyring.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut keyring = keyring.kill_on_drop(true).spawn().unwrap();
        // The password ends where the pipe does.
        keyring.stdin.take().unwrap().write_all(b"pw").await.unwrap();
        self.keyring = Some(keyring);
        self.until("the keyring is on the bus", async || {
            let owner =
                ["/", "org.freedesktop.DBus.NameHasOwner", "string:org.freedesktop.secrets"];
            self.send("org.freedesktop.DBus", &owner).await.contains("true")
        })
        .await;
    }

    /// Lock all there is, as at the end of a session.
    pub(super) async fn lock(&self) {
        let login = "array:objpath:/org/freedesktop/secrets/collection/login";
        let lock = ["/org/freedesktop/secrets", "org.freedesktop.Secret.Service.Lock", login];
        let answer = self.send("org.freedesktop.secrets", &lock).await;
        assert!(answer.contains("collection/login"), "{answer}");
    }

    /// Let it answer nothing, or go on.
    pub(super) async fn signal(&self, signal: &str) {
        let id = self.keyring.as_ref().unwrap().id().unwrap().to_string();
        assert!(program("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Run a part of the test on this desktop.
    pub(super) async fn run(&self, part: &str) {
        let mut command = this_program();
        self.join(&mut command);
        self.ground.run(command, part).await;
    }

    fn join(&self, command: &mut Command) {
        let folder = self.ground.folder();
        command
            .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", folder.join("bus").display()))
            .env("HOME", folder)
            .env("XDG_RUNTIME_DIR", folder)
            .env_remove("XDG_DATA_HOME")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY");
    }

    async fn send(&self, to: &str, arguments: &[&str]) -> String {
        let mut send = program("dbus-send");
        send.args(["--session", "--print-reply", &format!("--dest={to}")]).args(arguments);
        self.join(&mut send);
        String::from_utf8_lossy(&send.output().await.unwrap().stdout).into_owned()
    }

    /// Real servers take their time.
    async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        for _ in 0..500 {
            if is_so().await {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("{what}: not within 10 s");
    }
}

#[tokio::test]
async fn a_secret_service_keeps_the_contract_but_for_access_tokens() {
    Desktop::unlocked().await.run("the_contract_is_kept").await;
}

#[tokio::test]
async fn a_file_that_is_sealed_by_a_key_in_a_secret_service_keeps_the_contract() {
    Desktop::unlocked().await.run("the_contract_is_kept_by_a_sealed_file").await;
}

#[tokio::test]
async fn the_key_of_a_sealed_file_is_made_once() {
    Desktop::unlocked().await.run("many_who_open_a_sealed_file_at_once_have_one_key").await;
}

#[tokio::test]
async fn a_record_outlives_its_process_and_the_secret_service() {
    let mut desktop = Desktop::unlocked().await;
    desktop.run("a_record_is_stored").await;
    desktop.run("the_record_is_there_but_for_its_access_token").await;
    desktop.start().await;
    desktop.run("the_record_is_there_but_for_its_access_token").await;
}

/// Case 42.
#[tokio::test]
async fn a_locked_collection_is_unavailable_and_nothing_is_sent() {
    let mut desktop = Desktop::unlocked().await;
    desktop.run("a_record_is_stored").await;
    desktop.lock().await;
    desktop.ground.set(EXPECTED, "locked");
    desktop.run("nothing_can_be_told").await;
}

#[tokio::test]
async fn a_locked_collection_without_an_entry_takes_no_record_and_no_key() {
    let mut desktop = Desktop::unlocked().await;
    desktop.lock().await;
    desktop.ground.set(EXPECTED, "locked");
    desktop.run("nothing_can_be_written").await;
}

#[tokio::test]
async fn without_a_secret_service_on_the_bus_nothing_can_be_told() {
    let mut desktop = Desktop::bare().await;
    desktop.ground.set(EXPECTED, "unreachable");
    desktop.run("nothing_can_be_told").await;
}

#[tokio::test]
async fn without_a_bus_nothing_can_be_told() {
    let mut ground = Ground::new("secret-service");
    ground.set(EXPECTED, "unreachable");
    let nowhere = ground.folder().join("nowhere");
    let mut command = this_program();
    command
        .env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", nowhere.display()))
        .env("XDG_RUNTIME_DIR", &nowhere);
    ground.run(command, "nothing_can_be_told").await;
    let mut command = this_program();
    command.env_remove("DBUS_SESSION_BUS_ADDRESS").env("XDG_RUNTIME_DIR", &nowhere);
    ground.run(command, "nothing_can_be_told").await;
}

#[tokio::test]
async fn a_bus_that_never_answers_costs_a_time_limit_and_one_thread() {
    let ground = Ground::new("secret-service");
    let mut command = this_program();
    let socket = ground.folder().join("silent");
    command.env("DBUS_SESSION_BUS_ADDRESS", format!("unix:path={}", socket.display()));
    ground.run(command, "a_silent_bus_is_waited_for_no_longer_than_the_limit").await;
}

#[tokio::test]
async fn a_login_that_timed_out_does_not_come_late() {
    let desktop = Desktop::unlocked().await;
    desktop.run("a_record_is_stored").await;
    desktop.signal("-STOP").await;
    let resumed = async {
        let waits = desktop.ground.folder().join("waits");
        desktop.until("the call timed out", async || waits.exists()).await;
        desktop.signal("-CONT").await;
    };
    tokio::join!(desktop.run("a_login_times_out_and_does_not_come_late"), resumed);
}

#[tokio::test]
async fn what_is_no_record_is_not_written_over() {
    Desktop::unlocked().await.run("what_is_no_record_is_left_alone").await;
}
