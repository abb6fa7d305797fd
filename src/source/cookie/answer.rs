//! What the answer of a refresh endpoint means: pure, from status and content.

use std::{borrow::Cow, time::SystemTime};

use crate::{
    AccessToken, RefreshError, TokenSet,
    source::token_endpoint::{
        answer::Answer,
        outcome::{self, INVALID_GRANT},
        response::Members,
    },
};

/// Where in an answer the access token and its lifetime are.
#[derive(Clone)]
pub(super) struct Places {
    pub(super) access_token: Vec<Cow<'static, str>>,
    pub(super) expires_in: Vec<Cow<'static, str>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            access_token: vec!["access_token".into(), "accessToken".into()],
            expires_in: vec!["expires_in".into(), "expiresIn".into()],
        }
    }
}

/// The new access token, or how the request for it failed. `over`: the program calls this answer the end
/// of the session.
pub(super) fn tokens(
    answer: &Answer,
    places: &Places,
    over: bool,
    now: SystemTime,
) -> Result<TokenSet, RefreshError> {
    // A gateway may say anything after the back end behind it has rotated the cookie.
    if over && !answer.status.is_server_error() {
        return Err(RefreshError::rejected());
    }
    let code = Members::parse(&answer.content).and_then(|members| members.text("error"));
    if code.is_none() && answer.status.is_success() {
        return granted(answer, places);
    }
    let code = code.as_ref().map(|code| code.as_str());
    Err(outcome::failure(answer, code, &[INVALID_GRANT.into()], now))
}

fn granted(answer: &Answer, places: &Places) -> Result<TokenSet, RefreshError> {
    let token = places.access_token.iter().find_map(|place| {
        let (members, name) = find(answer, place)?;
        members.text(&name)
    });
    let Some(token) = token else { return Err(RefreshError::ambiguous()) };
    let token = AccessToken::new(&*token).map_err(|flaw| outcome::unusable().with_source(flaw))?;
    let lifetime = places.expires_in.iter().find_map(|place| {
        let (members, name) = find(answer, place)?;
        members.seconds(&name)
    });
    let tokens = TokenSet::new(token);
    Ok(match lifetime {
        Some(lifetime) => tokens.expires_in(lifetime),
        None => tokens,
    })
}

/// The object that a member is in, and its name there. A place is a name, or a JSON pointer (RFC 6901)
/// through objects.
fn find<'a>(answer: &'a Answer, place: &str) -> Option<(Members<'a>, String)> {
    let mut members = Members::parse(&answer.content)?;
    let Some(pointer) = place.strip_prefix('/') else { return Some((members, place.to_owned())) };
    let mut steps = pointer.split('/').map(|step| step.replace("~1", "/").replace("~0", "~"));
    let mut name = steps.next()?;
    for step in steps {
        members = members.object(&name)?;
        name = step;
    }
    Some((members, name))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderMap, StatusCode};

    use super::*;

    fn read(
        status: u16,
        content: &str,
        places: &Places,
        over: bool,
    ) -> Result<TokenSet, RefreshError> {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().unwrap());
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            content: content.as_bytes().to_vec().into(),
            cut: None,
        };
        tokens(&answer, places, over, SystemTime::UNIX_EPOCH)
    }

    fn expected(token: &str, seconds: Option<u64>) -> TokenSet {
        let tokens = TokenSet::new(AccessToken::new(token).unwrap());
        match seconds {
            Some(seconds) => tokens.expires_in(Duration::from_secs(seconds)),
            None => tokens,
        }
    }

    #[test]
    fn the_token_is_found_where_back_ends_put_it_and_where_the_program_says() {
        let usual = Places::default();
        for (json, seconds) in [
            (r#"{"access_token":"a","expires_in":60}"#, Some(60)),
            (r#"{"accessToken":"a","expiresIn":"60"}"#, Some(60)),
            (r#"{"access_token":"a","token_type":"session"}"#, None),
            (r#"{"accessToken":"a","expires_in":-1}"#, None),
        ] {
            assert_eq!(read(200, json, &usual, false).unwrap(), expected("a", seconds), "{json}");
        }
        for (place, json) in [
            ("token", r#"{"token":"a","access_token":"b"}"#),
            ("/token", r#"{"token":"a"}"#),
            ("/data/tokens/access", r#"{"data":{"tokens":{"access":"a"}}}"#),
            ("/a~1b/c~0d", r#"{"a/b":{"c~d":"a"}}"#),
        ] {
            let places = Places { access_token: vec![place.into()], ..Places::default() };
            assert_eq!(read(200, json, &places, false).unwrap(), expected("a", None), "{place}");
        }
    }

    #[test]
    fn a_success_without_the_token_is_ambiguous_and_an_odd_one_is_a_fault_of_the_set_up() {
        let places = Places { access_token: vec!["/data/token".into()], ..Places::default() };
        for json in ["", "<html>", "[]", "{}", r#"{"data":"a"}"#, r#"{"data":{"token":1}}"#] {
            let error = read(200, json, &places, false).unwrap_err();
            assert!(error.was_ambiguous() && !error.is_misconfigured(), "{json}");
        }
        let error = read(200, r#"{"access_token":"a b"}"#, &Places::default(), false).unwrap_err();
        assert!(error.was_ambiguous() && error.is_misconfigured());
    }

    #[test]
    fn only_what_the_program_calls_the_end_and_invalid_grant_end_a_session() {
        let ended = |status, content, over| {
            read(status, content, &Places::default(), over).unwrap_err().is_session_ended()
        };
        assert!(ended(401, "", true) && ended(302, "", true) && ended(403, "no", true));
        assert!(ended(400, r#"{"error":"invalid_grant"}"#, false));
        assert!(ended(200, r#"{"error":"invalid_grant"}"#, false));
        for (status, content, over) in [
            (401, "", false),
            (500, "", true),
            (503, r#"{"error":"invalid_grant"}"#, true),
            (502, r#"{"error":"invalid_grant"}"#, false),
        ] {
            assert!(!ended(status, content, over), "{status}");
        }
    }

    #[test]
    fn the_other_rows_are_those_of_a_token_endpoint() {
        for (status, kind) in [
            (425, "Transient"),
            (429, "Transient"),
            (503, "Transient"),
            (408, "Ambiguous"),
            (500, "Ambiguous"),
            (502, "Ambiguous"),
            (504, "Ambiguous"),
            (302, "Misconfigured"),
            (400, "Misconfigured"),
            (403, "Misconfigured"),
            (404, "Misconfigured"),
            (405, "Misconfigured"),
            (419, "Misconfigured"),
        ] {
            let error = read(status, "canary", &Places::default(), false).unwrap_err();
            let printed = format!("{error:?} {error}");
            assert!(printed.contains(kind) && !printed.contains("canary"), "{status}: {printed}");
        }
        let busy = read(429, "", &Places::default(), false).unwrap_err();
        assert_eq!(busy.retry_after(), Some(Duration::from_secs(7)));
    }
}
