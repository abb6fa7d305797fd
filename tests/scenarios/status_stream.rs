//! The status of a session as it changes.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower_reauth::{RefreshError, Session, Status, StatusStream, testing::ManualClock};

use crate::{
    scripted::{Scripted, pair},
    support::{ORIGIN, paused, settle},
};

/// In paused time, of which the session's wall clock is a part.
fn over(source: &Scripted) -> Session {
    Session::builder(source.clone())
        .tokens(pair("seed", "first"))
        .origin(ORIGIN)
        .clock(ManualClock::new().clock())
        .build()
        .unwrap()
}

/// What the stream tells without a wait.
fn now(stream: &mut StatusStream) -> Option<Status> {
    stream.next().now_or_never().flatten()
}

/// What it tells until it has nothing more to tell, without the times.
fn story(stream: &mut StatusStream) -> Vec<&'static str> {
    std::iter::from_fn(|| now(stream)).map(name).collect()
}

fn name(status: Status) -> &'static str {
    match status {
        Status::Loading => "loading",
        Status::LoginRequired => "login required",
        Status::Active { .. } => "active",
        Status::Refreshing => "refreshing",
        Status::Cooling { .. } => "cooling",
        Status::Expired => "expired",
        Status::Ended => "ended",
        Status::LoggedOut => "logged out",
        Status::Closed => "closed",
        _ => "unknown",
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_of_now_comes_at_once_then_each_other_one() {
    let source = Scripted::new();
    let session = over(&source);
    let mut stream = task::spawn(session.status_stream());
    let mut told = Vec::new();
    let mut look = |stream: &mut task::Spawn<StatusStream>| {
        while let std::task::Poll::Ready(Some(status)) = stream.poll_next() {
            assert_eq!(status, session.status());
            told.push(name(status));
        }
    };
    look(&mut stream);
    session.token().await.unwrap();
    look(&mut stream);
    sleep(Duration::from_secs(3600)).await;
    look(&mut stream);
    let answer = source.answer_later(Ok(pair("second", "second")));
    let mut waiting = task::spawn(session.token());
    assert_pending!(waiting.poll());
    assert!(stream.is_woken());
    look(&mut stream);
    answer.send(()).unwrap();
    settle().await;
    assert!(stream.is_woken());
    look(&mut stream);
    drop(waiting);
    sleep(Duration::from_secs(3600)).await;
    look(&mut stream);
    source.answer(Err(RefreshError::misconfigured()));
    session.token().await.unwrap_err();
    assert!(stream.is_woken());
    look(&mut stream);
    sleep(Duration::from_secs(1)).await;
    look(&mut stream);
    source.answer(Err(RefreshError::rejected()));
    session.token().await.unwrap_err();
    look(&mut stream);
    session.login(pair("again", "third")).await.unwrap();
    assert!(stream.is_woken());
    look(&mut stream);
    session.logout().await.unwrap();
    look(&mut stream);
    assert_eq!(
        told,
        [
            "loading",
            "active",
            "expired",
            "refreshing",
            "active",
            "expired",
            "cooling",
            "expired",
            "ended",
            "active",
            "logged out",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_new_token_is_another_status_and_the_same_status_is_not_told_twice() {
    let source = Scripted::new();
    let session = over(&source);
    session.token().await.unwrap();
    let mut stream = session.status_stream();
    let first = now(&mut stream).unwrap();
    assert_eq!(now(&mut stream), None);
    session.reload().await.unwrap();
    assert_eq!(now(&mut stream), None, "a look at the store changed nothing");
    advance(Duration::from_secs(60)).await;
    session.refresh_after(&session.peek().unwrap()).await.unwrap();
    let second = now(&mut stream).unwrap();
    assert!(matches!((first, second), (Status::Active { .. }, Status::Active { .. })));
    assert_ne!(first, second, "it expires later");
}

#[tokio::test(start_paused = true)]
async fn whoever_is_slow_sees_the_newest_status_only() {
    let session = over(&Scripted::new());
    let mut stream = session.status_stream();
    assert_eq!(now(&mut stream), Some(Status::Loading));
    for _ in 0..1000 {
        session.login(pair("again", "again")).await.unwrap();
        session.logout().await.unwrap();
    }
    assert_eq!(story(&mut stream), ["logged out"]);
}

/// P16: no timer but the stream's own.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_polled_tells_what_time_alone_brings_about() {
    let source = Scripted::new();
    let session = over(&source);
    session.token().await.unwrap();
    let started = Instant::now();
    let mut stream = session.status_stream();
    assert!(matches!(stream.next().await, Some(Status::Active { .. })));
    assert_eq!(stream.next().await, Some(Status::Expired));
    assert_eq!(started.elapsed().as_secs(), 3590, "ten seconds of leeway");
    source.answer(Err(RefreshError::transient().with_retry_after(Duration::from_secs(30))));
    session.token().await.unwrap_err();
    assert!(matches!(stream.next().await, Some(Status::Cooling { .. })));
    let cooling = Instant::now();
    assert_eq!(stream.next().await, Some(Status::Expired));
    assert_eq!(cooling.elapsed().as_secs(), 30);
}

/// The timer is of the status that is, not of one that was.
#[tokio::test(start_paused = true)]
async fn a_later_expiry_moves_the_timer() {
    let source = Scripted::new();
    let session = over(&source);
    session.token().await.unwrap();
    let started = Instant::now();
    let mut stream = session.status_stream();
    let watching = tokio::spawn(async move {
        let mut told = Vec::new();
        while told.last() != Some(&"expired") {
            told.push(name(stream.next().await.unwrap()));
        }
        (told, started.elapsed().as_secs())
    });
    sleep(Duration::from_secs(1000)).await;
    session.refresh_after(&session.peek().unwrap()).await.unwrap();
    assert_eq!(watching.await.unwrap(), (vec!["active", "active", "expired"], 4590));
}

#[tokio::test(start_paused = true)]
async fn an_earlier_expiry_moves_the_timer_too() {
    let source = Scripted::new();
    let session = over(&source);
    session.token().await.unwrap();
    let started = Instant::now();
    let mut stream = session.status_stream();
    assert!(now(&mut stream).is_some());
    assert_eq!(now(&mut stream), None);
    source.answer(Ok(pair("short", "short").expires_in(Duration::from_secs(100))));
    session.refresh_after(&session.peek().unwrap()).await.unwrap();
    assert!(matches!(stream.next().await, Some(Status::Active { .. })));
    assert_eq!(stream.next().await, Some(Status::Expired));
    assert_eq!(started.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_session_and_keeps_none_alive() {
    let session = over(&Scripted::new());
    session.token().await.unwrap();
    let mut events = session.events();
    let mut stream = task::spawn(session.status_stream());
    assert_ready!(stream.poll_next());
    assert_pending!(stream.poll_next());
    drop(session);
    assert!(events.next().await.is_none());
    assert!(stream.is_woken());
    assert_eq!(assert_ready!(stream.poll_next()), None);
    assert_eq!(assert_ready!(stream.poll_next()), None);
}

#[tokio::test(start_paused = true)]
async fn the_stream_outlives_the_handles_while_a_refresh_runs() {
    let source = Scripted::new();
    let session = over(&source);
    let token = session.token().await.unwrap();
    let mut stream = task::spawn(session.status_stream());
    assert_ready!(stream.poll_next());
    assert_pending!(stream.poll_next());
    let answer = source.answer_later(Ok(pair("second", "second")));
    assert!(session.refresh_after(&token).now_or_never().is_none());
    drop(session);
    settle().await;
    assert_pending!(stream.poll_next());
    answer.send(()).unwrap();
    settle().await;
    assert!(stream.is_woken());
    assert_eq!(assert_ready!(stream.poll_next()), None);
}

/// A waker that tells how often it was used.
#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_leaves_nothing_behind() {
    let session = over(&Scripted::new());
    session.token().await.unwrap();
    let counting = Arc::new(Counting::default());
    for _ in 0..10 {
        let waker = Waker::from(counting.clone());
        let cx = &mut std::task::Context::from_waker(&waker);
        let mut stream = session.status_stream();
        assert!(stream.poll_next_unpin(cx).is_ready());
        assert!(stream.poll_next_unpin(cx).is_pending());
        assert!(stream.poll_next_unpin(cx).is_pending());
    }
    assert_eq!(Arc::strong_count(&counting), 1);
    session.logout().await.unwrap();
    assert_eq!(counting.0.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn streams_and_other_lookers_do_not_wake_each_other() {
    let session = over(&Scripted::new());
    session.token().await.unwrap();
    let wakers: [_; 3] = std::array::from_fn(|_| Arc::new(Counting::default()));
    let mut streams: [_; 3] = std::array::from_fn(|_| session.status_stream());
    for (stream, counting) in streams.iter_mut().zip(&wakers) {
        let waker = Waker::from(counting.clone());
        let cx = &mut std::task::Context::from_waker(&waker);
        assert!(stream.poll_next_unpin(cx).is_ready());
        assert!(stream.poll_next_unpin(cx).is_pending());
    }
    let counts = || wakers.each_ref().map(|counting| counting.0.load(Ordering::Relaxed));
    for _ in 0..10 {
        let _ = (session.status(), session.peek(), session.token().await);
        session.reload().await.unwrap();
        assert_eq!(now(&mut streams[0]), None);
    }
    assert_eq!(counts(), [0, 0, 0]);
    session.logout().await.unwrap();
    // The first was polled by another waker meanwhile.
    assert_eq!(counts(), [0, 1, 1]);
    for stream in &mut streams {
        assert_eq!(story(stream), ["logged out"]);
    }
}

/// Runs its task in the call that wakes it, as some executors do.
struct Inline {
    session: Session,
    stream: Mutex<Option<StatusStream>>,
    told: Mutex<Vec<&'static str>>,
    /// Whether it wants a token, too.
    asks: bool,
}

impl Inline {
    fn new(session: &Session, asks: bool) -> Self {
        let stream = Mutex::new(Some(session.status_stream()));
        Self { session: session.clone(), stream, told: Mutex::default(), asks }
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        let Some(mut stream) = self.stream.lock().unwrap().take() else { return };
        let waker = Waker::from(self.clone());
        let cx = &mut std::task::Context::from_waker(&waker);
        while let std::task::Poll::Ready(Some(status)) = stream.poll_next_unpin(cx) {
            self.told.lock().unwrap().push(name(status));
            assert_eq!(status, self.session.status());
            let _ = self.session.peek();
            if self.asks {
                let _ = self.session.token().now_or_never();
            }
        }
        *self.stream.lock().unwrap() = Some(stream);
    }
}

#[tokio::test(start_paused = true)]
async fn a_waker_that_runs_its_task_inline_may_use_the_session() {
    let source = Scripted::new();
    let session = over(&source);
    let inline = Arc::new(Inline::new(&session, true));
    inline.clone().wake();
    session.token().await.unwrap();
    session.logout().await.unwrap();
    session.login(pair("again", "second")).await.unwrap();
    source.answer(Err(RefreshError::rejected()));
    session.refresh_after(&session.peek().unwrap()).await.unwrap_err();
    assert_eq!(
        *inline.told.lock().unwrap(),
        ["loading", "active", "logged out", "active", "ended"]
    );
    inline.stream.lock().unwrap().take();
}

/// Where the ticket is given out, too.
#[tokio::test(start_paused = true)]
async fn the_request_that_begins_a_refresh_wakes_inline_as_well() {
    let source = Scripted::new();
    let session = over(&source);
    session.token().await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    let inline = Arc::new(Inline::new(&session, false));
    inline.clone().wake();
    let answer = source.answer_later(Ok(pair("late", "second")));
    let mut waiting = task::spawn(session.token());
    assert_pending!(waiting.poll());
    let begun = inline.told.lock().unwrap().clone();
    answer.send(()).unwrap();
    settle().await;
    let refreshed = waiting.poll();
    inline.stream.lock().unwrap().take();
    assert_ready!(refreshed).unwrap();
    assert_eq!(begun, ["expired", "refreshing"]);
    assert_eq!(inline.told.lock().unwrap().last(), Some(&"active"));
}

struct Panicking;

impl Wake for Panicking {
    fn wake(self: Arc<Self>) {
        panic!("told to");
    }
}

/// P3: the one who asks may have been given the ticket.
#[tokio::test(start_paused = true)]
async fn a_waker_that_panics_costs_nobody_a_refresh() {
    let session = over(&Scripted::new());
    session.token().await.unwrap();
    sleep(Duration::from_secs(3600)).await;
    let waker = Waker::from(Arc::new(Panicking));
    let cx = &mut std::task::Context::from_waker(&waker);
    let mut stream = session.status_stream();
    assert!(stream.poll_next_unpin(cx).is_ready());
    assert!(stream.poll_next_unpin(cx).is_pending());
    assert_eq!(session.status(), Status::Expired);
    let token = session.token().await.unwrap();
    assert_eq!(token.expose_secret(), "access-1");
    assert!(stream.poll_next_unpin(cx).is_ready());
    assert!(stream.poll_next_unpin(cx).is_pending());
    drop(session);
    settle().await;
    assert!(matches!(stream.poll_next_unpin(cx), std::task::Poll::Ready(None)));
}

#[test]
fn without_a_runtime_only_what_happens_wakes_the_stream() {
    let session = over(&Scripted::new());
    paused().block_on(session.token()).unwrap();
    let mut stream = task::spawn(session.status_stream());
    assert_ready!(stream.poll_next());
    assert_pending!(stream.poll_next());
    paused().block_on(session.logout()).unwrap();
    assert!(stream.is_woken());
    assert_eq!(assert_ready!(stream.poll_next()), Some(Status::LoggedOut));
}

#[test]
fn a_stream_may_move_to_another_runtime_when_its_own_has_ended() {
    let session = over(&Scripted::new());
    let mut stream = session.status_stream();
    let first = paused();
    first.block_on(async {
        session.token().await.unwrap();
        assert!(matches!(stream.next().await, Some(Status::Active { .. })));
        assert_eq!(now(&mut stream), None);
    });
    drop(first);
    let told = paused().block_on(stream.next());
    assert_eq!(told, Some(Status::Expired));
}
