//! Eight processes, one file.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, interval, timeout_at};
use tower_reauth::{
    Entry, FileStore, Session, TokenStore,
    testing::{AuthorizationServer, Loopback, ResourceServer},
};

use crate::{
    Scenario,
    account::Account,
    crew::{Crew, Death},
    report::Report,
    worker::{Place, Task, client, grant},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("file: a server with a grace window loses no session and refuses no survivor", with_grace),
    ("file: a strict server ends a session only for an answer that was lost by a kill", strict),
];

const PROCESSES: usize = 8;
const RUN: Duration = Duration::from_secs(30);
const LIFETIME: Duration = Duration::from_secs(1);

/// Two kills of ten a second are this far apart.
const KILLS: Duration = Duration::from_millis(100);

/// One in so many sends is answered with a kill, beside those at random.
const AIMED: usize = 6;

/// No access token is replaced sooner, but after a kill: the early window is the last fifth of its life,
/// and the jitter a third of that.
const SOONEST: Duration = Duration::from_millis(730);

/// The servers, and the account of what the workers did.
struct Run {
    authorization: AuthorizationServer,
    api: ResourceServer,
    account: Account,
    /// Logins that a session that had ended made necessary.
    logins: usize,
    took: Duration,
}

fn with_grace() {
    let run = run(Duration::from_secs(3600));

    run.assert_as_ever();
    assert_eq!(run.logins, 0, "no session is lost");
    assert_eq!(run.authorization.reused(), 0);
    assert_eq!(run.account.count(&Report::NeedsLogin), 0);
    assert_eq!(run.account.count(&Report::Buried), 0);
    // Whatever was sent again was answered as before.
    let doubled: usize = run.account.doubled().iter().map(|it| it.arrivals.len() - 1).sum();
    assert_eq!(run.authorization.repeats(), doubled);
}

fn strict() {
    let run = run(Duration::ZERO);

    run.assert_as_ever();
    let doubled = run.account.doubled();
    assert!(run.logins <= doubled.len(), "{} logins: {doubled:?}", run.logins);
    let refused = run.account.arrivals.iter().filter(|it| it.status != Some(http::StatusCode::OK));
    for arrival in refused {
        let excused = doubled.iter().any(|it| it.token == arrival.token);
        assert!(excused, "it was refused, and sent once: {arrival:?}");
    }
    println!("  {} sessions ended, each followed by a login", run.logins);
}

impl Run {
    fn assert_as_ever(&self) {
        let Self { account, authorization, .. } = self;
        println!("{account}  {} requests refused on the way", self.api.unauthorized());
        assert!(account.kills(Death::Random) > 0 && account.kills(Death::Aimed) > 0);
        assert_eq!(account.failures(), []);
        account.assert_nothing_else_is_doubled();
        // Nothing was lost from the log that this is about.
        assert_eq!(account.arrivals.len(), authorization.token_requests());
        let again = account.arrivals.len() - authorization.rotations();
        assert!(again <= account.unsaved().len(), "{again} requests more than lifetimes");
        let lifetimes = self.took.as_millis() / SOONEST.as_millis() + 1 + self.logins as u128;
        let kills = account.unsaved().len() as u128;
        let rotations = authorization.rotations() as u128;
        assert!(rotations <= lifetimes + kills, "{rotations} refreshes in {lifetimes} lifetimes");
    }
}

fn run(grace: Duration) -> Run {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app/session.json");
        let authorization = AuthorizationServer::new();
        authorization.lifetime(LIFETIME);
        authorization.grace(grace);
        let api = ResourceServer::new(&authorization);
        let servers = [authorization.serve().await.unwrap(), api.serve().await.unwrap()];
        let [login, site] = servers.each_ref().map(Loopback::origin);
        let session = session(&login, &path);
        session.login(authorization.login()).await.unwrap();

        let task = Task { place: Place::File(path.clone()), authorization: login, api: site };
        let mut crew = Crew::new(vec![task; PROCESSES]);
        let started = Instant::now();
        let mut ticks = interval(KILLS);
        let (mut logins, mut sends) = (0, 0);
        while started.elapsed() < RUN {
            let victim = tokio::select! {
                _ = ticks.tick() => {
                    let is_over = is_buried(&path).await;
                    if is_over {
                        logins += 1;
                        session.login(authorization.login()).await.unwrap();
                    }
                    Some((fastrand::usize(..crew.len()), Death::Random))
                }
                place = crew.sending() => {
                    sends += 1;
                    (sends % AIMED == 0).then_some((place, Death::Aimed))
                }
            };
            if let Some((place, death)) = victim {
                crew.kill(place, death).await;
            }
        }
        let took = started.elapsed();
        let end = Instant::now() + Duration::from_secs(60);
        let quiet = async {
            if is_buried(&path).await {
                logins += 1;
                session.login(authorization.login()).await.unwrap();
            }
            crew.all_are_served().await;
        };
        timeout_at(end, quiet).await.expect("without kills everybody goes on");
        let lives = crew.dismiss().await;
        let account = Account::new(lives, &authorization.received());
        Run { authorization, api, account, logins, took }
    })
}

/// The session as its user's program holds it, which logs in where that is needed and makes no requests.
fn session(authorization: &str, path: &Path) -> Session {
    Session::builder(grant(authorization, client()))
        .store(FileStore::open(path).unwrap())
        .insecure_origin("http://127.0.0.1")
        .build()
        .unwrap()
}

async fn is_buried(path: &Path) -> bool {
    let stored = FileStore::open(path).unwrap().load().await.unwrap();
    stored.is_some_and(|stored| stored.entry == Entry::Tombstone)
}
