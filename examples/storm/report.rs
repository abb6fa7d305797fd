//! What came of it all: a table, one line, and an exit code.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use tower_reauth::testing::{AuthorizationServer, ResourceServer};

use crate::{LIFETIME, trouble::Trouble};

/// What became of one request.
pub(crate) struct Outcome {
    pub(crate) fate: Fate,
    /// It was sent as soon as it had its turn.
    pub(crate) at_once: bool,
    pub(crate) sends: u32,
    pub(crate) waited: Duration,
    pub(crate) took: Duration,
}

pub(crate) enum Fate {
    Ok,
    Unauthorized,
    Failed(String),
}

impl Fate {
    pub(crate) fn failed(reason: &str) -> Self {
        Self::Failed(reason.into())
    }
}

impl Outcome {
    pub(crate) fn failed(reason: String) -> Self {
        let (waited, took) = (Duration::ZERO, Duration::ZERO);
        Self { fate: Fate::Failed(reason), at_once: false, sends: 0, waited, took }
    }
}

/// All outcomes, added up.
#[derive(Default)]
pub(crate) struct Report {
    requests: usize,
    ok: usize,
    unauthorized: usize,
    failures: BTreeMap<String, usize>,
    at_once: usize,
    /// By how often they were sent again: once, twice.
    replayed: [usize; 2],
    waits: Vec<Duration>,
    times: Vec<Duration>,
}

impl Report {
    pub(crate) fn count(&mut self, outcome: Outcome) {
        self.requests += 1;
        match outcome.fate {
            Fate::Ok => self.ok += 1,
            Fate::Unauthorized => self.unauthorized += 1,
            Fate::Failed(reason) => *self.failures.entry(reason).or_default() += 1,
        }
        match outcome.sends {
            0 | 1 => {}
            2 => self.replayed[0] += 1,
            _ => self.replayed[1] += 1,
        }
        self.at_once += usize::from(outcome.at_once);
        if !outcome.at_once || outcome.sends > 1 {
            self.waits.push(outcome.waited);
        }
        self.times.push(outcome.took);
    }

    pub(crate) fn progress(&self) -> String {
        format!("{} requests, {} not ok", self.requests, self.requests - self.ok)
    }

    fn failed(&self) -> usize {
        self.failures.values().sum()
    }

    pub(crate) fn print(
        &mut self,
        elapsed: Duration,
        authorization: &AuthorizationServer,
        api: &ResourceServer,
        trouble: &mut Trouble,
        connections: usize,
    ) {
        trouble.watch();
        let refreshes = trouble.refreshes();
        let per_second = self.requests as f64 / elapsed.as_secs_f64();
        println!("refreshes    early {}", refreshes.early);
        println!("             expired {}", refreshes.expired);
        println!("             challenged {}", refreshes.challenged);
        println!("             failed {}", refreshes.failed);
        println!("requests     sent at once {}", self.at_once);
        println!("             held until there was a token {}", self.requests - self.at_once);
        println!(
            "             challenged {}, sent again once {}, twice {}",
            api.unauthorized(),
            self.replayed[0],
            self.replayed[1]
        );
        println!("waits        {}", percentiles(&mut self.waits));
        println!("latency      {}", percentiles(&mut self.times));
        println!(
            "throughput   {per_second:.0} requests/s, {connections} HTTP/1.1 connections and one HTTP/2"
        );
        println!(
            "endpoint     {} token requests, {} answers lost, {} repeated",
            authorization.token_requests(),
            trouble.answers_lost(),
            authorization.repeats()
        );
        for told in &refreshes.other {
            println!("event        {told}");
        }
        for (reason, times) in &self.failures {
            println!("failure      {times} × {reason}");
        }
        println!(
            "requests={} ok={} unauthorized={} failed={} expiries={} revocations={} rotations={} reused_refresh_tokens={}",
            self.requests,
            self.ok,
            self.unauthorized,
            self.failed(),
            refreshes.early + refreshes.expired,
            authorization.revocations(),
            authorization.rotations(),
            authorization.reused(),
        );
    }

    /// Success, if every promise was kept.
    pub(crate) fn verdict(
        &self,
        elapsed: Duration,
        authorization: &AuthorizationServer,
        trouble: &Trouble,
    ) -> ExitCode {
        let periods = elapsed.as_secs_f64() / (0.73 * LIFETIME.as_secs_f64());
        let most = periods + authorization.revocations() as f64 + 1.0;
        let broken: Vec<_> = [
            (self.unauthorized > 0, "a request saw a 401"),
            (self.failed() > 0, "a request failed"),
            (self.ok == 0, "nothing was sent"),
            (
                authorization.rotations() as f64 > most,
                "there were more refreshes than tokens needed",
            ),
            (authorization.reused() > 0, "a refresh token was spent twice"),
            (
                authorization.repeats() > trouble.answers_lost(),
                "a refresh token was spent twice, and no answer had been lost",
            ),
        ]
        .into_iter()
        .filter_map(|(broken, promise)| broken.then_some(promise))
        .collect();
        for promise in &broken {
            eprintln!("broken: {promise}");
        }
        if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn percentiles(durations: &mut [Duration]) -> String {
    durations.sort_unstable();
    let Some(last) = durations.len().checked_sub(1) else { return "none".into() };
    let at = |part: f64| {
        let index = (last as f64 * part) as usize;
        format!("{:.1} ms", durations[index].as_secs_f64() * 1000.0)
    };
    format!("p50 {}, p90 {}, p99 {}, max {}", at(0.5), at(0.9), at(0.99), at(1.0))
}
