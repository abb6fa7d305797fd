//! A source that answers as a test wrote down, and writes down what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::oneshot;
use tower_reauth::{AccessToken, Held, RefreshError, RefreshToken, TokenSet, TokenSource};

/// Answers in the order told; when nothing is left, with pairs named `access-1`, `refresh-1` and so on,
/// which live for an hour.
#[derive(Clone, Default)]
pub(crate) struct Scripted(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    minted: usize,
    spent: Vec<String>,
    revoked: Vec<String>,
    asked: usize,
}

struct Answer {
    when: Option<oneshot::Receiver<()>>,
    result: Result<TokenSet, RefreshError>,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn answer(&self, result: Result<TokenSet, RefreshError>) {
        self.state().answers.push_back(Answer { when: None, result });
    }

    /// Answer once the sender is used; never if it is kept.
    pub(crate) fn answer_later(
        &self,
        result: Result<TokenSet, RefreshError>,
    ) -> oneshot::Sender<()> {
        let (release, when) = oneshot::channel();
        self.state().answers.push_back(Answer { when: Some(when), result });
        release
    }

    /// How often it was asked for tokens.
    pub(crate) fn calls(&self) -> usize {
        self.state().asked
    }

    /// The refresh tokens it was given, in their order.
    pub(crate) fn spent(&self) -> Vec<String> {
        self.state().spent.clone()
    }

    /// The access tokens of the sets it was to revoke.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.state().revoked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

impl TokenSource for Scripted {
    async fn refresh(&self, held: Held) -> Result<TokenSet, RefreshError> {
        let answer = {
            let mut state = self.state();
            state.asked += 1;
            let spent = held.refresh_token().map_or("", |token| token.expose_secret());
            state.spent.push(spent.to_owned());
            state.answers.pop_front()
        };
        let Some(Answer { when, result }) = answer else {
            let mut state = self.state();
            state.minted += 1;
            let number = state.minted;
            return Ok(pair(&format!("access-{number}"), &format!("refresh-{number}")));
        };
        if let Some(when) = when {
            let _ = when.await;
        }
        result
    }

    async fn revoke(&self, tokens: TokenSet) -> Result<(), RefreshError> {
        self.state().revoked.push(tokens.access().expose_secret().to_owned());
        Ok(())
    }
}

pub(crate) fn access(text: &str) -> AccessToken {
    AccessToken::new(text).unwrap()
}

/// A pair that lives for an hour.
pub(crate) fn pair(access: &str, refresh: &str) -> TokenSet {
    TokenSet::new(self::access(access))
        .refresh_token(RefreshToken::new(refresh).unwrap())
        .expires_in(Duration::from_secs(3600))
}

/// A pair whose access token has run out already.
pub(crate) fn expired(access: &str, refresh: &str) -> TokenSet {
    pair(access, refresh).expires_in(Duration::ZERO)
}
