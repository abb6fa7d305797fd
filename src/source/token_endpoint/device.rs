//! What a device authorization endpoint answers (RFC 8628 §3.2).

use std::{
    error, fmt,
    time::{Duration, SystemTime},
};

use http::Uri;
use zeroize::Zeroizing;

use super::{answer::Answer, outcome, response::Members};
use crate::{RefreshError, origin::Origin};

/// RFC 8628 §3.2: what to assume where the server does not say.
const INTERVAL: Duration = Duration::from_secs(5);

/// What is longer makes no sense for a user who waits: the codes would be dead before the first poll.
const LONGEST_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A server that leaves out when its codes expire must not be polled for ever.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// Nor one that says they never do.
const LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

pub(crate) struct DeviceCodes {
    pub(crate) device_code: Zeroizing<String>,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) verification_uri_complete: Option<String>,
    pub(crate) lifetime: Duration,
    pub(crate) interval: Duration,
}

/// `plain`: whether `http` will do for the page that the user opens.
pub(super) fn codes(
    answer: &Answer,
    plain: bool,
    now: SystemTime,
) -> Result<DeviceCodes, RefreshError> {
    let members = Members::parse(&answer.content);
    let code = members.as_ref().and_then(|members| members.text("error"));
    match (code, members) {
        (None, Some(members)) if answer.status.is_success() && answer.cut.is_none() => {
            // Nothing is spent by asking, so what makes no sense is not ambiguous.
            read(&members, plain).map_err(|flaw| RefreshError::misconfigured().with_source(flaw))
        }
        (code, _) => {
            Err(outcome::failure(answer, code.as_ref().map(|code| code.as_str()), &[], now))
        }
    }
}

fn read(members: &Members<'_>, plain: bool) -> Result<DeviceCodes, Flaw> {
    let page =
        |name| members.text(name).filter(|text| is_page(text, plain)).map(|it| it.to_string());
    let user_code = members.text("user_code").ok_or(Flaw::NoCode)?;
    if user_code.chars().any(misleads) {
        return Err(Flaw::UserCode);
    }
    let interval = members.seconds("interval").unwrap_or(INTERVAL);
    Ok(DeviceCodes {
        device_code: members.text("device_code").ok_or(Flaw::NoCode)?,
        user_code: user_code.to_string(),
        // Google wrote its own before there was a standard.
        verification_uri: page("verification_uri")
            .or_else(|| page("verification_url"))
            .ok_or(Flaw::Page)?,
        verification_uri_complete: page("verification_uri_complete"),
        lifetime: members.seconds("expires_in").unwrap_or(LIFETIME).min(LONGEST_LIFETIME),
        interval: interval.clamp(Duration::from_secs(1), LONGEST_INTERVAL),
    })
}

/// It is printed on a terminal, which must not take orders from it, for a reader who must see what is
/// there: no control characters, and none that is invisible or turns the direction of the text.
fn misleads(char: char) -> bool {
    char.is_control()
        || matches!(
            char,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// What a browser may be sent to: an address of the web, and not a file or a script.
fn is_page(text: &str, plain: bool) -> bool {
    let uri = text.parse::<Uri>().ok();
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && uri.and_then(|uri| Origin::of(&uri)).is_some_and(|origin| origin.secure || plain)
}

/// What is wrong with the codes, and nothing of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    NoCode,
    UserCode,
    Page,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoCode => "the answer has no `device_code` or no `user_code`",
            Self::UserCode => {
                "the user code has characters that cannot be seen, or that a terminal would obey"
            }
            Self::Page => "the page for the user is no address of the web, or is plain `http`",
        })
    }
}

impl error::Error for Flaw {}

/// An issuer without an endpoint for devices.
#[derive(Debug)]
pub(super) struct NoEndpoint;

impl fmt::Display for NoEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the issuer's metadata names no device authorization endpoint")
    }
}

impl error::Error for NoEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes_of(json: &str) -> Result<DeviceCodes, Flaw> {
        read(&Members::parse(json.as_bytes()).unwrap(), false)
    }

    fn with(member: &str) -> String {
        format!(
            r#"{{{member},"device_code":"d","user_code":"U-1","verification_uri":"https://as.example/#/device"}}"#
        )
    }

    #[test]
    fn what_the_server_leaves_out_is_assumed() {
        let codes = codes_of(&with(r#""x":1"#)).unwrap();
        assert_eq!((codes.device_code.as_str(), codes.user_code.as_str()), ("d", "U-1"));
        assert_eq!(codes.verification_uri, "https://as.example/#/device");
        assert_eq!((codes.interval, codes.lifetime), (INTERVAL, LIFETIME));
        assert!(codes.verification_uri_complete.is_none());
    }

    #[test]
    fn an_interval_is_a_second_at_least_and_five_minutes_at_most_however_it_is_written() {
        for (written, seconds) in [
            ("7", 7),
            ("\"7\"", 7),
            ("0", 1),
            ("0.1", 1),
            ("-3", 5),
            ("null", 5),
            ("1e400", 5),
            ("300", 300),
            ("301", 300),
            ("315360000", 300),
        ] {
            let codes = codes_of(&with(&format!(r#""interval":{written}"#))).unwrap();
            assert_eq!(codes.interval.as_secs(), seconds, "{written}");
        }
    }

    #[test]
    fn a_user_is_sent_to_a_page_and_a_terminal_takes_no_orders() {
        for wrong in [
            "http://as.example/",
            "javascript:alert(1)",
            "file:///etc",
            "as.example",
            "https://u@a/",
            "",
        ] {
            let json =
                format!(r#"{{"device_code":"d","user_code":"u","verification_uri":"{wrong}"}}"#);
            assert_eq!(codes_of(&json).err(), Some(Flaw::Page), "{wrong}");
            let json = with(&format!(r#""verification_uri_complete":"{wrong}""#));
            assert!(codes_of(&json).unwrap().verification_uri_complete.is_none(), "{wrong}");
        }
        let google = r#"{"device_code":"d","user_code":"u","verification_url":"https://a/"}"#;
        assert!(codes_of(google).is_ok());
    }

    #[test]
    fn a_code_that_would_mislead_its_reader_is_refused() {
        let code = |code: &str| {
            let json = serde_json::json!({"device_code": "d", "user_code": code, "verification_uri": "https://a/"});
            codes_of(&json.to_string()).map(|codes| codes.user_code)
        };
        for wrong in [
            "a\u{1b}[2J",
            "a\nb",
            "a\u{7f}",
            "a\u{9b}2J",
            "\u{202e}4321",
            "\u{2066}a\u{2069}",
            "a\u{200b}b",
            "\u{200f}a",
            "\u{61c}a",
            "a\u{feff}",
            "a\u{2028}b",
            "a\u{ad}b",
            "a\u{e0041}",
            "a\u{3164}",
        ] {
            assert_eq!(code(wrong), Err(Flaw::UserCode), "{wrong:?}");
        }
        for right in ["WDJB-MJHT", "1234 5678", "код-7", "認証"] {
            assert_eq!(code(right).as_deref(), Ok(right));
        }
    }

    #[test]
    fn codes_live_for_a_day_at_most() {
        let lifetime = |written: &str| codes_of(&with(written)).unwrap().lifetime;
        assert_eq!(lifetime(r#""expires_in":900"#), Duration::from_secs(900));
        assert_eq!(lifetime(r#""expires_in":315360000"#), LONGEST_LIFETIME);
    }

    #[test]
    fn codes_that_are_missing_are_told_from_other_faults() {
        for json in [
            r#"{"user_code":"u","verification_uri":"https://a/"}"#,
            r#"{"device_code":"d","verification_uri":"https://a/"}"#,
        ] {
            assert_eq!(codes_of(json).err(), Some(Flaw::NoCode));
        }
    }
}
