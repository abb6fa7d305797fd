//! What failed on the way to a token endpoint, without a word that somebody else wrote.

use std::{error, fmt, io, iter};

#[cfg(feature = "endpoint-client")]
use crate::source::EndpointClientError;
use crate::{BoxError, RefreshError, error::Kind};

/// A failed exchange. An HTTP client's own error may print the request, its URI, or what a server sent,
/// so only the kind of the I/O error beneath it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source) struct TransportError(Option<io::ErrorKind>);

impl TransportError {
    pub(super) fn of(error: &(dyn error::Error + 'static)) -> Self {
        let kinds =
            chain(error).filter_map(|cause| Some(cause.downcast_ref::<io::Error>()?.kind()));
        // An outer one is often a wrapper, of kind `Other`.
        Self(kinds.last())
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the exchange with the token endpoint failed")?;
        match self.0 {
            Some(kind) => write!(f, ": {kind}"),
            None => Ok(()),
        }
    }
}

impl error::Error for TransportError {}

/// The error of a session that found itself called by its own source: the grant was given a client
/// with the layers that it serves.
pub(super) fn reentrance(error: &BoxError) -> Option<RefreshError> {
    chain(&**error)
        .filter_map(|cause| cause.downcast_ref::<RefreshError>())
        .find(|error| error.kind() == Kind::Reentrant)
        .cloned()
}

/// What an error means before anything was handed over that could be spent.
pub(super) fn unspent(error: &BoxError) -> RefreshError {
    if let Some(reentrance) = reentrance(error) {
        return reentrance;
    }
    #[cfg(feature = "endpoint-client")]
    if let Some(known) = find(error) {
        return with_client_error(known, RefreshError::transient());
    }
    RefreshError::transient().with_source(TransportError::of(&**error))
}

/// What the crate's own client says, which knows what never left.
#[cfg(feature = "endpoint-client")]
pub(super) fn known(error: &BoxError) -> Option<RefreshError> {
    let known = find(error)?;
    let sent =
        if known.is_not_sent() { RefreshError::transient() } else { RefreshError::ambiguous() };
    Some(with_client_error(known, sent))
}

#[cfg(feature = "endpoint-client")]
fn find(error: &BoxError) -> Option<EndpointClientError> {
    chain(&**error).find_map(|cause| cause.downcast_ref().copied())
}

#[cfg(feature = "endpoint-client")]
fn with_client_error(known: EndpointClientError, error: RefreshError) -> RefreshError {
    let error = if known.is_plain_http() { RefreshError::misconfigured() } else { error };
    error.with_source(known)
}

fn chain<'a>(
    error: &'a (dyn error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn error::Error + 'static)> {
    iter::successors(Some(error), |error| error.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wrapper(BoxError);

    impl fmt::Display for Wrapper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("POST https://as.example/?key=canary")
        }
    }

    impl error::Error for Wrapper {
        fn source(&self) -> Option<&(dyn error::Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn the_kind_of_the_io_error_beneath_is_all_that_is_kept() {
        let beneath = io::Error::new(io::ErrorKind::ConnectionReset, "canary");
        let error = Wrapper(Wrapper(beneath.into()).into());
        let kept = TransportError::of(&error);
        assert_eq!(
            kept.to_string(),
            "the exchange with the token endpoint failed: connection reset"
        );

        let error = Wrapper("canary".into());
        let kept = TransportError::of(&error);
        assert_eq!(kept.to_string(), "the exchange with the token endpoint failed");
        assert!(!format!("{kept:?}").contains("canary"));
    }

    #[test]
    fn the_session_that_called_itself_is_found_and_no_other_error_of_a_session() {
        let wrapped = |kind| BoxError::from(Wrapper(RefreshError::new(kind).into()));
        assert!(reentrance(&wrapped(Kind::Reentrant)).is_some());
        assert!(reentrance(&wrapped(Kind::Rejected)).is_none());
        assert!(reentrance(&"other".into()).is_none());
    }
}
