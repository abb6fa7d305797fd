//! The body that reqwest sends.

use crate::{BoxError, ReplayBody};

/// A body that is one ready frame becomes bytes, which reqwest can send again by itself: where a 307 or
/// 308 wants that, and where a server said of an HTTP/2 stream that it did nothing with it. A stream
/// stays a stream, with its size and its trailers.
impl<B> From<ReplayBody<B>> for reqwest::Body
where
    B: http_body::Body + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    fn from(body: ReplayBody<B>) -> Self {
        body.into_whole().map_or_else(Self::wrap, Self::from)
    }
}
