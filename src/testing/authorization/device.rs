//! Device authorization (RFC 8628): a code for the user, and one to poll with.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use serde_json::Map;

use super::{
    AuthorizationServer, State, TokenRequest,
    endpoint::{error, json_answer, read, unfit},
    ledger::Granted,
};
use crate::{
    BoxError,
    testing::{ResponseBody, fault::Outcome, jwt::Millis},
};

pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What RFC 8628 §3.2 has a client assume, and §3.5 adds for one that is too fast.
const STEP: Duration = Duration::from_secs(5);

pub(super) struct Devices {
    serial: u64,
    lifetime: Duration,
    interval: Option<Duration>,
    polls: usize,
    hasty: usize,
    /// By device code.
    pending: HashMap<String, Pending>,
}

struct Pending {
    user_code: String,
    expiry: Instant,
    interval: Duration,
    polled: Option<Instant>,
    word: Word,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    None,
    Approved,
    Denied,
}

/// Why a poll brings no tokens: a code of RFC 8628 §3.5.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(&'static str);

impl Refusal {
    pub(super) fn answer(self) -> Response<ResponseBody> {
        error(StatusCode::BAD_REQUEST, self.0, "the device has no tokens yet, or never will")
    }
}

impl Default for Devices {
    fn default() -> Self {
        Self {
            serial: 0,
            lifetime: Duration::from_secs(600),
            interval: Some(STEP),
            polls: 0,
            hasty: 0,
            pending: HashMap::new(),
        }
    }
}

impl Devices {
    /// The device code and the user code.
    fn begin(&mut self, now: Instant) -> (String, String) {
        self.serial += 1;
        let device_code = format!("device-{}-{:016x}", self.serial, fastrand::u64(..));
        let user_code = format!("CODE-{:04}", self.serial);
        let pending = Pending {
            user_code: user_code.clone(),
            expiry: now + self.lifetime,
            interval: self.interval.unwrap_or(STEP),
            polled: None,
            word: Word::None,
        };
        self.pending.insert(device_code.clone(), pending);
        (device_code, user_code)
    }

    fn decide(&mut self, user_code: &str, word: Word) -> bool {
        let pending = self.pending.values_mut().find(|pending| pending.user_code == user_code);
        pending.map(|pending| pending.word = word).is_some()
    }

    fn poll(&mut self, device_code: &str, now: Instant) -> Result<(), Refusal> {
        self.polls += 1;
        let pending = self.pending.get_mut(device_code).ok_or(Refusal("invalid_grant"))?;
        let last = pending.polled.replace(now);
        if now >= pending.expiry {
            return Err(Refusal("expired_token"));
        }
        if last.is_some_and(|last| now.saturating_duration_since(last) < pending.interval) {
            pending.interval += STEP;
            self.hasty += 1;
            return Err(Refusal("slow_down"));
        }
        match pending.word {
            Word::None => Err(Refusal("authorization_pending")),
            Word::Denied => Err(Refusal("access_denied")),
            Word::Approved => {
                self.pending.remove(device_code);
                Ok(())
            }
        }
    }
}

/// Devices that log in (RFC 8628).
impl AuthorizationServer {
    /// The device authorization endpoint in memory: that of the issuer.
    #[must_use]
    pub fn device_authorization_endpoint(&self) -> Uri {
        self.endpoint("device")
    }

    /// The user enters this code and agrees. `false` if there is no such code.
    pub fn approve_device(&self, user_code: &str) -> bool {
        self.state().devices.decide(user_code, Word::Approved)
    }

    /// The user enters this code and refuses. `false` if there is no such code.
    pub fn deny_device(&self, user_code: &str) -> bool {
        self.state().devices.decide(user_code, Word::Denied)
    }

    /// How long codes live that are handed out from now on, by monotonic time.
    ///
    /// Default: 10 min.
    pub fn device_code_lifetime(&self, lifetime: Duration) {
        self.state().devices.lifetime = lifetime;
    }

    /// How far apart polls are to be, in whole seconds. A poll that comes sooner is answered `slow_down`,
    /// and from then on they are to be 5 s further apart. `None`: 5 s, and the answer does not say so.
    ///
    /// Default: 5 s.
    pub fn device_interval(&self, interval: Option<Duration>) {
        self.state().devices.interval = interval;
    }

    /// The polls with a device code, whatever came of them.
    #[must_use]
    pub fn device_polls(&self) -> usize {
        self.state().devices.polls
    }

    /// The polls that were answered `slow_down`.
    #[must_use]
    pub fn hasty_polls(&self) -> usize {
        self.state().devices.hasty
    }

    pub(super) async fn device_authorization<B>(self, request: Request<B>) -> Outcome
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let request = read(request).await?;
        if let Some(refusal) = unfit(&request) {
            return Ok(refusal);
        }
        let (wall, now) = (self.now(), self.0.clock.now().mono);
        let mut state = self.state();
        if let Some(refusal) = state.refuses(&request, wall) {
            return Ok(refusal);
        }
        let State { devices, settings, .. } = &mut *state;
        let (device_code, user_code) = devices.begin(now);
        let address = format!("{}/activate", settings.issuer);
        let mut members = Map::new();
        members.insert("device_code".into(), device_code.into());
        let complete = format!("{address}?user_code={user_code}");
        members.insert("user_code".into(), user_code.into());
        members.insert("verification_uri".into(), address.into());
        members.insert("verification_uri_complete".into(), complete.into());
        members.insert("expires_in".into(), devices.lifetime.as_secs().into());
        if let Some(interval) = devices.interval {
            members.insert("interval".into(), interval.as_secs().into());
        }
        Ok(json_answer(StatusCode::OK, members))
    }

    pub(super) fn device_tokens(
        &self,
        state: &mut State,
        request: &TokenRequest,
        now: Millis,
    ) -> Result<Granted, Refusal> {
        let device_code = request.parameter("device_code").ok_or(Refusal("invalid_request"))?;
        let State { ledger, settings, devices, .. } = state;
        devices.poll(device_code, self.0.clock.now().mono)?;
        let access = self.mint_for_answer(ledger, settings, "user", now);
        Ok(ledger.open(access))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_device_is_pending_until_the_user_agrees_and_gets_tokens_once() {
        let (mut devices, now) = (Devices::default(), crate::Clock::system().now().mono);
        let (device, user) = devices.begin(now);
        assert_eq!(devices.poll(&device, now), Err(Refusal("authorization_pending")));
        assert!(devices.decide(&user, Word::Approved) && !devices.decide("other", Word::Approved));
        assert_eq!(devices.poll(&device, now + after(5)), Ok(()));
        assert_eq!(devices.poll(&device, now + after(10)), Err(Refusal("invalid_grant")));
    }

    #[test]
    fn a_hasty_device_is_slowed_down_for_good() {
        let (mut devices, now) = (Devices::default(), crate::Clock::system().now().mono);
        let (device, _) = devices.begin(now);
        for (at, code) in [
            (0, "authorization_pending"),
            (4, "slow_down"),
            (9, "slow_down"),
            (24, "authorization_pending"),
            (600, "expired_token"),
        ] {
            assert_eq!(devices.poll(&device, now + after(at)), Err(Refusal(code)), "{at}");
        }
        assert_eq!((devices.polls, devices.hasty), (5, 2));
    }
}
