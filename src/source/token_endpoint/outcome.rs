//! What an answer means: pure, from status, headers and content (RFC 6749 §5, RFC 7009 §2.2).

mod retry_after;

use std::{borrow::Cow, time::SystemTime};

use http::StatusCode;

use super::{answer::Answer, response::Members};
use crate::{AccessToken, RefreshError, RefreshToken, TokenSet};

/// The code that ends a session at every server (RFC 6749 §5.2).
pub(in crate::source) const INVALID_GRANT: &str = "invalid_grant";

/// Codes that a token or revocation endpoint may answer with: RFC 6749 §5.2 and §4.1.2.1, RFC 6750 §3.1,
/// RFC 7009 §2.2.1, RFC 8628 §3.5, RFC 8707 §2, RFC 9396 §5, RFC 9449 §5 and §8, OpenID Connect Core
/// §3.1.2.6; and one of Entra ID's own.
const KNOWN: [&str; 25] = [
    "access_denied",
    "account_selection_required",
    AUTHORIZATION_DECLINED,
    "authorization_pending",
    "consent_required",
    "expired_token",
    "insufficient_scope",
    "interaction_required",
    "invalid_authorization_details",
    "invalid_client",
    "invalid_dpop_proof",
    INVALID_GRANT,
    "invalid_request",
    "invalid_scope",
    "invalid_target",
    "invalid_token",
    "login_required",
    "server_error",
    "slow_down",
    "temporarily_unavailable",
    "unauthorized_client",
    "unsupported_grant_type",
    "unsupported_response_type",
    UNSUPPORTED_TOKEN_TYPE,
    "use_dpop_nonce",
];

/// Entra ID's word for `access_denied`, where a user refuses a device.
pub(in crate::source) const AUTHORIZATION_DECLINED: &str = "authorization_declined";

/// RFC 7009 §2.2.1: the server revokes no tokens of this kind.
pub(super) const UNSUPPORTED_TOKEN_TYPE: &str = "unsupported_token_type";

/// What is known of an answer beforehand.
#[derive(Clone, Copy)]
pub(super) struct Expected<'a> {
    /// The codes that say that the grant is dead.
    pub(super) verdicts: &'a [Cow<'static, str>],
    /// What a success must have beside an `access_token`.
    pub(super) member: Option<&'static str>,
}

/// The new tokens, or how the request for them failed. `now`: the time to count a `Retry-After` date from
/// if the answer has no date of its own.
pub(super) fn tokens(
    answer: &Answer,
    expected: Expected<'_>,
    now: SystemTime,
) -> Result<TokenSet, RefreshError> {
    let members = Members::parse(&answer.content);
    let code = members.as_ref().and_then(|members| members.text("error"));
    match (code, members) {
        (None, Some(members)) if answer.status.is_success() => granted(&members, expected.member),
        (code, _) => {
            let code = code.as_ref().map(|code| code.as_str());
            Err(failure(answer, code, expected.verdicts, now))
        }
    }
}

/// Whether a token is revoked. RFC 7009 §2.2: a success says so for unknown tokens too, whatever its
/// body.
pub(super) fn revocation(answer: &Answer, now: SystemTime) -> Result<(), RefreshError> {
    if answer.status.is_success() {
        return Ok(());
    }
    let code = Members::parse(&answer.content).and_then(|members| members.text("error"));
    Err(failure(answer, code.as_ref().map(|code| code.as_str()), &[], now))
}

fn granted(members: &Members<'_>, required: Option<&str>) -> Result<TokenSet, RefreshError> {
    let Some(access) = members.text("access_token") else {
        return Err(RefreshError::ambiguous());
    };
    if required.is_some_and(|required| members.text(required).is_none()) {
        return Err(unusable());
    }
    // RFC 6749 §7.1: a token of a type that is not understood must not be used. Servers that leave the
    // type out mean this one.
    let type_ = members.text("token_type");
    if type_.is_some_and(|type_| !type_.trim().eq_ignore_ascii_case("bearer")) {
        return Err(unusable());
    }
    let access = AccessToken::new(&*access).map_err(|flaw| unusable().with_source(flaw))?;
    let mut tokens = TokenSet::new(access);
    if let Some(refresh) = members.text("refresh_token") {
        let refresh = RefreshToken::new(&*refresh).map_err(|flaw| unusable().with_source(flaw))?;
        tokens = tokens.refresh_token(refresh);
    }
    if let Some(lifetime) = members.lifetime() {
        tokens = tokens.expires_in(lifetime);
    }
    if let Some(scope) = members.scope() {
        tokens = tokens.scope(scope);
    }
    Ok(tokens)
}

/// The server granted something that cannot be used. It has spent the refresh token for it, and would
/// grant the same again, so this is neither tried again at once nor free of ambiguity.
pub(in crate::source) fn unusable() -> RefreshError {
    RefreshError::misconfigured().after_ambiguity(true)
}

pub(in crate::source) fn failure(
    answer: &Answer,
    code: Option<&str>,
    verdicts: &[Cow<'static, str>],
    now: SystemTime,
) -> RefreshError {
    let status = answer.status;
    let listed = verdicts.iter().find(|verdict| Some(verdict.as_ref()) == code);
    let error = if listed.is_some() && (status.is_success() || status.is_client_error()) {
        RefreshError::rejected()
    } else if is_transient(status, code) {
        waiting(RefreshError::transient(), answer, now)
    } else if is_ambiguous(answer, code) {
        waiting(RefreshError::ambiguous(), answer, now)
    } else {
        RefreshError::misconfigured()
    };
    let error = match answer.cut {
        Some(cut) if code.is_none() => error.with_source(cut),
        Some(_) | None => error,
    };
    let known = KNOWN.into_iter().find(|known| Some(*known) == code);
    match known.map(Cow::Borrowed).or_else(|| listed.cloned()) {
        Some(code) => error.with_code(code),
        None => error,
    }
}

/// Whether this says more of what answers than of the request.
#[cfg(feature = "cookies")]
pub(in crate::source) fn is_trouble(status: StatusCode) -> bool {
    is_transient(status, None) || status == StatusCode::REQUEST_TIMEOUT || status.is_server_error()
}

/// Turned away before anything was spent.
fn is_transient(status: StatusCode, code: Option<&str>) -> bool {
    matches!(
        status,
        StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    ) || matches!(code, Some("temporarily_unavailable" | "slow_down"))
}

/// A gateway answers like this after the server behind it has rotated the refresh token, so what such
/// an answer says of the grant is no verdict either.
fn is_ambiguous(answer: &Answer, code: Option<&str>) -> bool {
    let status = answer.status;
    status == StatusCode::REQUEST_TIMEOUT
        || status.is_server_error()
        || code == Some("server_error")
        // What was cut off may have been the code. An object that came whole before the cut is whole.
        || (code.is_none() && (status.is_success() || answer.cut.is_some()))
}

/// With the time that the server asks for.
pub(super) fn waiting(error: RefreshError, answer: &Answer, now: SystemTime) -> RefreshError {
    match retry_after::read(&answer.headers, now) {
        Some(delay) => error.with_retry_after(delay),
        None => error,
    }
}

#[cfg(test)]
mod tests;
