//! The few words that everything is told in.

use super::Ending;
use crate::{NotReplayed, RefreshCause, RefreshError, error::Kind};

pub(super) fn cause(cause: RefreshCause) -> &'static str {
    match cause {
        RefreshCause::Start => "start",
        RefreshCause::Early => "early",
        RefreshCause::Expired => "expired",
        RefreshCause::Challenged => "challenged",
        RefreshCause::LookUp => "look_up",
    }
}

pub(super) fn outcome(ending: Ending) -> &'static str {
    match ending {
        Ending::Refreshed => "refreshed",
        Ending::Adopted => "adopted",
        Ending::Unchanged => "unchanged",
        Ending::Failed => "failed",
        Ending::Ended => "ended",
        Ending::LoggedOut => "logged_out",
        Ending::LoginRequired => "login_required",
        Ending::Superseded => "superseded",
        Ending::Abandoned => "abandoned",
    }
}

/// How a refresh ended that leaves the session over.
pub(super) fn over(error: &RefreshError) -> Ending {
    match error.kind() {
        Kind::Rejected => Ending::Ended,
        Kind::LoggedOut => Ending::LoggedOut,
        _ => Ending::LoginRequired,
    }
}

/// A value of OpenTelemetry's `error.type`.
pub(super) fn error_type(error: &RefreshError) -> &'static str {
    match error.kind() {
        Kind::Transient => "transient",
        Kind::Rejected => "rejected",
        Kind::Ambiguous => "ambiguous",
        Kind::Unanswered => "unanswered",
        Kind::Misconfigured => "misconfigured",
        Kind::LoginRequired => "login_required",
        Kind::LoggedOut => "logged_out",
        Kind::Closed => "closed",
        Kind::Braked => "braked",
        Kind::Refused => "refused",
        Kind::SameToken => "same_token",
        Kind::ExpiredToken => "expired_token",
        Kind::TimedOut => "timed_out",
        Kind::NoRuntime => "no_runtime",
        Kind::Reentrant => "reentrant",
        Kind::Panicked => "panicked",
        Kind::Abandoned => "abandoned",
        Kind::Store => "store",
        Kind::Unattached => "unattached",
        Kind::Overfull => "overfull",
    }
}

pub(super) fn not_replayed(why: NotReplayed) -> &'static str {
    match why {
        NotReplayed::Asked => "asked",
        NotReplayed::Body => "body",
        NotReplayed::Exhausted => "exhausted",
        NotReplayed::Redirected => "redirected",
    }
}

/// Why there is no other token for a request that was challenged.
pub(super) fn given_up(error: &RefreshError, waited: bool) -> &'static str {
    match error.kind() {
        Kind::Refused => "refused",
        Kind::Braked => "braked",
        Kind::Rejected => "ended",
        Kind::LoggedOut => "logged_out",
        Kind::LoginRequired => "login_required",
        Kind::Closed => "closed",
        Kind::TimedOut => "timed_out",
        Kind::NoRuntime => "no_runtime",
        Kind::Reentrant => "reentrant",
        _ if waited => "failed",
        _ => "cooling",
    }
}
