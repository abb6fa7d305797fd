//! Reads the store, and says what the record is to this session.

use crate::{
    Entry, Expected, Record, StoreError, Stored, TokenSet, Version,
    lifecycle::Life,
    session::{
        calls::bounded,
        holding::{Discarded, Kept},
        shared::Shared,
    },
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
        /// Somebody vanished while spending the very refresh token that memory holds.
        interrupted: bool,
        /// It is what memory holds, and not what that follows.
        is_current: bool,
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
    let now = shared.clock.now();
    let (kept, discarded) =
        shared.gate.ask(&now, |state| (state.holding.kept(), state.holding.discarded().cloned()));
    Ok(judge(shared, stored, kept.as_ref(), None, discarded.as_ref()))
}

/// As [`look`], but what the record is to these tokens, which came for those that were `spent`, whatever
/// is held by now.
pub(crate) async fn look_for(
    shared: &Shared,
    kept: &Kept,
    spent: Option<&TokenSet>,
) -> Result<Found, StoreError> {
    let stored = bounded(shared.settings.store, shared.store.load()).await?;
    Ok(judge(shared, stored, Some(kept), spent, None))
}

fn judge(
    shared: &Shared,
    stored: Option<Stored>,
    kept: Option<&Kept>,
    spent: Option<&TokenSet>,
    discarded: Option<&Discarded>,
) -> Found {
    let Some(Stored { entry, version }) = stored else { return Found::Absent };
    let family = match &entry {
        Entry::Live(record) => record.family_id(),
        Entry::Tombstone => None,
    };
    // An unsaved login follows whatever was there, be it a tombstone, and what a refresh made of that. What
    // goes back to the login itself was saved after all, and may be a neighbour's successor.
    let follows = kept.is_some_and(|kept| {
        let overrides = match family {
            Some(_) if kept.family == family => false,
            Some(_) if kept.overrides == family => true,
            _ => kept.expected == Expected::Any,
        };
        !kept.saved && (overrides || kept.expected == Expected::Version(version))
    });
    let record = match entry {
        Entry::Live(record) if shared.owns(&record) => record,
        _ if follows => return Found::Known { version, interrupted: false, is_current: false },
        Entry::Tombstone => return Found::Tombstone,
        Entry::Live(_) => return Found::Foreign,
    };
    // Whoever marked the record and no longer has the lease has vanished.
    let interrupted = record.spent_since().is_some();
    let is_spent = spent.is_some_and(|spent| is_same(spent, &record));
    if let Some(kept) = kept
        && (follows || is_spent || is_known(kept, &record, version))
    {
        // The mark of a refresh token says nothing of its successor.
        let interrupted = interrupted && record.tokens().refresh() == kept.tokens.refresh();
        let is_current = is_same(&kept.tokens, &record);
        return Found::Known { version, interrupted, is_current };
    }
    if discarded.is_some_and(|discarded| discarded.covers(record.tokens(), record.family_id())) {
        return Found::Discarded;
    }
    let (tokens, life) = shared.life_of_kept(record.tokens().clone(), shared.clock.now());
    let expected = Expected::Version(version);
    let kept =
        Kept { tokens, expected, saved: true, replaced: Vec::new(), overrides: None, family };
    Found::Newer { kept, life, interrupted }
}

fn is_known(kept: &Kept, record: &Record, version: Version) -> bool {
    kept.expected == Expected::Version(version)
        || is_same(&kept.tokens, record)
        // An older record that came back, as when its mark was taken away.
        || record.tokens().refresh().is_some_and(|refresh| kept.replaced.contains(refresh))
}

fn is_same(held: &TokenSet, record: &Record) -> bool {
    let stored = record.tokens();
    stored.access() == held.access() && stored.refresh() == held.refresh()
}
