//! Why Redis did not do what it was asked, in words of this crate only.

use std::{error, fmt};

use ::redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::StoreError;

/// It holds nothing of what Redis, or its address, says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Address,
    NoRuntime,
    Unreachable,
    Unanswered,
    Denied,
    ReadOnly,
    Full,
    NotReady,
    Elsewhere,
    OtherType,
    Refused,
    Contended,
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            ErrorKind::Io => Self::Unreachable,
            ErrorKind::AuthenticationFailed => Self::Denied,
            ErrorKind::InvalidClientConfig => Self::Address,
            ErrorKind::Server(kind) => match kind {
                ServerErrorKind::NoPerm => Self::Denied,
                ServerErrorKind::ReadOnly => Self::ReadOnly,
                ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot => {
                    Self::Elsewhere
                }
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown => Self::NotReady,
                _ => Self::Refused,
            },
            _ => match error.code() {
                Some("WRONGTYPE") => Self::OtherType,
                Some("NOAUTH" | "WRONGPASS") => Self::Denied,
                Some("OOM" | "MISCONF") => Self::Full,
                Some("BUSY" | "NOREPLICAS") => Self::NotReady,
                _ => Self::Refused,
            },
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let kind = if fault == Fault::OtherType { Self::corrupt() } else { Self::unavailable() };
        kind.with_source(fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => {
                "that is no address of a Redis; one with TLS needs a TLS feature of the `redis` crate"
            }
            Self::NoRuntime => "Redis is called on a tokio runtime, and there is none",
            Self::Unreachable => "there is no connection to Redis, or it broke",
            Self::Unanswered => "Redis did not answer in time",
            Self::Denied => "Redis wants another user or password, or this one may do too little",
            Self::ReadOnly => "this Redis is a replica, and takes no writes",
            Self::Full => "Redis takes no writes: its memory or its disk is full",
            Self::NotReady => "Redis is not ready yet",
            Self::Elsewhere => "another node of the Redis cluster has this session",
            Self::OtherType => "a key of the session holds no string in Redis",
            Self::Refused => "Redis refused the command",
            Self::Contended => "others write the record all the time",
        })
    }
}

impl error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server says, as the client makes an error of it.
    fn said(line: &str) -> Fault {
        let value = ::redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).unwrap();
        Fault::from(value.extract_error().unwrap_err())
    }

    #[test]
    fn each_answer_is_called_by_its_name() {
        assert_eq!(said("WRONGTYPE Operation against a key"), Fault::OtherType);
        assert_eq!(said("NOAUTH Authentication required."), Fault::Denied);
        assert_eq!(said("WRONGPASS invalid username-password pair"), Fault::Denied);
        assert_eq!(said("NOPERM this user has no permissions"), Fault::Denied);
        assert_eq!(said("READONLY You can't write against a read only replica."), Fault::ReadOnly);
        assert_eq!(said("OOM command not allowed"), Fault::Full);
        assert_eq!(said("MISCONF Redis is configured to save"), Fault::Full);
        assert_eq!(said("LOADING Redis is loading"), Fault::NotReady);
        assert_eq!(said("BUSY Redis is busy running a script"), Fault::NotReady);
        assert_eq!(said("MASTERDOWN Link with MASTER is down"), Fault::NotReady);
        assert_eq!(said("CLUSTERDOWN The cluster is down"), Fault::NotReady);
        assert_eq!(said("MOVED 3999 127.0.0.1:6381"), Fault::Elsewhere);
        assert_eq!(said("ERR canary"), Fault::Refused);
        assert_eq!(said("CANARY canary"), Fault::Refused);
    }

    #[test]
    fn only_another_type_is_corrupt() {
        assert!(StoreError::from(Fault::OtherType).is_corrupt());
        for line in ["NOAUTH x", "READONLY x", "OOM x", "LOADING x", "MOVED 1 x", "ERR x"] {
            assert!(StoreError::from(said(line)).is_unavailable(), "{line}");
        }
    }

    #[test]
    fn nothing_that_a_server_says_is_repeated() {
        for line in ["ERR canary", "CANARY canary", "MOVED 1 canary:1", "WRONGTYPE canary"] {
            let error = StoreError::from(said(line));
            let source = error::Error::source(&error).unwrap();
            let printed = format!("{error} {error:?} {source} {source:?}");
            assert!(!printed.to_lowercase().contains("canary"), "{printed}");
        }
    }
}
