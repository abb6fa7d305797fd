//! Where the header's value comes from: a session, or a closure.

use http::Request;

use super::bearer;
use crate::{
    AccessToken, NoAuth, Origins, RefreshError,
    session::{SelectSession, attach},
};

/// Writes a credential into a request.
///
/// Implemented by [`Session`](crate::Session) and by [`TokenFn`]. Sealed while its shape is young.
pub trait Credential: sealed::Sealed {
    #[doc(hidden)]
    fn attach<B>(&self, request: &mut Request<B>) -> Option<Result<(), RefreshError>>;
}

impl<L: SelectSession> Credential for L {
    #[inline]
    fn attach<B>(&self, request: &mut Request<B>) -> Option<Result<(), RefreshError>> {
        self.select(request)?.attach(request)
    }
}

/// A closure that gives the token, with the origins it may go to; made by
/// [`AuthLayer::from_fn`](super::AuthLayer::from_fn).
#[derive(Clone)]
pub struct TokenFn<F> {
    origins: Origins,
    token: F,
}

impl<F> TokenFn<F> {
    pub(super) fn new(origins: Origins, token: F) -> Self {
        Self { origins, token }
    }
}

impl<F> Credential for TokenFn<F>
where
    F: Fn() -> Option<AccessToken>,
{
    fn attach<B>(&self, request: &mut Request<B>) -> Option<Result<(), RefreshError>> {
        let left_alone = !self.origins.contain(request.uri())
            || request.method() == http::Method::CONNECT
            || request.extensions().get::<NoAuth>().is_some();
        if left_alone {
            return None;
        }
        attach(request.headers_mut(), || Some(bearer(&(self.token)()?)))
    }
}

impl<F> std::fmt::Debug for TokenFn<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenFn").field("origins", &self.origins).finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
    impl<L: crate::session::SelectSession> Sealed for L {}
    impl<F> Sealed for super::TokenFn<F> {}
}
