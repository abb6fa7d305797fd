//! The tokens of a storm, and who mints them: a refresh takes 5 ms, and each refresh token is good once.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderValue;
use tower_reauth::{AccessToken, RefreshToken, TokenSet};

/// How long a refresh takes.
pub(crate) const REFRESH: Duration = Duration::from_millis(5);

/// How long access tokens are, in bytes.
pub(crate) const LENGTH: usize = 900;

const SCHEME: &[u8] = b"Bearer ";

fn text(first: char) -> String {
    format!("{first}{}", "t".repeat(LENGTH - 1))
}

pub(crate) fn old() -> AccessToken {
    AccessToken::new(text('0')).expect("digits and letters make a token")
}

pub(crate) fn new() -> AccessToken {
    AccessToken::new(text('1')).expect("digits and letters make a token")
}

pub(crate) fn is_old(authorization: &[u8]) -> bool {
    authorization.len() == SCHEME.len() + LENGTH && authorization[SCHEME.len()] == b'0'
}

pub(crate) fn is_new(authorization: &[u8]) -> bool {
    authorization.len() == SCHEME.len() + LENGTH && authorization[SCHEME.len()] == b'1'
}

/// The field that carries a token.
pub(crate) fn header(token: &AccessToken) -> HeaderValue {
    let value = format!("Bearer {}", token.expose_secret());
    let mut value = HeaderValue::from_str(&value).expect("a token fits in a header");
    value.set_sensitive(true);
    value
}

/// The token endpoint: it rotates the refresh token at each refresh.
#[derive(Clone, Default)]
pub(crate) struct Issuer(Arc<Ledger>);

#[derive(Default)]
struct Ledger {
    refreshes: AtomicUsize,
    reused: AtomicUsize,
    is_stuck: bool,
}

impl Issuer {
    /// Its refreshes never end.
    pub(crate) fn stuck() -> Self {
        Self(Arc::new(Ledger { is_stuck: true, ..Ledger::default() }))
    }

    /// What a login gives.
    pub(crate) fn login(&self) -> TokenSet {
        tokens(old(), 0)
    }

    /// Spend a refresh token. `None`: a source that starts from nothing has none.
    pub(crate) async fn refresh(&self, spent: Option<&str>) -> TokenSet {
        let spent = spent.map(str::to_owned);
        if self.0.is_stuck {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(REFRESH).await;
        let number = self.0.refreshes.fetch_add(1, Ordering::Relaxed);
        if spent.is_some_and(|spent| spent != refresh_token(number)) {
            self.0.reused.fetch_add(1, Ordering::Relaxed);
        }
        tokens(new(), number + 1)
    }

    /// A refresh that needed no tokens.
    pub(crate) fn count(&self) {
        self.0.refreshes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refreshes(&self) -> usize {
        self.0.refreshes.load(Ordering::Relaxed)
    }

    /// How often a refresh token came that had been spent.
    pub(crate) fn reused(&self) -> usize {
        self.0.reused.load(Ordering::Relaxed)
    }
}

pub(crate) fn refresh_token(number: usize) -> String {
    format!("refresh-token-{number}")
}

fn tokens(access: AccessToken, number: usize) -> TokenSet {
    let refresh = RefreshToken::new(refresh_token(number)).expect("letters make a token");
    TokenSet::new(access).refresh_token(refresh).expires_in(Duration::from_secs(3600))
}
