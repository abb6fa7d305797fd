//! What sessions hold while nothing happens.

use std::time::Duration;

use tokio::runtime::Handle;
use tower_reauth::{AccessToken, Held, RefreshError, RefreshToken, Session, TokenSet, source_fn};

use crate::{
    memory::Snapshot,
    storm::{Arena, ORIGIN},
};

/// What an idle session holds.
pub(crate) struct Idle {
    /// Beyond its tokens' bytes, however often they are there.
    pub(crate) bytes: f64,
    /// How often the bytes of its access token are there.
    pub(crate) copies: f64,
    pub(crate) blocks: Vec<usize>,
    /// Of all sessions together.
    pub(crate) tasks: usize,
}

/// So many sessions with a valid token, each of which has been used.
pub(crate) fn idle(sessions: usize) -> Idle {
    let (short, long) = (40, 900);
    let (few, tasks, blocks) = hold(sessions, short);
    let (many, _, _) = hold(sessions, long);
    let copies = (many - few) / (long - short) as f64;
    let bytes = few - copies * short as f64 - REFRESH.len() as f64;
    Idle { bytes, copies, blocks, tasks }
}

const REFRESH: &str = "a-refresh-token-of-forty-letters-in-all-";

/// Bytes for each session, and how many tasks there are.
fn hold(sessions: usize, length: usize) -> (f64, usize, Vec<usize>) {
    Arena::new(1).block_on(async move {
        let token = "t".repeat(length);
        let mut all = Vec::with_capacity(sessions);
        // The first of a thread sets up what the others find.
        drop(session(&token).await);
        let tasks = Handle::current().metrics().num_alive_tasks();
        let before = Snapshot::take();
        for _ in 0..sessions {
            all.push(session(&token).await);
        }
        let after = Snapshot::take();
        let tasks = Handle::current().metrics().num_alive_tasks() - tasks;
        let bytes = after.bytes_since(&before) as f64 / sessions as f64;
        (bytes, tasks, after.blocks_since(&before, sessions))
    })
}

async fn session(token: &str) -> Session {
    let access = AccessToken::new(token).expect("letters make a token");
    let refresh = RefreshToken::new(REFRESH).expect("letters make a token");
    let tokens = TokenSet::new(access).refresh_token(refresh);
    let source = source_fn(|_: Held| async { Err(RefreshError::transient()) });
    let session = Session::builder(source)
        .tokens(tokens.expires_in(Duration::from_secs(3600)))
        .origin(ORIGIN)
        .build()
        .expect("the origin is one");
    session.token().await.expect("the token is valid");
    tokio::task::yield_now().await;
    session
}
