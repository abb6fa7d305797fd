//! Who spent which refresh token, from two sides: the server's log, and what the workers said.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    time::Duration,
};

use http::StatusCode;
use tower_reauth::testing::TokenRequest;

use crate::{
    crew::{Death, Life},
    report::{Report, Window},
    worker::WORKER,
};

/// A token request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) worker: String,
    pub(crate) token: String,
    pub(crate) status: Option<StatusCode>,
}

impl Arrival {
    fn of(request: &TokenRequest) -> Self {
        let worker = request.headers().get(WORKER).expect("every worker says who it is");
        let token = request.parameter("refresh_token").expect("there is no other grant");
        Self {
            worker: worker.to_str().unwrap().into(),
            token: token.into(),
            status: request.status(),
        }
    }
}

/// What came of a scenario.
pub(crate) struct Account {
    pub(crate) lives: Vec<Life>,
    pub(crate) arrivals: Vec<Arrival>,
}

/// A refresh token that the server saw more than once.
#[derive(Debug)]
pub(crate) struct Doubled<'a> {
    pub(crate) token: &'a str,
    pub(crate) arrivals: Vec<&'a Arrival>,
}

impl Account {
    pub(crate) fn new(lives: Vec<Life>, requests: &[TokenRequest]) -> Self {
        Self { lives, arrivals: requests.iter().map(Arrival::of).collect() }
    }

    /// The server's side.
    pub(crate) fn doubled(&self) -> Vec<Doubled<'_>> {
        let mut tokens = BTreeMap::<&str, Vec<&Arrival>>::new();
        for arrival in &self.arrivals {
            tokens.entry(&arrival.token).or_default().push(arrival);
        }
        let doubled = tokens.into_iter().filter(|(_, arrivals)| arrivals.len() > 1);
        doubled.map(|(token, arrivals)| Doubled { token, arrivals }).collect()
    }

    /// Where in the server's log this token is.
    #[cfg(feature = "redis")]
    pub(crate) fn places(&self, token: &str) -> Vec<usize> {
        let arrivals = self.arrivals.iter().enumerate();
        arrivals.filter(|(_, it)| it.token == token).map(|(place, _)| place).collect()
    }

    /// The workers' side: how often a token was marked by one and found marked by the next.
    pub(crate) fn found(&self) -> HashMap<&str, usize> {
        let mut found = HashMap::<&str, usize>::new();
        for report in self.lives.iter().flat_map(|life| &life.reports) {
            if let Report::Found(token) = report {
                *found.entry(token).or_default() += 1;
            }
        }
        found
    }

    /// Each process that was killed between sending a refresh token and saving the answer, with the token.
    pub(crate) fn unsaved(&self) -> Vec<(&Life, &str)> {
        let killed = self.lives.iter().filter(|life| life.death.is_some());
        killed.filter_map(|life| Some((life, spending(life)?))).collect()
    }

    /// Nothing is sent twice but what a killed process had sent without saving the answer.
    pub(crate) fn assert_nothing_else_is_doubled(&self) {
        let unsaved: BTreeSet<_> =
            self.unsaved().into_iter().map(|(life, token)| (life.id.as_str(), token)).collect();
        let found = self.found();
        for Doubled { token, arrivals } in self.doubled() {
            // All of them but one have to be excused; nobody sends the same token twice by itself.
            let senders: BTreeSet<_> = arrivals.iter().map(|it| it.worker.as_str()).collect();
            assert_eq!(senders.len(), arrivals.len(), "one process sent it twice: {arrivals:?}");
            let not_excused: Vec<_> =
                senders.iter().filter(|sender| !unsaved.contains(&(**sender, token))).collect();
            assert!(not_excused.len() <= 1, "no kill excuses {not_excused:?}: {arrivals:?}");
            // The marks know of every one of them.
            let found = found.get(token).copied().unwrap_or_default();
            assert!(found >= arrivals.len() - 1, "{found} marks were found: {arrivals:?}");
        }
        // And no mark was found but that of a process killed before it had saved.
        for (token, times) in found {
            let marked = |life: &&Life| life.death.is_some() && marking(life) == Some(token);
            let vanished = self.lives.iter().filter(marked).count();
            assert!(
                times <= vanished,
                "{times} found the mark of {vanished} who vanished: {token}"
            );
        }
    }

    /// Whether the one answer to this refresh token was found, though its process was killed with it.
    fn is_answered_once(&self, token: &str) -> bool {
        let mut arrivals = self.arrivals.iter().filter(|it| it.token == token);
        let answered = arrivals.next().is_some_and(|it| it.status == Some(StatusCode::OK));
        answered && arrivals.next().is_none()
    }

    pub(crate) fn failures(&self) -> Vec<(&str, &Report)> {
        let failed = |report: &&Report| matches!(report, Report::Failed(_));
        let of = |life: &'_ Life| life.reports.iter().filter(failed).count() > 0;
        let lives = self.lives.iter().filter(|life| of(life));
        lives
            .flat_map(|life| life.reports.iter().filter(failed).map(|it| (life.id.as_str(), it)))
            .collect()
    }

    pub(crate) fn count(&self, wanted: &Report) -> usize {
        self.lives.iter().flat_map(|life| &life.reports).filter(|report| *report == wanted).count()
    }

    pub(crate) fn kills(&self, death: Death) -> usize {
        self.lives.iter().filter(|life| life.death == Some(death)).count()
    }

    fn windows(&self) -> impl Iterator<Item = Window> {
        let reports = self.lives.iter().flat_map(|life| &life.reports);
        reports.filter_map(|report| match report {
            Report::Saved(_, window) => Some(*window),
            _ => None,
        })
    }
}

/// The token that a process had sent when it said its last word, with no answer saved.
pub(crate) fn spending(life: &Life) -> Option<&str> {
    let mut marked = None;
    let mut sent = None;
    for report in &life.reports {
        match report {
            Report::Mark(token) => marked = Some(token.as_str()),
            Report::Sending => sent = marked,
            Report::Saved(..) | Report::Buried => sent = None,
            _ => {}
        }
    }
    sent
}

/// The token that a process had marked, or was about to, and had not saved the successor of.
pub(crate) fn marking(life: &Life) -> Option<&str> {
    let mut marked = None;
    for report in &life.reports {
        match report {
            Report::Mark(token) => marked = Some(token.as_str()),
            Report::Saved(..) | Report::Buried => marked = None,
            _ => {}
        }
    }
    marked
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (random, aimed) = (self.kills(Death::Random), self.kills(Death::Aimed));
        let unsaved = self.unsaved();
        let by_chance =
            unsaved.iter().filter(|(life, _)| life.death == Some(Death::Random)).count();
        let doubled: usize = self.doubled().iter().map(|it| it.arrivals.len() - 1).sum();
        let found: usize = self.found().values().sum();
        writeln!(f, "  {} requests served", self.count(&Report::Served))?;
        writeln!(f, "  {random} kills at random, {by_chance} of them between send and save")?;
        writeln!(f, "  {aimed} kills aimed at a send, {} of them hit", unsaved.len() - by_chance)?;
        let written = unsaved.iter().filter(|(_, token)| self.is_answered_once(token)).count();
        writeln!(f, "  {written} of all these had written the answer down")?;
        writeln!(f, "  {} token requests", self.arrivals.len())?;
        writeln!(f, "  sent again: {doubled} by the server's log; {found} marks were found")?;
        let whole = spread(self.windows().map(|window| window.whole));
        let save = spread(self.windows().map(|window| window.save));
        writeln!(f, "  from send to save: {whole}; from answer to save: {save}")
    }
}

fn spread(lengths: impl Iterator<Item = Duration>) -> String {
    let mut lengths: Vec<_> = lengths.collect();
    lengths.sort();
    match (lengths.get(lengths.len() / 2), lengths.last()) {
        (Some(median), Some(longest)) => {
            format!("median {median:?}, longest {longest:?} of {}", lengths.len())
        }
        _ => "never".into(),
    }
}
