use std::{error::Error as _, io, time::Duration};

use http::{HeaderMap, header::RETRY_AFTER};
use zeroize::Zeroizing;

use super::*;
use crate::{error::Kind, source::token_endpoint::transport::TransportError, token::Lifetime};

const HTML: &str = "<html><body>Bad Gateway</body></html>";

fn answer(status: u16, content: &str) -> Answer {
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        content: Zeroizing::new(content.into()),
        cut: None,
    }
}

fn cut(mut answer: Answer) -> Answer {
    answer.cut = Some(TransportError::of(&io::Error::from(io::ErrorKind::ConnectionReset)));
    answer
}

fn later(mut answer: Answer) -> Answer {
    answer.headers.insert(RETRY_AFTER, 30.into());
    answer
}

fn error(code: &str) -> String {
    format!(r#"{{"error":"{code}","error_description":"no"}}"#)
}

fn classify(answer: &Answer) -> Result<TokenSet, RefreshError> {
    let verdicts = [INVALID_GRANT.into(), "bad_refresh_token".into()];
    tokens(answer, Expected { verdicts: &verdicts, member: None }, SystemTime::UNIX_EPOCH)
}

fn fails(answer: &Answer) -> RefreshError {
    classify(answer).expect_err(answer.status.as_str())
}

fn succeeds(content: &str) -> TokenSet {
    classify(&answer(200, content)).expect(content)
}

/// Kind and code of a failure.
fn assert_fails(answer: &Answer, kind: Kind, code: Option<&str>) {
    let error = fails(answer);
    let content = String::from_utf8_lossy(&answer.content);
    assert_eq!((error.kind(), error.oauth_code()), (kind, code), "{} {content}", answer.status);
}

#[test]
fn tokens_are_taken_as_they_come() {
    let tokens = succeeds(
        r#"{"access_token":"a","token_type":"Bearer","expires_in":3600,"refresh_token":"r 1",
            "scope":"openid api:read","id_token":"e30.e30.","unknown":{"error":"x"}}"#,
    );
    assert_eq!(tokens.access().expose_secret(), "a");
    assert_eq!(tokens.refresh().unwrap().expose_secret(), "r 1");
    assert_eq!(tokens.lifetime(), Some(Lifetime::In(Duration::from_secs(3600))));
    assert_eq!(tokens.granted_scope(), Some("openid api:read"));
}

#[test]
fn what_a_success_leaves_out_is_unknown() {
    for content in [
        r#"{"access_token":"a"}"#,
        r#"{"access_token":"a","refresh_token":"","scope":"","expires_in":"","error":""}"#,
        r#"{"access_token":"a","refresh_token":null,"scope":null,"token_type":null,"error":null}"#,
        r#"{"access_token":"a","refresh_token":false,"expires_in":"soon","error":0}"#,
    ] {
        let tokens = succeeds(content);
        assert_eq!(tokens, TokenSet::new(AccessToken::new("a").unwrap()), "{content}");
    }
}

#[test]
fn a_bearer_token_is_one_in_any_case() {
    for type_ in ["bearer", "Bearer", "BEARER", " bearer "] {
        succeeds(&format!(r#"{{"access_token":"a","token_type":"{type_}"}}"#));
    }
}

#[test]
fn any_success_may_carry_tokens() {
    for status in [200, 201, 203] {
        assert!(classify(&answer(status, r#"{"access_token":"a"}"#)).is_ok(), "{status}");
    }
}

#[test]
fn a_token_that_cannot_be_used_has_cost_the_refresh_token() {
    for content in [
        r#"{"access_token":"a","token_type":"DPoP","refresh_token":"r"}"#,
        r#"{"access_token":"a","token_type":"N_A"}"#,
        r#"{"access_token":"a","token_type":"mac"}"#,
        r#"{"access_token":"two words","token_type":"Bearer"}"#,
        r#"{"access_token":"a\nb"}"#,
        r#"{"access_token":"ä"}"#,
        r#"{"access_token":"a","refresh_token":"ä"}"#,
        r#"{"access_token":"a","refresh_token":"a\u0000"}"#,
    ] {
        let error = fails(&answer(200, content));
        assert_eq!(error.kind(), Kind::Misconfigured, "{content}");
        assert!(error.was_ambiguous(), "{content}");
    }
}

#[test]
fn a_verdict_ends_the_session_in_a_2xx_or_4xx() {
    for status in [200, 202, 400, 401, 403, 404, 408, 422, 429, 499] {
        assert_fails(
            &answer(status, &error("invalid_grant")),
            Kind::Rejected,
            Some("invalid_grant"),
        );
    }
    let listed = answer(200, &error("bad_refresh_token"));
    assert_fails(&listed, Kind::Rejected, Some("bad_refresh_token"));
}

#[test]
fn no_verdict_is_passed_by_a_gateway_or_a_redirection() {
    for status in [500, 502, 504, 599] {
        assert_fails(
            &answer(status, &error("invalid_grant")),
            Kind::Ambiguous,
            Some("invalid_grant"),
        );
        let listed = answer(status, &error("bad_refresh_token"));
        assert_fails(&listed, Kind::Ambiguous, Some("bad_refresh_token"));
    }
    assert_fails(&answer(503, &error("invalid_grant")), Kind::Transient, Some("invalid_grant"));
    let redirected = answer(302, &error("invalid_grant"));
    assert_fails(&redirected, Kind::Misconfigured, Some("invalid_grant"));
}

#[test]
fn a_verdict_is_spelled_exactly() {
    for code in ["Invalid_Grant", "invalid_grant ", "invalid_grants", "INVALID_GRANT"] {
        assert_fails(&answer(400, &error(code)), Kind::Misconfigured, None);
    }
    for content in [
        r#"{"error":{"code":"invalid_grant"}}"#,
        r#"{"error_description":"invalid_grant"}"#,
        r#"["invalid_grant"]"#,
        "error=invalid_grant",
    ] {
        assert_fails(&answer(400, content), Kind::Misconfigured, None);
    }
}

#[test]
fn codes_about_the_client_are_its_configuration() {
    for code in [
        "invalid_client",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_request",
        "invalid_target",
        "invalid_scope",
        "use_dpop_nonce",
        "access_denied",
    ] {
        for status in [200, 400, 401, 403] {
            assert_fails(&answer(status, &error(code)), Kind::Misconfigured, Some(code));
        }
    }
}

#[test]
fn an_unknown_code_is_not_repeated() {
    assert_fails(&answer(400, &error("eyJhbGciOi")), Kind::Misconfigured, None);
    assert_fails(&answer(200, &error("eyJhbGciOi")), Kind::Misconfigured, None);
    assert_fails(&answer(500, &error("eyJhbGciOi")), Kind::Ambiguous, None);
}

#[test]
fn a_refusal_without_a_code_is_permanent_and_unknown() {
    for status in [400, 401, 403, 404, 405, 415] {
        for content in ["", HTML, r#"{"message":"no"}"#, "null", "\u{0}"] {
            assert_fails(&answer(status, content), Kind::Misconfigured, None);
            assert!(!fails(&answer(status, content)).was_ambiguous(), "{status}");
        }
    }
}

#[test]
fn a_redirection_is_a_wrong_address() {
    for status in [301, 302, 303, 304, 307, 308] {
        assert_fails(&later(answer(status, "")), Kind::Misconfigured, None);
        assert_eq!(fails(&later(answer(status, ""))).retry_after(), None, "{status}");
    }
}

#[test]
fn a_busy_server_has_spent_nothing() {
    for status in [425, 429, 503] {
        for content in ["", HTML, r#"{"error":"server_error"}"#, r#"{"error":"invalid_client"}"#] {
            let error = fails(&later(answer(status, content)));
            assert_eq!(error.kind(), Kind::Transient, "{status} {content}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(30)), "{status} {content}");
            assert!(!error.was_ambiguous());
        }
        assert_fails(&cut(answer(status, "")), Kind::Transient, None);
    }
    for code in ["temporarily_unavailable", "slow_down"] {
        for status in [200, 400, 401, 500] {
            assert_fails(&answer(status, &error(code)), Kind::Transient, Some(code));
            let delay = fails(&later(answer(status, &error(code)))).retry_after();
            assert_eq!(delay, Some(Duration::from_secs(30)), "{status} {code}");
        }
    }
    assert_eq!(fails(&answer(503, "")).retry_after(), None);
}

#[test]
fn a_gateway_may_answer_after_the_rotation() {
    for status in [408, 500, 501, 502, 504, 520, 599] {
        for content in ["", HTML, r#"{"message":"no"}"#, r#"{"access_token":"a"}"#] {
            assert_fails(&answer(status, content), Kind::Ambiguous, None);
        }
        let delay = fails(&later(answer(status, ""))).retry_after();
        assert_eq!(delay, Some(Duration::from_secs(30)), "{status}");
    }
    for status in [200, 400] {
        let failed = answer(status, &error("server_error"));
        assert_fails(&failed, Kind::Ambiguous, Some("server_error"));
    }
}

#[test]
fn a_success_that_makes_no_sense_is_ambiguous() {
    for content in [
        "",
        HTML,
        "{}",
        "null",
        r#"["access_token"]"#,
        r#"{"access_token":"a""#,
        r#"{"access_token":null}"#,
        r#"{"access_token":" "}"#,
        r#"{"access_token":["a"]}"#,
        r#"{"error":{"code":190}}"#,
        "access_token=a&token_type=bearer",
    ] {
        assert_fails(&answer(200, content), Kind::Ambiguous, None);
    }
    assert_fails(&answer(204, ""), Kind::Ambiguous, None);
    let mut latin = answer(200, "");
    latin.content = Zeroizing::new(b"{\"access_token\":\"a\xe4\"}".into());
    assert_fails(&latin, Kind::Ambiguous, None);
}

#[test]
fn an_answer_cut_short_is_ambiguous_whatever_its_head_said() {
    for status in [200, 400, 401, 403, 500] {
        let error = fails(&cut(answer(status, r#"{"error":"invalid_gr"#)));
        assert_eq!(error.kind(), Kind::Ambiguous, "{status}");
        assert!(error.source().unwrap().to_string().contains("connection reset"), "{status}");
    }
}

#[test]
fn an_object_that_came_whole_before_the_cut_is_whole() {
    assert!(classify(&cut(answer(200, r#"{"access_token":"a"}"#))).is_ok());
    let rejected = cut(answer(400, &error("invalid_grant")));
    assert_fails(&rejected, Kind::Rejected, Some("invalid_grant"));
    assert!(fails(&rejected).source().is_none());
    let misconfigured = cut(answer(401, &error("invalid_client")));
    assert_fails(&misconfigured, Kind::Misconfigured, Some("invalid_client"));
}

#[test]
fn every_success_says_that_the_token_is_revoked() {
    for (status, content) in [(200, ""), (200, HTML), (200, r#"{"error":"x"}"#), (204, "")] {
        assert!(revocation(&answer(status, content), SystemTime::UNIX_EPOCH).is_ok(), "{status}");
    }
}

#[test]
fn a_token_that_the_server_does_not_revoke_is_no_failure() {
    let unsupported = answer(400, &error("unsupported_token_type"));
    let error = revocation(&unsupported, SystemTime::UNIX_EPOCH).unwrap_err();
    assert_eq!(error.oauth_code(), Some(UNSUPPORTED_TOKEN_TYPE));
}

#[test]
fn a_revocation_that_fails_is_no_verdict() {
    for (status, content, kind) in [
        (503, "", Kind::Transient),
        (429, "", Kind::Transient),
        (500, HTML, Kind::Ambiguous),
        (302, "", Kind::Misconfigured),
        (404, HTML, Kind::Misconfigured),
        (401, r#"{"error":"invalid_client"}"#, Kind::Misconfigured),
        (400, r#"{"error":"invalid_grant"}"#, Kind::Misconfigured),
    ] {
        let error =
            revocation(&later(answer(status, content)), SystemTime::UNIX_EPOCH).unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {content}");
        let delay = (status >= 429).then_some(Duration::from_secs(30));
        assert_eq!(error.retry_after(), delay, "{status} {content}");
    }
}
