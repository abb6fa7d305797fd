use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::{Classify, ResponseHead, Verdict};
use crate::challenge::Challenge;

/// The default classifier: a 401 that is about the bearer token, read as RFC 6750 §3.1 says.
///
/// | response | verdict |
/// |---|---|
/// | 401 without a challenge that can be read, or `Bearer` without `error` | [`Challenge`](Verdict::Challenge) |
/// | 401 `Bearer` with `invalid_token` or an unknown error code; `DPoP` with `invalid_token` | [`Challenge`](Verdict::Challenge) |
/// | 401 or 403 with `insufficient_scope`, `insufficient_claims` or `insufficient_user_authentication` (RFC 9470) | [`StepUp`](Verdict::StepUp) |
/// | 401 with `invalid_request`, `use_dpop_nonce` or `invalid_dpop_proof` (RFC 9449) | [`Answer`](Verdict::Answer) |
/// | 401 that offers only other schemes (`Basic`, `Negotiate`, `DPoP` alone) | [`Answer`](Verdict::Answer) |
/// | every other 403, and every other status, 407 among them | [`Answer`](Verdict::Answer) |
///
/// Of several `Bearer` and `DPoP` challenges the one that says most counts, wherever it stands:
/// `invalid_token` first, because a refused token says nothing about its scope; then the other known
/// codes; then an unknown code, and last a challenge without `error`, which is no more than an offer.
///
/// A response of another status than 401, 403 and those of [`also`](Self::also) costs the comparison
/// of its status. Nothing is looked up or allocated for it.
///
/// ```
/// use http::{Response, header::WWW_AUTHENTICATE};
/// use tower_reauth::{BearerClassifier, Classify, ResponseHead, Verdict};
///
/// let classifier = BearerClassifier::new();
/// let judge = |challenge: &str| {
///     let response =
///         Response::builder().status(401).header(WWW_AUTHENTICATE, challenge).body(()).unwrap();
///     classifier.classify(&ResponseHead::new(&response))
/// };
/// assert_eq!(judge("Bearer error=\"invalid_token\""), Verdict::Challenge);
/// assert_eq!(judge("Basic realm=\"staff\""), Verdict::Answer);
/// ```
#[derive(Clone, Debug)]
pub struct BearerClassifier {
    bare_401: bool,
    /// Shared, since each request has a clone: `None` where there is nothing to share.
    also: Option<Arc<[StatusCode]>>,
}

impl BearerClassifier {
    /// The classifier of the table above.
    #[must_use]
    pub fn new() -> Self {
        Self { bare_401: true, also: None }
    }

    /// Whether a 401 without any challenge that can be read counts as one. RFC 9110 §15.5.2 asks the
    /// server for a challenge, and many servers send none.
    ///
    /// Default: `true`.
    #[must_use]
    pub fn bare_401(mut self, counts: bool) -> Self {
        self.bare_401 = counts;
        self
    }

    /// Read a response of this status, too, as a 401 is read; without any challenge it counts as one.
    ///
    /// For servers that refuse an expired token with 403, or with an unregistered code such as 419,
    /// 440 or 498. May be called several times.
    ///
    /// Default: none.
    ///
    /// ```
    /// use http::{Response, StatusCode};
    /// use tower_reauth::{BearerClassifier, Classify, ResponseHead, Verdict};
    ///
    /// let forbidden = Response::builder().status(StatusCode::FORBIDDEN).body(()).unwrap();
    /// let head = ResponseHead::new(&forbidden);
    ///
    /// let classifier = BearerClassifier::new();
    /// assert_eq!(classifier.classify(&head), Verdict::Answer);
    /// assert_eq!(classifier.also(StatusCode::FORBIDDEN).classify(&head), Verdict::Challenge);
    /// ```
    #[must_use]
    pub fn also(mut self, status: StatusCode) -> Self {
        let present = self.also.iter().flat_map(|also| also.iter().copied());
        self.also = Some(present.chain([status]).collect());
        self
    }
}

impl Default for BearerClassifier {
    fn default() -> Self {
        Self::new()
    }
}

impl Classify for BearerClassifier {
    fn classify(&self, head: &ResponseHead<'_>) -> Verdict {
        let status = head.status();
        if self.also.as_ref().is_some_and(|also| also.contains(&status)) {
            read(head.headers(), Verdict::Challenge)
        } else if status == StatusCode::UNAUTHORIZED {
            let bare = if self.bare_401 { Verdict::Challenge } else { Verdict::Answer };
            read(head.headers(), bare)
        } else if status == StatusCode::FORBIDDEN {
            // A 403 may say that more authority is needed; that the token is dead is a 401's to say.
            match read(head.headers(), Verdict::Answer) {
                Verdict::Challenge => Verdict::Answer,
                verdict => verdict,
            }
        } else {
            Verdict::Answer
        }
    }
}

/// The verdict of the challenges in `headers`; `bare` if there are none.
///
/// Lines that yield no challenge count as absent: they name no other scheme, so nothing speaks for
/// another protection space, and to the reader they say what silence says.
fn read(headers: &HeaderMap, bare: Verdict) -> Verdict {
    let challenges = Challenge::parse_all(headers);
    if challenges.is_empty() {
        return bare;
    }
    let meant = challenges.into_iter().filter_map(|challenge| {
        let meaning = Meaning::of(&challenge)?;
        Some((meaning, challenge))
    });
    match meant.min_by_key(|(meaning, _)| *meaning) {
        Some((Meaning::Invalid | Meaning::Unknown | Meaning::Bare, _)) => Verdict::Challenge,
        Some((Meaning::StepUp, challenge)) => Verdict::StepUp(challenge),
        Some((Meaning::Request, _)) | None => Verdict::Answer,
    }
}

/// What one challenge says about the token, what says most first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Meaning {
    Invalid,
    StepUp,
    /// The request, or its DPoP proof, is at fault.
    Request,
    Unknown,
    Bare,
}

impl Meaning {
    /// `None` if the challenge is no word on the token at all.
    fn of(challenge: &Challenge) -> Option<Self> {
        let bearer = challenge.is("Bearer");
        if !bearer && !challenge.is("DPoP") {
            return None;
        }
        Some(match challenge.param("error").unwrap_or_default() {
            // RFC 6750 §3.1: the one code with which a client may ask for a new token and try again.
            "invalid_token" => Self::Invalid,
            "insufficient_scope" | "insufficient_claims" | "insufficient_user_authentication" => {
                Self::StepUp
            }
            "invalid_request" | "use_dpop_nonce" | "invalid_dpop_proof" => Self::Request,
            // What DPoP says beyond that is about a scheme in which no token was sent.
            _ if !bearer => return None,
            "" => Self::Bare,
            _ => Self::Unknown,
        })
    }
}
