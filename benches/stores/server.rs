//! A Redis of this bench, on loopback.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tower_reauth::RedisStore;

/// It ends when this is dropped.
pub(crate) struct Redis {
    process: Child,
    port: u16,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = probe.local_addr().expect("it is bound").port();
        drop(probe);
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("this bench needs redis-server: `tests/run budgets` installs it");
        let redis = Self { process, port };
        for _ in 0..1000 {
            if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return redis;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("redis-server does not start");
    }

    pub(crate) fn store(&self) -> RedisStore {
        let url = format!("redis://127.0.0.1:{}", self.port);
        RedisStore::open(&url, "bench").expect("an address")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
