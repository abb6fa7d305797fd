//! A record as text: versioned JSON that says what it is.
//!
//! ```json
//! {"format": "tower-reauth record", "format_version": 1, "version": 7,
//!  "tokens": {"access_token": "…", "refresh_token": "…", "scope": "…", "expires_at_ms": 1900000000000},
//!  "issuer": "…", "account": "…", "family": 3, "spending_since_ms": 1900000000000}
//! ```
//!
//! A tombstone says `"tombstone": true` in place of its `tokens`. Members that this version does not know
//! are kept.

use std::{
    cmp::Ordering,
    error, fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{Entry, Record, StoreError, Stored, Version};
use crate::{AccessToken, RefreshToken, TokenSet, token::Lifetime, wiped};

const FORMAT: &str = "tower-reauth record";
const FORMAT_VERSION: u64 = 1;

/// What is in a store, as the text that it is kept as.
pub(crate) struct Document {
    pub(crate) stored: Stored,
    /// Members of a later format that changed nothing of this one.
    unknown: Map<String, Value>,
}

/// Why a text is no record that this version can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// It is cut off, or something else altogether.
    Foreign,
    /// It says that it is a record, and is a broken one.
    Corrupt,
    /// A later version wrote it.
    Newer,
}

#[derive(Serialize, Deserialize)]
struct Fields {
    format: String,
    format_version: u64,
    version: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    tombstone: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<Tokens>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    family: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    spending_since_ms: Option<i64>,
    #[serde(flatten)]
    unknown: Map<String, Value>,
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    access_token: Zeroizing<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refresh_token: Option<Zeroizing<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at_ms: Option<i64>,
}

/// What a later version still says.
#[derive(Deserialize)]
struct Format {
    format: String,
    format_version: u64,
}

impl Document {
    pub(crate) fn new(stored: Stored) -> Self {
        Self { stored, unknown: Map::new() }
    }

    pub(crate) fn read(text: &[u8]) -> Result<Self, Unreadable> {
        let Format { format, format_version } =
            serde_json::from_slice(text).map_err(|_| Unreadable::Foreign)?;
        if format != FORMAT {
            return Err(Unreadable::Foreign);
        }
        match format_version.cmp(&FORMAT_VERSION) {
            Ordering::Less => return Err(Unreadable::Corrupt),
            Ordering::Equal => {}
            Ordering::Greater => return Err(Unreadable::Newer),
        }
        let fields: Fields = serde_json::from_slice(text).map_err(|_| Unreadable::Corrupt)?;
        let version = Version::new(fields.version);
        let entry = match fields.tokens {
            Some(tokens) if !fields.tombstone => {
                let record = Record::new(tokens.read()?)
                    .issuer(fields.issuer.as_deref())
                    .account(fields.account.as_deref())
                    .family(fields.family)
                    .spending_since(date(fields.spending_since_ms)?);
                Entry::Live(record)
            }
            None if fields.tombstone => Entry::Tombstone,
            // To have lost the tokens is not to be logged out.
            _ => return Err(Unreadable::Corrupt),
        };
        Ok(Self { stored: Stored { entry, version }, unknown: fields.unknown })
    }

    /// What takes its place, with the members that this version does not know.
    pub(crate) fn succeeded_by(self, stored: Stored) -> Self {
        Self { stored, unknown: self.unknown }
    }

    pub(crate) fn text(&self) -> Zeroizing<Vec<u8>> {
        wiped::json(&Fields::of(self))
    }
}

impl Fields {
    fn of(document: &Document) -> Self {
        let record = match &document.stored.entry {
            Entry::Live(record) => Some(record),
            Entry::Tombstone => None,
        };
        Self {
            format: FORMAT.into(),
            format_version: FORMAT_VERSION,
            version: document.stored.version.number(),
            tombstone: record.is_none(),
            tokens: record.map(|record| Tokens::of(record.tokens())),
            issuer: record.and_then(Record::issued_by).map(Into::into),
            account: record.and_then(Record::belongs_to).map(Into::into),
            family: record.and_then(Record::family_id),
            spending_since_ms: record.and_then(Record::spent_since).map(millis),
            unknown: document.unknown.clone(),
        }
    }
}

impl Tokens {
    fn of(tokens: &TokenSet) -> Self {
        Self {
            access_token: Zeroizing::new(tokens.access().expose_secret().into()),
            refresh_token: tokens
                .refresh()
                .map(|token| Zeroizing::new(token.expose_secret().into())),
            scope: tokens.granted_scope().map(Into::into),
            expires_at_ms: match tokens.lifetime() {
                Some(Lifetime::At(at)) => Some(millis(at)),
                Some(Lifetime::In(_)) | None => None,
            },
        }
    }

    fn read(self) -> Result<TokenSet, Unreadable> {
        let access = AccessToken::new(&*self.access_token).map_err(|_| Unreadable::Corrupt)?;
        let mut tokens = TokenSet::new(access);
        if let Some(refresh) = self.refresh_token {
            let refresh = RefreshToken::new(&*refresh).map_err(|_| Unreadable::Corrupt)?;
            tokens = tokens.refresh_token(refresh);
        }
        if let Some(scope) = self.scope {
            tokens = tokens.scope(scope);
        }
        if let Some(expiry) = date(self.expires_at_ms)? {
            tokens = tokens.expires_at(expiry);
        }
        Ok(tokens)
    }
}

/// Milliseconds since 1970, before it below zero; what lies beyond their range is at its end.
fn millis(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
    }
}

fn date(millis: Option<i64>) -> Result<Option<SystemTime>, Unreadable> {
    let Some(millis) = millis else { return Ok(None) };
    let distance = Duration::from_millis(millis.unsigned_abs());
    let date = match millis {
        0.. => UNIX_EPOCH.checked_add(distance),
        _ => UNIX_EPOCH.checked_sub(distance),
    };
    date.map(Some).ok_or(Unreadable::Corrupt)
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Foreign => "it is something else, or a part of a record",
            Self::Corrupt => "it is a record with a part that cannot be read",
            Self::Newer => "it was written by a later version; update this program",
        })
    }
}

impl error::Error for Unreadable {}

impl From<Unreadable> for StoreError {
    fn from(reason: Unreadable) -> Self {
        Self::corrupt().with_source(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let tokens = TokenSet::new(AccessToken::new("access").unwrap())
            .refresh_token(RefreshToken::new("re\"fr\\esh").unwrap())
            .scope("a b")
            .expires_at(UNIX_EPOCH + Duration::from_millis(1_900_000_000_123));
        Record::new(tokens)
            .issuer(Some("https://login.example.com"))
            .account(Some("Zoë"))
            .family(Some(u64::MAX))
            .spending_since(Some(UNIX_EPOCH - Duration::from_millis(1)))
    }

    fn stored(entry: Entry) -> Stored {
        Stored { entry, version: Version::new(u64::MAX - 1) }
    }

    fn with(member: &str, value: Value) -> Vec<u8> {
        let text = Document::new(stored(Entry::Live(record()))).text();
        let mut document: Map<String, Value> = serde_json::from_slice(&text).unwrap();
        document.insert(member.into(), value);
        serde_json::to_vec(&document).unwrap()
    }

    #[test]
    fn what_was_written_is_read() {
        let bare = Record::new(TokenSet::new(AccessToken::new("bare").unwrap()));
        for entry in [Entry::Live(record()), Entry::Live(bare), Entry::Tombstone] {
            let stored = stored(entry);
            let text = Document::new(stored.clone()).text();
            assert_eq!(Document::read(&text).unwrap().stored, stored);
        }
    }

    #[test]
    fn members_that_are_not_known_are_kept() {
        let text = with("colour", Value::from("blue"));
        let next = Document::read(&text).unwrap().succeeded_by(stored(Entry::Tombstone));
        let text = String::from_utf8(next.text().to_vec()).unwrap();
        assert!(text.contains(r#""colour":"blue""#) && !text.contains("refresh"));
    }

    #[test]
    fn what_is_no_record_of_this_version_says_why() {
        let whole = with("issuer", Value::Null);
        assert!(Document::read(&whole).is_ok());
        let cases = [
            (b"".to_vec(), Unreadable::Foreign),
            (b"{}".to_vec(), Unreadable::Foreign),
            (b"\xff[1]".to_vec(), Unreadable::Foreign),
            (whole[..whole.len() - 1].to_vec(), Unreadable::Foreign),
            (with("format", "a shopping list".into()), Unreadable::Foreign),
            (with("format_version", 2.into()), Unreadable::Newer),
            (with("format_version", 0.into()), Unreadable::Corrupt),
            (with("version", Value::Null), Unreadable::Corrupt),
            (with("tokens", 1.into()), Unreadable::Corrupt),
            (with("tokens", Value::Null), Unreadable::Corrupt),
            (with("tombstone", true.into()), Unreadable::Corrupt),
            (with("tokens", serde_json::json!({"access_token": "a b"})), Unreadable::Corrupt),
            (with("spending_since_ms", "yesterday".into()), Unreadable::Corrupt),
        ];
        for (text, reason) in cases {
            assert_eq!(Document::read(&text).err(), Some(reason));
        }
    }

    #[test]
    fn a_date_out_of_range_is_at_its_end() {
        for date in [i64::MIN, i64::MAX, -1, 0] {
            let read = super::date(Some(date));
            assert!(read.is_err() || read.unwrap().map(millis) == Some(date));
        }
    }
}
