//! What goes wrong: access tokens are revoked, and the token endpoint fails.

use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use http::StatusCode;
use tower_reauth::{
    Event, Events, RefreshCause,
    testing::{AuthorizationServer, Fault},
};

use crate::trip::now;

/// Access tokens are revoked at most this often.
const BETWEEN_REVOCATIONS: Duration = Duration::from_secs(5);

/// How long the token endpoint takes when all is well.
const USUAL: Duration = Duration::from_millis(50);

/// For how long the token endpoint, if it loses answers, repeats one to who asks again.
const GRACE: Duration = Duration::from_secs(10);

/// The session's refreshes, by their cause.
#[derive(Default)]
pub(crate) struct Refreshes {
    pub(crate) start: usize,
    pub(crate) early: usize,
    pub(crate) expired: usize,
    pub(crate) challenged: usize,
    pub(crate) failed: usize,
    /// Whatever else the session told.
    pub(crate) other: Vec<String>,
}

impl Refreshes {
    pub(crate) fn done(&self) -> usize {
        self.start + self.early + self.expired + self.challenged
    }
}

pub(crate) struct Trouble {
    authorization: AuthorizationServer,
    events: Events,
    refreshes: Refreshes,
    chaos: bool,
    last_revocation: Instant,
    /// How often the token endpoint had been called when the last hiccup was ordered.
    requests_at_hiccup: usize,
    /// How many refreshes had been done when that hiccup was seen to be met.
    done_when_met: Option<usize>,
    answers_lost: usize,
}

impl Trouble {
    pub(crate) fn new(authorization: &AuthorizationServer, events: Events, chaos: bool) -> Self {
        authorization.delay_before(USUAL);
        if chaos {
            // A strict server ends the session when an answer is lost, and so it should.
            authorization.grace(GRACE);
        }
        Self {
            authorization: authorization.clone(),
            events,
            refreshes: Refreshes::default(),
            chaos,
            last_revocation: now(),
            requests_at_hiccup: 0,
            done_when_met: None,
            answers_lost: 0,
        }
    }

    pub(crate) fn refreshes(&self) -> &Refreshes {
        &self.refreshes
    }

    /// How often the server was told to do its work and lose the answer.
    pub(crate) fn answers_lost(&self) -> usize {
        self.answers_lost
    }

    /// Hear what the session did. Between two refreshes, order the next one's hiccup.
    pub(crate) fn watch(&mut self) {
        while let Some(Some(event)) = self.events.next().now_or_never() {
            let refreshes = &mut self.refreshes;
            match event {
                Event::Refreshed(RefreshCause::Start) => refreshes.start += 1,
                Event::Refreshed(RefreshCause::Early) => refreshes.early += 1,
                Event::Refreshed(RefreshCause::Expired) => refreshes.expired += 1,
                Event::Refreshed(RefreshCause::Challenged) => refreshes.challenged += 1,
                Event::RefreshFailed(error) => {
                    refreshes.failed += 1;
                    refreshes.other.push(error.to_string());
                }
                other => refreshes.other.push(format!("{other:?}")),
            }
        }
        if self.chaos && self.is_over() {
            self.requests_at_hiccup = self.authorization.token_requests();
            self.done_when_met = None;
            self.hiccup();
        }
    }

    /// The refresh that met the last hiccup is over: two hiccups would be too much for one.
    fn is_over(&mut self) -> bool {
        let done = self.refreshes.done();
        if self.authorization.token_requests() > self.requests_at_hiccup {
            done > *self.done_when_met.get_or_insert(done)
        } else {
            false
        }
    }

    /// The middle of a wave.
    pub(crate) fn strike(&mut self) {
        if self.last_revocation.elapsed() >= BETWEEN_REVOCATIONS {
            self.last_revocation = now();
            self.authorization.revoke_access_tokens();
        }
    }

    /// The next refresh meets one of these, and gets through: it tries three times where nothing can
    /// have been spent, and once more where something may have been.
    fn hiccup(&mut self) {
        let server = &self.authorization;
        server.delay_before(USUAL);
        match fastrand::u8(0..8) {
            0 => server.fail_next(2, Fault::Status(StatusCode::SERVICE_UNAVAILABLE)),
            1 => {
                let wait = Duration::from_secs(1);
                server.fail_next(1, Fault::RetryAfter(StatusCode::TOO_MANY_REQUESTS, wait));
            }
            2 => server.fail_next(1, Fault::Html(StatusCode::BAD_GATEWAY)),
            3 => server.fail_next(1, Fault::Reset),
            4 => server.delay_before(Duration::from_millis(fastrand::u64(100..700))),
            lost => {
                self.answers_lost += 1;
                let fault = match lost {
                    5 => Fault::LostAnswer,
                    6 => Fault::Truncated,
                    _ => Fault::Gateway(StatusCode::GATEWAY_TIMEOUT),
                };
                server.fail_next(1, fault);
            }
        }
    }
}
