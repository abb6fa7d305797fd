use std::fmt;

use super::{Classify, ResponseHead, Verdict};

/// A [`Classify`] from a closure.
///
/// Leave to [`BearerClassifier`](super::BearerClassifier) what the closure has no opinion on:
///
/// ```
/// use http::Response;
/// use tower_reauth::{BearerClassifier, Classify, ResponseHead, Verdict, classify_fn};
///
/// let rest = BearerClassifier::default();
/// let classifier = classify_fn(move |head: &ResponseHead<'_>| {
///     let reason = head.headers().get("x-auth-failure").map(|value| value.as_bytes());
///     match (head.status().as_u16(), reason) {
///         (403, Some(b"token-expired")) => Verdict::Challenge, // adds
///         (401, Some(b"account-locked")) => Verdict::Answer,   // vetoes
///         _ => rest.classify(head),
///     }
/// });
///
/// let judge = |status: u16, reason: &str| {
///     let response = Response::builder().status(status).header("x-auth-failure", reason).body(()).unwrap();
///     classifier.classify(&ResponseHead::new(&response))
/// };
/// assert_eq!(judge(403, "token-expired"), Verdict::Challenge);
/// assert_eq!(judge(401, "account-locked"), Verdict::Answer);
/// assert_eq!(judge(401, "other"), Verdict::Challenge);
/// assert_eq!(judge(403, "other"), Verdict::Answer);
/// ```
pub fn classify_fn<F>(function: F) -> ClassifyFn<F>
where
    F: Fn(&ResponseHead<'_>) -> Verdict + Send + Sync + 'static,
{
    ClassifyFn(function)
}

/// The classifier that [`classify_fn`] makes.
#[derive(Clone, Copy)]
pub struct ClassifyFn<F>(F);

impl<F> Classify for ClassifyFn<F>
where
    F: Fn(&ResponseHead<'_>) -> Verdict + Send + Sync + 'static,
{
    fn classify(&self, head: &ResponseHead<'_>) -> Verdict {
        (self.0)(head)
    }
}

impl<F> fmt::Debug for ClassifyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClassifyFn").finish_non_exhaustive()
    }
}
