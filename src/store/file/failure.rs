//! What failed, at which path.

use std::{error, fmt, io, path::Path};

use crate::{BoxError, StoreError};

/// The step that failed. A path is no secret, and whoever has to act needs it.
#[derive(Debug)]
struct Failure {
    doing: &'static str,
    path: Box<Path>,
    reason: BoxError,
}

/// The error of a file system that refused to do something at this path.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> StoreError {
    move |reason| {
        let reason = reason.into();
        StoreError::unavailable().with_source(Failure { doing, path: path.into(), reason })
    }
}

/// The error of a file that is no record for this reason.
pub(super) fn unreadable(path: &Path, reason: impl Into<BoxError>) -> StoreError {
    let (doing, reason) = ("read a token record in", reason.into());
    StoreError::corrupt().with_source(Failure { doing, path: path.into(), reason })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.doing, self.path.display())
    }
}

impl error::Error for Failure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&*self.reason)
    }
}
