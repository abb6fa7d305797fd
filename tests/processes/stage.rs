//! What a scenario takes place in: two servers, a crew, and the user who logs in where that is needed.

use std::time::Duration;

use tokio::time::{Instant, Interval, interval, timeout, timeout_at};
use tower_reauth::{
    Entry, Session, TokenStore,
    testing::{AuthorizationServer, Hold, Loopback, ResourceServer},
};

use crate::{
    account::Account,
    crew::{Crew, Death},
    report::Report,
    worker::{Place, Task, client, grant},
};

pub(crate) const PROCESSES: usize = 8;
const LIFETIME: Duration = Duration::from_secs(1);

/// Two kills of ten a second are this far apart.
const KILLS: Duration = Duration::from_millis(100);

/// Two in so many sends are answered with a kill, beside those at random.
const AIMED: usize = 6;

/// So long a request is waited for that is on its way to the server.
const ANSWER: Duration = Duration::from_secs(1);

/// No access token is replaced sooner, but after a kill: the early window is the last fifth of its life,
/// and the jitter a third of that.
const SOONEST: Duration = Duration::from_millis(730);

pub(crate) struct Stage<S> {
    pub(crate) authorization: AuthorizationServer,
    pub(crate) api: ResourceServer,
    pub(crate) crew: Crew,
    /// The user's own store, beside those of the crew.
    store: S,
    session: Session,
    logins: usize,
    /// How often workers had asked for a login when it was done.
    asked: usize,
    started: Instant,
    _servers: [Loopback; 2],
}

/// What came of it.
pub(crate) struct Run {
    pub(crate) authorization: AuthorizationServer,
    pub(crate) api: ResourceServer,
    pub(crate) account: Account,
    /// Logins that a session that had ended made necessary.
    pub(crate) logins: usize,
    took: Duration,
}

impl<S: TokenStore> Stage<S> {
    /// A crew that shares the session at this place, on a server with this grace window. `open` is a store
    /// at the same place.
    pub(crate) async fn new(place: Place, open: impl Fn() -> S, grace: Duration) -> Self {
        let authorization = AuthorizationServer::new();
        authorization.lifetime(LIFETIME);
        authorization.grace(grace);
        let api = ResourceServer::new(&authorization);
        let servers = [authorization.serve().await.unwrap(), api.serve().await.unwrap()];
        let [login, site] = servers.each_ref().map(Loopback::origin);
        // The session as its user's program holds it, which makes no requests.
        let session = Session::builder(grant(&login, client()))
            .store(open())
            .insecure_origin("http://127.0.0.1")
            .build()
            .unwrap();
        session.login(authorization.login()).await.unwrap();
        let task = Task { place, authorization: login, api: site };
        let crew = Crew::new(vec![task; PROCESSES]);
        let started = Instant::now();
        Self {
            authorization,
            api,
            crew,
            store: open(),
            session,
            logins: 0,
            asked: 0,
            started,
            _servers: servers,
        }
    }

    pub(crate) fn goes_on(&self, time: Duration) -> bool {
        self.started.elapsed() < time
    }

    /// What a user does whose session is over.
    pub(crate) async fn log_in_if_over(&mut self) {
        let asked = self.crew.count(&Report::NeedsLogin);
        let is_over = match self.store.load().await {
            Ok(Some(stored)) => stored.entry == Entry::Tombstone,
            // Nobody has anything to write again.
            Ok(None) => asked > self.asked,
            // A store that is down says nothing.
            Err(_) => false,
        };
        if is_over {
            self.logins += 1;
            // It counts even if it cannot be saved now.
            let _ = self.session.login(self.authorization.login()).await;
            self.asked = self.crew.count(&Report::NeedsLogin);
        }
    }

    /// Let everybody go on undisturbed, then go home.
    pub(crate) async fn end(mut self) -> Run {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            self.log_in_if_over().await;
            let soon = (Instant::now() + Duration::from_secs(2)).min(end);
            if timeout_at(soon, self.crew.all_are_served()).await.is_ok() {
                break;
            }
            assert!(Instant::now() < end, "undisturbed everybody goes on");
        }
        let lives = self.crew.dismiss().await;
        let took = self.started.elapsed();
        let account = Account::new(lives, &self.authorization.received());
        let Self { authorization, api, logins, .. } = self;
        Run { authorization, api, account, logins, took }
    }
}

/// Ten kills a second, and some aimed at a send: at once, or when the server has done its part and before anybody
/// hears of it.
pub(crate) async fn kills<S: TokenStore>(mut stage: Stage<S>, time: Duration) -> Run {
    let mut ticks: Interval = interval(KILLS);
    let mut sends = 0;
    let mut hold: Option<Hold> = None;
    while stage.goes_on(time) {
        let victim = tokio::select! {
            _ = ticks.tick() => {
                stage.log_in_if_over().await;
                Some((fastrand::usize(..stage.crew.len()), Death::Random))
            }
            place = stage.crew.sending() => {
                sends += 1;
                let armed = hold.is_some();
                if sends % AIMED == AIMED / 2 {
                    hold = Some(stage.authorization.hold());
                }
                // The answer to this one, or to the next if this one has been answered already.
                let wait = if armed { ANSWER } else { ANSWER / 20 };
                let is_held = match &hold {
                    Some(hold) => timeout(wait, hold.until_held(1)).await.is_ok(),
                    None => false,
                };
                if is_held {
                    stage.crew.kill(place, Death::Aimed).await;
                    hold = None;
                    None
                } else {
                    (sends % AIMED == 0).then_some((place, Death::Aimed))
                }
            }
        };
        if let Some((place, death)) = victim {
            stage.crew.kill(place, death).await;
        }
    }
    drop(hold);
    stage.end().await
}

impl Run {
    /// How often a refresh token was sent again.
    pub(crate) fn again(&self) -> usize {
        self.account.doubled().iter().map(|it| it.arrivals.len() - 1).sum()
    }

    /// No session is lost, and whatever was sent again was answered as before.
    pub(crate) fn assert_nobody_was_logged_out(&self) {
        assert_eq!(self.logins, 0, "no session is lost");
        assert_eq!(self.authorization.reused(), 0);
        assert_eq!(self.account.count(&Report::NeedsLogin), 0);
        assert_eq!(self.account.count(&Report::Buried), 0);
        assert_eq!(self.authorization.repeats(), self.again());
    }

    /// A strict server: a session ended only for a refresh token that was sent again.
    pub(crate) fn assert_each_end_is_accounted_for(&self) {
        let doubled = self.account.doubled();
        assert!(self.logins <= doubled.len(), "{} logins: {doubled:?}", self.logins);
        let refused =
            self.account.arrivals.iter().filter(|it| it.status != Some(http::StatusCode::OK));
        for arrival in refused {
            let excused = doubled.iter().any(|it| it.token == arrival.token);
            assert!(excused, "it was refused, and sent once: {arrival:?}");
        }
        println!("  {} sessions ended, each followed by a login", self.logins);
    }

    /// At most one token request for each lifetime, and for each process that was cut off.
    pub(crate) fn assert_few_requests(&self, cut_off: usize) {
        let Self { account, authorization, .. } = self;
        // Nothing was lost from the log that this is about.
        assert_eq!(account.arrivals.len(), authorization.token_requests());
        let again = account.arrivals.len() - authorization.rotations();
        assert!(again <= cut_off, "{again} requests more than lifetimes");
        let lifetimes = self.took.as_millis() / SOONEST.as_millis() + 1 + self.logins as u128;
        let rotations = authorization.rotations() as u128;
        assert!(
            rotations <= lifetimes + cut_off as u128,
            "{rotations} refreshes in {lifetimes} lifetimes"
        );
    }

    pub(crate) fn assert_only_kills_are_to_blame(&self) {
        println!("{}  {} requests refused on the way", self.account, self.api.unauthorized());
        assert!(self.account.kills(Death::Random) > 0);
        let hit = self.account.unsaved();
        assert!(hit.iter().any(|(life, _)| life.death == Some(Death::Aimed)), "no answer was lost");
        assert_eq!(self.account.failures(), []);
        self.account.assert_nothing_else_is_doubled();
        self.assert_few_requests(self.account.unsaved().len());
    }
}
