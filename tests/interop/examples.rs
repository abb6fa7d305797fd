//! The examples against an issuer that they did not bring along.

use std::{env, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    provider::{Provider, SECRET},
    support::soon,
};

/// An example beside this test's own binary, as it was built last.
fn example(name: &str) -> Command {
    let own = env::current_exe().unwrap();
    let program = own.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(program.is_file(), "example `{name}` is missing: `tests/run interop` builds it");
    let mut command = Command::new(program);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// What it printed, on both streams, and whether it went well.
async fn output(mut command: Command) -> (bool, String) {
    let output = soon(command.output()).await.unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[tokio::test]
async fn cli_login_logs_in_at_a_real_issuer_and_stays_so() {
    let provider = Provider::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("own").join("session.json");
    let cli = || {
        let mut command = example("cli_login");
        command.args(["--issuer", &provider.issuer, "--client-id", "pub"]);
        command.args(["--scope", "openid offline_access", "--api", &provider.uri("/me")]);
        command.arg("--store").arg(&store);
        command
    };

    let mut first = cli().spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    while let Some(line) = soon(lines.next_line()).await.unwrap() {
        if let Some((_, code)) = line.split_once(" and enter ") {
            assert!(line.contains(&provider.uri("/device")), "{line}");
            provider.approve(code).await;
        }
        printed += &(line + "\n");
    }
    assert!(soon(first.wait()).await.unwrap().success(), "{printed}");
    assert!(printed.contains("Logged in."), "{printed}");
    assert_eq!(printed.matches("200 OK").count(), 2, "{printed}");

    let (well, printed) = output({
        let mut second = cli();
        second.arg("--logout");
        second
    })
    .await;
    assert!(well && printed.contains("Already logged in."), "{printed}");
    assert_eq!(printed.matches("200 OK").count(), 2, "{printed}");
    assert!(printed.contains("Logged out"), "{printed}");
    assert_eq!(provider.stats().await.path("/token/revocation", "200"), 1);
}

#[tokio::test]
async fn client_credentials_serve_at_a_real_issuer() {
    let provider = Provider::new().await;
    let mut command = example("client_credentials");
    command.env("CLIENT_SECRET", SECRET);
    command.args(["--issuer", &provider.issuer, "--client-id", "svc", "--scope", "api:read"]);
    command.args(["--resource", "urn:api", "--api", &provider.uri("/api")]);
    let (well, printed) = output(command).await;
    assert!(well, "{printed}");
    assert_eq!(printed.matches("200 OK").count(), 2, "{printed}");
    assert_eq!(provider.stats().await.token_requests(), ["client_credentials 200"]);
}

/// This issuer has no such grant. The example finds it, signs, asks, and says what the answer was.
#[tokio::test]
async fn a_service_account_is_told_what_a_real_issuer_answers() {
    let provider = Provider::new().await;
    let mut command = example("service_account");
    let key = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/keys/ed25519.pem");
    command.args(["--issuer", &provider.issuer, "--key", key, "--api", &provider.uri("/api")]);
    let (well, printed) = output(command).await;
    assert!(!well && printed.contains("invalid_request"), "{printed}");
    assert_eq!(provider.stats().await.path("/token", "400"), 1);
}
