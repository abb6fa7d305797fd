//! One storm: all requests at once, all rejected at once, one refresh if it goes well.

use std::{
    fmt,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use http::Uri;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{
    api::Api,
    contenders::{self, ColdIdeal, Contender, Ideal, Stack},
    support::{Fresh, mutex_client::MutexClient, retry_policy::retrying},
    tokens::{self, Issuer},
};

pub(crate) const ORIGIN: &str = "https://api.example.com";

/// Who goes through a storm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Ours,
    /// Two sends and one shared wait.
    Ideal,
    /// A `tokio::sync::Mutex` around the tokens.
    Mutex,
    /// A `tower::retry` policy.
    Retry,
    /// [`Ours`](Self::Ours) without a token to begin with.
    ColdOurs,
    /// One shared wait and one send.
    ColdIdeal,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ours => "tower-reauth",
            Self::Ideal => "ideal",
            Self::Mutex => "Mutex client",
            Self::Retry => "retry policy",
            Self::ColdOurs => "tower-reauth, cold",
            Self::ColdIdeal => "ideal, cold",
        })
    }
}

/// What became of a storm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    pub(crate) took: Duration,
    /// How long of that another program had the processor, as far as the kernel tells.
    pub(crate) disturbed: Duration,
    pub(crate) refreshes: usize,
    pub(crate) sends: usize,
    pub(crate) failures: usize,
}

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Where storms run.
pub(crate) struct Arena {
    runtime: Runtime,
    threads: usize,
}

impl Arena {
    /// With one thread the one that asks runs the storm.
    pub(crate) fn new(threads: usize) -> Self {
        let runtime = match threads {
            1 => Builder::new_current_thread().enable_all().build(),
            _ => Builder::new_multi_thread().worker_threads(threads).enable_all().build(),
        };
        Self { runtime: runtime.expect("a runtime starts"), threads }
    }

    pub(crate) fn block_on<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> T {
        match self.threads {
            1 => self.runtime.block_on(future),
            // A worker begins the storm, as it would in a program; the caller's thread only waits.
            _ => self.runtime.block_on(async {
                tokio::spawn(future).await.expect("a storm that panics is no result")
            }),
        }
    }

    /// A storm of `n` requests over the service in memory, with its promises checked.
    ///
    /// `phase`, from 0 to 1, is when it begins between two ticks of tokio's timer. A refresh ends on a
    /// tick, so storms that are to be compared begin at the same phases.
    pub(crate) fn storm(&self, who: Who, n: usize, phase: f64) -> Outcome {
        self.block_on(async move {
            let (issuer, api) = (Issuer::default(), Api::new(n));
            let ended = through(who, n, phase, &issuer, &api).await;
            Outcome::of(ended, who, n, &issuer, &api)
        })
    }
}

/// A storm that is over.
pub(crate) struct Ended {
    /// The time until the last request was answered.
    took: Duration,
    disturbed: Duration,
    failures: usize,
}

impl Outcome {
    /// What is not as it must be is no result.
    pub(crate) fn of(ended: Ended, who: Who, n: usize, issuer: &Issuer, api: &Api) -> Self {
        let Ended { took, disturbed, failures } = ended;
        let (refreshes, sends) = (issuer.refreshes(), api.sends());
        assert_eq!(issuer.reused(), 0, "{who} spent a refresh token twice in a storm of {n}");
        assert_eq!(failures, 0, "{who} failed requests of a storm of {n}");
        let (enough_refreshes, enough_sends) = match who {
            Who::ColdOurs | Who::ColdIdeal => (1, n),
            Who::Retry => (n, 2 * n),
            Who::Ours | Who::Ideal | Who::Mutex => (1, 2 * n),
        };
        assert_eq!(refreshes, enough_refreshes, "{who} refreshed too often in a storm of {n}");
        assert_eq!(sends, enough_sends, "{who} sent too often in a storm of {n}");
        Self { took, disturbed, refreshes, sends, failures }
    }
}

async fn through(who: Who, n: usize, phase: f64, issuer: &Issuer, api: &Api) -> Ended {
    let (api, uri) = (api.clone(), Uri::from_static("https://api.example.com/v1/orders"));
    match who {
        Who::Ours => {
            let session = contenders::session(issuer, ORIGIN).await;
            run(&contenders::ours(session, api, uri), n, phase).await
        }
        Who::Ideal => run(&Ideal::new(issuer, api, uri), n, phase).await,
        Who::ColdOurs => {
            let session = contenders::cold_session(issuer, ORIGIN);
            run(&contenders::ours(session, api, uri), n, phase).await
        }
        Who::ColdIdeal => run(&ColdIdeal(Ideal::new(issuer, api, uri)), n, phase).await,
        Who::Mutex => {
            let service = MutexClient::new(api, &Fresh::new(&tokens::old()), spend(issuer));
            let service = service.expect("the token fits in a header");
            run(&Stack { service, uri }, n, phase).await
        }
        Who::Retry => {
            let service = retrying(api, &Fresh::new(&tokens::old()), spend(issuer));
            let service = service.expect("the token fits in a header");
            run(&Stack { service, uri }, n, phase).await
        }
    }
}

/// The refresh of a client that keeps its refresh token in a variable.
pub(crate) fn spend(
    issuer: &Issuer,
) -> impl Fn() -> futures::future::BoxFuture<'static, Result<Fresh, tower_reauth::BoxError>>
+ Clone
+ Send
+ Sync
+ 'static {
    let (issuer, spent) = (issuer.clone(), Arc::new(AtomicUsize::new(0)));
    move || {
        let (issuer, spent) = (issuer.clone(), spent.clone());
        Box::pin(async move {
            let held = tokens::refresh_token(spent.load(Ordering::Relaxed));
            let minted = issuer.refresh(Some(&held)).await;
            spent.fetch_add(1, Ordering::Relaxed);
            Ok(Fresh::new(minted.access()))
        })
    }
}

/// All requests at once, and each a task.
pub(crate) async fn run(contender: &impl Contender, n: usize, phase: f64) -> Ended {
    let mut tasks = Vec::with_capacity(n);
    let mut failures = 0;
    wait_for(phase).await;
    let (begin, kept_waiting) = (now(), kept_waiting());
    tasks.extend((0..n).map(|_| tokio::spawn(contender.task())));
    for task in tasks {
        failures += usize::from(!task.await.unwrap_or(false));
    }
    let took = begin.elapsed();
    let disturbed = self::kept_waiting().saturating_sub(kept_waiting);
    Ended { took, disturbed, failures }
}

/// Until tokio's timer has ticked, and `phase` milliseconds more.
async fn wait_for(phase: f64) {
    tokio::time::sleep(Duration::from_millis(1)).await;
    let tick = now();
    while tick.elapsed().as_secs_f64() * 1000.0 < phase {
        std::hint::spin_loop();
    }
}

/// How long this thread could have run, but another program had the processor. Zero where the kernel does
/// not tell, and where a storm has more threads than one.
fn kept_waiting() -> Duration {
    if Handle::current().metrics().num_workers() > 1 {
        return Duration::ZERO;
    }
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = told.split_whitespace().nth(1).and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}
