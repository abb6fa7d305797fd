//! Processes that share sessions on Redis: some are killed, some stand still, and Redis loses all it knew.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::{Instant, interval, sleep, timeout};
use tower_reauth::{
    RedisStore, Session,
    testing::{AuthorizationServer, Loopback, ResourceServer},
};

use crate::{
    Scenario,
    account::{Account, Doubled},
    block_on,
    crew::{Crew, Death},
    redis::{Redis, store},
    report::Report,
    stage::{Run, Stage, kills},
    worker::{Place, Task, client, grant},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("fleet: kills, and a server with a grace window: no session is lost", kills_with_grace),
    ("fleet: kills, and a strict server: a session ends only for a lost answer", kills_strict),
    ("fleet: stops, and a server with a grace window: no session is lost", stops_with_grace),
    ("fleet: stops, and a strict server: a session ends only for a late answer", stops_strict),
    (
        "fleet: an empty Redis, and a server with a grace window: no session is lost",
        empty_with_grace,
    ),
    ("fleet: an empty Redis, and a strict server: only who was behind sends again", empty_strict),
    ("fleet: sixty-four sessions of four replicas each: one refresh for all four", many),
];

const GRACE: Duration = Duration::from_secs(3600);
const STRICT: Duration = Duration::ZERO;

const RUN: Duration = Duration::from_secs(30);

/// Longer than a crowded machine keeps a process waiting, so that only those lose it who are meant to.
const LEASE: Duration = Duration::from_millis(2500);

fn place(redis: &Redis, sessions: usize) -> Place {
    Place::Redis { url: redis.url(), lease: LEASE, sessions }
}

async fn stage(redis: &Redis, grace: Duration) -> Stage<RedisStore> {
    Stage::new(place(redis, 1), || store(&redis.url(), LEASE, 0), grace).await
}

fn killed(grace: Duration) -> Run {
    block_on(async {
        let redis = Redis::start();
        let run = kills(stage(&redis, grace).await, RUN).await;
        run.assert_only_kills_are_to_blame();
        run
    })
}

fn kills_with_grace() {
    killed(GRACE).assert_nobody_was_logged_out();
}

fn kills_strict() {
    killed(STRICT).assert_each_end_is_accounted_for();
}

/// For longer than a lease, and than others need to take it.
const STOP: Duration = Duration::from_millis(4000);

/// Every other stop is aimed at a send.
fn stopped(grace: Duration) -> Run {
    block_on(async {
        let redis = Redis::start();
        let mut stage = stage(&redis, grace).await;
        let mut ticks = interval(Duration::from_millis(300));
        let mut stopped = Vec::<(Instant, usize)>::new();
        let mut sends = 0;
        while stage.goes_on(RUN) {
            let place = tokio::select! {
                _ = ticks.tick() => {
                    stage.log_in_if_over().await;
                    while stopped.first().is_some_and(|(since, _)| since.elapsed() >= STOP) {
                        let (_, place) = stopped.remove(0);
                        stage.crew.resume(place).await;
                    }
                    // By chance it is at any step.
                    (stopped.len() < 2).then(|| fastrand::usize(..stage.crew.len()))
                }
                place = stage.crew.sending() => {
                    sends += 1;
                    (sends % 3 == 0).then_some(place)
                }
            };
            if let Some(place) = place
                && stopped.len() < 4
                && !stopped.iter().any(|(_, it)| *it == place)
            {
                stage.crew.stop(place).await;
                stopped.push((Instant::now(), place));
            }
        }
        for (since, place) in stopped {
            sleep(STOP.saturating_sub(since.elapsed())).await;
            stage.crew.resume(place).await;
        }
        let run = stage.end().await;
        assert_only_stops_are_to_blame(&run);
        run
    })
}

/// Nothing is sent twice but what a process had sent when it was stopped; and what it had not sent by then
/// it does not send later, unless it was stopped in the instant between the last look at its clocks and the
/// request.
fn assert_only_stops_are_to_blame(run: &Run) {
    let lives = &run.account.lives;
    let stops = lives.iter().flat_map(|life| life.stops.iter().map(move |stop| (life, stop)));
    let (mut sent, mut instant) = (BTreeSet::new(), BTreeSet::new());
    for (life, stop) in stops.clone() {
        if let Some(token) = &stop.sent {
            sent.insert((life.id.as_str(), token.as_str()));
        } else if let Some(token) = &stop.marked {
            instant.insert((life.id.as_str(), token.as_str()));
        }
    }
    let mut in_the_instant = 0;
    for Doubled { token, arrivals } in run.account.doubled() {
        let senders: BTreeSet<_> = arrivals.iter().map(|it| it.worker.as_str()).collect();
        assert_eq!(senders.len(), arrivals.len(), "one process sent it twice: {arrivals:?}");
        let others: Vec<_> =
            senders.iter().filter(|sender| !sent.contains(&(**sender, token))).collect();
        let unlucky = others.iter().filter(|sender| instant.contains(&(**sender, token))).count();
        assert!(others.len() - unlucky <= 1, "no stop excuses {others:?}: {arrivals:?}");
        in_the_instant += others.len().saturating_sub(1);
    }
    assert!(in_the_instant <= 2, "{in_the_instant} sent what they had not sent when they stopped");
    let late = |report: &&Report| matches!(report, Report::Late(_));
    let late = lives.iter().flat_map(|life| &life.reports).filter(late).count();
    println!("{}", run.account);
    println!(
        "  {} stops, {} of them between send and save; sent again in the instant before: {in_the_instant}",
        stops.count(),
        sent.len()
    );
    println!("  {late} late saves were refused");
    assert!(!sent.is_empty() && late > 0);
    // What came while a process stood still may have run out before it went on. Nobody else notices.
    let stood_still = |id: &str| lives.iter().any(|life| life.id == id && !life.stops.is_empty());
    let failures = run.account.failures().into_iter();
    assert_eq!(failures.filter(|(id, _)| !stood_still(id)).collect::<Vec<_>>(), []);
    run.assert_few_requests(sent.len() + in_the_instant);
}

fn stops_with_grace() {
    stopped(GRACE).assert_nobody_was_logged_out();
}

fn stops_strict() {
    stopped(STRICT).assert_each_end_is_accounted_for();
}

/// Redis is killed every few seconds, stays away for a moment, and has forgotten everything.
fn emptied(grace: Duration) -> (Run, usize) {
    block_on(async {
        let mut redis = Redis::start();
        let mut stage = stage(&redis, grace).await;
        // How many token requests there had been when it came back.
        let mut restarts = Vec::new();
        while stage.goes_on(RUN) {
            sleep(Duration::from_millis(2500 + fastrand::u64(..1000))).await;
            stage.log_in_if_over().await;
            redis.kill();
            sleep(Duration::from_millis(fastrand::u64(200..500))).await;
            restarts.push(stage.authorization.token_requests());
            redis.run_again();
        }
        let run = stage.end().await;
        assert_only_restarts_are_to_blame(&run, &restarts);
        (run, restarts.len())
    })
}

/// Nothing is sent twice but by a process that was behind when Redis forgot who was not.
fn assert_only_restarts_are_to_blame(run: &Run, restarts: &[usize]) {
    for Doubled { token, arrivals } in run.account.doubled() {
        let at = run.account.places(token);
        for pair in at.windows(2) {
            let between = restarts.iter().any(|restart| (pair[0] + 1..=pair[1]).contains(restart));
            assert!(between, "no restart excuses {arrivals:?} at {at:?} among {restarts:?}");
        }
    }
    // While Redis is away requests may fail, and say why.
    for (worker, failure) in run.account.failures() {
        let Report::Failed(why) = failure else { continue };
        let store = why.contains("kind: Store") || why.contains("kind: Unavailable");
        assert!(store, "{worker}: {why}");
    }
    println!("{}", run.account);
    println!(
        "  {} restarts, {} requests failed meanwhile; {} sent again by who was behind",
        restarts.len(),
        run.account.failures().len(),
        run.again()
    );
}

fn empty_with_grace() {
    let (run, _) = emptied(GRACE);
    run.assert_nobody_was_logged_out();
}

fn empty_strict() {
    let (run, restarts) = emptied(STRICT);
    // With one token that was sent again the server revokes all that came of it, and Redis may forget that too.
    let first = run.account.arrivals.iter().find(|it| it.status != Some(http::StatusCode::OK));
    if let Some(first) = first {
        let doubled = run.account.doubled();
        assert!(doubled.iter().any(|it| it.token == first.token), "sent once: {first:?}");
    }
    println!("  {} sessions ended, each followed by a login", run.logins);
    assert!(run.logins <= 2 * restarts, "{} logins", run.logins);
}

const SESSIONS: usize = 64;
const REPLICAS: usize = 4;

/// A token lives long enough for a request of each replica.
const LIFETIME: Duration = Duration::from_secs(4);

fn many() {
    block_on(async {
        let redis = Redis::start();
        let authorization = AuthorizationServer::new();
        authorization.lifetime(LIFETIME);
        authorization.grace(GRACE);
        let api = ResourceServer::new(&authorization);
        let servers = [authorization.serve().await.unwrap(), api.serve().await.unwrap()];
        let [login, site] = servers.each_ref().map(Loopback::origin);
        let own = store(&redis.url(), LEASE, 0);
        for number in 0..SESSIONS {
            let session = Session::builder(grant(&login, client()))
                .store(own.session(&number.to_string()))
                .insecure_origin("http://127.0.0.1")
                .build()
                .unwrap();
            session.login(authorization.login()).await.unwrap();
        }
        let task = Task { place: place(&redis, SESSIONS), authorization: login, api: site };
        let mut crew = Crew::new(vec![task; REPLICAS]);
        let started = Instant::now();
        let mut connections = 0;
        let mut ticks = interval(Duration::from_millis(500));
        let mut tick = 0;
        while started.elapsed() < RUN {
            let _ = timeout(Duration::from_secs(1), ticks.tick()).await;
            connections = connections.max(redis.connections());
            tick += 1;
            if tick % 10 == 0 {
                crew.kill(fastrand::usize(..REPLICAS), Death::Random).await;
            }
        }
        crew.all_are_served().await;
        let lifetimes = started.elapsed().as_millis() / (LIFETIME.as_millis() * 73 / 100) + 1;
        let account = Account::new(crew.dismiss().await, &authorization.received());
        println!("{account}  {connections} connections at most");

        let killed = account.lives.iter().filter(|life| life.death.is_some());
        let killed: BTreeSet<_> = killed.map(|life| life.id.as_str()).collect();
        for Doubled { arrivals, .. } in account.doubled() {
            let alive = arrivals.iter().filter(|it| !killed.contains(it.worker.as_str()));
            assert!(alive.count() <= 1, "no kill excuses {arrivals:?}");
        }
        assert_eq!(account.failures(), []);
        assert_eq!(account.count(&Report::NeedsLogin) + account.count(&Report::Buried), 0);
        assert_eq!(authorization.reused(), 0);
        let rotations = authorization.rotations() as u128;
        assert!(rotations >= SESSIONS as u128, "each session is refreshed");
        assert!(rotations <= lifetimes * SESSIONS as u128, "{rotations} in {lifetimes} lifetimes");
        // Each replica has one, and one more that listens. Those of the killed are gone; ours is here.
        assert!(connections <= 2 * REPLICAS + 1, "{connections} connections");
    });
}
