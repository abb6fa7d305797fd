//! Reads the store, and says what the record is to this session.

use crate::{
    Entry, Expected, Record, StoreError, Stored, Version,
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
    Ok(judge(shared, stored, kept.as_ref(), discarded.as_ref()))
}

/// As [`look`], but what the record is to these tokens, even if others are held by now.
pub(crate) async fn look_for(shared: &Shared, kept: &Kept) -> Result<Found, StoreError> {
    let stored = bounded(shared.settings.store, shared.store.load()).await?;
    Ok(judge(shared, stored, Some(kept), None))
}

fn judge(
    shared: &Shared,
    stored: Option<Stored>,
    kept: Option<&Kept>,
    discarded: Option<&Discarded>,
) -> Found {
    let Some(Stored { entry, version }) = stored else { return Found::Absent };
    // An unsaved login follows whatever was there, be it a tombstone.
    let follows = kept.is_some_and(|kept| {
        !kept.saved
            && matches!(kept.expected, Expected::Any)
                | (kept.expected == Expected::Version(version))
    });
    let record = match entry {
        Entry::Live(record) if shared.owns(&record) => record,
        _ if follows => return Found::Known { version, interrupted: false },
        Entry::Tombstone => return Found::Tombstone,
        Entry::Live(_) => return Found::Foreign,
    };
    // Whoever marked the record and no longer has the lease has vanished.
    let interrupted = record.spent_since().is_some();
    if let Some(kept) = kept
        && (follows || is_known(kept, &record, version))
    {
        // The mark of a refresh token says nothing of its successor.
        let interrupted = interrupted && record.tokens().refresh() == kept.tokens.refresh();
        return Found::Known { version, interrupted };
    }
    if discarded.is_some_and(|discarded| discarded.covers(&record)) {
        return Found::Discarded;
    }
    let (tokens, life) = shared.life_of_kept(record.tokens().clone(), shared.clock.now());
    let expected = Expected::Version(version);
    let family = record.family_id();
    let kept = Kept { tokens, expected, saved: true, replaces: None, family };
    Found::Newer { kept, life, interrupted }
}

fn is_known(kept: &Kept, record: &Record, version: Version) -> bool {
    let refresh = record.tokens().refresh();
    kept.expected == Expected::Version(version)
        || (record.tokens().access() == kept.tokens.access() && refresh == kept.tokens.refresh())
        // An older record that came back, as when its mark was taken away.
        || (kept.replaces.is_some() && refresh == kept.replaces.as_ref())
}

impl Discarded {
    fn covers(&self, record: &Record) -> bool {
        let (tokens, family) = match self {
            Self::Ended(tokens) => (tokens, None),
            Self::LoggedOut(tokens, family) => (tokens, *family),
        };
        if family.is_some() && record.family_id() == family {
            return true;
        }
        match tokens.refresh() {
            Some(refresh) => record.tokens().refresh() == Some(refresh),
            None => record.tokens().access() == tokens.access(),
        }
    }
}
