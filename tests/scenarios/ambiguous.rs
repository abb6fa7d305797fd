//! A token request that may have been processed, and no usable answer.

use std::time::Duration;

use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower_reauth::{AmbiguousPolicy, RefreshError, Session, Status, testing::Fault};

use crate::{
    scripted::{Scripted, expired, pair},
    support::{ORIGIN, World, get, send, settle, unanswered},
};

fn worn_out(source: &Scripted) -> Session {
    let seed = expired("old", "first");
    Session::builder(source.clone()).tokens(seed).origin(ORIGIN).build().unwrap()
}

/// A session whose access token was revoked.
async fn challenged(world: &World) -> Session {
    let session = world.session();
    session.token().await.unwrap();
    world.authorization.revoke_access_tokens();
    session
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_the_waiters_patience_is_used() {
    let source = Scripted::new();
    let session = worn_out(&source);
    let answer = source.answer_later(Ok(pair("late", "second")));
    let started = Instant::now();
    let error = session.token().await.unwrap_err();
    assert!(error.is_timeout() && !error.needs_login());
    assert_eq!(started.elapsed().as_secs(), 10);

    for _ in 0..1000 {
        assert!(session.token().await.is_err());
        if started.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    assert_eq!(source.calls(), 1, "nothing is spent again");
    answer.send(()).unwrap();
    settle().await;
    assert_eq!(session.peek().unwrap().expose_secret(), "late");
    assert_eq!(source.calls(), 1);
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn an_answer_that_never_comes_is_ambiguous_without_a_retry() {
    let source = Scripted::new();
    let session = worn_out(&source);
    let _never = source.answer_later(Ok(pair("never", "second")));
    assert!(session.token().await.unwrap_err().is_timeout());
    sleep(Duration::from_secs(19)).await;
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.needs_login(), "{error:?}");
    assert!(error.retry_at().is_some());
    assert_eq!(source.calls(), 1);

    sleep(Duration::from_secs(2)).await;
    assert_eq!(session.token().await.unwrap().expose_secret(), "access-1");
    assert_eq!(source.spent(), ["first", "first"]);
}

/// Case 47, with much of the refresh's time left.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_given_up_early_is_not_asked_for_again_either() {
    let source = Scripted::new();
    let session = Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .answer_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    let _never = source.answer_later(Ok(pair("never", "second")));
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.is_timeout() && !error.needs_login());
    assert_eq!(source.calls(), 1);
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_by_a_server_with_a_grace_window() {
    let world = World::new();
    world.authorization.grace(Duration::from_secs(10));
    let session = challenged(&world).await;
    let client = world.client(&session);
    world.authorization.fail_next(1, Fault::LostAnswer);
    let started = Instant::now();
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
    assert_eq!(started.elapsed(), Duration::ZERO, "the retry is prompt");
    assert_eq!(world.authorization.token_requests(), 2);
    assert_eq!((world.authorization.rotations(), world.authorization.repeats()), (1, 1));
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_ends_the_session_at_a_strict_server_and_says_why() {
    for fault in [Fault::LostAnswer, Fault::Truncated, Fault::Gateway(StatusCode::BAD_GATEWAY)] {
        let world = World::new();
        let session = challenged(&world).await;
        let client = world.client(&session);
        world.authorization.fail_next(1, fault);
        let error = unanswered(&send(&client, get("/")).await.unwrap());
        assert!(error.is_session_ended() && error.was_ambiguous(), "{error:?}");
        assert_eq!(world.authorization.token_requests(), 2);
    }
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn a_retry_that_is_not_answered_either_keeps_the_session() {
    let source = Scripted::new();
    let session = worn_out(&source);
    source.answer(Err(RefreshError::ambiguous()));
    source.answer(Err(RefreshError::ambiguous()));
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.needs_login());
    assert_eq!(source.spent(), ["first", "first"]);
    sleep(Duration::from_secs(1)).await;
    assert!(session.token().await.is_ok());
}

/// Case 47: the retry hangs.
#[tokio::test(start_paused = true)]
async fn a_retry_that_hangs_is_listened_to_and_not_repeated() {
    let source = Scripted::new();
    let session = worn_out(&source);
    source.answer(Err(RefreshError::ambiguous()));
    let _never = source.answer_later(Ok(pair("never", "second")));
    assert!(session.token().await.unwrap_err().is_timeout());
    sleep(Duration::from_millis(20_500)).await;
    let Status::Cooling { .. } = session.status() else { panic!("{:?}", session.status()) };
    assert_eq!(source.calls(), 2);
}

/// Whatever comes after, the refresh was ambiguous.
#[tokio::test(start_paused = true)]
async fn a_failure_after_an_ambiguous_one_stays_ambiguous() {
    let source = Scripted::new();
    let session = worn_out(&source);
    source.answer(Err(RefreshError::ambiguous()));
    for _ in 0..3 {
        source.answer(Err(RefreshError::transient()));
    }
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.needs_login());
    assert_eq!(source.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_prompt_retry_is_all_whatever_lies_between() {
    let source = Scripted::new();
    let session = worn_out(&source);
    source.answer(Err(RefreshError::transient()));
    source.answer(Err(RefreshError::ambiguous()));
    source.answer(Err(RefreshError::ambiguous()));
    assert!(session.token().await.unwrap_err().was_ambiguous());
    assert_eq!(source.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn by_policy_an_ambiguous_outcome_is_surfaced_without_a_retry() {
    let source = Scripted::new();
    let session = Session::builder(source.clone())
        .tokens(expired("old", "first"))
        .origin(ORIGIN)
        .ambiguous(AmbiguousPolicy::Surface)
        .build()
        .unwrap();
    source.answer(Err(RefreshError::ambiguous()));
    let error = session.token().await.unwrap_err();
    assert!(error.was_ambiguous() && !error.needs_login());
    assert_eq!(source.calls(), 1);
}

/// A server that spent the refresh token without a word we could use: never tried again at once.
#[tokio::test(start_paused = true)]
async fn a_token_that_is_no_bearer_token_is_ambiguous_and_not_tried_again() {
    let world = World::new();
    let session = challenged(&world).await;
    let client = world.client(&session);
    let answer = r#"{"access_token":"a","token_type":"mac","refresh_token":"b"}"#;
    world.authorization.fail_next(1, Fault::Json(StatusCode::OK, answer.into()));
    let error = unanswered(&send(&client, get("/")).await.unwrap());
    assert!(error.is_misconfigured() && error.was_ambiguous());
    assert_eq!(world.authorization.token_requests(), 1);
}

/// P3: however late the flight got its turn, an answer is listened to as long as any other.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_waited_long_for_the_lease_still_hears_its_answer() {
    use tower_reauth::{MemoryStore, TokenStore};
    for waited in [20, 55] {
        let (source, store) = (Scripted::new(), MemoryStore::new());
        let session = Session::builder(source.clone())
            .tokens(expired("old", "first"))
            .origin(ORIGIN)
            .store(store.clone())
            .build()
            .unwrap();
        let lease = store.lease().await.unwrap();
        let answer = source.answer_later(Ok(pair("late", "second")));
        assert!(session.token().await.unwrap_err().is_timeout());
        sleep(Duration::from_secs(waited - 10)).await;
        drop(lease);
        sleep(Duration::from_secs(25)).await;
        let _ = answer.send(());
        settle().await;
        let heard = session.peek().is_some_and(|token| token.expose_secret() == "late");
        assert!(heard || source.calls() == 0, "sent and not listened to, after {waited} s");
    }
}
