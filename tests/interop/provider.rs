//! The authorization server of one test: `oidc-provider` in a process of its own, and a hold on it.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::process::Command;
use tower_reauth::{AccessToken, RefreshToken, SigningAlgorithm, SigningKey, TokenSet};

use crate::link::Link;

const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server");

/// The secret of every client that has one.
pub(crate) const SECRET: &str = "s3cr:t%+ /~";

/// A running server. It ends when this is dropped, and when this process is killed.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    /// The private key of the clients `pkjwt` and `svc-pkjwt`, as PEM.
    assertion_key: String,
    link: Link,
}

/// A server that listens and does not answer yet, because what stands in front of it decides its issuer.
pub(crate) struct Listening {
    pub(crate) port: u16,
    link: Link,
}

/// What the server counted.
#[derive(Debug, Deserialize, PartialEq)]
pub(crate) struct Stats {
    /// Answers by path, then by status.
    pub(crate) paths: BTreeMap<String, BTreeMap<String, u64>>,
    /// Answers of the token endpoint by grant type, then by status.
    pub(crate) grants: BTreeMap<String, BTreeMap<String, u64>>,
    /// Grants that were revoked with every token of theirs: families, after a refresh token came twice.
    pub(crate) revoked: u64,
}

impl Stats {
    /// Answers of the token endpoint, as `refresh_token 200`; a number behind it if there were several.
    pub(crate) fn token_requests(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (grant, statuses) in &self.grants {
            for (status, count) in statuses {
                let grant = grant.rsplit(':').next().unwrap();
                found.push(match count {
                    1 => format!("{grant} {status}"),
                    _ => format!("{grant} {status} ×{count}"),
                });
            }
        }
        found
    }

    pub(crate) fn path(&self, path: &str, status: &str) -> u64 {
        self.paths.get(path).and_then(|statuses| statuses.get(status)).copied().unwrap_or(0)
    }
}

impl Provider {
    /// A server that rotates refresh tokens.
    pub(crate) async fn new() -> Self {
        Self::with(json!({ "rotate": true })).await
    }

    /// A server set up as `configure` in `server/provider.mjs` reads it.
    pub(crate) async fn with(options: Value) -> Self {
        let listening = Listening::new(json!({})).await;
        let issuer = format!("http://127.0.0.1:{}", listening.port);
        listening.start(&issuer, options).await
    }

    pub(crate) fn uri(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    /// What the clients `pkjwt` and `svc-pkjwt` sign with.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::from_pem(SigningAlgorithm::Es256, &self.assertion_key).unwrap()
    }

    /// The tokens of a login with the client `client`, whose access token never left the server: it does
    /// not say when it expires.
    pub(crate) async fn login(&self, client: &str) -> TokenSet {
        self.login_for(client, None).await
    }

    /// As [`login`](Self::login), and every refresh brings an access token for `resource`.
    pub(crate) async fn login_for(&self, client: &str, resource: Option<&str>) -> TokenSet {
        #[derive(Deserialize)]
        struct Minted {
            access_token: String,
            refresh_token: String,
        }
        let scope = "openid offline_access api:read";
        let minted: Minted = self
            .ask(json!({ "do": "mint", "client": client, "scope": scope, "resource": resource }))
            .await;
        TokenSet::new(AccessToken::new(minted.access_token).unwrap())
            .refresh_token(RefreshToken::new(minted.refresh_token).unwrap())
    }

    /// The tokens of a login, whose access token the server forgot since.
    pub(crate) async fn stale_login(&self, client: &str) -> TokenSet {
        let tokens = self.login(client).await;
        self.forget(tokens.access()).await;
        tokens
    }

    /// Refuse this access token from now on.
    pub(crate) async fn forget(&self, token: &AccessToken) {
        self.ask::<()>(json!({ "do": "forget", "access_token": token.expose_secret() })).await;
    }

    /// Let the user who was shown this code say yes.
    pub(crate) async fn approve(&self, user_code: &str) {
        self.ask::<()>(json!({ "do": "approve", "user_code": user_code })).await;
    }

    /// Let the server's clock run ahead.
    pub(crate) async fn advance(&self, time: Duration) {
        self.ask::<()>(json!({ "do": "advance", "seconds": time.as_secs() })).await;
    }

    /// Do this to the next request, as `plan` in `server/conduct.mjs` reads it.
    pub(crate) async fn fault(&self, fault: Value) {
        let mut command = fault;
        command["do"] = "fault".into();
        self.ask::<()>(command).await;
    }

    /// Wait until so many requests are held.
    pub(crate) async fn held(&self, count: usize) {
        self.ask::<()>(json!({ "do": "held", "count": count })).await;
    }

    /// Let go what is held.
    pub(crate) async fn release(&self) {
        self.ask::<()>(json!({ "do": "release" })).await;
    }

    pub(crate) async fn stats(&self) -> Stats {
        self.ask(json!({ "do": "stats" })).await
    }

    async fn ask<T: DeserializeOwned>(&self, command: Value) -> T {
        self.link.ask(command).await
    }
}

impl Listening {
    /// A server that listens as `listen` in `server/launcher.mjs` says.
    pub(crate) async fn new(options: Value) -> Self {
        #[derive(Deserialize)]
        struct Bound {
            port: u16,
        }
        let link = Link::to(node("launcher.mjs"), "the authorization server");
        let mut command = options;
        command["do"] = "listen".into();
        let bound: Bound = link.ask(command).await;
        Self { port: bound.port, link }
    }

    pub(crate) async fn start(self, issuer: &str, options: Value) -> Provider {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Started {
            assertion_key: String,
        }
        let mut command = options;
        command["do"] = "start".into();
        command["issuer"] = issuer.into();
        let Started { assertion_key } = self.link.ask(command).await;
        Provider { issuer: issuer.into(), assertion_key, link: self.link }
    }
}

/// A script beside this file, whose output is read and which ends when it is dropped.
pub(crate) fn node(script: &str) -> Command {
    assert!(
        Path::new(SERVER).join("node_modules").is_dir(),
        "the packages of tests/interop/server are missing: `tests/run interop` installs them"
    );
    let mut command = crate::support::program("node");
    command.arg(script).current_dir(SERVER).stdout(Stdio::piped()).kill_on_drop(true);
    command
}
