//! `RedisStore` against `redis-server`, which each test starts in a folder of its own.

mod contract;
mod cutter;
mod fence;
mod layout;
mod leases;
mod outages;
mod secrets;
mod server;
mod sessions;
mod waiters;

use tower_reauth::{AccessToken, Entry, Record, RefreshToken, Swap, TokenSet, TokenStore, Version};

/// A record with these tokens.
fn record(name: &str) -> Record {
    let access = AccessToken::new(format!("access-{name}")).unwrap();
    let refresh = RefreshToken::new(format!("refresh-{name}")).unwrap();
    Record::new(TokenSet::new(access).refresh_token(refresh))
}

fn done(swap: Swap) -> Version {
    match swap {
        Swap::Done(version) => version,
        Swap::Moved => panic!("the swap was refused"),
    }
}

/// The access token that is stored, if any is.
async fn stored(store: &impl TokenStore) -> Option<String> {
    match store.load().await.unwrap()?.entry {
        Entry::Live(record) => Some(record.tokens().access().expose_secret().to_owned()),
        Entry::Tombstone => None,
    }
}
