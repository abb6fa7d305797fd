//! One session, many processes: which store when, what each promises, and what no client can.
//!
//! A refresh token that rotates is good for one use. Two processes that hold the same one and refresh by
//! themselves spend it twice; the server takes the second for a thief, and both are logged out. So processes
//! that share a session share its *store*, and the store says who refreshes.
//!
//! # Which store
//!
//! | the session is used by | store | what keeps two refreshes apart |
//! |---|---|---|
//! | one process, and a login at each start is fine | [`MemoryStore`](crate::MemoryStore), the default | memory |
//! | one program, or several on one machine | [`FileStore`](crate::FileStore) | locks of the operating system, which end with their holder |
//! | the same, and the disk is not trusted | `Sealed<FileStore>` (feature `sealed`) | the same |
//! | a desktop program or a command-line tool | `KeyringStore` (feature `keyring`) | the locks of a file beside it |
//! | replicas on many machines | `RedisStore` (feature `redis`) | a lease that runs out, renewed while it is held |
//! | something else that you have | your own [`TokenStore`](crate::TokenStore), after `testing::store_contract` | what you write |
//!
//! # A refresh, as the store sees it
//!
//! ```text
//!  lease ─▶ read ─┬─ newer tokens are there ──▶ adopt them, send nothing
//!                 └─ ours ─▶ mark ─▶ spend ─▶ store ─▶ release
//!                            "being spent since"   only if it is still the record that was marked
//! ```
//!
//! One process has the *lease*. The others wait for it, read again, and find what the first one stored.
//! What is spent is what was just read, never what memory remembers, unless memory has its unsaved
//! successor. The mark is written before the refresh token is sent: so a store that cannot be written is
//! found out while nothing is lost, and whoever takes over from a process that was killed knows that the
//! token may be spent.
//!
//! A login and a logout do not wait for anybody's lease. They swap the record, and a refresh that comes
//! back later finds that it was moved. A logout leaves a tombstone, which ends the session for the others
//! at their next access to the store; a login there revives it. With a valid token in memory no store is
//! touched at all, so another process's logout is noticed when the token runs out, or by
//! [`reload`](crate::Session::reload).
//!
//! That is one lease, one read and two writes for each refresh.
//!
//! | store | lease | load | compare-and-store |
//! |---|---:|---:|---:|
//! | memory | 0.09 µs | 0.06 µs | 0.9 µs |
//! | file | 11 µs | 18 µs | 0.9 ms: it is flushed to the disk |
//! | sealed file | 28 µs | 25 µs | 1.1 ms |
//! | keyring of the kernel | 41 µs | 0.2 ms | 0.6 ms |
//! | Redis on loopback | 55 µs | 28 µs | 44 µs |
//!
//! Those are middle values of one machine with two cores, for the order of magnitude; a disk that was
//! busy took 9 ms to flush. Yours come by `cargo bench --bench stores --features keyring,redis`. A Secret
//! Service takes 6 to 11 ms to connect to, and about 1 ms for each call.
//!
//! # What goes wrong, and what happens then
//!
//! | what happens | memory | file, keyring | Redis |
//! |---|---|---|---|
//! | the process that refreshes is killed | the session is gone | the next one takes over at once | the next one takes over when the lease has run out |
//! | it is stopped, and goes on later | nobody else is there | the others are told *busy*, and wait | the others go on when the lease has run out; the stopped one finds that out before it sends, and its late save counts only if the record is still as it read it |
//! | the store is down | – | nothing is sent; held tokens serve; [`OutagePolicy`](crate::OutagePolicy) can say otherwise | the same |
//! | new tokens cannot be saved | – | they are used from memory and saved later, and this process never sends again what they replaced; another one finds the mark | the same |
//! | the record is lost | – | it is written again from memory: lost is not logged out | the same: a Redis that comes back empty logs nobody out |
//! | the record is damaged, or not ours | – | a typed error; a login moves it aside | a typed error; only a login writes over it, and never over what is no record at all |
//!
//! **Busy** means that somebody is refreshing just now: wait, never spend. **Unavailable** means that
//! nobody can tell: by default nothing is spent either. [`OutagePolicy::GoOn`](crate::OutagePolicy::GoOn)
//! spends what is in memory, for sessions that nobody shares or servers with a grace window.
//!
//! # What no client can promise
//!
//! A process that is killed, or loses its connection, between the server's rotation of the refresh token
//! and the save of its successor takes the successor with it. What is left is a spent token, which cannot
//! be told from one that never arrived. The mark makes that case known. It does not make it go away:
//!
//! - with a server that has a **grace window** the next process sends the same token once more and gets the
//!   pair again; nobody notices;
//! - with a **strict** server that is reuse, and the session ends: with
//!   [`was_ambiguous`](crate::RefreshError::was_ambiguous), once, and only then. With
//!   [`AmbiguousPolicy::Surface`](crate::AmbiguousPolicy::Surface) the refresh that finds the mark fails
//!   and says so, and the one after it sends the token again.
//!
//! The window lasts from the send to the end of the save: the server's own time and the store's one
//! write. Nothing else stands in between: nobody is woken, and nothing is waited for but a login or a
//! logout that is being written at that moment. With a file it ends sooner, when the answer is written
//! down: the next process finds one that was not flushed and renamed yet. The two flushes are most of a
//! save (median 4 ms from the answer to the end of the save, where that was measured with
//! `tests/run processes`), so of the kills between send and end of the save more than half lost nothing.
//!
//! A lease that runs out leaves one more: a process that is stopped after it looked at its lease and
//! before the system sent its request, for longer than the lease, sends what another has spent by then.
//! It looks right before it asks its source, so that is as wide as making a connection, or some
//! instructions where one is open. Locks of an operating system do not run out.
//!
//! # The server's grace window
//!
//! Where the server lets you choose how long a spent refresh token still brings the same answer ("reuse
//! interval", "leeway", "overlap"), choose as long as it takes to send again after a crash, and no
//! longer; a thief has the same window.
//!
//! - One process, or a file: a prompt retry comes at once, a killed process is followed at the next
//!   request. 10 to 30 s are plenty.
//! - Redis: add the lease's duration, since nobody takes over before.
//! - 0 means strict: then a crash in the window costs a login. Say so to whoever must log in.
