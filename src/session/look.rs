//! Reads the store, and says what the record is to this session.

use crate::{
    Entry, Expected, Record, StoreError, TokenSet, Version,
    lifecycle::Life,
    session::{flight::bounded, holding::Kept, shared::Shared},
};

/// What is in the store.
pub(crate) enum Found {
    /// Never there, or lost.
    Absent,
    Tombstone,
    /// Another issuer's or another account's: left alone.
    Foreign,
    /// What memory holds, or what it follows.
    Known {
        version: Version,
        interrupted: bool,
    },
    /// Tokens that memory does not hold.
    Newer {
        kept: Kept,
        life: Life,
        interrupted: bool,
    },
    /// Tokens of the session that is over, which could not be buried.
    Discarded,
}

pub(crate) async fn look(shared: &Shared) -> Result<Found, StoreError> {
    let stored = bounded(shared.settings.store, shared.store.load()).await?;
    let Some(stored) = stored else { return Ok(Found::Absent) };
    let now = shared.clock.now();
    let (kept, discarded) =
        shared.gate.ask(&now, |state| (state.holding.kept(), state.holding.discarded().cloned()));
    let version = stored.version;
    if kept.as_ref().is_some_and(|kept| kept.expected == Expected::Any && !kept.saved) {
        return Ok(Found::Known { version, interrupted: false });
    }
    let record = match stored.entry {
        Entry::Tombstone => return Ok(Found::Tombstone),
        Entry::Live(record) if !shared.owns(&record) => return Ok(Found::Foreign),
        Entry::Live(record) => record,
    };
    // Whoever marked the record and no longer has the lease has vanished.
    let interrupted = record.spent_since().is_some();
    if kept.is_some_and(|kept| is_known(&kept, &record, version)) {
        return Ok(Found::Known { version, interrupted });
    }
    if discarded.is_some_and(|discarded| is_same(&discarded, record.tokens())) {
        return Ok(Found::Discarded);
    }
    let (tokens, life) = shared.life_of_kept(record.tokens().clone(), now);
    let kept = Kept { tokens, expected: Expected::Version(version), saved: true, spent: None };
    Ok(Found::Newer { kept, life, interrupted })
}

fn is_known(kept: &Kept, record: &Record, version: Version) -> bool {
    let (stored, held) = (record.tokens(), &kept.tokens);
    // Also what memory follows, however often somebody marked it since.
    let followed = kept.spent.is_some() && stored.refresh() == kept.spent.as_ref();
    kept.expected == Expected::Version(version)
        || followed
        || (stored.access() == held.access() && stored.refresh() == held.refresh())
}

fn is_same(discarded: &TokenSet, tokens: &TokenSet) -> bool {
    match discarded.refresh() {
        Some(refresh) => tokens.refresh() == Some(refresh),
        None => tokens.access() == discarded.access(),
    }
}
