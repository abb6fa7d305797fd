use std::fmt;

use super::suspicion;
use crate::{ResponseHead, Verdict};

/// Judges response bodies: which of them mean that the access token was refused.
///
/// [`InspectLayer`](super::InspectLayer) asks [`suspects`](Self::suspects) about each response, and
/// reads the bodies of those only. It runs on the task of the request, so it should compare and not
/// compute. Ready ones are [`GraphQlErrors`](super::GraphQlErrors) and
/// [`JsonPointer`](super::JsonPointer); for closures there is [`classify_body_fn`].
///
/// ```
/// use http::Response;
/// use tower_reauth::{ClassifyBody, ResponseHead, Verdict};
///
/// /// A gateway that answers 403 and `E-1042` in plain text when a token ran out.
/// struct Gateway;
///
/// impl ClassifyBody for Gateway {
///     fn suspects(&self, head: &ResponseHead<'_>) -> bool {
///         head.status() == 403
///     }
///
///     fn classify(&self, _: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict> {
///         body.starts_with(b"E-1042").then_some(Verdict::Challenge)
///     }
/// }
///
/// let response = Response::builder().status(403).body(()).unwrap();
/// let head = ResponseHead::new(&response);
/// assert!(Gateway.suspects(&head));
/// assert_eq!(Gateway.classify(&head, b"E-1042: expired"), Some(Verdict::Challenge));
/// ```
pub trait ClassifyBody: Send + Sync + 'static {
    /// Whether the body behind this head may say anything about the token. Where it says no, the body
    /// passes at once and untouched.
    ///
    /// It need not care for bodies that the layer never reads: see there.
    ///
    /// Default: `application/json`, and types that end in `+json`.
    fn suspects(&self, head: &ResponseHead<'_>) -> bool {
        suspicion::is_json(head)
    }

    /// Whether a body that begins so needs no further look, so that it passes at once. It is asked each
    /// time that more of a body arrived, with all that did.
    ///
    /// Default: no.
    fn is_harmless(&self, begin: &[u8]) -> bool {
        let _ = begin;
        false
    }

    /// The verdict on a whole body, or `None` where it says nothing: then the head alone is classified,
    /// as it would be without this layer.
    fn classify(&self, head: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict>;
}

/// A [`ClassifyBody`] from two closures: which heads are suspicious, and what their bodies mean.
///
/// ```
/// use http::Response;
/// use tower_reauth::{ClassifyBody, ResponseHead, Verdict, classify_body_fn};
///
/// let classifier = classify_body_fn(
///     |head: &ResponseHead<'_>| head.status() == 401,
///     |_: &ResponseHead<'_>, body: &[u8]| match body {
///         b"account locked" => Some(Verdict::Answer), // a veto: no new token would help
///         _ => None,                                  // as the head says
///     },
/// );
///
/// let response = Response::builder().status(401).body(()).unwrap();
/// let verdict = classifier.classify(&ResponseHead::new(&response), b"account locked");
/// assert_eq!(verdict, Some(Verdict::Answer));
/// ```
pub fn classify_body_fn<S, F>(suspects: S, classify: F) -> ClassifyBodyFn<S, F>
where
    S: Fn(&ResponseHead<'_>) -> bool + Send + Sync + 'static,
    F: Fn(&ResponseHead<'_>, &[u8]) -> Option<Verdict> + Send + Sync + 'static,
{
    ClassifyBodyFn { suspects, classify }
}

/// The classifier that [`classify_body_fn`] makes.
#[derive(Clone, Copy)]
pub struct ClassifyBodyFn<S, F> {
    suspects: S,
    classify: F,
}

impl<S, F> ClassifyBody for ClassifyBodyFn<S, F>
where
    S: Fn(&ResponseHead<'_>) -> bool + Send + Sync + 'static,
    F: Fn(&ResponseHead<'_>, &[u8]) -> Option<Verdict> + Send + Sync + 'static,
{
    fn suspects(&self, head: &ResponseHead<'_>) -> bool {
        (self.suspects)(head)
    }

    fn classify(&self, head: &ResponseHead<'_>, body: &[u8]) -> Option<Verdict> {
        (self.classify)(head, body)
    }
}

impl<S, F> fmt::Debug for ClassifyBodyFn<S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassifyBodyFn").finish_non_exhaustive()
    }
}
