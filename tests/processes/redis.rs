//! A Redis that can be killed, and comes back empty.

use std::{
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tower_reauth::RedisStore;

/// It ends when this is dropped.
pub(crate) struct Redis {
    process: Child,
    folder: TempDir,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let process = run(&folder);
        let redis = Self { process, folder };
        redis.wait();
        redis
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.folder.path().join("socket").display())
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn run_again(&mut self) {
        self.process = run(&self.folder);
        self.wait();
    }

    pub(crate) fn connections(&self) -> usize {
        let mut connection =
            redis::Client::open(self.url()).unwrap().get_connection().expect("it runs");
        let list: String =
            redis::cmd("CLIENT").arg("LIST").query(&mut connection).expect("it answers");
        list.lines().count() - 1
    }

    fn wait(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        for _ in 0..3000 {
            if client.get_connection().is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not start");
    }
}

fn run(folder: &TempDir) -> Child {
    Command::new("redis-server")
        .current_dir(folder.path())
        .args(["--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("`tests/run processes` installs redis-server where apt-get is at hand")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The store of the session number `number`, at a Redis of these tests.
pub(crate) fn store(url: &str, lease: Duration, number: usize) -> RedisStore {
    let store = RedisStore::open(url, &number.to_string()).unwrap();
    store.lease_duration(lease)
}
