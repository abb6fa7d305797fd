//! The web server of one test: nginx with TLS, in a folder and on ports of its own.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    time::Duration,
};

use tempfile::TempDir;
use tokio::process::Child;

use crate::{
    support::{guarded, program, soon},
    tls::Authority,
};

/// A running nginx. It ends when this is dropped, and when this process is killed.
pub(crate) struct Nginx {
    _process: Child,
    folder: TempDir,
    ports: Vec<u16>,
}

impl Nginx {
    /// One server for each of `servers`, which are what stands in a `server` block beside the address
    /// and the certificate. They know their own ports by `$server_port`, and may say `{port N}` for that
    /// of the server number N, from 0.
    ///
    /// `http` is what else stands in the `http` block.
    pub(crate) async fn new(authority: &Authority, http: &str, servers: &[String]) -> Self {
        // Between choosing a port and listening there somebody else may take it.
        for _ in 0..5 {
            if let Some(nginx) =
                Self::on(&free_ports(servers.len()), authority, http, servers).await
            {
                return nginx;
            }
        }
        panic!("no port stays free for nginx");
    }

    /// `None` if one of the ports is taken.
    async fn on(
        ports: &[u16],
        authority: &Authority,
        http: &str,
        servers: &[String],
    ) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let identity = authority.server();
        fs::write(folder.path().join("server.pem"), identity.certificate).unwrap();
        fs::write(folder.path().join("server.key"), identity.key).unwrap();
        fs::write(folder.path().join("nginx.conf"), configuration(ports, http, servers)).unwrap();

        let mut command = program("nginx");
        command.args(["-e", "error.log", "-c", "nginx.conf", "-p"]).arg(folder.path());
        let process = guarded(&command).spawn().unwrap();
        let nginx = Self { _process: process, folder, ports: ports.to_vec() };
        soon(nginx.listens()).await.then_some(nginx)
    }

    /// Its ports are taken before it writes down its process id.
    async fn listens(&self) -> bool {
        loop {
            if fs::read(self.folder.path().join("pid")).is_ok_and(|pid| !pid.is_empty()) {
                return true;
            }
            let log = fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default();
            if log.contains("Address already in use") {
                return false;
            }
            assert!(!log.contains("[emerg]"), "{log}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The origin of the server number `server`.
    pub(crate) fn origin(&self, server: usize) -> String {
        format!("https://127.0.0.1:{}", self.ports[server])
    }

    pub(crate) fn uri(&self, server: usize, path: &str) -> String {
        self.origin(server) + path
    }

    /// What was answered so far: the server's number, method, path, status, protocol and the
    /// `Authorization` it came with, or `-`. A request is written down when its answer is out, so this
    /// waits until there are so many lines.
    pub(crate) async fn log(&self, lines: usize) -> Vec<String> {
        let read = || fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        soon(async {
            while read().lines().count() < lines {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        let mut text = read();
        for (number, port) in self.ports.iter().enumerate() {
            text = text.replace(&format!(":{port} "), &format!("{number} "));
        }
        text.lines().map(str::to_owned).collect()
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    // All are held until all are chosen, so that they differ.
    let listeners: Vec<_> = std::iter::repeat_with(bind).take(count).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

fn configuration(ports: &[u16], http: &str, servers: &[String]) -> String {
    let mut blocks = String::new();
    for (port, server) in ports.iter().zip(servers) {
        blocks += &format!("server {{ listen 127.0.0.1:{port} ssl http2; {server} }}\n");
    }
    for (number, port) in ports.iter().enumerate() {
        blocks = blocks.replace(&format!("{{port {number}}}"), &port.to_string());
    }
    format!(
        r#"
        daemon off;
        # One process, as whoever runs the test.
        master_process off;
        pid pid;
        events {{ }}
        http {{
            log_format told ':$server_port $request_method $uri $status $server_protocol $http_authorization';
            access_log access.log told;
            ssl_certificate server.pem;
            ssl_certificate_key server.key;
            client_max_body_size 32m;
            client_body_temp_path client_body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
            {http}
            {blocks}
        }}
        "#
    )
}
