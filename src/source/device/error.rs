//! Why a device did not get its tokens.

use std::{error, fmt};

use crate::RefreshError;

/// Why a device did not get its tokens (RFC 8628 §3.5).
///
/// Where it is neither of the two below, [`source`](error::Error::source) is a [`RefreshError`] that says
/// how the request failed. It carries no code and nothing that a server wrote but a registered error code.
#[derive(Clone, Debug)]
pub struct DeviceError(Kind);

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Expired,
    Denied,
    Failed(RefreshError),
}

impl DeviceError {
    /// The user did not agree in time. Ask before you [start](crate::DeviceAuthorization::start) anew:
    /// nobody may be there.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        matches!(self.0, Kind::Expired)
    }

    /// The user refused.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self.0, Kind::Denied)
    }

    /// The registered error code of the server's answer (RFC 6749 §5.2, RFC 8628 §3.5), if that is what
    /// ended it.
    #[must_use]
    pub fn oauth_code(&self) -> Option<&str> {
        match &self.0 {
            Kind::Expired | Kind::Denied => None,
            Kind::Failed(error) => error.oauth_code(),
        }
    }
}

impl From<Kind> for DeviceError {
    fn from(kind: Kind) -> Self {
        Self(kind)
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Expired => "nobody entered the code in time; start again",
            Kind::Denied => "the login was refused",
            Kind::Failed(_) => "the device could not be authorized",
        })?;
        match self.oauth_code() {
            Some(code) => write!(f, " ({code})"),
            None => Ok(()),
        }
    }
}

impl error::Error for DeviceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Kind::Expired | Kind::Denied => None,
            Kind::Failed(error) => Some(error),
        }
    }
}
