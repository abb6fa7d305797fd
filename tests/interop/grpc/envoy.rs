//! The gateway of one test: Envoy, in a folder and on ports of its own.

use std::{fs, time::Duration};

use http_body_util::{BodyExt, Empty};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::{
    python::installed,
    support::{guarded, plain, soon},
};

/// A running Envoy. It ends when this is dropped, and when this process is killed.
pub(crate) struct Envoy {
    _process: Child,
    folder: TempDir,
    pub(crate) origin: String,
}

impl Envoy {
    /// A gateway that judges JWTs of `issuer`, an authorization server on port `authorization`, for
    /// `urn:api`. Calls of gRPC go to the port `grpc`, everything else to the port `files`. At `/token`
    /// it is the token endpoint of the authorization server, once in two seconds.
    pub(crate) async fn new(issuer: &str, authorization: u16, grpc: u16, files: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| folder.path().join(name);
        let configuration = json!({
            "admin": { "address": free_port() },
            "static_resources": {
                "listeners": [{
                    "name": "gateway",
                    "address": free_port(),
                    "filter_chains": [{ "filters": [typed(
                        "envoy.filters.network.http_connection_manager",
                        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        json!({
                            "stat_prefix": "gateway",
                            "access_log": [log(file("access.log").to_str().unwrap())],
                            "http_filters": [judge(issuer), limit(json!({})), router()],
                            "route_config": { "virtual_hosts": [{
                                "name": "all",
                                "domains": ["*"],
                                "routes": routes(),
                            }] },
                        }),
                    )] }],
                }],
                "clusters": [
                    cluster("authorization", authorization, "http_protocol_options"),
                    cluster("grpc", grpc, "http2_protocol_options"),
                    cluster("files", files, "http_protocol_options"),
                ],
            },
        });
        fs::write(file("envoy.json"), configuration.to_string()).unwrap();

        let mut command = Command::new(envoy());
        command.arg("--config-path").arg(file("envoy.json"));
        command.arg("--admin-address-path").arg(file("admin"));
        command.arg("--log-path").arg(file("error.log"));
        // One process of its own, and what it logs is there at once.
        command.args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]);
        command.args(["--file-flush-interval-msec", "10"]);
        let process = guarded(&command).spawn().unwrap();
        let mut envoy = Self { _process: process, folder, origin: String::new() };
        envoy.origin = soon(envoy.listens()).await;
        envoy
    }

    /// The origin of the gateway, once it listens.
    async fn listens(&self) -> String {
        loop {
            let log = self.read("error.log");
            assert!(!log.contains("[critical]") && !log.contains("exiting"), "{log}");
            if let Some(port) = self.port().await {
                return format!("http://127.0.0.1:{port}");
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// By what it says of itself: the ports were free ones.
    async fn port(&self) -> Option<u64> {
        let admin = self.read("admin");
        let uri = format!("http://{admin}/listeners?format=json").parse().ok()?;
        let answer = plain::<Empty<&[u8]>>().get(uri).await.ok()?.into_body();
        let listeners: Value =
            serde_json::from_slice(&answer.collect().await.ok()?.to_bytes()).ok()?;
        let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
        address.get("port_value")?.as_u64()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }

    /// What was answered so far: path, HTTP status, the gRPC status or `-`, and Envoy's own word for who
    /// answered. This waits until there are so many lines.
    pub(crate) async fn log(&self, lines: usize) -> Vec<String> {
        soon(async {
            while self.read("access.log").lines().count() < lines {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        self.read("access.log").lines().map(str::to_owned).collect()
    }
}

/// The program, wherever this version of Python puts it.
fn envoy() -> std::path::PathBuf {
    let versions = fs::read_dir(installed("lib")).unwrap();
    let mut found = versions.map(|version| {
        let package = version.unwrap().path().join("site-packages/envoy/_bin/envoy");
        package.is_file().then_some(package)
    });
    found.find_map(|program| program).expect("Envoy: `tests/run interop` installs it")
}

fn free_port() -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": 0 } })
}

fn typed(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/{kind}").into();
    json!({ "name": name, "typed_config": config })
}

fn log(path: &str) -> Value {
    let line = "%REQ(:PATH)% %RESPONSE_CODE% %GRPC_STATUS% %RESPONSE_CODE_DETAILS%\n";
    typed(
        "envoy.access_loggers.file",
        "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        json!({
            "path": path,
            "log_format": { "text_format_source": { "inline_string": line } },
        }),
    )
}

fn judge(issuer: &str) -> Value {
    let keys = json!({
        "http_uri": { "uri": format!("{issuer}/jwks"), "cluster": "authorization", "timeout": "5s" },
    });
    typed(
        "envoy.filters.http.jwt_authn",
        "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        json!({
            "providers": { "issuer": {
                "issuer": issuer,
                "audiences": ["urn:api"],
                "remote_jwks": keys,
                // A minute by default, for which expired tokens would be taken.
                "clock_skew_seconds": 1,
            } },
            "rules": [
                { "match": { "path": "/token" } },
                { "match": { "prefix": "/" }, "requires": { "provider_name": "issuer" } },
            ],
        }),
    )
}

/// The filter, or what it is to do on one route.
fn limit(mut config: Value) -> Value {
    config["stat_prefix"] = "limit".into();
    typed(
        "envoy.filters.http.local_ratelimit",
        "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        config,
    )
}

fn router() -> Value {
    let kind = "envoy.extensions.filters.http.router.v3.Router";
    typed("envoy.filters.http.router", kind, json!({}))
}

fn routes() -> Value {
    let always = json!({ "default_value": { "numerator": 100 }, "runtime_key": "limit" });
    let seldom = limit(json!({
        "token_bucket": { "max_tokens": 1, "tokens_per_fill": 1, "fill_interval": "2s" },
        "filter_enabled": always,
        "filter_enforced": always,
        "response_headers_to_add": [{ "header": { "key": "retry-after", "value": "2" } }],
    }));
    json!([
        {
            "match": { "path": "/token" },
            "route": { "cluster": "authorization" },
            "typed_per_filter_config": {
                "envoy.filters.http.local_ratelimit": seldom["typed_config"],
            },
        },
        // Streams are not cut off.
        { "match": { "prefix": "/", "grpc": {} }, "route": { "cluster": "grpc", "timeout": "0s" } },
        { "match": { "prefix": "/" }, "route": { "cluster": "files" } },
    ])
}

fn cluster(name: &str, port: u16, protocol: &str) -> Value {
    let address = json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    let options = typed(
        "",
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        json!({ "explicit_http_config": { protocol: {} } }),
    );
    json!({
        "name": name,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options["typed_config"],
        },
    })
}
