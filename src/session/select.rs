//! Which session a request belongs to.

use http::Request;

use super::Session;

/// Finds the session that a request belongs to.
///
/// [`Session`] finds itself. Sealed while its shape is young.
pub trait SelectSession: Clone + sealed::Sealed {
    /// The session of this request, by what its head says. `None`: the request is nobody's.
    fn select<B>(&self, request: &Request<B>) -> Option<&Session>;
}

impl SelectSession for Session {
    #[inline]
    fn select<B>(&self, _: &Request<B>) -> Option<&Session> {
        Some(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Session {}
}
