//! The suite that every store must pass: sound stores do, and one broken rule is found and named.

use std::{
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    sync::OwnedMutexGuard,
    task::{JoinHandle, yield_now},
};
use tower_reauth::{
    AccessToken, Entry, Expected, Lease, MemoryStore, Record, StoreError, Stored, Swap, TokenSet,
    TokenStore, Version,
    testing::{store_contract, store_contract_without_access_tokens},
};

use crate::faulty_store::FaultyStore;

#[tokio::test(start_paused = true)]
async fn the_memory_store_keeps_the_contract() {
    store_contract(|| async {
        let store = MemoryStore::new();
        (store.clone(), store)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_the_contract_between_threads() {
    store_contract(|| async {
        let store = MemoryStore::new();
        (store.clone(), store)
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_store_of_these_tests_keeps_the_contract() {
    store_contract(|| async {
        let store = FaultyStore::new();
        (store.clone(), store)
    })
    .await;
}

/// The one rule that a store breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    NeverEmpty,
    LosesRefreshToken,
    LosesScope,
    LosesExpiry,
    WholeSeconds,
    LosesIssuer,
    LosesAccount,
    LosesMark,
    KeepsOldScope,
    DeletesInsteadOfBurying,
    VersionOfContent,
    ForgetsVersionAtBurial,
    TellsOlderVersion,
    StoresWhateverIsThere,
    BuriesWhateverIsThere,
    LooksOnlyForPresence,
    AbsentAdmitsTombstone,
    VersionRefusesAbsent,
    AnyRefusesTombstone,
    MovedYetStored,
    ChecksThenWrites,
    ShowsHalfASwap,
    LeavesHalfASwap,
    RemembersWhatItRead,
    LeasePerHandle,
    LeaseOncePerHandle,
    LeaseNeverReturned,
    LeaseForDroppedWaiter,
    SwapsWaitForLease,
    LoadsWaitForLease,
    LeaseEndsAtSwap,
    LeaseFails,
    ForgetsAccessToken(Option<Duration>),
}

#[derive(Default)]
struct Shared {
    stored: Mutex<Option<Stored>>,
    swaps: Mutex<u64>,
    /// For stores whose swap takes more than one step.
    section: tokio::sync::Mutex<()>,
    lease: Arc<tokio::sync::Mutex<()>>,
    held: Mutex<Weak<Mutex<Option<OwnedMutexGuard<()>>>>>,
}

struct Store {
    flaw: Flaw,
    shared: Arc<Shared>,
    own_lease: Arc<tokio::sync::Mutex<()>>,
    seen: Mutex<Option<Option<Stored>>>,
}

fn stores(flaw: Flaw) -> (Store, Store) {
    let shared = Arc::<Shared>::default();
    let store = || Store {
        flaw,
        shared: shared.clone(),
        own_lease: Arc::default(),
        seen: Mutex::default(),
    };
    (store(), store())
}

impl Store {
    fn is(&self, flaw: Flaw) -> bool {
        self.flaw == flaw
    }

    fn present(&self) -> Option<Stored> {
        self.shared.stored.lock().unwrap().clone()
    }

    fn write(&self, stored: Option<Stored>) {
        *self.shared.stored.lock().unwrap() = stored;
    }

    fn admits(&self, expected: Expected, present: Option<&Stored>, burial: bool) -> bool {
        let version = present.map(|stored| stored.version);
        let buried = present.is_some_and(|stored| stored.entry == Entry::Tombstone);
        match (self.flaw, expected) {
            (Flaw::StoresWhateverIsThere, _) if !burial => true,
            (Flaw::BuriesWhateverIsThere, _) if burial => true,
            (Flaw::LooksOnlyForPresence, Expected::Version(_)) => true,
            (Flaw::AbsentAdmitsTombstone, Expected::Absent) if buried => true,
            (Flaw::VersionRefusesAbsent, Expected::Version(_)) if version.is_none() => false,
            (Flaw::AnyRefusesTombstone, Expected::Any) if buried => false,
            _ => expected.admits(version),
        }
    }

    fn next_version(&self, entry: &Entry) -> Version {
        let mut swaps = self.shared.swaps.lock().unwrap();
        *swaps += 1;
        match entry {
            Entry::Live(record) if self.is(Flaw::VersionOfContent) => {
                let length = record.tokens().access().expose_secret().len() as u64;
                Version::new(length + u64::from(record.spent_since().is_some()))
            }
            Entry::Tombstone if self.is(Flaw::ForgetsVersionAtBurial) => Version::new(0),
            _ => Version::new(*swaps),
        }
    }

    fn spoil(&self, record: Record, before: Option<&Stored>) -> Record {
        let old = record.tokens();
        let mut tokens = TokenSet::new(match self.flaw {
            Flaw::ForgetsAccessToken(_) => AccessToken::new("forgotten").unwrap(),
            _ => old.access().clone(),
        });
        if let Some(refresh) = old.refresh().filter(|_| !self.is(Flaw::LosesRefreshToken)) {
            tokens = tokens.refresh_token(refresh.clone());
        }
        if let Some(scope) = old.granted_scope().filter(|_| !self.is(Flaw::LosesScope)) {
            tokens = tokens.scope(scope);
        }
        if let Some(Stored { entry: Entry::Live(before), .. }) = before
            && self.is(Flaw::KeepsOldScope)
            && old.granted_scope().is_none()
            && let Some(scope) = before.tokens().granted_scope()
        {
            tokens = tokens.scope(scope);
        }
        if let Some(expiry) = record.expiry().filter(|_| !self.is(Flaw::LosesExpiry)) {
            tokens = tokens.expires_at(if self.is(Flaw::WholeSeconds) {
                whole_seconds(expiry)
            } else {
                expiry
            });
        }
        if let Flaw::ForgetsAccessToken(expiry) = self.flaw {
            tokens = match expiry {
                Some(expiry) => tokens.expires_at(UNIX_EPOCH + expiry),
                None => without_expiry(&tokens),
            };
        }
        Record::new(tokens)
            .issuer(record.issued_by().filter(|_| !self.is(Flaw::LosesIssuer)))
            .account(record.belongs_to().filter(|_| !self.is(Flaw::LosesAccount)))
            .spending_since(record.spent_since().filter(|_| !self.is(Flaw::LosesMark)))
    }

    async fn swap(&self, expected: Expected, entry: Entry) -> Swap {
        let burial = entry == Entry::Tombstone;
        let _lease = match self.flaw {
            Flaw::SwapsWaitForLease => Some(self.shared.lease.lock().await),
            _ => None,
        };
        if let Some(held) = self.shared.held.lock().unwrap().upgrade() {
            held.lock().unwrap().take();
        }
        let in_steps = self.is(Flaw::ShowsHalfASwap) || self.is(Flaw::LeavesHalfASwap);
        let _section = if in_steps { Some(self.shared.section.lock().await) } else { None };
        let present = self.present();
        if self.is(Flaw::ChecksThenWrites) {
            yield_now().await;
        }
        let admitted = self.admits(expected, present.as_ref(), burial);
        if !admitted && !self.is(Flaw::MovedYetStored) {
            return Swap::Moved;
        }
        let entry = match entry {
            Entry::Live(record) => Entry::Live(self.spoil(record, present.as_ref())),
            Entry::Tombstone => Entry::Tombstone,
        };
        let version = self.next_version(&entry);
        if in_steps {
            self.write(None);
            yield_now().await;
        }
        if burial && self.is(Flaw::DeletesInsteadOfBurying) {
            self.write(None);
        } else {
            self.write(Some(Stored { entry, version }));
        }
        match present {
            _ if !admitted => Swap::Moved,
            Some(before) if self.is(Flaw::TellsOlderVersion) => Swap::Done(before.version),
            _ => Swap::Done(version),
        }
    }
}

fn without_expiry(tokens: &TokenSet) -> TokenSet {
    let mut other = TokenSet::new(tokens.access().clone());
    if let Some(refresh) = tokens.refresh() {
        other = other.refresh_token(refresh.clone());
    }
    match tokens.granted_scope() {
        Some(scope) => other.scope(scope),
        None => other,
    }
}

fn whole_seconds(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

impl TokenStore for Store {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let _lease = match self.flaw {
            Flaw::LoadsWaitForLease => Some(self.shared.lease.lock().await),
            Flaw::LeavesHalfASwap => Some(self.shared.section.lock().await),
            _ => None,
        };
        let present = self.present();
        if self.is(Flaw::NeverEmpty) && present.is_none() {
            return Ok(Some(Stored { entry: Entry::Tombstone, version: Version::new(0) }));
        }
        if self.is(Flaw::RemembersWhatItRead) {
            return Ok(self.seen.lock().unwrap().get_or_insert(present).clone());
        }
        Ok(present)
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let lease = self.shared.lease.clone();
        Ok(match self.flaw {
            Flaw::LeasePerHandle => Lease::new(self.own_lease.clone().lock_owned().await),
            Flaw::LeaseOncePerHandle => match self.own_lease.clone().try_lock_owned() {
                Ok(own) => Lease::new((own, lease.lock_owned().await)),
                Err(_) => Lease::new(()),
            },
            Flaw::LeaseNeverReturned => {
                std::mem::forget(lease.lock_owned().await);
                Lease::new(())
            }
            Flaw::LeaseForDroppedWaiter => {
                // Granted to a task, which keeps it if nobody is there any more.
                let (granted, place) = tokio::sync::oneshot::channel();
                tokio::spawn(async move {
                    let lease = lease.lock_owned().await;
                    if let Err(lease) = granted.send(lease) {
                        std::mem::forget(lease);
                    }
                });
                Lease::new(place.await.unwrap())
            }
            Flaw::LeaseEndsAtSwap => {
                let held = Arc::new(Mutex::new(Some(lease.lock_owned().await)));
                *self.shared.held.lock().unwrap() = Arc::downgrade(&held);
                Lease::new(held)
            }
            Flaw::LeaseFails => return Err(StoreError::unavailable()),
            _ => Lease::new(lease.lock_owned().await),
        })
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        Ok(self.swap(expected, Entry::Live(record)).await)
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        Ok(self.swap(expected, Entry::Tombstone).await)
    }
}

/// What the suite says of a store with this flaw. `None`: it finds none.
async fn verdict(flaw: Flaw) -> Option<String> {
    said(tokio::spawn(store_contract(move || async move { stores(flaw) }))).await
}

/// As [`verdict`], of the suite for stores that do not keep access tokens.
async fn lenient_verdict(flaw: Flaw) -> Option<String> {
    let suite = store_contract_without_access_tokens(move || async move { stores(flaw) });
    said(tokio::spawn(suite)).await
}

async fn said(suite: JoinHandle<()>) -> Option<String> {
    let panic = suite.await.err()?.into_panic();
    let text = panic.downcast_ref::<String>().cloned();
    Some(text.unwrap_or_else(|| (*panic.downcast_ref::<&str>().unwrap()).to_owned()))
}

#[tokio::test(start_paused = true)]
async fn every_broken_rule_is_found_and_named() {
    for (flaw, sentence) in [
        (Flaw::NeverEmpty, "never there loads as `None`"),
        (Flaw::LosesRefreshToken, "the refresh token does not"),
        (Flaw::LosesScope, "the scope does not"),
        (Flaw::LosesExpiry, "the expiry does not"),
        (Flaw::WholeSeconds, "the expiry does not"),
        (Flaw::LosesIssuer, "the issuer does not"),
        (Flaw::LosesAccount, "the account does not"),
        (Flaw::LosesMark, "the \"being spent\" mark does not"),
        (Flaw::KeepsOldScope, "the scope"),
        (Flaw::DeletesInsteadOfBurying, "a burial leaves a tombstone"),
        (Flaw::VersionOfContent, "a version of its own"),
        (Flaw::ForgetsVersionAtBurial, "a version of its own"),
        (Flaw::TellsOlderVersion, "a load tells the version that the swap told"),
        (Flaw::StoresWhateverIsThere, "compare-and-store answers `Moved`"),
        (Flaw::BuriesWhateverIsThere, "compare-and-bury answers `Moved`"),
        (Flaw::LooksOnlyForPresence, "expects another version and finds Record"),
        (Flaw::AbsentAdmitsTombstone, "expects absent and finds Tombstone"),
        (Flaw::VersionRefusesAbsent, "version and finds Nothing"),
        (Flaw::AnyRefusesTombstone, "`Expected::Any` admits it"),
        (Flaw::MovedYetStored, "changes nothing"),
        (Flaw::ChecksThenWrites, "exactly one happens"),
        (Flaw::ShowsHalfASwap, "a reader always finds the old record or the new one"),
        (Flaw::LeavesHalfASwap, "dropped on its way has happened or not, but the record is gone"),
        (Flaw::RemembersWhatItRead, "comes back"),
        (Flaw::LeasePerHandle, "one lease is out at a time, between two handles"),
        (Flaw::LeaseOncePerHandle, "one lease is out at a time, at one handle"),
        (Flaw::LeaseNeverReturned, "a lease that nobody holds is granted"),
        (Flaw::LeaseForDroppedWaiter, "a lease that nobody holds is granted"),
        (Flaw::SwapsWaitForLease, "do not wait for somebody's lease"),
        (Flaw::LoadsWaitForLease, "do not wait for somebody's lease"),
        (Flaw::LeaseEndsAtSwap, "a lease outlives the swaps"),
        (Flaw::LeaseFails, "a store answers: a lease failed"),
    ] {
        let said = verdict(flaw).await.unwrap_or_else(|| panic!("{flaw:?} is not found"));
        assert!(said.contains(sentence), "{flaw:?}: {said}");
        assert!(!said.contains("access-"), "{flaw:?}: {said}");
    }
    assert_eq!(verdict(Flaw::None).await, None);
}

#[tokio::test(start_paused = true)]
async fn an_access_token_may_be_forgotten_where_the_suite_says_so_if_its_place_is_dead() {
    let day = Duration::from_secs(86_400);
    let dead = Flaw::ForgetsAccessToken(Some(day));
    assert_eq!(lenient_verdict(dead).await, None);
    assert_eq!(lenient_verdict(Flaw::None).await, None);
    let strict = verdict(dead).await.unwrap();
    assert!(strict.contains("the access token does not"), "{strict}");
    let tomorrow = SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + day;
    for (flaw, sentence) in [
        (Flaw::ForgetsAccessToken(None), "loads as one that has expired"),
        (Flaw::ForgetsAccessToken(Some(tomorrow)), "loads as one that has expired"),
        (Flaw::LosesRefreshToken, "the refresh token does not"),
        (Flaw::LosesExpiry, "the expiry does not"),
        (Flaw::LosesMark, "the \"being spent\" mark does not"),
        (Flaw::StoresWhateverIsThere, "compare-and-store answers `Moved`"),
        (Flaw::LeasePerHandle, "one lease is out at a time, between two handles"),
    ] {
        let said = lenient_verdict(flaw).await.unwrap_or_else(|| panic!("{flaw:?} is not found"));
        assert!(said.contains(sentence), "{flaw:?}: {said}");
        assert!(!said.contains("access-"), "{flaw:?}: {said}");
    }
}
