//! Which redirects reqwest may follow beneath the layers.

use std::{cell::Cell, task::Poll};

use http::StatusCode;
use reqwest::{Response, Url, redirect::Policy};

use crate::extension::{Elsewhere, ToAnother};

tokio::task_local! {
    /// A policy is not told of which request it is asked; but it is asked while that request is polled.
    static HOPS: Hops;
}

struct Hops {
    stays: bool,
    /// Whether a redirect was followed by which a `POST` becomes a `GET`.
    to_another: Cell<bool>,
}

/// The redirects that a client beneath the layers of this crate may follow by itself, for
/// [`reqwest::ClientBuilder::redirect`].
///
/// It is reqwest's default, ten hops, with one rule more: a chain that has left the origin of its request
/// goes to no origin a second time. Such a redirect is the answer.
///
/// The rule is needed. Where a hop leads to another origin, reqwest takes `Authorization` and `Cookie`
/// out of that one request; the next hop starts from the headers of the first. So a foreign server that
/// redirects to itself is given the token, and one that redirects home makes the client send a request
/// home without it, whose 401 looks like a challenge.
///
/// It also tells the adapters of a 301, 302 or 303 by which a `POST` became a `GET`. A challenge of that one
/// says nothing of the `POST`, which may have been applied: it is not sent again
/// ([`NotReplayed::Redirected`](crate::NotReplayed::Redirected)). And no request of a token source is
/// redirected, where one client serves for all.
///
/// ```
/// # fn main() -> Result<(), reqwest::Error> {
/// let client = reqwest::Client::builder()
///     .redirect(tower_reauth::reqwest::redirect_policy())
///     .build()?;
/// # let _ = client;
/// # Ok(()) }
/// ```
#[must_use]
pub fn redirect_policy() -> Policy {
    let default = Policy::default();
    Policy::custom(move |attempt| {
        // Outside of the adapters nothing is known, and nobody listens.
        let stays = HOPS.try_with(|hops| hops.stays).unwrap_or(false);
        if stays || goes_round(attempt.previous(), attempt.url()) {
            return attempt.stop();
        }
        if changes_method(attempt.status()) {
            let _ = HOPS.try_with(|hops| hops.to_another.set(true));
        }
        default.redirect(attempt)
    })
}

/// RFC 9110 §15.4.2, §15.4.3 and §15.4.4.
fn changes_method(status: StatusCode) -> bool {
    matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER)
}

/// A request that a client has, which may follow redirects.
pub(crate) struct Requested {
    url: Url,
    is_idempotent: bool,
    stays: bool,
    to_another: bool,
}

impl Requested {
    /// `stays`: the policy shall follow no redirect with it.
    pub(crate) fn new(request: &reqwest::Request, stays: bool) -> Self {
        let is_idempotent = request.method().is_idempotent();
        Self { url: request.url().clone(), is_idempotent, stays, to_another: false }
    }

    /// Poll what the client does with it.
    pub(crate) fn poll<T>(&mut self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let hops = Hops { stays: self.stays, to_another: Cell::new(self.to_another) };
        HOPS.sync_scope(hops, || {
            let polled = poll();
            self.to_another = HOPS.with(|hops| hops.to_another.get());
            polled
        })
    }

    /// Mark a response that another origin gave, and one to another request.
    pub(crate) fn mark(&self, response: &mut Response) {
        if !is_same_origin(response.url(), &self.url) {
            response.extensions_mut().insert(Elsewhere);
        }
        // RFC 9110 §9.2.2: the others may be applied twice.
        if self.to_another && !self.is_idempotent {
            response.extensions_mut().insert(ToAnother);
        }
    }
}

fn goes_round(previous: &[Url], next: &Url) -> bool {
    let has_left = previous.windows(2).any(|hop| !is_same_origin(&hop[0], &hop[1]));
    has_left && previous.iter().any(|url| is_same_origin(url, next))
}

/// Whether reqwest would leave `Authorization` in a request that is redirected from one to the other.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes(chain: &[&str]) -> bool {
        let mut chain: Vec<Url> = chain.iter().map(|url| url.parse().unwrap()).collect();
        let next = chain.pop().unwrap();
        !goes_round(&chain, &next)
    }

    #[test]
    fn scheme_host_and_port_make_an_origin() {
        let home: Url = "https://api.example.com/a".parse().unwrap();
        for (url, expected) in [
            ("https://api.example.com/b?c#d", true),
            ("https://API.example.com:443/", true),
            ("https://user@api.example.com/", true),
            ("http://api.example.com/", false),
            ("http://api.example.com:443/", false),
            ("https://api.example.com:8443/", false),
            ("https://example.com/", false),
        ] {
            assert_eq!(is_same_origin(&home, &url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_chain_may_stay_at_home_and_may_leave() {
        assert!(goes(&["https://home/a", "https://home/b"]));
        assert!(goes(&["https://home/a", "https://home/b", "https://home/c"]));
        assert!(goes(&["https://home/a", "https://home/b", "https://away/"]));
        assert!(goes(&["https://home/", "https://away/", "https://further/"]));
        assert!(goes(&["https://home/", "http://home/"]));
    }

    #[test]
    fn a_chain_that_has_left_goes_nowhere_twice() {
        assert!(!goes(&["https://home/", "https://away/", "https://away/b"]));
        assert!(!goes(&["https://home/", "https://away/", "https://home/"]));
        assert!(!goes(&["https://home/", "http://home/", "http://home/b"]));
        assert!(!goes(&["https://home/", "http://home/", "https://home/"]));
        assert!(!goes(&["https://home/", "https://away/", "https://further/", "https://away/"]));
    }
}
