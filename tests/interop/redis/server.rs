//! A Redis of one test.

use std::{
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use ::redis::{Client, Cmd, FromRedisValue, aio::MultiplexedConnection, cmd};
use tempfile::TempDir;
use tokio::process::Child;
use tower_reauth::RedisStore;

use crate::support::{program, soon};

/// It ends when this is dropped, and when this process is killed. Nothing of it outlives a restart.
pub(super) struct Redis {
    process: Option<Child>,
    folder: TempDir,
    port: u16,
    options: Vec<String>,
}

impl Redis {
    /// One that does not run yet, at a socket of its own.
    pub(super) fn stopped(options: &[&str]) -> Self {
        let options = options.iter().map(ToString::to_string).collect();
        Self { process: None, folder: TempDir::new().unwrap(), port: 0, options }
    }

    pub(super) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(super) async fn with(options: &[&str]) -> Self {
        let mut redis = Self::stopped(options);
        redis.run().await;
        redis
    }

    /// One that listens at a port too, as a node of a cluster must.
    pub(super) async fn cluster() -> Self {
        // Between choosing a port and listening there somebody else may take it.
        for _ in 0..5 {
            let mut redis = Self::stopped(&["--cluster-enabled", "yes"]);
            let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            redis.port = probe.local_addr().unwrap().port();
            drop(probe);
            if redis.port < 55_000 && redis.try_run().await {
                return redis;
            }
        }
        panic!("no free port for redis-server, nor for its cluster bus 10000 above");
    }

    pub(super) fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    pub(super) fn url_of(&self, user: &str, password: &str) -> String {
        format!("{}?user={user}&pass={password}", self.url())
    }

    /// A store over a connection of its own, as of another process.
    pub(super) fn store(&self, session: &str) -> RedisStore {
        RedisStore::open(&self.url(), session).unwrap()
    }

    pub(super) async fn run(&mut self) {
        assert!(self.try_run().await, "redis-server does not start");
    }

    async fn try_run(&mut self) -> bool {
        let process = program("redis-server")
            .current_dir(self.folder.path())
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--unixsocket", "socket", "--save", "", "--appendonly", "no"])
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let process = self.process.insert(process);
        let url = format!("unix://{}", self.folder.path().join("socket").display());
        let client = Client::open(url).unwrap();
        soon(async {
            loop {
                match client.get_multiplexed_async_connection().await {
                    Ok(_) => return true,
                    // It answers, but wants to know who asks.
                    Err(error) if error.code() == Some("NOAUTH") => return true,
                    Err(_) if process.try_wait().unwrap().is_some() => return false,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        })
        .await
    }

    pub(super) async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// It comes back without anything it knew.
    pub(super) async fn restart_empty(&mut self) {
        self.kill().await;
        self.run().await;
    }

    /// It stands still, and its connections stay open.
    pub(super) async fn freeze(&self) {
        self.signal("STOP").await;
    }

    pub(super) async fn thaw(&self) {
        self.signal("CONT").await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.process.as_ref().unwrap().id().unwrap();
        let script = format!("kill -{signal} {id}");
        let status = program("sh").args(["-c", &script]).status().await.unwrap();
        assert!(status.success());
    }

    pub(super) async fn connect(&self) -> MultiplexedConnection {
        let client = Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Ask Redis itself, over a connection for this alone.
    pub(super) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command: Cmd = cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut self.connect().await).await.unwrap()
    }

    /// How many connections there are, beside the one that asks.
    pub(super) async fn connections(&self) -> usize {
        self.ask::<String>(&["CLIENT", "LIST"]).await.lines().count() - 1
    }

    /// Wait until Redis answers like this.
    pub(super) async fn says<T: FromRedisValue>(&self, words: &[&str], so: impl Fn(T) -> bool) {
        soon(async {
            while !so(self.ask(words).await) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // One that stands still must be gone too, before its folder is.
        if let Some(process) = &mut self.process {
            let _ = process.start_kill();
        }
    }
}
