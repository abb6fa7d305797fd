//! The issuer is told that tokens are no longer used (RFC 7009).

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{BoxError as TowerError, service_fn};
use tower_reauth::{
    ClientAuthentication, Event, RefreshError, RefreshTokenGrant, Session, TokenSet, TokenSource,
    testing::AuthorizationServer,
};

use crate::support::{Body, ORIGIN, told};

const ENDPOINT: &str = "https://auth.example.com/revoke";

type Answers = Arc<Mutex<VecDeque<(u16, &'static str, Option<&'static str>)>>>;
type Asked = Arc<Mutex<Vec<(u64, String)>>>;

/// A revocation endpoint that gives these answers, then 200; when it was asked, and for what.
fn endpoint(
    answers: &[(u16, &'static str, Option<&'static str>)],
) -> (impl TokenSource + Clone, Asked) {
    let answers: Answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
    let asked = Asked::default();
    let (log, begin) = (asked.clone(), Instant::now());
    let service = service_fn(move |request: Request<Body>| {
        let (answers, log) = (answers.clone(), log.clone());
        async move {
            let form = request.into_body().collect().await?.to_bytes();
            let form = String::from_utf8(form.to_vec())?;
            log.lock().unwrap().push((begin.elapsed().as_secs(), form));
            let (status, body, wait) =
                answers.lock().unwrap().pop_front().unwrap_or((200, "", None));
            let mut response = Response::new(Full::<Bytes>::from(body));
            *response.status_mut() = status.try_into()?;
            if let Some(wait) = wait {
                response.headers_mut().insert("retry-after", wait.parse()?);
            }
            Ok::<_, TowerError>(response)
        }
    });
    let client = ClientAuthentication::post("app", "secret");
    let grant = RefreshTokenGrant::new("https://auth.example.com/token", client, service).unwrap();
    (grant.revocation_endpoint(ENDPOINT).unwrap(), asked)
}

async fn revoke(source: impl TokenSource, tokens: TokenSet) -> Result<(), RefreshError> {
    TokenSource::revoke(&source, tokens).await
}

fn hints(asked: &Asked) -> Vec<(u64, &'static str)> {
    let asked = asked.lock().unwrap();
    let hint = |form: &str| {
        assert!(form.ends_with("&client_id=app&client_secret=secret"), "{form}");
        ["refresh_token", "access_token"]
            .into_iter()
            .find(|hint| form.contains(&format!("token_type_hint={hint}&")))
            .unwrap()
    };
    asked.iter().map(|(at, form)| (*at, hint(form))).collect()
}

const UNSUPPORTED: (u16, &str, Option<&str>) = (400, r#"{"error":"unsupported_token_type"}"#, None);

#[tokio::test(start_paused = true)]
async fn the_refresh_token_is_revoked_or_the_other_where_the_server_revokes_no_such_kind() {
    let tokens = AuthorizationServer::new().login();
    for (answers, expected) in [
        (&[][..], &[(0, "refresh_token")][..]),
        (&[UNSUPPORTED], &[(0, "refresh_token"), (0, "access_token")]),
        (&[UNSUPPORTED, UNSUPPORTED], &[(0, "refresh_token"), (0, "access_token")]),
    ] {
        let (source, asked) = endpoint(answers);
        revoke(source, tokens.clone()).await.unwrap();
        assert_eq!(hints(&asked), expected);
    }
    let (source, asked) = endpoint(&[]);
    revoke(source, TokenSet::new(tokens.access().clone())).await.unwrap();
    assert_eq!(hints(&asked), [(0, "access_token")]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_asked_again_when_it_says_and_not_beyond_what_a_logout_may_take() {
    let tokens = AuthorizationServer::new().login();
    for (answers, instants, revoked) in [
        (&[(503, "", Some("3"))][..], &[0, 3][..], true),
        (&[(503, "", Some("3")), (429, "", Some("5"))], &[0, 3, 8], true),
        (&[(503, "", Some("3")), (503, "", Some("6"))], &[0, 3], false),
        (&[(503, "", Some("9"))], &[0], false),
        // Without a word: after half a second, 1 s, 2 s and 4 s.
        (&[(503, "", None), (500, "", None), (502, "", None)], &[0, 0, 1, 3], true),
        (&[(503, "", None); 9], &[0, 0, 1, 3, 7], false),
        (&[(400, r#"{"error":"invalid_client"}"#, None)], &[0], false),
    ] {
        let (source, asked) = endpoint(answers);
        let result = revoke(source, tokens.clone()).await;
        assert_eq!(result.is_ok(), revoked, "{answers:?}");
        let asked: Vec<_> = hints(&asked).into_iter().map(|(at, _)| at).collect();
        assert_eq!(asked, instants, "{answers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_logout_tells_of_a_revocation_that_failed_for_good() {
    let (source, asked) = endpoint(&[(503, "", None); 9]);
    let tokens = AuthorizationServer::new().login();
    let session = Session::builder(source).tokens(tokens).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    let mut events = session.events();
    session.logout().await.unwrap();
    assert_eq!(asked.lock().unwrap().len(), 5);
    let failed = told(&mut events).into_iter().any(|event| match event {
        Event::RevokeFailed(error) => !error.was_ambiguous(),
        _ => false,
    });
    assert!(failed);
}
