//! User code that calls back into the session: its own source, a listener, a waker.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{StreamExt, future::BoxFuture};
use tokio::time::{advance, sleep};
use tokio_test::assert_pending;
use tower_reauth::{
    Event, Held, RefreshError, Session, TokenSet, TokenSource,
    testing::{AuthorizationServer, Fault, ManualClock},
};

use crate::{
    faulty_store::{FaultyStore, Op},
    scripted::{Scripted, expired},
    support::{Client, ORIGIN, World, get, send, send_all, unanswered, unsent},
};

/// A source that calls back first.
struct Recursive<F> {
    grant: tower_reauth::RefreshTokenGrant<AuthorizationServer>,
    session: Arc<OnceLock<(Session, Client)>>,
    call_back: F,
    calls: Arc<AtomicUsize>,
}

impl<F> TokenSource for Recursive<F>
where
    F: Fn(Session, Client) -> BoxFuture<'static, Result<(), RefreshError>> + Send + Sync + 'static,
{
    async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let (session, client) = self.session.get().unwrap().clone();
        (self.call_back)(session, client).await?;
        self.grant.refresh(held).await
    }

    fn issuer(&self) -> Option<String> {
        TokenSource::issuer(&self.grant)
    }
}

/// A session that is served by itself, and how often its source was asked.
fn recursive<F>(world: &World, call_back: F) -> (Session, Client, Arc<AtomicUsize>)
where
    F: Fn(Session, Client) -> BoxFuture<'static, Result<(), RefreshError>> + Send + Sync + 'static,
{
    let (cell, calls) = (Arc::new(OnceLock::new()), Arc::default());
    let source = Recursive {
        grant: world.grant(),
        session: Arc::clone(&cell),
        call_back,
        calls: Arc::clone(&calls),
    };
    let session = world.builder_over(source).build().unwrap();
    let client = world.client(&session);
    assert!(cell.set((session.clone(), client.clone())).is_ok());
    (session, client, calls)
}

/// Case 9, before anything is sent.
#[tokio::test(start_paused = true)]
async fn a_source_that_needs_the_client_it_serves_gets_a_typed_error() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let (_session, client, calls) = recursive(&world, |_, client| {
        Box::pin(async move { Err(unsent(send(&client, get("/token")).await)) })
    });
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    let error = unsent(send(&client, get("/")).await);

    assert!(error.is_misconfigured());
    assert_eq!(clock.wall(), asked_at, "it does not wait for itself");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 1);
}

/// Case 9.
#[tokio::test(start_paused = true)]
async fn a_source_whose_own_request_is_challenged_gets_the_challenge_and_a_typed_error() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(100));
    let (session, client, calls) = recursive(&world, |_, client| {
        Box::pin(async move {
            let response = send(&client, get("/token")).await.unwrap();
            assert_eq!(response.status(), 401);
            Err(unanswered(&response))
        })
    });
    send(&client, get("/")).await.unwrap();
    world.api.always_401("/token");
    // In the early window the source's own request goes out, on the good token.
    advance(Duration::from_secs(85)).await;
    let mut events = session.events();
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    let failed = events.next().await;
    assert!(matches!(failed, Some(Event::RefreshFailed(error)) if error.is_misconfigured()));
    assert_eq!(clock.wall(), asked_at, "it does not wait for itself");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(world.authorization.token_requests(), 0);
    assert_eq!(world.api.requests(), 3);
}

/// Case 9, by the handle.
#[tokio::test(start_paused = true)]
async fn a_source_that_asks_its_session_for_a_token_gets_a_typed_error() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let (session, _client, calls) = recursive(&world, |session, _| {
        Box::pin(async move {
            let (asked, reloaded) = (session.token().await, session.reload().await);
            assert!(reloaded.unwrap_err().is_misconfigured());
            asked.map(drop)
        })
    });
    session.token().await.unwrap();
    advance(Duration::from_secs(60)).await;
    let clock = ManualClock::new();
    let asked_at = clock.wall();

    assert!(session.token().await.unwrap_err().is_misconfigured());

    assert_eq!(clock.wall(), asked_at, "it does not wait for itself");
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(world.authorization.token_requests(), 0);
}

/// A source that closes its own session does not wait for its own end.
#[tokio::test(start_paused = true)]
async fn a_source_may_close_its_session() {
    let world = World::new();
    let (session, _client, calls) = recursive(&world, |session, _| {
        Box::pin(async move {
            session.close().await.unwrap();
            Ok(())
        })
    });
    let old = session.token().await.unwrap();

    let new = session.refresh_after(&old).await.unwrap();

    assert_ne!(new, old);
    assert!(session.refresh_after(&new).await.unwrap_err().is_closed());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(world.authorization.token_requests(), 1);
}

/// A source that finds that a new login is needed may put it in place.
#[tokio::test(start_paused = true)]
async fn a_source_may_log_in_and_the_login_wins() {
    let world = World::new();
    let login = world.authorization.login();
    let tokens = login.clone();
    let (session, _client, calls) = recursive(&world, move |session, _| {
        let tokens = tokens.clone();
        Box::pin(async move {
            session.login(tokens).await.unwrap();
            Ok(())
        })
    });
    let old = session.token().await.unwrap();

    assert_eq!(session.refresh_after(&old).await.unwrap(), *login.access());

    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(session.peek().unwrap(), *login.access());
}

/// On a task of its own the source is not known again: its wait ends with its patience.
#[tokio::test(start_paused = true)]
async fn a_source_that_hides_behind_a_task_waits_no_longer_than_its_patience() {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let (_session, client, calls) = recursive(&world, |_, client| {
        Box::pin(async move {
            let asked = tokio::spawn(async move { send(&client, get("/token")).await });
            Err(unsent(asked.await.unwrap()))
        })
    });
    send(&client, get("/")).await.unwrap();
    advance(Duration::from_secs(60)).await;

    assert!(unsent(send(&client, get("/")).await).is_timeout());
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(world.api.requests(), 1);
}

/// Case 10.
#[tokio::test(start_paused = true)]
async fn a_listener_may_send_a_request_through_the_client_during_an_event() {
    let world = World::new();
    let session = world.session();
    let client = world.client(&session);
    let mut events = session.events();
    let listener = tokio::spawn({
        let client = client.clone();
        async move {
            let mut answers = Vec::new();
            while answers.len() < 3 {
                let event = events.next().await.unwrap();
                answers.push((event, send(&client, get("/listener")).await.unwrap().status()));
            }
            answers
        }
    });
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    send(&client, get("/")).await.unwrap();
    world.api.always_401("/sour");
    world.authorization.fail_next(3, Fault::Status(http::StatusCode::SERVICE_UNAVAILABLE));
    send(&client, get("/sour")).await.unwrap();

    let answers = listener.await.unwrap();

    assert!(matches!(answers[2].0, Event::RefreshFailed(_)));
    assert!(answers.iter().all(|(_, status)| *status == 200));
    assert_eq!(world.authorization.token_requests(), 1 + 3);
}

/// A waker that runs its task inline: it takes the session's lock at once.
struct Inline {
    session: Session,
    woken: AtomicUsize,
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let _ = self.session.status();
        let _ = self.session.peek();
        let _ = self.session.events();
        self.woken.fetch_add(1, Ordering::SeqCst);
    }
}

/// Case 10, at its sharpest.
#[tokio::test(start_paused = true)]
async fn wakers_that_call_the_session_inline_find_no_lock_held() {
    let world = World::new();
    let session = world.session();
    let old = session.token().await.unwrap();
    let answers = world.authorization.hold();
    let inline = Arc::new(Inline { session: session.clone(), woken: AtomicUsize::new(0) });
    let waker = Waker::from(Arc::clone(&inline));
    let mut cx = Context::from_waker(&waker);
    let mut events = session.events();
    let mut waiter = Box::pin(session.refresh_after(&old));
    assert_pending!(waiter.as_mut().poll(&mut cx));
    assert_pending!(events.poll_next_unpin(&mut cx));

    answers.until_held(1).await;
    answers.release();
    while inline.woken.load(Ordering::SeqCst) < 2 {
        tokio::task::yield_now().await;
    }

    assert!(matches!(waiter.as_mut().poll(&mut cx), Poll::Ready(Ok(new)) if new != old));
    assert!(matches!(events.poll_next_unpin(&mut cx), Poll::Ready(Some(Event::Refreshed(_)))));
}

/// A request sent from within another's future is a request like any other.
#[tokio::test(start_paused = true)]
async fn requests_sent_while_another_waits_share_its_refresh() {
    let world = World::new();
    let client = world.client(&world.session());
    send(&client, get("/")).await.unwrap();
    world.authorization.revoke_access_tokens();
    let answers = world.authorization.hold();
    let first = send_all(&client, [get("/first")]);
    answers.until_held(1).await;
    let second = send_all(&client, [get("/second")]);
    tokio::task::yield_now().await;
    answers.release();

    for response in futures::future::join_all(first.into_iter().chain(second)).await {
        assert_eq!(response.unwrap().unwrap().status(), 200);
    }
    assert_eq!(world.authorization.token_requests(), 1);
    // The second was sent once: it knew before sending that the token was dead.
    assert_eq!(world.api.requests(), 1 + 2 + 1);
}

/// A listener's task may own the last handle of the session, and end when its waker goes.
#[tokio::test(start_paused = true)]
async fn a_waker_that_owns_the_last_handle_is_dropped_with_no_lock_held() {
    let store = FaultyStore::new();
    let world = World::new();
    let session = world.builder().store(store.clone()).build().unwrap();
    let old = session.token().await.unwrap();
    // Something to tell when the last handle goes.
    store.fail(Op::Save, usize::MAX);
    session.refresh_after(&old).await.unwrap();
    let mut events = session.events();
    let waker = Waker::from(Arc::new(Inline { session, woken: AtomicUsize::new(0) }));
    assert_pending!(events.poll_next_unpin(&mut Context::from_waker(&waker)));
    drop(waker);

    let mut cx = Context::from_waker(Waker::noop());
    assert_pending!(events.poll_next_unpin(&mut cx));

    assert!(matches!(events.next().await, Some(Event::DroppedInFlight)));
}

/// A failure that asks the session when it is dropped.
#[derive(Debug)]
struct Asking(Session);

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it failed")
    }
}

impl std::error::Error for Asking {}

impl Drop for Asking {
    fn drop(&mut self) {
        let _ = self.0.status();
    }
}

/// P14: what a source failed with may hold what the program likes.
#[tokio::test(start_paused = true)]
async fn a_failure_that_asks_the_session_is_dropped_with_no_lock_held() {
    let source = Scripted::new();
    let session = Session::builder(source.clone()).tokens(expired("old", "first"));
    let session = session.origin(ORIGIN).build().unwrap();
    for ends_it in [false, true] {
        source.answer(Err(RefreshError::misconfigured().with_source(Asking(session.clone()))));
        session.token().await.unwrap_err();
        sleep(Duration::from_secs(61)).await;
        if ends_it {
            session.logout().await.unwrap();
        } else {
            let token = session.token().await.unwrap();
            session.login(expired("again", "second")).await.unwrap();
            assert_eq!(token.expose_secret(), "access-1");
        }
    }
}
