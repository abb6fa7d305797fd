//! The reason why there was no token, in the one type of error that a caller of tonic sees.

use std::{error::Error, sync::Arc};

use ::tonic::{Code, Status};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use http::HeaderMap;

use crate::{BoxError, RefreshError, error::Kind};

/// Why there was no token for the call that ended in `status`, if that was the reason.
///
/// It stands in the status's chain of sources, whether the call passed [`Reauth`](super::Reauth) or the
/// two layers. With the two layers a call that was sent and challenged ends in the server's status alone,
/// since tonic does not hand out the extensions of a response; there
/// [`error_instead_of_challenge`](crate::RefreshLayer::error_instead_of_challenge) puts the reason in its
/// place.
pub fn refresh_error(status: &Status) -> Option<&RefreshError> {
    let mut next = status.source();
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

#[cold]
pub(super) fn unsent(error: BoxError) -> BoxError {
    match error.downcast::<RefreshError>() {
        Ok(error) => because(Status::new(code(&error), error.to_string()), &error).into(),
        Err(error) => error,
    }
}

#[cold]
pub(super) fn unanswered(challenge: &HeaderMap, error: &RefreshError) -> Status {
    let status = Some(challenge)
        .filter(|challenge| is_readable(challenge))
        .and_then(Status::from_header_map)
        .filter(|status| status.code() != Code::Ok)
        // What a proxy refused, by HTTP alone.
        .unwrap_or_else(|| Status::unauthenticated(error.to_string()));
    because(status, error)
}

fn because(mut status: Status, error: &RefreshError) -> Status {
    status.set_source(Arc::new(error.clone()));
    status
}

/// `UNAVAILABLE` says that the same call may work later.
fn code(error: &RefreshError) -> Code {
    if error.needs_login() || error.is_misconfigured() || error.is_closed() {
        Code::Unauthenticated
    } else if error.kind() == Kind::Overfull {
        Code::InvalidArgument
    } else {
        Code::Unavailable
    }
}

/// Whether tonic can read a status there: it panics on details that are no base64.
fn is_readable(headers: &HeaderMap) -> bool {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    headers.get("grpc-status-details-bin").is_none_or(|details| BASE64.decode(details).is_ok())
}
