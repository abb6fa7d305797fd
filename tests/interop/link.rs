//! A server that is told what to do by lines of JSON.

use std::process::Stdio;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

/// Commands to the process and its answers, a line of JSON each.
pub(crate) struct Link(Mutex<Ends>);

struct Ends {
    /// What it is, for whoever reads why a test failed.
    name: &'static str,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Link {
    /// To a process that this starts, and that ends when this is dropped.
    pub(crate) fn to(mut command: Command, name: &'static str) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        Self(Mutex::new(Ends { name, commands, answers, _process: process }))
    }

    pub(crate) async fn ask<T: DeserializeOwned>(&self, command: Value) -> T {
        #[derive(Deserialize)]
        struct Answer {
            #[serde(default)]
            ok: Value,
            error: Option<String>,
        }
        let mut ends = self.0.lock().await;
        ends.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let line = crate::support::soon(ends.answers.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("{} ended at {command}", ends.name));
        let answer: Answer = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
        if let Some(error) = answer.error {
            panic!("{command}: {error}");
        }
        serde_json::from_value(answer.ok).unwrap()
    }
}
