//! The body that reqwest sends.

use http_body::Body;

use crate::{BoxError, ReplayBody, replay::keep};

/// What is one ready frame becomes bytes, which reqwest can send again by itself. A stream stays one,
/// with its size and its trailers.
pub(crate) fn client_body<B>(body: B) -> reqwest::Body
where
    B: Body + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    // What does not know its size is no such frame.
    if body.size_hint().exact().is_none() {
        return reqwest::Body::wrap(ReplayBody::once(body));
    }
    let (_, body) = keep(body, 0);
    body.into_whole().map_or_else(reqwest::Body::wrap, Into::into)
}
