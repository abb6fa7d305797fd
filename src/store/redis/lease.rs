//! The right to refresh, as a value that Redis forgets after a while unless it is renewed.
//!
//! One task for each: it asks, waits, renews, and gives back. Whoever wanted the lease may go away at any
//! time; the task then gives back what it was granted, if only by an answer that got lost.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    time::{sleep, sleep_until},
};

use super::{
    fault::Fault,
    link::Link,
    listen::Ears,
    names::Names,
    scripts::{self, Asked},
};
use crate::{
    Clock, Lease, StoreError,
    clock::{Deadline, Now},
    sync::{Mutex, lock},
    unique,
};

/// What is out through one handle of a store.
#[derive(Clone, Default)]
pub(super) struct Out {
    /// The number of its lease.
    number: Arc<Mutex<Option<i64>>>,
    /// How many leases are asked for, or not given back yet.
    leases: watch::Sender<usize>,
}

impl Out {
    pub(super) fn number(&self) -> Option<i64> {
        *lock(&self.number)
    }

    pub(super) async fn until_given_back(&self) {
        // It cannot fail: the sender is here.
        let _ = self.leases.subscribe().wait_for(|leases| *leases == 0).await;
    }
}

/// One lease, from the question for it until it was given back, or the runtime that would do so ended.
/// One that nobody waits for any more may still be granted.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn new(out: &Out) -> Self {
        out.leases.send_modify(|leases| *leases += 1);
        Self(out.leases.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|leases| *leases -= 1);
    }
}

/// What it takes to get a lease.
pub(super) struct Lessee {
    pub(super) link: Arc<Link>,
    pub(super) ears: Arc<Ears>,
    pub(super) names: Arc<Names>,
    pub(super) out: Out,
    pub(super) duration: Duration,
    /// How long the number is remembered.
    pub(super) life: Option<Duration>,
    pub(super) poll: Duration,
    pub(super) limit: Duration,
}

/// For how long the lease is surely this process's, unless it is renewed.
#[derive(Clone)]
struct Term(Arc<Mutex<Deadline>>);

/// What the holder drops.
struct Guard {
    number: i64,
    out: Out,
    /// Closing it tells the task.
    _end: oneshot::Sender<()>,
}

impl Lessee {
    pub(super) async fn lease(self) -> Result<Lease, StoreError> {
        let runtime = Handle::try_current().map_err(|_| Fault::NoRuntime)?;
        let (tell, told) = oneshot::channel();
        let counted = Counted::new(&self.out);
        runtime.spawn(async move {
            self.run(tell).await;
            drop(counted);
        });
        // Nothing is told if the runtime ends.
        told.await.unwrap_or_else(|_| Err(StoreError::unavailable()))
    }

    async fn run(self, mut tell: oneshot::Sender<Result<Lease, StoreError>>) {
        let owner = unique::word();
        match self.acquire(&owner, &mut tell).await {
            Some(Ok((number, asked))) => {
                let term = Term(Arc::new(Mutex::new(self.end(asked))));
                let (end, ended) = oneshot::channel();
                *lock(&self.out.number) = Some(number);
                let guard = Guard { number, out: self.out.clone(), _end: end };
                let check = term.clone();
                let lease = Lease::new(guard).held_while(move || check.is_on());
                // A lease that nobody takes is dropped here, and given back below.
                let _ = tell.send(Ok(lease));
                self.renew(&owner, number, &term, ended).await;
            }
            Some(Err(fault)) => drop(tell.send(Err(fault.into()))),
            None => {}
        }
        self.release(&owner).await;
    }

    /// The number, and when it was asked for. `None`: nobody wants it any more.
    async fn acquire(
        &self,
        owner: &str,
        tell: &mut oneshot::Sender<Result<Lease, StoreError>>,
    ) -> Option<Result<(i64, Now), Fault>> {
        let mut ear = None;
        while !tell.is_closed() {
            let asked = Clock::system().now();
            let question = scripts::grant(&self.names, owner, self.duration, self.life);
            let answer = self.link.ask(&question, self.limit).await;
            let left = match answer.and_then(scripts::asked) {
                Ok(Asked::Granted(number)) => return Some(Ok((number, asked))),
                Ok(Asked::Held(left)) => left,
                Err(fault) => return Some(Err(fault)),
            };
            let ear =
                ear.get_or_insert_with(|| self.ears.hear(self.link.client(), &self.names.channel));
            let poll = self.poll.mul_f64(0.5 + fastrand::f64());
            // When it lapses it is anybody's, and nobody tells so.
            let lapses = left.map(|left| left + Duration::from_millis(fastrand::u64(1..20)));
            tokio::select! {
                () = tell.closed() => return None,
                () = ear.heard() => {}
                () = sleep(lapses.map_or(poll, |lapses| lapses.min(poll))) => {}
            }
        }
        None
    }

    /// Renew it until it is dropped, or lost for good.
    async fn renew(&self, owner: &str, number: i64, term: &Term, mut ended: oneshot::Receiver<()>) {
        loop {
            let next = Clock::system().now().later(self.duration / 3);
            tokio::select! {
                _ = &mut ended => return,
                () = sleep_until(next.into()) => {}
            }
            let asked = Clock::system().now();
            let question = scripts::renew(&self.names, owner, number, self.duration, self.life);
            let limit = self.limit.min(self.duration / 3);
            match self.link.ask(&question, limit).await {
                Ok(answer) if scripts::renewed(&answer) => term.prolong(self.end(asked)),
                Ok(_) => {
                    // Somebody else was granted it.
                    term.prolong(Deadline { mono: asked.mono, wall: asked.wall });
                    let _ = ended.await;
                    return;
                }
                // It runs out by itself, unless Redis is back in time.
                Err(_) => {}
            }
        }
    }

    async fn release(&self, owner: &str) {
        // If that fails it lapses.
        let _ = self.link.ask(&scripts::release(&self.names, owner), self.limit).await;
    }

    /// A fifth is kept back, for clocks that differ and for the way to the token endpoint.
    fn end(&self, asked: Now) -> Deadline {
        let surely = self.duration / 5 * 4;
        Deadline::after(asked, surely).unwrap_or(Deadline { mono: asked.mono, wall: asked.wall })
    }
}

impl Term {
    fn prolong(&self, until: Deadline) {
        *lock(&self.0) = until;
    }

    fn is_on(&self) -> bool {
        !lock(&self.0).passed(&Clock::system().now())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut newest = lock(&self.out.number);
        if *newest == Some(self.number) {
            *newest = None;
        }
    }
}
