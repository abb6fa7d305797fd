//! What each outcome at the token endpoint means, row by row.

use super::*;

const VERDICT: &str = r#"{"error":"bad_refresh_token"}"#;
const HTML: &str = "<html>Bad Gateway</html>";

fn error(code: &str) -> &'static str {
    Box::leak(format!(r#"{{"error":"{code}","error_description":"no"}}"#).into_boxed_str())
}

fn refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

fn reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}

/// `None` is a success; the code is the one that the error shows.
type Row = (&'static str, Answer, Option<(Kind, Option<&'static str>)>);

#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Kind::{Ambiguous, Misconfigured, Rejected, Transient};
    let row = |name, status, body, kind, code| (name, Answer::Response(status, body), Some((kind, code)));
    let coded = |name, status, code, kind| row(name, status, error(code), kind, Some(code));
    vec![
        ("2xx JSON with access_token", Answer::Response(200, SUCCESS), None),
        row("2xx JSON with error", 200, error("invalid_client"), Misconfigured, Some("invalid_client")),
        row("2xx JSON with a listed error", 200, VERDICT, Rejected, Some("bad_refresh_token")),
        row("2xx JSON with an unknown error", 200, error("vendor"), Misconfigured, None),
        coded("invalid_grant, 2xx", 200, "invalid_grant", Rejected),
        coded("invalid_grant, 400", 400, "invalid_grant", Rejected),
        coded("invalid_grant, 401", 401, "invalid_grant", Rejected),
        coded("invalid_grant, 403", 403, "invalid_grant", Rejected),
        row("a listed code, 4xx", 400, VERDICT, Rejected, Some("bad_refresh_token")),
        coded("invalid_client", 401, "invalid_client", Misconfigured),
        coded("unauthorized_client", 400, "unauthorized_client", Misconfigured),
        coded("unsupported_grant_type", 400, "unsupported_grant_type", Misconfigured),
        coded("invalid_request", 400, "invalid_request", Misconfigured),
        coded("invalid_target", 400, "invalid_target", Misconfigured),
        coded("invalid_scope", 400, "invalid_scope", Misconfigured),
        // Neither is met by a new attempt without a proof; the refresh token is kept.
        coded("use_dpop_nonce", 400, "use_dpop_nonce", Misconfigured),
        coded("invalid_dpop_proof", 400, "invalid_dpop_proof", Misconfigured),
        row("400, empty", 400, "", Misconfigured, None),
        row("401, HTML", 401, HTML, Misconfigured, None),
        row("403, no JSON", 403, "no", Misconfigured, None),
        row("425", 425, "", Transient, None),
        row("429", 429, "", Transient, None),
        row("503", 503, HTML, Transient, None),
        coded("temporarily_unavailable", 400, "temporarily_unavailable", Transient),
        coded("slow_down", 400, "slow_down", Transient),
        row("408", 408, "", Ambiguous, None),
        row("500", 500, "", Ambiguous, None),
        row("502", 502, HTML, Ambiguous, None),
        row("504", 504, HTML, Ambiguous, None),
        coded("server_error", 400, "server_error", Ambiguous),
        row("an answer that cannot be read", 200, HTML, Ambiguous, None),
        ("connect failure, before bytes were sent", Answer::Error(refused), Some((Transient, None))),
        ("sent, no response", Answer::Error(reset), Some((Ambiguous, None))),
    ]
}

fn is_refused(error: &BoxError) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::ConnectionRefused)
}

#[tokio::test]
async fn every_row_of_the_table_holds() {
    for (name, answer, expected) in rows() {
        let (grant, sent) = answering(answer);
        let grant = grant.verdict_code("bad_refresh_token").not_sent(is_refused);
        let outcome = TokenSource::refresh(&grant, held()).await;
        assert_eq!(sent.lock().unwrap().len(), 1, "{name}: one call is one attempt");
        let Some((kind, code)) = expected else {
            assert!(outcome.is_ok(), "{name}");
            continue;
        };
        let error = outcome.expect_err(name);
        assert_eq!((error.kind(), error.oauth_code()), (kind, code), "{name}");
        assert_eq!(error.was_ambiguous(), kind == Kind::Ambiguous, "{name}");
        assert_eq!(error.is_session_ended(), kind == Kind::Rejected, "{name}");
    }
}

/// The same of every grant: what it means for one that spends nothing is the session's business.
#[tokio::test]
async fn every_row_holds_for_a_grant_that_spends_nothing() {
    for (name, answer, expected) in rows() {
        let service = Endpoint { sent: Sent::default(), answer };
        let grant = crate::ClientCredentials::new(ENDPOINT, "app", service).unwrap();
        let grant = grant.verdict_code("bad_refresh_token").not_sent(is_refused);
        let outcome = TokenSource::refresh(&grant, Held::new(None)).await;
        let kind = outcome.err().map(|error| (error.kind(), error.oauth_code().map(str::to_owned)));
        assert_eq!(kind, expected.map(|(kind, code)| (kind, code.map(str::to_owned))), "{name}");
    }
}
