//! Limits that somebody has set beyond all reason: no panic, no overflow, no hang.

use std::time::Duration;

use tower_reauth::{RefreshError, Session, SessionBuilder, Status};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired, pair},
    support::ORIGIN,
};

const NEVER: Duration = Duration::MAX;

type Setter = fn(SessionBuilder) -> SessionBuilder;

const SETTERS: [Setter; 12] = [
    |builder| builder.expiry_leeway(NEVER),
    |builder| builder.early_window(0.2, NEVER),
    |builder| builder.patience(NEVER),
    |builder| builder.answer_timeout(NEVER),
    |builder| builder.refresh_timeout(NEVER),
    |builder| builder.attempts(u32::MAX, NEVER),
    |builder| builder.cool_down(NEVER, NEVER),
    |builder| builder.longest_retry_after(NEVER),
    |builder| builder.brake(1, NEVER),
    |builder| builder.store_timeout(NEVER),
    |builder| builder.save_retries(NEVER, NEVER, NEVER),
    |builder| builder.revoke_timeout(NEVER),
];

fn builder(source: &Scripted) -> SessionBuilder {
    Session::builder(source.clone()).tokens(expired("old", "first")).origin(ORIGIN)
}

/// A program that wants no limit says so with the longest: one at a time, and all at once.
#[tokio::test(start_paused = true)]
async fn a_limit_without_end_is_no_limit() {
    let each = SETTERS.iter().map(std::slice::from_ref);
    for (number, setters) in each.chain([&SETTERS[..]]).enumerate() {
        let (source, store) = (Scripted::new(), FaultyStore::new());
        let builder = builder(&source).store(store.clone());
        let session = setters.iter().fold(builder, |builder, set| set(builder)).build().unwrap();
        // On a task of its own, so that a panic would leave nobody else waiting.
        let first = tokio::spawn({
            let session = session.clone();
            async move { session.token().await }
        });
        let first = first.await.unwrap().unwrap();
        assert_eq!(first.expose_secret(), "access-1", "limit {number}");
        let second = session.refresh_after(&first).await.unwrap();
        source.answer(Err(RefreshError::misconfigured()));
        let error = session.refresh_after(&second).await.unwrap_err();
        assert!(error.is_misconfigured() && error.retry_at().is_some(), "limit {number}");
        assert_eq!(source.spent(), ["first", "refresh-1", "refresh-2"], "limit {number}");

        store.fail(Op::Save, 1);
        session.login(pair("login", "of-login")).await.unwrap_err();
        assert_eq!(session.token().await.unwrap().expose_secret(), "login", "limit {number}");
        session.close().await.unwrap();
        assert_eq!(store.refresh().as_deref(), Some("of-login"), "limit {number}");
        session.logout().await.unwrap();
        assert!(store.is_buried(), "limit {number}");
        assert_eq!(source.revoked(), ["login"], "limit {number}");
    }
}

/// P4: honoured as far as the program says, and no request waits for it.
#[tokio::test(start_paused = true)]
async fn a_retry_after_without_end_is_a_cool_down_without_end() {
    let source = Scripted::new();
    let session = builder(&source).longest_retry_after(NEVER).build().unwrap();
    let asked = Duration::from_secs(u64::MAX);
    source.answer(Err(RefreshError::transient().with_retry_after(asked)));
    for _ in 0..2 {
        let error = session.token().await.unwrap_err();
        assert!(!error.is_timeout() && !error.needs_login() && error.retry_at().is_some());
    }
    assert_eq!(source.calls(), 1);
    assert!(matches!(session.status(), Status::Cooling { .. }));
}
