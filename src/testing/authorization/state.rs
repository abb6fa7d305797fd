//! What an authorization server knows, and what it was told.

use std::time::Duration;

use super::{
    TokenRequest,
    clients::Clients,
    device::Devices,
    ledger::{Ledger, Rules},
};
use crate::testing::log::Log;

/// So many token requests are remembered.
const KEPT: usize = 4096;

pub(super) struct State {
    pub(super) ledger: Ledger,
    pub(super) clients: Clients,
    pub(super) devices: Devices,
    pub(super) settings: Settings,
    pub(super) counts: Counts,
    pub(super) log: Log<TokenRequest>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            ledger: Ledger::default(),
            clients: Clients::default(),
            devices: Devices::default(),
            settings: Settings::default(),
            counts: Counts::default(),
            log: Log::of(KEPT),
        }
    }
}

pub(super) struct Settings {
    pub(super) lifetime: Duration,
    pub(super) issuer: String,
    /// The last segment of the token endpoint's path.
    pub(super) token_name: String,
    pub(super) scope: String,
    pub(super) rules: Rules,
    pub(super) already_expired: bool,
    pub(super) omit: Vec<&'static str>,
    pub(super) skew_seconds: i64,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) token_requests: usize,
    pub(super) refreshes: usize,
    pub(super) rotations: usize,
    pub(super) repeats: usize,
    pub(super) reused: usize,
    pub(super) revocations: usize,
    pub(super) metadata_requests: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(3600),
            issuer: "https://auth.example.com".into(),
            token_name: "token".into(),
            scope: "api".into(),
            rules: Rules {
                grace: Duration::ZERO,
                rotate: true,
                hand_out_refresh_token: true,
                same_access_token: false,
            },
            already_expired: false,
            omit: Vec::new(),
            skew_seconds: 0,
        }
    }
}
