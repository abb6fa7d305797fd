//! A resource server that a test holds in its hand.

mod endpoint;
mod received;

use std::{
    collections::{HashMap, HashSet},
    fmt, io,
    time::Duration,
};

pub use self::received::Received;
use super::{AuthorizationServer, Fault, Hold, Loopback, conduct::Conduct, hold::Held, log::Log};
use crate::sync::{Arc, Mutex, MutexGuard, lock};

/// A resource server that accepts the access tokens of one [`AuthorizationServer`], as RFC 6750 says:
/// in the header, signed, not expired (to the millisecond, by that server's clock), not revoked.
///
/// It is a [`tower::Service`] in memory, and a server on a socket by [`serve`](Self::serve). Every
/// path exists. A request with a good token is answered 200: the body is that of the request, and the
/// headers `echo-method` and `echo-path` tell the rest. Without a token the answer is 401 and a bare
/// challenge, with a bad one 401 and `error="invalid_token"`, with two `Authorization` headers 400.
///
/// Every method takes `&self`, and clones are one server.
///
/// ```
/// use http::Request;
/// use tower::ServiceExt;
/// use tower_reauth::testing::{AuthorizationServer, ResourceServer};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_reauth::BoxError> {
/// let authorization = AuthorizationServer::new();
/// let resource = ResourceServer::new(&authorization);
///
/// let request = Request::get("https://api.example.com/orders").body(String::new())?;
/// let response = resource.clone().oneshot(request).await?;
/// assert_eq!(response.status(), 401);
/// assert_eq!(response.headers()["www-authenticate"], r#"Bearer realm="api""#);
/// assert_eq!((resource.requests(), resource.unauthorized()), (1, 1));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ResourceServer(Arc<Shared>);

struct Shared {
    authorization: AuthorizationServer,
    conduct: Conduct,
    state: Mutex<State>,
}

/// So many requests are remembered.
const KEPT: usize = 1024;

struct State {
    settings: Settings,
    counts: Counts,
    log: Log<Received>,
}

struct Settings {
    refused: HashSet<String>,
    scopes: HashMap<String, String>,
    newest_only: bool,
    read_before_refusal: u64,
    drain_after_refusal: bool,
}

#[derive(Default)]
struct Counts {
    requests: usize,
    accepted: usize,
    unauthorized: usize,
}

impl ResourceServer {
    /// A server that accepts what `authorization` hands out.
    #[must_use]
    pub fn new(authorization: &AuthorizationServer) -> Self {
        let settings = Settings {
            refused: HashSet::new(),
            scopes: HashMap::new(),
            newest_only: false,
            read_before_refusal: u64::MAX,
            drain_after_refusal: false,
        };
        let state = State { settings, counts: Counts::default(), log: Log::of(KEPT) };
        Self(Arc::new(Shared {
            authorization: authorization.clone(),
            conduct: Conduct::default(),
            state: Mutex::new(state),
        }))
    }

    /// Serve on a free loopback port until the [`Loopback`] is dropped.
    ///
    /// # Errors
    ///
    /// If no socket can be had.
    pub async fn serve(&self) -> io::Result<Loopback> {
        Loopback::serve(self.clone()).await
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

/// What is refused.
impl ResourceServer {
    /// Answer 401 `invalid_token` at this path, whatever the token.
    ///
    /// Default: no path.
    pub fn always_401(&self, path: &str) {
        self.state().settings.refused.insert(path.to_owned());
    }

    /// Answer a good token 403 `insufficient_scope` at this path, and name the scope it would take.
    ///
    /// Default: no path.
    pub fn insufficient_scope(&self, path: &str, needed: &str) {
        self.state().settings.scopes.insert(path.to_owned(), needed.to_owned());
    }

    /// Accept only the access token that was minted last, over all sessions.
    ///
    /// Default: `false`; every token that lives is good.
    pub fn newest_only(&self, newest_only: bool) {
        self.state().settings.newest_only = newest_only;
    }
}

/// How requests are answered.
impl ResourceServer {
    /// How many bytes of a body are read, at least, before the request is refused: with zero, the
    /// answer goes out on the head of the request. Tokens are judged on the head in any case.
    ///
    /// Default: `u64::MAX`, the whole body.
    pub fn read_before_refusal(&self, bytes: u64) {
        self.state().settings.read_before_refusal = bytes;
    }

    /// What becomes of the rest of a body refused early: read on and thrown away, by a task that ends
    /// with the body and needs a tokio runtime, or dropped. On a socket dropping it ends an HTTP/1.1
    /// connection, and an HTTP/2 stream.
    ///
    /// Default: `false`, dropped.
    pub fn drain_after_refusal(&self, drain: bool) {
        self.state().settings.drain_after_refusal = drain;
    }

    /// Fail the next `requests`, after those that were to fail already. `usize::MAX` lasts until
    /// [`recover`](Self::recover).
    pub fn fail_next(&self, requests: usize, fault: Fault) {
        self.0.conduct.fail_next(requests, fault);
    }

    /// Forget the faults that are still to come.
    pub fn recover(&self) {
        self.0.conduct.recover();
    }

    /// Judge at once and send the answer so much later.
    ///
    /// Default: zero.
    pub fn delay(&self, answer: Duration) {
        self.0.conduct.delay(answer);
    }

    /// Judge the token so much after the request came.
    ///
    /// Default: zero.
    pub fn delay_before(&self, work: Duration) {
        self.0.conduct.delay_before(work);
    }

    /// Judge at once and keep the answers until they are released.
    pub fn hold(&self) -> Hold {
        self.0.conduct.hold(Held::All)
    }

    /// As [`hold`](Self::hold), but only answers with the status 401 are kept.
    pub fn hold_refusals(&self) -> Hold {
        self.0.conduct.hold(Held::Refusals)
    }
}

/// What happened so far.
impl ResourceServer {
    /// All requests, from their heads on.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.state().counts.requests
    }

    /// The requests whose token was good enough for a 200.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.state().counts.accepted
    }

    /// The requests refused with 401. Those of [`fail_next`](Self::fail_next) are not among them.
    #[must_use]
    pub fn unauthorized(&self) -> usize {
        self.state().counts.unauthorized
    }

    /// The requests in the order in which their heads came; of more than 1024, the latest.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.state().log.all()
    }
}

impl fmt::Debug for ResourceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("ResourceServer")
            .field("requests", &state.counts.requests)
            .field("accepted", &state.counts.accepted)
            .field("unauthorized", &state.counts.unauthorized)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
