//! When a token is too old: lifetimes told, untold, absurd, and read from a JWT.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_reauth::{
    MemoryStore, Session, Status, TokenSet,
    testing::{Fault, ManualClock},
};

use crate::{
    scripted::{Scripted, pair},
    support::{ORIGIN, World, get, send, settle, unsent},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Case 22.
#[tokio::test(start_paused = true)]
async fn a_lifetime_shorter_than_the_leeway_costs_one_refresh_per_lifetime() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(30));
    let session = world.builder().expiry_leeway(Duration::from_secs(300)).build().unwrap();
    let client = world.client(&session);

    for _ in 0..3000 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_millis(100)).await;
    }

    // 300 s; a token is used for at least 30 s less the early window of 8 s.
    let calls = world.authorization.token_requests();
    assert!((10..=14).contains(&calls), "{calls}");
    assert_eq!(world.api.unauthorized(), 0);
}

/// Case 23.
#[tokio::test(start_paused = true)]
async fn a_token_of_unknown_lifetime_is_refreshed_only_when_it_is_refused() {
    let world = World::new();
    world.authorization.lifetime(100 * 24 * HOUR);
    world.authorization.omit(["expires_in"]);
    let login = world.authorization.login();
    let seed =
        TokenSet::new(login.access().clone()).refresh_token(login.refresh().unwrap().clone());
    let session = world.builder().tokens(seed).build().unwrap();
    let client = world.client(&session);

    for _ in 0..1000 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(HOUR).await;
    }
    assert_eq!(world.authorization.token_requests(), 0);

    for calls in 1..=3 {
        world.authorization.revoke_access_tokens();
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!(world.authorization.token_requests(), calls);
    }
}

/// Case 24.
#[tokio::test(start_paused = true)]
async fn tokens_that_are_expired_on_arrival_cost_a_few_calls_and_no_spin() {
    let world = World::new();
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    world.authorization.lifetime(HOUR);
    world.authorization.already_expired(true);
    let client = world.client(&session);

    for _ in 0..1000 {
        let error = unsent(send(&client, get("/")).await);
        assert!(error.retry_at().is_some() && !error.needs_login());
        sleep(Duration::from_millis(60)).await;
    }

    // The cool-down doubles from a second to a minute.
    let calls = world.authorization.token_requests();
    assert!((3..=7).contains(&calls), "{calls}");
    assert_eq!(world.api.requests(), 0);

    world.authorization.already_expired(false);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.reused(), 0, "each refresh spent the newest refresh token");
}

/// Case 24, where it is the resource server that finds the tokens expired.
#[tokio::test(start_paused = true)]
async fn an_expired_token_in_the_answer_never_replaces_a_good_one() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let first = session.token().await.unwrap();
    world.authorization.already_expired(true);

    sleep(Duration::from_secs(3400)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    settle().await;
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!(session.peek(), Some(first));
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
}

/// Case 25, for what a token endpoint says.
#[tokio::test(start_paused = true)]
async fn an_absurd_expires_in_is_unknown() {
    for (told, known) in [
        ("3600.5", true),
        ("\"3600\"", true),
        ("3600", true),
        ("\"soon\"", false),
        ("-1", false),
        ("18446744073709551615", false),
        ("1e400", false),
        ("null", false),
        ("[3600]", false),
        ("{}", false),
    ] {
        let world = World::new();
        world.authorization.lifetime(Duration::ZERO);
        let session = world.session();
        let answer = format!(
            r#"{{"access_token":"new","token_type":"Bearer","refresh_token":"r","expires_in":{told}}}"#
        );
        world.authorization.fail_next(1, Fault::Json(StatusCode::OK, answer));

        assert_eq!(session.token().await.unwrap().expose_secret(), "new", "{told}");
        let Status::Active { expires_at } = session.status() else { panic!("{told}") };
        assert_eq!(expires_at.is_some(), known, "{told}");
        if !known {
            sleep(100 * HOUR).await;
            session.token().await.unwrap();
            assert_eq!(world.authorization.token_requests(), 1, "{told}");
        }
    }
}

/// Case 30.
#[tokio::test(start_paused = true)]
async fn after_a_restart_an_expired_record_is_refreshed_before_the_first_request() {
    let clock = ManualClock::new();
    let world = World::by(&clock);
    let store = MemoryStore::new();
    let before = world.builder().store(store.clone()).clock(clock.clock()).build().unwrap();
    assert_eq!(send(&world.client(&before), get("/")).await.unwrap().status(), 200);
    drop(before);

    sleep(2 * HOUR).await;
    let after = Session::builder(world.grant()).origin(ORIGIN).store(store).clock(clock.clock());
    let after = after.build().unwrap();
    assert_eq!(send(&world.client(&after), get("/")).await.unwrap().status(), 200);
    assert_eq!(world.authorization.token_requests(), 1);
    assert_eq!((world.api.requests(), world.api.unauthorized()), (2, 0));
}

/// When each of some sessions with a token of this lifetime refreshes, if it is asked every second.
async fn early_refreshes(lifetime: u64, sessions: usize, fraction: Option<f64>) -> Vec<u64> {
    let lifetime = Duration::from_secs(lifetime);
    let sessions: Vec<_> = (0..sessions)
        .map(|_| {
            let source = Scripted::new();
            let builder = Session::builder(source.clone())
                .tokens(pair("first", "r").expires_in(lifetime))
                .origin(ORIGIN);
            let builder = match fraction {
                Some(fraction) => builder.early_window(fraction, HOUR),
                None => builder,
            };
            (source, builder.build().unwrap())
        })
        .collect();
    let start = Instant::now();
    let mut refreshed = vec![None; sessions.len()];
    while refreshed.contains(&None) {
        for ((source, session), refreshed) in sessions.iter().zip(&mut refreshed) {
            if refreshed.is_none() {
                session.token().await.unwrap();
                tokio::task::yield_now().await;
                *refreshed = (source.calls() > 0).then(|| start.elapsed().as_secs());
            }
        }
        sleep(Duration::from_secs(1)).await;
    }
    refreshed.into_iter().flatten().collect()
}

/// P9.
#[tokio::test(start_paused = true)]
async fn the_early_window_is_a_fifth_of_the_lifetime_and_jitter_only_makes_it_earlier() {
    let times = early_refreshes(1000, 30, None).await;
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    // A fifth, and a third of that again.
    assert!(*first >= 733 && *last <= 801, "{times:?}");
    assert!(last - first > 20, "drawn once for each token, not at each request: {times:?}");
}

/// P9.
#[tokio::test(start_paused = true)]
async fn the_early_window_is_five_minutes_at_most() {
    let day = 24 * 3600;
    let times = early_refreshes(day, 3, None).await;
    assert!(times.iter().all(|time| (day - 401..=day - 299).contains(time)), "{times:?}");
}

/// P9.
#[tokio::test(start_paused = true)]
async fn an_early_window_wider_than_sensible_is_clamped_to_half_the_lifetime() {
    let times = early_refreshes(1000, 10, Some(50.0)).await;
    assert!(times.iter().all(|time| (500..=626).contains(time)), "{times:?}");
    let times = early_refreshes(1000, 1, Some(f64::NAN)).await;
    assert!(times.iter().all(|time| *time >= 990), "{times:?}");
}
