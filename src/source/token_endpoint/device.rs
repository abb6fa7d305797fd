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

/// A server that leaves out when its codes expire must not be polled for ever.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

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
            read(&members, plain).ok_or_else(RefreshError::misconfigured)
        }
        (code, _) => {
            Err(outcome::failure(answer, code.as_ref().map(|code| code.as_str()), &[], now))
        }
    }
}

fn read(members: &Members<'_>, plain: bool) -> Option<DeviceCodes> {
    let page =
        |name| members.text(name).filter(|text| is_page(text, plain)).map(|it| it.to_string());
    let user_code = members.text("user_code")?;
    Some(DeviceCodes {
        device_code: members.text("device_code")?,
        // It is printed on a terminal, which must not take orders from it.
        user_code: (!user_code.chars().any(char::is_control)).then(|| user_code.to_string())?,
        // Google wrote its own before there was a standard.
        verification_uri: page("verification_uri").or_else(|| page("verification_url"))?,
        verification_uri_complete: page("verification_uri_complete"),
        lifetime: members.seconds("expires_in").unwrap_or(LIFETIME),
        interval: members.seconds("interval").unwrap_or(INTERVAL).max(Duration::from_secs(1)),
    })
}

/// What a browser may be sent to: an address of the web, and not a file or a script.
fn is_page(text: &str, plain: bool) -> bool {
    let uri = text.parse::<Uri>().ok();
    text.bytes().all(|byte| byte.is_ascii_graphic())
        && uri.and_then(|uri| Origin::of(&uri)).is_some_and(|origin| origin.secure || plain)
}

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

    fn codes_of(json: &str) -> Option<DeviceCodes> {
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
    fn an_interval_is_a_second_at_least_however_it_is_written() {
        for (written, seconds) in
            [("7", 7), ("\"7\"", 7), ("0", 1), ("0.1", 1), ("-3", 5), ("null", 5), ("1e400", 5)]
        {
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
            assert!(codes_of(&json).is_none(), "{wrong}");
            let json = with(&format!(r#""verification_uri_complete":"{wrong}""#));
            assert!(codes_of(&json).unwrap().verification_uri_complete.is_none(), "{wrong}");
        }
        let page = r#""verification_uri":"https://a/""#;
        assert!(
            codes_of(&format!(r#"{{"device_code":"d","user_code":"a\u001b[2J",{page}}}"#))
                .is_none()
        );
        assert!(codes_of(&format!(r#"{{"user_code":"u",{page}}}"#)).is_none());
        let google = r#"{"device_code":"d","user_code":"u","verification_url":"https://a/"}"#;
        assert!(codes_of(google).is_some());
    }
}
