//! A grant that knows its issuer alone (RFC 8414, OpenID Connect Discovery).

use std::{error::Error, time::Duration};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::sync::watch;
use tower_reauth::{
    ClientAuthentication, RefreshError, RefreshTokenGrant, Session, TokenSource, testing::Fault,
};

use crate::{
    issuer::{Answer, ISSUER, Issuer, OAUTH, OPENID, get, json, post, status},
    support::{ORIGIN, settle, told},
};

fn chain(error: &RefreshError) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn Error> = Some(error);
    while let Some(error) = cause {
        text += &format!("{error} {error:?} ");
        cause = error.source();
    }
    text
}

async fn refresh(session: &Session) -> Result<(), RefreshError> {
    match session.peek() {
        Some(token) => session.refresh_after(&token).await,
        None => session.token().await,
    }
    .map(drop)
}

#[tokio::test(start_paused = true)]
async fn the_metadata_is_fetched_with_the_first_refresh_and_then_known() {
    let issuer = Issuer::default();
    let session = issuer.session(issuer.grant());
    settle().await;
    assert!(issuer.asked().is_empty(), "nothing is fetched before it is needed");

    for _ in 0..3 {
        refresh(&session).await.unwrap();
    }
    assert_eq!(issuer.asked(), [get(OAUTH), post("/token"), post("/token"), post("/token")]);
    session.logout().await.unwrap();
    assert_eq!(issuer.asked(), [post("/revoke")]);
    assert_eq!(issuer.server.revocations(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_tokens_are_those_of_the_discovered_issuer() {
    let issuer = Issuer::default();
    assert_eq!(TokenSource::issuer(&issuer.grant()).as_deref(), Some(ISSUER));
    assert!(RefreshTokenGrant::discover("http://auth.example.com", "app", ()).is_err());
    assert!(RefreshTokenGrant::discover("https://auth.example.com/?a", "app", ()).is_err());
    assert!(RefreshTokenGrant::discover_insecure("http://auth.example.com", "app", ()).is_ok());
}

#[tokio::test(start_paused = true)]
async fn what_is_not_at_the_one_address_is_looked_for_at_the_other() {
    let odd: [Answer; 6] = [
        || status(404),
        || status(307),
        || status(400),
        || json("<html>an app for every path</html>"),
        || {
            json(
                r#"{"issuer":"https://evil.example","token_endpoint":"https://evil.example/token"}"#,
            )
        },
        || status(500),
    ];
    for answer in odd {
        let issuer = Issuer::default();
        issuer.answer(OAUTH, answer);
        refresh(&issuer.session(issuer.grant())).await.unwrap();
        assert_eq!(issuer.asked(), [get(OAUTH), get(OPENID), post("/token")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_document_of_another_issuer_is_never_used() {
    let issuer = Issuer::default();
    for address in [OAUTH, OPENID] {
        issuer.answer(address, || {
            json(r#"{"issuer":"https://auth.example.com/","token_endpoint":"https://evil.example/canary"}"#)
        });
    }
    let session = issuer.session(issuer.grant());
    let error = refresh(&session).await.unwrap_err();
    assert!(error.is_misconfigured() && !error.was_ambiguous());
    assert!(chain(&error).contains("another issuer"), "{}", chain(&error));
    assert!(!chain(&error).contains("canary"));
    assert_eq!(issuer.asked(), [get(OAUTH), get(OPENID)]);
    assert_eq!(issuer.server.token_requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_had_spends_nothing_and_says_whether_it_may_come() {
    let cases: [(Answer, bool); 8] = [
        (|| status(404), false),
        (|| status(302), false),
        (|| json("canary"), false),
        (|| json(r#"{"issuer":"https://auth.example.com"}"#), false),
        (
            || {
                json(
                    r#"{"issuer":"https://auth.example.com","token_endpoint":"http://auth.example.com/canary"}"#,
                )
            },
            false,
        ),
        (|| status(429), true),
        (|| status(502), true),
        (|| Err("canary".into()), true),
    ];
    for (number, (answer, transient)) in cases.into_iter().enumerate() {
        let issuer = Issuer::default();
        issuer.answer(OAUTH, answer);
        issuer.answer(OPENID, answer);
        let session = issuer.session(issuer.grant());
        let error = refresh(&session).await.unwrap_err();
        assert_eq!(error.is_misconfigured(), !transient, "{number}: {}", chain(&error));
        assert!(!error.was_ambiguous() && !error.needs_login(), "{number}");
        assert!(!chain(&error).contains("canary"), "{number}: {}", chain(&error));
        assert_eq!(issuer.server.token_requests(), 0);

        issuer.recover(OAUTH);
        tokio::time::sleep(Duration::from_secs(60)).await;
        refresh(&session).await.unwrap();
        assert_eq!(issuer.server.reused(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_issuer_that_asks_for_time_gets_it() {
    let issuer = Issuer::default();
    for address in [OAUTH, OPENID] {
        issuer.answer(address, || {
            Ok(Response::builder()
                .status(503)
                .header("retry-after", "1800")
                .body(Bytes::new())
                .unwrap())
        });
    }
    let error = refresh(&issuer.session(issuer.grant())).await.unwrap_err();
    let wait = error.retry_at().unwrap() - tokio::time::Instant::now().into_std();
    assert!(wait > Duration::from_secs(1700), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_issuer_costs_ten_seconds_and_no_ambiguity() {
    let issuer = Issuer::default();
    let (_hold, held) = watch::channel(true);
    *issuer.held.lock().unwrap() = Some(held);
    let begin = tokio::time::Instant::now();
    let session = Session::builder(issuer.grant())
        .tokens(issuer.server.login().expires_in(Duration::ZERO))
        .attempts(1, Duration::ZERO)
        .patience(Duration::from_secs(60))
        .origin(ORIGIN)
        .build()
        .unwrap();
    let error = session.token().await.unwrap_err();
    assert!(!error.was_ambiguous() && !error.is_timeout());
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn metadata_is_fetched_again_when_its_time_is_over() {
    let issuer = Issuer::default();
    let session = issuer.session(issuer.grant().metadata_lifetime(Duration::from_secs(600)));
    refresh(&session).await.unwrap();
    assert_eq!(issuer.asked(), [get(OAUTH), post("/token")]);
    tokio::time::sleep(Duration::from_secs(599)).await;
    refresh(&session).await.unwrap();
    assert_eq!(issuer.asked(), [post("/token")]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    refresh(&session).await.unwrap();
    assert_eq!(issuer.asked(), [get(OAUTH), post("/token")]);
}

#[tokio::test(start_paused = true)]
async fn old_metadata_serves_while_no_newer_is_to_be_had() {
    let issuer = Issuer::default();
    let session = issuer.session(issuer.grant());
    refresh(&session).await.unwrap();
    issuer.asked();
    issuer.answer(OAUTH, || Err("no route".into()));
    issuer.answer(OPENID, || json("{}"));
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        for _ in 0..2 {
            refresh(&session).await.unwrap();
        }
        // The second refresh does not ask again so soon.
        assert_eq!(issuer.asked(), [get(OAUTH), get(OPENID), post("/token"), post("/token")]);
    }
}

#[tokio::test(start_paused = true)]
async fn old_metadata_serves_for_a_day_and_no_longer() {
    const HOUR: Duration = Duration::from_secs(3600);
    for (grace, serves, hours) in [
        (None, true, 24),
        (None, false, 25),
        (Some(HOUR), true, 1),
        (Some(HOUR), false, 2),
        (Some(Duration::ZERO), false, 1),
        (Some(Duration::MAX), true, 24 * 365),
    ] {
        let issuer = Issuer::default();
        let grant = match grace {
            Some(grace) => issuer.grant().metadata_grace(grace),
            None => issuer.grant(),
        };
        let session = issuer.session(grant);
        refresh(&session).await.unwrap();
        for address in [OAUTH, OPENID] {
            issuer.answer(address, || Err("no route".into()));
        }
        tokio::time::sleep(HOUR * hours - Duration::from_secs(2)).await;
        issuer.asked();
        // The second one comes soon after a fetch in vain, and after the pause that follows a failure.
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let refreshed = refresh(&session).await;
            assert_eq!(refreshed.is_ok(), serves, "{grace:?} {hours}");
            if let Err(error) = refreshed {
                assert!(!error.was_ambiguous() && !error.needs_login(), "{error:?}");
            }
        }
        assert_eq!(issuer.asked().contains(&post("/token")), serves, "{grace:?} {hours}");

        for address in [OAUTH, OPENID] {
            issuer.recover(address);
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        refresh(&session).await.unwrap();
    }
}

/// A request waits 10 s at most, and what it waits for is known already.
#[tokio::test(start_paused = true)]
async fn an_issuer_that_fell_silent_fails_no_request_while_its_old_metadata_serves() {
    for (answer_timeout, lost) in [(30, 0), (1, 1)] {
        let issuer = Issuer::default();
        let session = Session::builder(issuer.grant())
            .tokens(issuer.server.login().expires_in(Duration::ZERO))
            .attempts(1, Duration::ZERO)
            .answer_timeout(Duration::from_secs(answer_timeout))
            .origin(ORIGIN)
            .build()
            .unwrap();
        refresh(&session).await.unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let (_hold, held) = watch::channel(true);
        *issuer.held.lock().unwrap() = Some(held);

        // One that is dropped before it is given up is not begun again at once.
        for _ in 0..lost {
            refresh(&session).await.unwrap_err();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        refresh(&session).await.unwrap();
        assert_eq!(issuer.server.reused(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_moved_is_found_within_the_same_attempt() {
    let gone: [Answer; 4] =
        [|| status(404), || status(405), || status(410), || Err("refused".into())];
    for answer in gone {
        let issuer = Issuer::default();
        let grant = issuer.grant().not_sent(|_| true);
        let session = issuer.session(grant);
        refresh(&session).await.unwrap();
        issuer.asked();
        tokio::time::sleep(Duration::from_secs(20)).await;
        issuer.server.move_token_endpoint("token2");
        issuer.answer("https://auth.example.com/token", answer);

        refresh(&session).await.unwrap();

        assert_eq!(issuer.asked(), [post("/token"), get(OAUTH), post("/token2")]);
        refresh(&session).await.unwrap();
        assert_eq!(issuer.asked(), [post("/token2")]);
        assert_eq!(issuer.server.reused(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_is_gone_and_has_not_moved_is_looked_up_once_in_ten_seconds() {
    let issuer = Issuer::default();
    let session = issuer.session(issuer.grant());
    refresh(&session).await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    issuer.asked();
    issuer.server.fail_next(usize::MAX, Fault::Status(StatusCode::NOT_FOUND));
    for (wait, fetched) in [(0, true), (5, false), (5, true)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        let error = refresh(&session).await.unwrap_err();
        assert!(error.is_misconfigured());
        let asked = issuer.asked();
        assert_eq!(asked.contains(&get(OAUTH)), fetched, "{wait}: {asked:?}");
        assert!(asked.len() <= 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_word_of_the_token_endpoint_is_no_reason_to_look_for_another() {
    for fault in [
        Fault::Json(StatusCode::NOT_FOUND, r#"{"error":"invalid_client"}"#.into()),
        Fault::Json(StatusCode::NOT_FOUND, r#"{"error":"invalid_grant"}"#.into()),
        Fault::Status(StatusCode::BAD_REQUEST),
        Fault::Status(StatusCode::BAD_GATEWAY),
        Fault::Status(StatusCode::SERVICE_UNAVAILABLE),
        Fault::Reset,
    ] {
        let issuer = Issuer::default();
        let session = issuer.session(issuer.grant());
        refresh(&session).await.unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
        issuer.asked();
        issuer.server.fail_next(2, fault.clone());
        refresh(&session).await.unwrap_err();
        assert!(!issuer.asked().contains(&get(OAUTH)), "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn sessions_of_one_grant_share_one_fetch_and_nobody_owns_it() {
    let issuer = Issuer::default();
    let (release, held) = watch::channel(true);
    *issuer.held.lock().unwrap() = Some(held);
    let grant = issuer.grant();
    let sessions: Vec<_> = (0..3).map(|_| issuer.session(grant.clone())).collect();
    let mut calls: Vec<_> = sessions
        .iter()
        .map(|session| {
            let session = session.clone();
            tokio::spawn(async move { refresh(&session).await })
        })
        .collect();
    settle().await;
    assert_eq!(issuer.asked(), [get(OAUTH)]);
    // The first one goes away; its refresh and the fetch go on.
    calls.remove(0).abort();
    settle().await;
    release.send(false).unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(issuer.asked().iter().filter(|asked| asked.starts_with("GET")).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_whose_caller_went_away_is_begun_anew() {
    let issuer = Issuer::default();
    let (release, held) = watch::channel(true);
    *issuer.held.lock().unwrap() = Some(held);
    let grant = issuer.grant();
    let revoke = |grant: RefreshTokenGrant<Issuer>, tokens| async move {
        TokenSource::revoke(&grant, tokens).await
    };
    let mut first = tokio_test::task::spawn(revoke(grant.clone(), issuer.server.login()));
    assert!(first.poll().is_pending());
    drop(first);
    release.send(false).unwrap();
    revoke(grant, issuer.server.login()).await.unwrap();
    assert_eq!(issuer.asked(), [get(OAUTH), get(OAUTH), post("/revoke")]);
}

#[tokio::test(start_paused = true)]
async fn a_client_with_a_certificate_goes_where_such_clients_are_meant_to() {
    let document: Answer = || {
        json(
            r#"{"issuer":"https://auth.example.com","token_endpoint":"https://auth.example.com/token",
            "revocation_endpoint":"https://auth.example.com/revoke","mtls_endpoint_aliases":
            {"token_endpoint":"https://mtls.auth.example.com/token","revocation_endpoint":"https://mtls.auth.example.com/revoke"}}"#,
        )
    };
    for (client, origin) in [
        (ClientAuthentication::none("app"), "https://auth.example.com"),
        (ClientAuthentication::mtls("app"), "https://mtls.auth.example.com"),
    ] {
        let issuer = Issuer::default();
        issuer.answer(OAUTH, document);
        let grant = RefreshTokenGrant::discover(ISSUER, client, issuer.clone()).unwrap();
        let session = issuer.session(grant);
        refresh(&session).await.unwrap();
        session.logout().await.unwrap();
        let posts = [format!("POST {origin}/token"), format!("POST {origin}/revoke")];
        assert_eq!(issuer.asked()[1..], posts);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_refused_is_told_if_its_method_is_not_listed() {
    for (client, hint) in [
        (ClientAuthentication::mtls("app"), true),
        (ClientAuthentication::basic("app", "canary"), false),
    ] {
        let issuer = Issuer::default();
        let refusal = Fault::Json(StatusCode::UNAUTHORIZED, r#"{"error":"invalid_client"}"#.into());
        issuer.server.fail_next(1, refusal);
        let grant = RefreshTokenGrant::discover(ISSUER, client, issuer.clone()).unwrap();
        let error = refresh(&issuer.session(grant)).await.unwrap_err();
        assert_eq!(error.oauth_code(), Some("invalid_client"));
        assert_eq!(chain(&error).contains("does not list"), hint, "{}", chain(&error));
    }
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_program_names_bypasses_the_metadata() {
    let issuer = Issuer::default();
    let grant = issuer.grant().revocation_endpoint("https://auth.example.com/own/revoke").unwrap();
    let session = issuer.session(grant);
    refresh(&session).await.unwrap();
    session.logout().await.unwrap();
    assert_eq!(issuer.asked(), [get(OAUTH), post("/token"), post("/own/revoke")]);

    let named = RefreshTokenGrant::new("https://auth.example.com/token", "app", issuer.clone());
    refresh(&issuer.session(named.unwrap())).await.unwrap();
    assert_eq!(issuer.asked(), [post("/token")]);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_the_program_names_needs_no_metadata() {
    let issuer = Issuer::default();
    for address in [OAUTH, OPENID] {
        issuer.answer(address, || status(503));
    }
    let grant = issuer.grant().revocation_endpoint("https://auth.example.com/revoke").unwrap();
    TokenSource::revoke(&grant, issuer.server.login()).await.unwrap();
    assert_eq!(issuer.asked(), [post("/revoke")]);
    assert_eq!(issuer.server.revocations(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_endpoint_that_cannot_be_used_fails_the_revocation_alone() {
    let issuer = Issuer::default();
    issuer.answer(OAUTH, || {
        json(
            r#"{"issuer":"https://auth.example.com","token_endpoint":"https://auth.example.com/token",
            "revocation_endpoint":"http://auth.example.com/revoke"}"#,
        )
    });
    let session = issuer.session(issuer.grant());
    let mut events = session.events();
    refresh(&session).await.unwrap();
    session.logout().await.unwrap();
    let events = format!("{:?}", told(&mut events));
    assert!(events.contains("RevokeFailed"), "{events}");
    assert_eq!(issuer.server.revocations(), 0);
}
