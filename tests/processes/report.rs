//! What a worker says of itself, a line each.
//!
//! A line is one `write`, so a worker that is killed has said it whole or not at all.

use std::{fmt, io::Write, str::FromStr, time::Duration};

/// Refresh tokens are named as they are: they are worth nothing outside of their test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// The refresh token is about to be marked as being spent.
    Mark(String),
    /// It bore the mark of somebody who vanished. Follows on a `Mark`.
    Found(String),
    /// A token request is about to be sent.
    Sending,
    /// This refresh token is saved now.
    Saved(String, Window),
    /// This refresh token was not saved, since the record had moved on.
    Late(String),
    /// The session was buried.
    Buried,
    /// A request was answered 200.
    Served,
    /// A request failed for want of a login.
    NeedsLogin,
    /// Something else went wrong.
    Failed(String),
}

/// How long an answer was in danger of being lost with its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// From just before the token request was sent until the answer was saved, and the folder flushed.
    pub(crate) whole: Duration,
    /// The part of it after the head of the answer came.
    pub(crate) save: Duration,
}

impl Report {
    pub(crate) fn say(&self) {
        // Nobody listens to a worker whose parent is gone; it ends by itself.
        let _ = std::io::stdout().lock().write_all(format!("{self}\n").as_bytes());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mark(token) => write!(f, "mark {token}"),
            Self::Found(token) => write!(f, "found {token}"),
            Self::Sending => f.write_str("sending"),
            Self::Saved(token, Window { whole, save }) => {
                write!(f, "saved {token} {} {}", whole.as_micros(), save.as_micros())
            }
            Self::Late(token) => write!(f, "late {token}"),
            Self::Buried => f.write_str("buried"),
            Self::Served => f.write_str("served"),
            Self::NeedsLogin => f.write_str("needs-login"),
            Self::Failed(why) => write!(f, "failed {}", why.escape_debug()),
        }
    }
}

impl FromStr for Report {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Ok(match word {
            "mark" => Self::Mark(rest.into()),
            "found" => Self::Found(rest.into()),
            "sending" => Self::Sending,
            "saved" => {
                let parts: Vec<_> = rest.split(' ').collect();
                let [token, whole, save] = parts[..] else { return Err(line.into()) };
                let [whole, save] =
                    [whole, save].map(|micros| micros.parse().map(Duration::from_micros));
                let window =
                    Window { whole: whole.map_err(|_| line)?, save: save.map_err(|_| line)? };
                Self::Saved(token.into(), window)
            }
            "late" => Self::Late(rest.into()),
            "buried" => Self::Buried,
            "served" => Self::Served,
            "needs-login" => Self::NeedsLogin,
            "failed" => Self::Failed(rest.into()),
            _ => return Err(format!("not a report: {line}")),
        })
    }
}
