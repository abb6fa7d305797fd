//! Expiry from what a token says of itself.

use std::time::Duration;

use tokio::time::sleep;
use tower_reauth::{AccessToken, Session, Status, TokenSet, testing::ManualClock};

use crate::{
    scripted::{Scripted, access, pair},
    support::{ORIGIN, World, get, send},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Case 25, for what a token says of itself.
#[tokio::test(start_paused = true)]
async fn an_absurd_exp_is_unknown() {
    for claims in [
        r#"{"exp":-1}"#,
        r#"{"exp":"1893460000"}"#,
        r#"{"exp":18446744073709551615}"#,
        r#"{"exp":1e400}"#,
        r#"{"sub":"alice"}"#,
        "no JSON",
    ] {
        reads_no_expiry(&jwt(claims)).await;
    }
    reads_no_expiry("opaque").await;
    reads_no_expiry("two.parts").await;
    reads_no_expiry("e30.e30.e30.e30.e30").await;
}

async fn reads_no_expiry(token: &str) {
    let source = Scripted::new();
    source.answer(Ok(TokenSet::new(access(token))));
    let seed = pair("old", "r").expires_in(Duration::ZERO);
    let session = Session::builder(source.clone())
        .tokens(seed)
        .origin(ORIGIN)
        .expiry_from_jwt()
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(session.token().await.unwrap().expose_secret(), token);
        sleep(100 * HOUR).await;
    }
    assert_eq!(session.status(), Status::Active { expires_at: None });
    assert_eq!(source.calls(), 1, "{token}");
    let refused = AccessToken::new(token).unwrap();
    assert_eq!(session.refresh_after(&refused).await.unwrap().expose_secret(), "access-1");
}

/// Case 25: a fraction is a date like any other (RFC 7519 §2).
#[tokio::test(start_paused = true)]
async fn an_exp_with_a_fraction_is_a_date() {
    let clock = ManualClock::new();
    let now = clock.wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let token = jwt(&format!(r#"{{"iat":{now},"exp":{}.5}}"#, now + 100));
    let session = Session::builder(Scripted::new())
        .tokens(TokenSet::new(access(&token)))
        .origin(ORIGIN)
        .expiry_from_jwt()
        .clock(clock.clock())
        .build()
        .unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), token);
    // 100.5 s, less ten.
    sleep(Duration::from_millis(90_490)).await;
    assert!(session.peek().is_some());
    sleep(Duration::from_millis(20)).await;
    assert!(session.peek().is_none());
}

#[tokio::test(start_paused = true)]
async fn without_the_opt_in_a_jwt_is_opaque() {
    let world = World::new();
    world.authorization.omit(["expires_in"]);
    world.authorization.lifetime(Duration::ZERO);
    let session = world.session();
    world.authorization.lifetime(Duration::from_secs(100));
    let client = world.client(&session);

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(session.status(), Status::Active { expires_at: None });
    sleep(Duration::from_secs(101)).await;
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(world.api.unauthorized(), 1, "only the refusal told");
}

#[tokio::test(start_paused = true)]
async fn with_the_opt_in_a_jwt_is_refreshed_before_it_expires() {
    let clock = ManualClock::new();
    let world = World::by(&clock);
    world.authorization.omit(["expires_in"]);
    world.authorization.lifetime(Duration::from_secs(100));
    let login = world.authorization.login();
    let seed =
        TokenSet::new(login.access().clone()).refresh_token(login.refresh().unwrap().clone());
    let session =
        world.builder().tokens(seed).expiry_from_jwt().clock(clock.clock()).build().unwrap();
    let client = world.client(&session);

    for _ in 0..1000 {
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        sleep(Duration::from_secs(1)).await;
    }
    let calls = world.authorization.token_requests();
    assert!((10..=13).contains(&calls), "{calls}");
    assert_eq!(world.api.unauthorized(), 0);
}

#[tokio::test(start_paused = true)]
async fn expires_in_counts_for_more_than_exp() {
    let source = Scripted::new();
    let token = jwt(r#"{"iat":1,"exp":2}"#);
    source.answer(Ok(TokenSet::new(access(&token)).expires_in(HOUR)));
    let seed = pair("old", "r").expires_in(Duration::ZERO);
    let session = Session::builder(source.clone())
        .tokens(seed)
        .origin(ORIGIN)
        .expiry_from_jwt()
        .build()
        .unwrap();
    assert_eq!(session.token().await.unwrap().expose_secret(), token);
    sleep(HOUR / 2).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), token);
    assert_eq!(source.calls(), 1);
}

/// A JWT with these claims, signed by nobody.
fn jwt(claims: &str) -> String {
    format!("{}.{}.c2ln", base64url(br#"{"alg":"RS256"}"#), base64url(claims.as_bytes()))
}

fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - group.len()));
        text.extend(
            (0..=group.len())
                .map(|digit| char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])),
        );
    }
    text
}
