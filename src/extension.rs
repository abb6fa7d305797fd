//! What callers say about one request, and what the layers say about one response, by extension.

/// On a request: attach no token, and take no answer for evidence against one.
///
/// ```
/// use tower_reauth::NoAuth;
///
/// let request = http::Request::get("https://api.example.com/public").extension(NoAuth).body(())?;
/// # let _ = request;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoAuth;

/// On a request: keep nothing of it, and do not send it again. If it is challenged, the token is
/// refreshed for the next request, and this one gets the challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoReplay;

/// On a response: it is a challenge, and the request could not be sent again. The token is refreshed
/// for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotReplayed {
    /// The request asked for that, by [`NoReplay`].
    Asked,
    /// The body was larger than what is kept, or it failed half-way.
    Body,
    /// It was sent as often as it may be.
    Exhausted,
    /// It may have been applied: a client beneath followed a redirect that made a `GET` of it, and that was
    /// challenged.
    Redirected,
}

/// On a response: no token of these sessions was attached to its request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unattached(pub(crate) Vec<SessionId>);

/// On a response: a client beneath followed a redirect to another origin than that of its request, and
/// left the token behind. No session takes such an answer for evidence.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Elsewhere;

/// On a response: a client beneath followed a redirect that made another request of the one it was given,
/// which must not be repeated and may have been applied.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ToAnother;

/// On a request of a token source: it carries what its endpoint alone may see, or asks who that is, so that
/// no redirect is followed with it.
#[cfg(feature = "reqwest")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confidential;

/// Tells the sessions of a program apart.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionId(pub(crate) usize);
