//! What is kept of a request, so that it can be sent again exactly as it was.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::{Request, Uri, request::Parts};
use http_body::Body;

use crate::{
    BoxError, ReplayBody,
    lifecycle::Endpoint,
    replay::{Kept, keep},
};

pub(super) enum Outgoing<B> {
    /// Head and body. Our own `Authorization` is added beneath, so the head never has it.
    Kept { head: Parts, body: Kept<B> },
    /// The request asked not to be kept; its target remains, to tell endpoints apart.
    Unkept { uri: Uri },
}

impl<B: Body + 'static> Outgoing<B>
where
    B::Error: Into<BoxError>,
{
    /// Keep what a replay needs, up to so many bytes of a stream.
    pub(super) fn new(
        request: Request<B>,
        keep_bytes: Option<usize>,
    ) -> (Self, Request<ReplayBody<B>>) {
        let Some(limit) = keep_bytes else {
            let uri = request.uri().clone();
            return (Self::Unkept { uri }, request.map(ReplayBody::once));
        };
        let (head, body) = request.into_parts();
        let (kept, body) = keep(body, limit);
        (Self::Kept { head: head.clone(), body: kept }, Request::from_parts(head, body))
    }

    /// The request once more. `None` where it was not kept, or not whole.
    pub(super) fn again(&self) -> Option<Request<ReplayBody<B>>> {
        match self {
            Self::Kept { head, body } => Some(Request::from_parts(head.clone(), body.replay()?)),
            Self::Unkept { .. } => None,
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept { .. })
    }

    pub(super) fn is_replayable(&self) -> bool {
        matches!(self, Self::Kept { body, .. } if body.is_replayable())
    }

    /// The upload pauses where it is.
    pub(super) fn freeze(&self) {
        if let Self::Kept { body, .. } = self {
            body.freeze();
        }
    }

    /// The upload goes on.
    pub(super) fn thaw(&self) {
        if let Self::Kept { body, .. } = self {
            body.thaw();
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        let (Self::Kept { head: Parts { uri, .. }, .. } | Self::Unkept { uri }) = self;
        let mut hasher = DefaultHasher::new();
        uri.scheme_str().hash(&mut hasher);
        uri.authority().map(http::uri::Authority::as_str).hash(&mut hasher);
        uri.path().hash(&mut hasher);
        Endpoint(hasher.finish())
    }
}
