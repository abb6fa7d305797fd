//! A store for a fleet: one record on Redis, shared by every machine that reaches it.

mod fault;
mod lease;
mod link;
mod listen;
mod names;
mod scripts;

use std::{fmt, sync::Arc, time::Duration};

use self::{
    fault::Fault,
    lease::{Lessee, Out},
    link::{Link, Question},
    listen::Ears,
    names::Names,
    scripts::Written,
};
use super::{
    Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore, Version,
    document::{Document, Unreadable},
};
use crate::unique;

/// Keeps the record on Redis, so that one refresh serves a whole fleet.
///
/// ```no_run
/// use tower_reauth::RedisStore;
///
/// let store = RedisStore::open("rediss://:secret@redis.example.com/0", "alice")?;
/// // The session of another user, over the same connection.
/// let other = store.session("bob");
/// # Ok::<(), tower_reauth::StoreError>(())
/// ```
///
/// # What Redis holds
///
/// | key or channel | what | when it ends |
/// |---|---|---|
/// | `tower-reauth:{alice}:record` | the record, or a tombstone: versioned JSON | never, or by [`record_ttl`](Self::record_ttl), [`tombstone_ttl`](Self::tombstone_ttl) |
/// | `tower-reauth:{alice}:lease` | who may refresh now: a random word of the holder | given back, or by [`lease_duration`](Self::lease_duration) |
/// | `tower-reauth:{alice}:fence` | the number of the newest lease | with the record |
/// | `tower-reauth:{alice}:released` | a channel: the lease was given back | |
///
/// `tower-reauth:` is the [`prefix`](Self::prefix), `alice` the session. Braces and per cent signs in either
/// are written as `%7B`, `%7D` and `%25`. What stands in braces is the hash tag of a cluster, so that all
/// keys of a session are in one slot. A store talks to one node: in a cluster let the address be that of a
/// proxy, or of the node that has the slot; from any other node the answer is "unavailable".
///
/// Access and refresh token lie in the record as they are. Whoever may read the key, a backup, `MONITOR` or
/// the slow log has them, unless the record is encrypted before it gets here, by `Sealed`.
///
/// # The lease
///
/// A holder renews its lease after each third of its duration for as long as it refreshes, so one that is
/// slow is not robbed, and one that was killed blocks the others for one duration at most. A holder that
/// was stopped for longer finds by its own two clocks that the lease ran out (a fifth of the duration is
/// kept back), and sends nothing. Whoever waits is woken by a message; where that does not arrive they ask
/// again after [`poll_interval`](Self::poll_interval). It is given back in the background, which
/// [`Session::close`](crate::Session::close) waits for; a program that ends without leaves it to run out.
///
/// Each lease has a number, one more than the one before. The mark that a holder writes before it spends
/// the refresh token is refused as soon as a later number was granted. Tokens that a late holder brings are
/// not: they are taken if the record is still the one that it marked, since nobody else can have them, and
/// refused if it moved on. A login or a logout holds no lease and needs none. The numbers begin anew where
/// Redis lost them.
///
/// # When Redis fails
///
/// Each question is answered within [`time_limit`](Self::time_limit), or the call ends by
/// [`StoreError::unavailable`], as it does if Redis cannot be reached, or refuses; the next call makes a
/// new connection. Nobody is logged out by that. A Redis that comes back empty has lost the record, and
/// did not end the session: whoever has the tokens writes them again. One that fails over to a replica
/// may have lost the newest writes and a lease with them: two processes may then spend one refresh token,
/// as if one had been killed.
///
/// What is there and is no record is [`corrupt`](StoreError::is_corrupt). A login writes over a damaged
/// record, and never over a later version's or what another program put there.
///
/// Let Redis evict nothing (`maxmemory-policy noeviction`). With `volatile-…` it may evict what has a TTL: the
/// lease, so that two processes spend one refresh token, and a tombstone, so that a session that was logged
/// out comes back from another process's memory.
///
/// A user of Redis with few rights needs `GET`, `SET`, `DEL`, `INCR`, `PTTL`, `PEXPIRE`, `EVALSHA`,
/// `SCRIPT LOAD` and, to be woken, `PUBLISH` and `SUBSCRIBE` for the channel.
///
/// # Connections
///
/// One, made at the first call, shared with what [`session`](Self::session) and `clone` return, and a
/// second one while somebody waits for a lease. It needs a tokio runtime with I/O and time, and survives the
/// end of the runtime that it was made on.
///
/// Each clone is a handle of its own, as if another process had opened it: give every session its own.
pub struct RedisStore {
    link: Arc<Link>,
    ears: Arc<Ears>,
    names: Arc<Names>,
    out: Out,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    prefix: Arc<str>,
    session: Arc<str>,
    lease: Duration,
    record: Option<Duration>,
    tombstone: Option<Duration>,
    poll: Duration,
    limit: Duration,
}

/// The shortest lease: a third of it must be enough to renew it.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

/// How often a swap that expects whatever is there is tried again because somebody came in between.
const ROUNDS: usize = 32;

/// The shortest and the longest pause between two questions for a lease that somebody else holds.
const SHORTEST_POLL: Duration = Duration::from_millis(10);
const LONGEST_POLL: Duration = Duration::from_secs(24 * 60 * 60);

impl RedisStore {
    /// A store at `url`, as in `redis://user:password@host:port/db`, for the session of this name. It
    /// does not connect yet.
    ///
    /// A `rediss://` address needs a TLS feature of the [`redis`] crate, which a program turns on by a
    /// dependency of its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::unavailable`] if that is no address of a Redis. Nothing of it is printed.
    ///
    /// [`redis`]: ::redis
    pub fn open(url: &str, session: &str) -> Result<Self, StoreError> {
        let client = ::redis::Client::open(url).map_err(|_| Fault::Address)?;
        Ok(Self::new(client, session))
    }

    /// A store at what `client` connects to, for the session of this name. It does not connect yet.
    #[must_use]
    pub fn new(client: ::redis::Client, session: &str) -> Self {
        let settings = Settings {
            prefix: "tower-reauth:".into(),
            session: session.into(),
            lease: Duration::from_secs(5),
            record: None,
            tombstone: None,
            poll: Duration::from_millis(500),
            limit: Duration::from_secs(2),
        };
        let names = Names::new(&settings.prefix, session);
        Self {
            link: Arc::new(Link::new(client)),
            ears: Arc::default(),
            names: Arc::new(names),
            out: Out::default(),
            settings,
        }
    }

    /// The store of another session: same connection, same settings.
    #[must_use]
    pub fn session(&self, session: &str) -> Self {
        let other = self.clone();
        let settings = Settings { session: session.into(), ..other.settings.clone() };
        other.with(settings)
    }

    /// What the names of all keys begin with.
    ///
    /// Default: `tower-reauth:`.
    #[must_use]
    pub fn prefix(self, prefix: &str) -> Self {
        let settings = Settings { prefix: prefix.into(), ..self.settings.clone() };
        self.with(settings)
    }

    /// How long a lease outlives a holder that was killed. Let it be longer than pauses of a healthy
    /// process, and shorter than the [patience](crate::SessionBuilder::patience) of those who wait. At least
    /// 100 ms.
    ///
    /// Default: 5 s.
    #[must_use]
    pub fn lease_duration(mut self, duration: Duration) -> Self {
        self.settings.lease = duration.max(SHORTEST_LEASE);
        self
    }

    /// How long a record is kept after it was written: for sessions that nobody comes back to. Let it be
    /// longer than a refresh token lives, since a record that is gone looks like one that was never there.
    /// `None`: for ever.
    ///
    /// Default: for ever.
    #[must_use]
    pub fn record_ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.settings.record = ttl.into();
        self
    }

    /// How long it is remembered that a session is over. Let it be longer than any process runs without
    /// looking at the store: one that still has tokens, and finds neither record nor tombstone, writes its
    /// own. `None`: for ever.
    ///
    /// Default: for ever.
    #[must_use]
    pub fn tombstone_ttl(mut self, ttl: impl Into<Option<Duration>>) -> Self {
        self.settings.tombstone = ttl.into();
        self
    }

    /// After how long a waiter asks again if no message wakes it, on average; it varies by half of it. At
    /// least 10 ms, and a day at most.
    ///
    /// Default: 500 ms.
    #[must_use]
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll = interval.clamp(SHORTEST_POLL, LONGEST_POLL);
        self
    }

    /// How long Redis may take to answer one question, connecting included. A load is one, a swap is two, and
    /// whoever waits for a lease asks now and then. Let it be less than half of the session's own
    /// [`store_timeout`](crate::SessionBuilder::store_timeout).
    ///
    /// Default: 2 s.
    #[must_use]
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.settings.limit = limit;
        self
    }

    fn with(mut self, settings: Settings) -> Self {
        self.names = Arc::new(Names::new(&settings.prefix, &settings.session));
        self.settings = settings;
        self
    }

    async fn ask(&self, question: &Question<'_>) -> Result<::redis::Value, Fault> {
        self.link.ask(question, self.settings.limit).await
    }

    async fn swap(&self, expected: Expected, entry: Entry) -> Result<Swap, StoreError> {
        let (life, number) = match &entry {
            // A mark is what the holder of a lease writes, and nobody else.
            Entry::Live(record) if record.spent_since().is_some() => {
                (self.settings.record, self.out.number())
            }
            Entry::Live(_) => (self.settings.record, None),
            Entry::Tombstone => (self.settings.tombstone, None),
        };
        let version = Version::new(unique::number());
        let stored = Stored { entry, version };
        let answer = self.ask(&scripts::read(&self.names)).await?;
        let mut there = scripts::text(answer)?;
        for _ in 0..ROUNDS {
            let document = match there.as_deref().map(|text| Document::read(text)) {
                Some(Err(Unreadable::Corrupt)) if expected == Expected::Any => None,
                document => document.transpose()?,
            };
            if !expected.admits(document.as_ref().map(|document| document.stored.version)) {
                return Ok(Swap::Moved);
            }
            let new = match document {
                Some(document) => document.succeeded_by(stored.clone()),
                None => Document::new(stored.clone()),
            };
            let read = there.as_ref().map(|text| text.as_slice());
            let question = scripts::store(&self.names, read, &new.text(), number, life);
            match scripts::written(self.ask(&question).await?)? {
                Written::Done => return Ok(Swap::Done(version)),
                Written::Fenced => return Ok(Swap::Moved),
                Written::Other(other) => there = other,
            }
        }
        Err(Fault::Contended.into())
    }
}

impl TokenStore for RedisStore {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let answer = self.ask(&scripts::read(&self.names)).await?;
        let Some(text) = scripts::text(answer)? else { return Ok(None) };
        Ok(Some(Document::read(&text)?.stored))
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        let lessee = Lessee {
            link: self.link.clone(),
            ears: self.ears.clone(),
            names: self.names.clone(),
            out: self.out.clone(),
            duration: self.settings.lease,
            life: self.settings.record,
            poll: self.settings.poll,
            limit: self.settings.limit,
        };
        lessee.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        self.swap(expected, Entry::Live(record)).await
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        self.swap(expected, Entry::Tombstone).await
    }

    async fn settle(&self) {
        self.out.until_given_back().await;
    }
}

impl Clone for RedisStore {
    /// Another handle to the same session, over the same connection.
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            ears: self.ears.clone(),
            names: self.names.clone(),
            out: Out::default(),
            settings: self.settings.clone(),
        }
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisStore")
    }
}
