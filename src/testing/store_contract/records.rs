//! What is stored comes back, whole and under a version of its own.

use std::{
    collections::HashSet,
    time::{SystemTime, UNIX_EPOCH},
};

use super::{Pair, bury, date, done, load, record, save};
use crate::{AccessToken, Entry, Expected, Record, RefreshToken, TokenSet, TokenStore};

pub(super) async fn what_was_never_there_is_none<S: TokenStore>(pair: Pair<S>) {
    for store in [&pair.one, &pair.other] {
        let stored = load(&**store).await;
        assert!(stored.is_none(), "a record that was never there loads as `None`, not {stored:?}");
    }
}

pub(super) async fn every_field_comes_back<S: TokenStore>(pair: Pair<S>) {
    for record in records() {
        let swap = save(&*pair.one, Expected::Any, &record).await;
        let version = done(swap, "whatever is there, `Expected::Any` admits it");
        for (store, whose) in [(&pair.one, "its own"), (&pair.other, "the other")] {
            let Some(stored) = load(&**store).await else {
                panic!("what was stored is there, but {whose} handle loads `None`");
            };
            let Entry::Live(loaded) = stored.entry else {
                panic!("a record is no tombstone, but {whose} handle loads one");
            };
            if let Some(field) = difference(&loaded, &record) {
                panic!(
                    "every field of a record comes back, but {field} does not at {whose} handle"
                );
            }
            assert_eq!(
                stored.version, version,
                "a load tells the version that the swap told, at {whose} handle"
            );
        }
    }
}

pub(super) async fn a_record_replaces_the_whole_of_the_one_before<S: TokenStore>(pair: Pair<S>) {
    let bare = Record::new(tokens("bare"));
    let _ = save(&*pair.one, Expected::Any, &record(1).spending_since(Some(date(1)))).await;
    let _ = save(&*pair.one, Expected::Any, &bare).await;
    let Some(Entry::Live(loaded)) = load(&*pair.other).await.map(|stored| stored.entry) else {
        panic!("what was stored is there, but it does not load");
    };
    if let Some(field) = difference(&loaded, &bare) {
        panic!("a record replaces the whole of the one before, but {field} is still there");
    }
}

pub(super) async fn a_tombstone_is_no_record_and_not_nothing<S: TokenStore>(pair: Pair<S>) {
    for record in [None, Some(record(1))] {
        if let Some(record) = &record {
            let _ = save(&*pair.one, Expected::Any, record).await;
        }
        let swap = bury(&*pair.one, Expected::Any).await;
        let version = done(swap, "whatever is there, `Expected::Any` admits it");
        let Some(stored) = load(&*pair.other).await else {
            panic!("a burial leaves a tombstone, but the store loads `None`");
        };
        assert!(
            stored.entry == Entry::Tombstone,
            "a burial leaves a tombstone, but the record is still there"
        );
        assert_eq!(stored.version, version, "a tombstone has the version that its swap told");
    }
}

pub(super) async fn every_swap_makes_a_version_of_its_own<S: TokenStore>(pair: Pair<S>) {
    let mut seen = HashSet::new();
    for step in 0..12 {
        let store = if step % 2 == 0 { &pair.one } else { &pair.other };
        let swap = match step % 4 {
            3 => bury(&**store, Expected::Any).await,
            // The same record time and again: it is another state all the same.
            _ => save(&**store, Expected::Any, &record(1)).await,
        };
        let version = done(swap, "whatever is there, `Expected::Any` admits it");
        assert!(seen.insert(version), "every swap makes a version of its own, but one came twice");
        let loaded = load(&*pair.one).await.map(|stored| stored.version);
        assert_eq!(loaded, Some(version), "a load tells the version of the newest swap");
    }
}

/// The first field, by name, in which two records differ.
pub(super) fn difference(stored: &Record, record: &Record) -> Option<&'static str> {
    let (kept, tokens) = (stored.tokens(), record.tokens());
    let fields = [
        (kept.access() == tokens.access(), "the access token"),
        (kept.refresh() == tokens.refresh(), "the refresh token"),
        (kept.granted_scope() == tokens.granted_scope(), "the scope"),
        (millis(stored.expiry()) == millis(record.expiry()), "the expiry"),
        (stored.issued_by() == record.issued_by(), "the issuer"),
        (stored.belongs_to() == record.belongs_to(), "the account"),
        (millis(stored.spent_since()) == millis(record.spent_since()), "the \"being spent\" mark"),
    ];
    fields.into_iter().find(|(same, _)| !same).map(|(_, field)| field)
}

/// Records with each of their fields there and absent.
fn records() -> Vec<Record> {
    let full = record(1);
    let refresh = RefreshToken::new("r".repeat(4000)).expect("visible");
    vec![
        Record::new(tokens("bare")),
        full.clone(),
        full.clone().spending_since(Some(date(1_893_456_000_999))),
        full.issuer(None).account(None).family(None),
        Record::new(tokens("refreshable").refresh_token(refresh)),
        Record::new(tokens("dated").expires_at(date(1))),
        Record::new(tokens("scoped").scope("")),
        Record::new(tokens(&"long".repeat(2000))).issuer(Some("")).account(Some("")),
        Record::new(tokens("marked")).spending_since(Some(UNIX_EPOCH)),
        Record::new(tokens("issued")).issuer(Some("https://login.example.com")),
        Record::new(tokens("owned")).account(Some("line\nbreak")),
    ]
}

fn tokens(access: &str) -> TokenSet {
    TokenSet::new(AccessToken::new(access).expect("a b64token"))
}

fn millis(time: Option<SystemTime>) -> Option<u128> {
    Some(time?.duration_since(UNIX_EPOCH).ok()?.as_millis())
}
