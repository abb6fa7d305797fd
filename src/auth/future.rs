//! The response of a request that got a token, or did not.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::Response;
use pin_project_lite::pin_project;

use crate::{
    BoxError, RefreshError,
    extension::{SessionId, Unattached},
};

pin_project! {
    /// The future of [`Auth`](super::Auth).
    pub struct ResponseFuture<F> {
        #[pin]
        state: State<F>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Attached { #[pin] future: F },
        Unattached { #[pin] future: F, session: Option<SessionId> },
        Failed { error: Option<RefreshError> },
    }
}

impl<F> ResponseFuture<F> {
    #[inline]
    pub(super) fn attached(future: F) -> Self {
        Self { state: State::Attached { future } }
    }

    pub(super) fn unattached(future: F, session: Option<SessionId>) -> Self {
        Self { state: State::Unattached { future, session } }
    }

    pub(super) fn failed(error: RefreshError) -> Self {
        Self { state: State::Failed { error: Some(error) } }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Response<R>, BoxError>;

    #[inline(always)]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Attached { future } => future.poll(cx).map_err(Into::into),
            StateProj::Unattached { future, session } => {
                let mut response = ready!(future.poll(cx)).map_err(Into::into)?;
                // Above, this answer must not be taken for evidence against this session's token.
                if let Some(session) = *session {
                    let extensions = response.extensions_mut();
                    match extensions.get_mut::<Unattached>() {
                        Some(Unattached(sessions)) => sessions.push(session),
                        None => drop(extensions.insert(Unattached(vec![session]))),
                    }
                }
                Poll::Ready(Ok(response))
            }
            // Polled again after it ended, it stays pending, as futures may.
            StateProj::Failed { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error.into())),
                None => Poll::Pending,
            },
        }
    }
}

impl<F> std::fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
