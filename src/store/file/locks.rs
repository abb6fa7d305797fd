//! Exclusion between processes, by locks of the operating system.
//!
//! A lock belongs to one open file and ends with it, however its process ends. The files stay: whoever
//! deleted one would leave those who wait with a lock on something that has no name.

use std::{
    ffi::OsStr,
    fs::{File, OpenOptions, TryLockError},
    path::Path,
    sync::Arc,
    time::Duration,
};

use super::{
    blocking::{has_runtime, pause, run},
    disk::{beside, create_folder},
    failure::failed,
};
use crate::{Lease, StoreError};

/// How long one process waits while another replaces the record.
const SECTION: Duration = Duration::from_secs(5);

/// The two locks beside a file.
#[derive(Clone)]
pub(super) struct Locks {
    lease: Arc<Path>,
    section: Arc<Path>,
}

impl Locks {
    pub(super) fn beside(path: &Path) -> Self {
        Self {
            lease: beside(path, OsStr::new(".lease")).into(),
            section: beside(path, OsStr::new(".lock")).into(),
        }
    }

    pub(super) async fn lease(&self, patience: Duration) -> Result<Lease, StoreError> {
        // Without a runtime nobody could be waited for without holding up the thread.
        let mut waits = Waits::within(if has_runtime() { patience } else { Duration::ZERO });
        loop {
            let path = self.lease.clone();
            if let Some(held) = run(move || Held::try_lock(&path)).await? {
                return Ok(Lease::new(held));
            }
            pause(waits.next().ok_or_else(StoreError::busy)?).await;
        }
    }

    /// Do the work while no other process, and no other call, is at such work.
    pub(super) async fn section<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let mut waits = Waits::within(SECTION);
        let mut work = work;
        loop {
            let path = self.section.clone();
            // One piece: a call that is dropped between the lock and the work cannot be.
            let attempt = run(move || match Held::try_lock(&path)? {
                Some(_held) => work().map(Attempt::Done),
                None => Ok(Attempt::Locked(work)),
            });
            match attempt.await? {
                Attempt::Done(output) => return Ok(output),
                Attempt::Locked(unused) => work = unused,
            }
            pause(waits.next().ok_or_else(StoreError::unavailable)?).await;
        }
    }
}

/// For records that are not in a file.
#[cfg(feature = "keyring")]
impl Locks {
    /// Wait for the section, to do its work elsewhere. It is left when what is returned is dropped.
    pub(super) async fn enter(&self) -> Result<Held, StoreError> {
        let mut waits = Waits::within(SECTION);
        loop {
            let path = self.section.clone();
            if let Some(held) = run(move || Held::try_lock(&path)).await? {
                return Ok(held);
            }
            pause(waits.next().ok_or_else(StoreError::unavailable)?).await;
        }
    }
}

enum Attempt<T, W> {
    Done(T),
    Locked(W),
}

/// A lock, given back on drop.
pub(in crate::store) struct Held(File);

impl Held {
    /// `None`: another open file has it.
    ///
    /// The file is opened anew each time, so that nobody waits for one that was deleted.
    fn try_lock(path: &Path) -> Result<Option<Self>, StoreError> {
        if let Some(folder) = path.parent() {
            create_folder(folder).map_err(failed("create", folder))?;
        }
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path).map_err(failed("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(reason)) => Err(failed("lock", path)(reason)),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // To close it is not enough while a child that is being started still has a copy. Closed it is
        // in any case, so there is nothing to be done about a failure.
        let _ = self.0.unlock();
    }
}

/// How long to wait before each further attempt, until the time is up.
struct Waits {
    left: Duration,
    next: Duration,
}

impl Waits {
    const FIRST: Duration = Duration::from_millis(2);
    const MOST: Duration = Duration::from_millis(50);

    fn within(limit: Duration) -> Self {
        Self { left: limit, next: Self::FIRST }
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.left.is_zero() {
            return None;
        }
        // Not in step with all the others.
        let wait = self.next.mul_f64(0.5 + fastrand::f64() / 2.0).min(self.left);
        self.left -= wait;
        self.next = (self.next * 3 / 2).min(Self::MOST);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_bound_and_use_up_the_time() {
        let waits: Vec<_> = Waits::within(Duration::from_secs(1)).collect();
        assert!(waits[0] <= Waits::FIRST && waits.iter().all(|wait| *wait <= Waits::MOST));
        assert!(waits.len() > 20 && waits.len() < 60, "{}", waits.len());
        assert_eq!(waits.iter().sum::<Duration>(), Duration::from_secs(1));
    }
}
