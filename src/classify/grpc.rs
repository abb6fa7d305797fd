use http::StatusCode;

use super::{BearerClassifier, Classify, ResponseHead, Verdict};

/// For gRPC: `grpc-status: 16` (`UNAUTHENTICATED`) in the head of a 200 is a challenge; the rest is
/// judged by a [`BearerClassifier`], for the 401 of a proxy on the way.
///
/// The status stands in the head only where a server answers with nothing else ("trailers-only"), so a
/// stream that has begun is never sent again. `7` (`PERMISSION_DENIED`) is an answer. For servers that
/// send other headers before they refuse there is `tonic::TrailersLayer`, with feature `tonic`.
///
/// ```
/// use http::Response;
/// use tower_reauth::{Classify, GrpcClassifier, ResponseHead, Verdict};
///
/// let response = Response::builder().header("grpc-status", "16").body(()).unwrap();
/// assert_eq!(GrpcClassifier::default().classify(&ResponseHead::new(&response)), Verdict::Challenge);
/// ```
#[derive(Clone, Debug, Default)]
pub struct GrpcClassifier {
    http: BearerClassifier,
}

impl GrpcClassifier {
    /// With `http` to judge what has no `grpc-status: 16` in the head.
    #[must_use]
    pub fn new(http: BearerClassifier) -> Self {
        Self { http }
    }
}

impl Classify for GrpcClassifier {
    fn classify(&self, head: &ResponseHead<'_>) -> Verdict {
        if head.status() == StatusCode::OK
            && head.headers().get("grpc-status").is_some_and(|status| status == "16")
        {
            return Verdict::Challenge;
        }
        self.http.classify(head)
    }
}
