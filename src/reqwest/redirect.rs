//! Which redirects reqwest may follow beneath the layers.

use reqwest::{
    Url,
    redirect::{Attempt, Policy},
};

/// The redirects that a client beneath the layers of this crate may follow by itself, for
/// [`reqwest::ClientBuilder::redirect`].
///
/// It is reqwest's default policy, ten hops, but a chain that has left its first origin visits no
/// origin a second time: such a redirect is handed out as the answer. There reqwest would send the
/// `Authorization` again that it had left behind, since it looks at one hop and not at the chain.
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
        if goes_round(&attempt) { attempt.stop() } else { default.redirect(attempt) }
    })
}

fn goes_round(attempt: &Attempt<'_>) -> bool {
    let mut previous = attempt.previous().iter();
    let is_away = previous.clone().zip(previous.clone().skip(1)).any(|(a, b)| !is_same_origin(a, b));
    is_away && previous.any(|url| is_same_origin(url, attempt.url()))
}

/// Whether reqwest would leave `Authorization` in a request that is redirected from one to the other.
pub(super) fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host_str() == other.host_str()
        && one.port_or_known_default() == other.port_or_known_default()
}
