//! Where the header's value comes from: a session, or a closure.

use std::mem;

use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::bearer;
use crate::{
    AccessToken, NoAuth, Origins, RefreshError, error::Kind, extension::SessionId,
    session::SelectSession,
};

/// Writes a credential into a request.
///
/// Implemented by [`Session`](crate::Session) and by [`TokenFn`]. Sealed while its shape is young.
pub trait Credential: sealed::Sealed {
    #[doc(hidden)]
    fn attach<B>(&self, request: &mut Request<B>) -> Attached;
}

/// What became of a request.
#[doc(hidden)]
#[derive(Debug)]
pub enum Attached {
    /// It carries the credential.
    Yes,
    /// It is none of the credential's business, whose session, if it has one, this is.
    No(Option<SessionId>),
    /// There is no credential to attach.
    Missing(RefreshError),
}

impl Attached {
    /// Put `credential` into a request that may have it, unless the caller set one.
    #[inline]
    pub(crate) fn to<B>(
        request: &mut Request<B>,
        session: Option<SessionId>,
        credential: Option<HeaderValue>,
    ) -> Self {
        let headers = request.headers_mut();
        let Some(credential) = credential else { return Self::missing(headers, session) };
        // Where each name has one value, what an insertion replaces can be put back as it was, so one
        // look-up does for a request that has none.
        if headers.len() != headers.keys_len() && headers.contains_key(header::AUTHORIZATION) {
            return Self::occupied(headers, session, &credential);
        }
        match headers.try_insert(header::AUTHORIZATION, credential) {
            Ok(None) => Self::Yes,
            Ok(Some(theirs)) => Self::put_back(headers, theirs, session),
            // Where there is no room, none is needed for a field that is there.
            Err(_) if headers.contains_key(header::AUTHORIZATION) => Self::No(session),
            Err(_) => Self::Missing(RefreshError::new(Kind::Overfull)),
        }
    }

    #[cold]
    fn missing(headers: &HeaderMap, session: Option<SessionId>) -> Self {
        if headers.contains_key(header::AUTHORIZATION) {
            return Self::No(session);
        }
        Self::Missing(RefreshError::new(Kind::Unattached))
    }

    #[cold]
    fn put_back(headers: &mut HeaderMap, theirs: HeaderValue, session: Option<SessionId>) -> Self {
        let Some(value) = headers.get_mut(header::AUTHORIZATION) else { return Self::No(session) };
        let ours = mem::replace(value, theirs);
        Self::occupied(headers, session, &ours)
    }

    /// A value that equals ours was set by a layer of the same session above, and not by the caller.
    #[cold]
    fn occupied(headers: &HeaderMap, session: Option<SessionId>, ours: &HeaderValue) -> Self {
        if session.is_some() && headers.get(header::AUTHORIZATION) == Some(ours) {
            return Self::Yes;
        }
        Self::No(session)
    }
}

/// Whether a request may carry a credential for these origins at all.
#[inline]
pub(crate) fn may_carry<B>(request: &Request<B>, origins: &Origins) -> bool {
    origins.have(request.uri())
        && request.method() != Method::CONNECT
        && request.extensions().get::<NoAuth>().is_none()
}

impl<L: SelectSession> Credential for L {
    #[inline]
    fn attach<B>(&self, request: &mut Request<B>) -> Attached {
        match self.select(request) {
            Some(session) => session.attach(request),
            None => Attached::No(None),
        }
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
    fn attach<B>(&self, request: &mut Request<B>) -> Attached {
        // The closure is the program's: it is not called in vain.
        if !may_carry(request, &self.origins)
            || request.headers().contains_key(header::AUTHORIZATION)
        {
            return Attached::No(None);
        }
        Attached::to(request, None, (self.token)().map(|token| bearer(&token)))
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
