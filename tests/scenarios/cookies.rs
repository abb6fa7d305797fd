//! A session whose refresh token is a cookie (`CookieGrant`).

use std::time::{Duration, SystemTime};

use futures::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_reauth::{
    AccessToken, AmbiguousPolicy, CookieGrant, Cookies, Csrf, Event, MemoryStore, RefreshToken,
    Session, TokenSet,
};

use crate::{
    back_end::{BackEnd, Trouble},
    faulty_store::{FaultyStore, Op},
    support::{ORIGIN, get, paused, send, settle, stack, told, unanswered, unsent},
};

type Client = tower::util::BoxCloneSyncService<
    http::Request<crate::support::Body>,
    http::Response<crate::support::Body>,
    tower_reauth::BoxError,
>;

fn client(session: &Session, back_end: &BackEnd) -> Client {
    stack(session, back_end.clone())
}

async fn status(client: &Client) -> u16 {
    send(client, get("/orders")).await.unwrap().status().as_u16()
}

#[tokio::test(start_paused = true)]
async fn a_session_begins_with_cookies_alone_and_follows_each_rotation() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    let client = client(&session, &back_end);

    for round in 1..=4 {
        assert_eq!(status(&client).await, 200);
        assert_eq!(back_end.refreshes(), round);
        back_end.expire_access_tokens();
    }
    let cookies: Vec<_> =
        back_end.seen().iter().map(|seen| seen.header("cookie").to_owned()).collect();
    let expected = [1, 2, 3, 4].map(|round| format!("refresh=R{round}; csrftoken=C1"));
    assert_eq!(cookies, expected);
    assert!(back_end.is_alive());
}

/// P1.
#[tokio::test(start_paused = true)]
async fn one_refresh_answers_all_who_need_it() {
    let back_end = BackEnd::new();
    back_end.delay(Duration::from_millis(50));
    let session = back_end.builder().build().unwrap();
    let client = client(&session, &back_end);
    let requests: Vec<_> = (0..64)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { status(&client).await })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(back_end.refreshes(), 1);
}

/// Checklist 49.
#[tokio::test(start_paused = true)]
async fn the_csrf_cookie_is_echoed_as_it_is_now_by_post_alone() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    let client = client(&session, &back_end);
    assert_eq!(status(&client).await, 200);
    back_end.expire_access_tokens();
    back_end.change_csrf();
    assert_eq!(status(&client).await, 200);
    session.logout().await.unwrap();

    let seen = back_end.seen();
    let told: Vec<_> = seen
        .iter()
        .map(|seen| (seen.line.as_str(), seen.header("x-csrftoken"), seen.header("cookie")))
        .collect();
    assert_eq!(
        told,
        [
            ("POST /auth/refresh", "C1", "refresh=R1; csrftoken=C1"),
            ("POST /auth/refresh", "C1", "refresh=R2; csrftoken=C1"),
            ("GET /auth/csrf", "", "refresh=R2; csrftoken=C1"),
            ("POST /auth/refresh", "C2", "refresh=R2; csrftoken=C2"),
            ("POST /auth/logout", "C2", "refresh=R3; csrftoken=C2"),
        ]
    );
    assert!(!back_end.is_alive());
}

#[tokio::test(start_paused = true)]
async fn a_csrf_cookie_that_is_missing_is_asked_for_first() {
    let back_end = BackEnd::new();
    let home = Cookies::new("https://app.example.com/auth/login").unwrap();
    let tokens = home.cookie("refresh", "R1").unwrap().tokens().unwrap();
    let session = Session::builder(back_end.grant()).tokens(tokens).origin(ORIGIN);
    let session = session.build().unwrap();
    session.token().await.unwrap();
    assert_eq!(back_end.lines(), ["GET /auth/csrf", "POST /auth/refresh"]);
}

#[tokio::test(start_paused = true)]
async fn a_back_end_without_the_csrf_cookie_is_a_fault_of_the_set_up_and_costs_nothing() {
    let back_end = BackEnd::new();
    let csrf = Csrf::angular().path("/auth/csrf");
    let grant = back_end.grant().csrf(csrf).unwrap();
    let session = back_end.builder_over(grant).build().unwrap();
    let error = session.token().await.unwrap_err();
    assert!(error.is_misconfigured() && !error.was_ambiguous() && !error.needs_login());
    assert_eq!(back_end.lines(), ["GET /auth/csrf"]);
}

/// The refresh cookie never left, so nothing can have been spent.
#[tokio::test(start_paused = true)]
async fn a_csrf_cookie_that_cannot_be_had_now_is_asked_for_again() {
    for (trouble, transient) in [
        (Trouble::Lost, true),
        (Trouble::Answer(503, "", &[]), true),
        (Trouble::Answer(500, "", &[]), true),
        (Trouble::Answer(404, "", &[]), false),
        (Trouble::Answer(401, "", &[]), false),
    ] {
        let back_end = BackEnd::new();
        let home = Cookies::new("https://app.example.com/auth/login").unwrap();
        let tokens = home.cookie("refresh", "R1").unwrap().tokens().unwrap();
        for _ in 0..3 {
            back_end.trouble_at("GET /auth/csrf", trouble.clone());
        }
        let session = Session::builder(back_end.grant()).tokens(tokens).origin(ORIGIN);
        let session = session.build().unwrap();
        let error = session.token().await.unwrap_err();
        assert!(!error.was_ambiguous() && !error.needs_login(), "{trouble:?}: {error:?}");
        assert_eq!(error.is_misconfigured(), !transient, "{trouble:?}");
        assert_eq!(back_end.lines().len(), if transient { 3 } else { 1 });
        assert_eq!(back_end.refreshes(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_csrf_token_is_fetched_anew_once_and_no_more() {
    for code in [403, 419] {
        let back_end = BackEnd::new();
        for _ in 0..2 {
            back_end.trouble(Trouble::Answer(code, "", &[]));
        }
        let session = back_end.builder().build().unwrap();
        back_end.change_csrf();
        let error = session.token().await.unwrap_err();
        assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
        let lines = back_end.lines();
        assert_eq!(lines, ["POST /auth/refresh", "GET /auth/csrf", "POST /auth/refresh"]);
        assert!(back_end.is_alive());
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_no_new_csrf_token_explains_is_not_repeated() {
    let back_end = BackEnd::new();
    back_end.trouble(Trouble::Answer(403, "", &[]));
    let session = back_end.builder().build().unwrap();
    assert!(session.token().await.unwrap_err().is_misconfigured());
    assert_eq!(back_end.lines(), ["POST /auth/refresh", "GET /auth/csrf"]);
}

#[tokio::test(start_paused = true)]
async fn a_csrf_cookie_that_comes_with_the_refusal_is_used_at_once() {
    let back_end = BackEnd::new();
    back_end.change_csrf();
    let cookie = &[("set-cookie", "csrftoken=C2; Path=/; Secure")];
    // The login's cookie is the one that the refusal replaces.
    let home = Cookies::new("https://app.example.com/auth/login").unwrap();
    let headers = |text: &'static str| {
        HeaderMap::from_iter([(header::SET_COOKIE, HeaderValue::from_static(text))])
    };
    let tokens = home
        .received(&headers("refresh=R1; Path=/auth"))
        .received(&headers("csrftoken=C1; Path=/"))
        .tokens()
        .unwrap();
    back_end.trouble(Trouble::Answer(419, "", cookie));
    let grant = back_end.grant().csrf(Csrf::django()).unwrap();
    let session = Session::builder(grant).tokens(tokens).origin(ORIGIN).build().unwrap();
    session.token().await.unwrap();
    assert_eq!(back_end.lines(), ["POST /auth/refresh"; 2]);
}

/// A request without the session's cookie is answered by a 401, which is no verdict on the session.
#[tokio::test(start_paused = true)]
async fn a_csrf_refusal_that_deletes_the_cookie_is_not_repeated_without_it() {
    for code in [403, 419] {
        let back_end = BackEnd::new();
        let session = back_end.builder().build().unwrap();
        back_end.change_csrf();
        let gone = &[("set-cookie", "refresh=; Path=/auth; Max-Age=0")];
        back_end.trouble(Trouble::Answer(code, "", gone));
        assert!(session.token().await.unwrap_err().is_misconfigured(), "{code}");
        assert_eq!(back_end.refreshes(), 1);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let error = session.token().await.unwrap_err();
        assert!(error.needs_login() && !error.is_session_ended(), "{code}: {error:?}");
        assert_eq!(back_end.refreshes(), 1);
    }
}

/// P5, Case 33.
#[tokio::test(start_paused = true)]
async fn a_401_with_a_cookie_ends_the_session_once() {
    let back_end = BackEnd::new();
    let store = FaultyStore::new();
    let session = back_end.builder().store(store.clone()).build().unwrap();
    let mut events = session.events();
    session.token().await.unwrap();
    let client = client(&session, &back_end);
    back_end.expire_access_tokens();
    back_end.trouble(Trouble::Answer(401, "canary", &[]));
    for _ in 0..50 {
        let response = send(&client, get("/orders")).await;
        let error = match response {
            Ok(response) => unanswered(&response),
            Err(error) => unsent::<()>(Err(error)),
        };
        assert!(error.is_session_ended() && error.needs_login() && !error.was_ambiguous());
    }
    assert_eq!(back_end.refreshes(), 2);
    assert!(store.is_buried());
    let ended = told(&mut events);
    let ended = ended.iter().filter(|event| matches!(event, Event::SessionEnded(_)));
    assert_eq!(ended.count(), 1);

    session.login(back_end.login()).await.unwrap();
    assert_eq!(status(&client).await, 200);
}

/// Case 34.
#[tokio::test(start_paused = true)]
async fn nothing_but_a_verdict_ends_the_session() {
    let location = &[("location", "https://evil.example/auth/refresh")];
    for (code, body, fields) in [
        (302, "", &location[..]),
        (307, "", location),
        (400, "canary", &[]),
        (403, r#"{"error":"forbidden"}"#, &[]),
        (404, "", &[]),
        (429, "", &[("retry-after", "30")]),
        (500, r#"{"error":"invalid_grant"}"#, &[]),
        (502, "<html>canary</html>", &[]),
        (200, "<html>canary</html>", &[]),
    ] {
        let back_end = BackEnd::new();
        let session = back_end.builder().build().unwrap();
        let ambiguous = matches!(code, 200 | 500 | 502);
        // What is ambiguous is asked for once more.
        for _ in 0..1 + usize::from(ambiguous) {
            back_end.trouble(Trouble::Answer(code, body, fields));
        }
        let error = session.token().await.unwrap_err();
        assert!(!error.needs_login(), "{code}: {error:?}");
        assert!(!format!("{error:?} {error}").contains("canary"));
        assert_eq!(error.was_ambiguous(), ambiguous, "{code}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        session.token().await.unwrap();
    }
}

/// P5: what has trouble may delete cookies, and its answer is no verdict all the same.
#[tokio::test(start_paused = true)]
async fn an_answer_of_trouble_that_deletes_the_cookie_ends_no_session() {
    for code in [408, 425, 429, 500, 502, 503] {
        let back_end = BackEnd::new();
        let gone: &[_] = match code % 2 {
            0 => &[("set-cookie", "refresh=; Path=/auth; Max-Age=0")],
            _ => &[("set-cookie", "refresh=; Path=/auth; Expires=Thu, 01 Jan 1970 00:00:00 GMT")],
        };
        let session = back_end.builder().build().unwrap();
        back_end.trouble(Trouble::Answer(code, "", gone));
        if let Err(error) = session.token().await {
            assert!(!error.needs_login(), "{code}: {error:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        session.token().await.unwrap();
        assert!(back_end.is_alive(), "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_deletes_the_cookie_asks_for_a_login() {
    let gone = &[("set-cookie", "refresh=; Path=/auth; Max-Age=0")];
    for code in [302, 400, 404] {
        let back_end = BackEnd::new();
        let session = back_end.builder().build().unwrap();
        back_end.trouble(Trouble::Answer(code, "", gone));
        assert!(session.token().await.unwrap_err().is_misconfigured());
        tokio::time::sleep(Duration::from_secs(60)).await;
        let error = session.token().await.unwrap_err();
        assert!(error.needs_login() && !error.is_session_ended(), "{code}: {error:?}");
        assert_eq!(back_end.refreshes(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_program_says_what_ends_the_session_at_its_back_end() {
    let back_end = BackEnd::new();
    let grant = back_end.grant().verdict(|head| head.headers().contains_key("x-login"));
    let session = back_end.builder_over(grant).build().unwrap();
    back_end.trouble(Trouble::Answer(503, "", &[("x-login", "1")]));
    back_end.trouble(Trouble::Answer(401, "", &[]));
    let error = session.token().await.unwrap_err();
    assert!(!error.needs_login() && error.is_misconfigured());
    tokio::time::sleep(Duration::from_secs(60)).await;
    back_end.trouble(Trouble::Answer(302, "", &[("x-login", "1")]));
    assert!(session.token().await.unwrap_err().is_session_ended());
}

/// Case 47.
#[tokio::test(start_paused = true)]
async fn an_answer_that_was_lost_is_asked_for_once_more_and_a_strict_back_end_ends_the_session() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    back_end.trouble(Trouble::Lost);
    let error = session.token().await.unwrap_err();
    assert!(error.is_session_ended() && error.was_ambiguous());
    assert_eq!(back_end.refreshes(), 2);
}

/// P12: a cookie that is known to have been replaced is not sent again.
#[tokio::test(start_paused = true)]
async fn a_cookie_that_came_with_a_cut_answer_is_the_one_that_is_spent_next() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    back_end.trouble(Trouble::Cut);
    session.token().await.unwrap();
    let sent: Vec<_> = back_end.seen().iter().map(|it| it.header("cookie").to_owned()).collect();
    assert_eq!(sent, ["refresh=R1; csrftoken=C1", "refresh=R2; csrftoken=C1"]);
    assert!(back_end.is_alive());
}

#[tokio::test(start_paused = true)]
async fn of_two_cut_answers_the_later_one_counts() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    back_end.trouble(Trouble::Cut);
    back_end.trouble(Trouble::Cut);
    assert!(session.token().await.unwrap_err().was_ambiguous());
    tokio::time::sleep(Duration::from_secs(5)).await;
    session.token().await.unwrap();
    assert!(back_end.is_alive());
    assert_eq!(back_end.seen().last().unwrap().header("cookie"), "refresh=R3; csrftoken=C1");
}

#[tokio::test(start_paused = true)]
async fn the_same_holds_for_the_refresh_after_a_failed_one() {
    let back_end = BackEnd::new();
    let builder = back_end.builder().ambiguous(AmbiguousPolicy::Surface);
    let session = builder.build().unwrap();
    back_end.trouble(Trouble::Cut);
    assert!(session.token().await.unwrap_err().was_ambiguous());
    tokio::time::sleep(Duration::from_secs(5)).await;
    // The mark that was left is surfaced once, too.
    let _ = session.token().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    session.token().await.unwrap();
    assert!(back_end.is_alive());
    assert_eq!(back_end.seen().last().unwrap().header("cookie"), "refresh=R2; csrftoken=C1");
}

/// The same again, where the refresh that a login disowned is answered meanwhile.
#[tokio::test(start_paused = true)]
async fn an_answer_for_the_session_before_does_not_bring_a_replaced_cookie_back() {
    let back_end = BackEnd::new();
    let builder = back_end.builder().ambiguous(AmbiguousPolicy::Surface);
    let session = builder.build().unwrap();
    let refused = session.token().await.unwrap();
    back_end.delay(Duration::from_secs(3));
    assert!(session.refresh_after(&refused).now_or_never().is_none());
    settle().await;
    back_end.delay(Duration::ZERO);
    back_end.trouble(Trouble::Cut);
    session.login(back_end.login_anew()).await.unwrap();
    assert!(session.token().await.unwrap_err().was_ambiguous());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(back_end.lines().contains(&String::from("POST /auth/logout")), "the late pair came");
    // The mark that was left is surfaced once, too.
    let _ = session.token().await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    session.token().await.unwrap();
    assert!(back_end.is_alive());
    assert_eq!(back_end.seen().last().unwrap().header("cookie"), "refresh=R5; csrftoken=C1");
}

#[tokio::test(start_paused = true)]
async fn a_logout_after_a_cut_answer_sends_the_cookie_that_is_good() {
    let back_end = BackEnd::new();
    let session = back_end.builder().ambiguous(AmbiguousPolicy::Surface).build().unwrap();
    back_end.trouble(Trouble::Cut);
    assert!(session.token().await.unwrap_err().was_ambiguous());
    session.logout().await.unwrap();
    assert!(!back_end.is_alive());
    assert_eq!(back_end.seen().last().unwrap().header("cookie"), "refresh=R2; csrftoken=C1");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_never_left_is_sent_again() {
    let back_end = BackEnd::new();
    let session = back_end.builder().build().unwrap();
    for _ in 0..2 {
        back_end.trouble(Trouble::Refused);
    }
    session.token().await.unwrap();
    assert_eq!(back_end.refreshes(), 3);
}

/// Case 36.
#[tokio::test(start_paused = true)]
async fn an_answer_that_sets_no_cookie_keeps_those_there_are() {
    let back_end = BackEnd::new();
    back_end.keep_the_cookie();
    let session = back_end.builder().build().unwrap();
    let client = client(&session, &back_end);
    for _ in 0..3 {
        assert_eq!(status(&client).await, 200);
        back_end.expire_access_tokens();
    }
    assert!(back_end.seen().iter().all(|seen| seen.header("cookie").contains("refresh=R1")));
}

/// Case 37.
#[tokio::test(start_paused = true)]
async fn two_processes_with_one_store_send_each_cookie_once() {
    let back_end = BackEnd::new();
    back_end.delay(Duration::from_millis(20));
    let store = MemoryStore::new();
    let sessions = [(), ()].map(|()| back_end.builder().store(store.clone()).build().unwrap());
    for round in 1..=3 {
        let [a, b] = sessions.each_ref().map(|session| client(session, &back_end));
        let (a, b) = tokio::join!(status(&a), status(&b));
        assert_eq!((a, b), (200, 200));
        assert_eq!(back_end.refreshes(), round);
        back_end.expire_access_tokens();
    }
    assert!(back_end.is_alive());
}

/// Cases 30 and 70.
#[test]
fn a_restart_goes_on_from_the_store_and_not_from_the_first_cookies() {
    let back_end = BackEnd::new();
    let store = MemoryStore::new();
    // What the program was configured with, at every start.
    let seed = back_end.login();
    for round in 1..=3 {
        paused().block_on(async {
            let session = Session::builder(back_end.grant())
                .tokens(seed.clone())
                .store(store.clone())
                .origin(ORIGIN)
                .build()
                .unwrap();
            let client = client(&session, &back_end);
            assert_eq!(status(&client).await, 200);
            session.close().await.unwrap();
        });
        assert_eq!(back_end.refreshes(), round);
        back_end.expire_access_tokens();
    }
    assert!(back_end.is_alive());
}

/// P12, Case 41.
#[tokio::test(start_paused = true)]
async fn cookies_that_cannot_be_saved_are_used_from_memory() {
    let back_end = BackEnd::new();
    let store = FaultyStore::new();
    let session = back_end.builder().store(store.clone()).build().unwrap();
    let client = client(&session, &back_end);
    assert_eq!(status(&client).await, 200);
    store.fail(Op::Save, usize::MAX);
    back_end.expire_access_tokens();
    assert_eq!(status(&client).await, 200);
    store.fail(Op::Mark, usize::MAX);
    back_end.expire_access_tokens();
    assert_eq!(status(&client).await, 200);
    store.recover();
    session.close().await.unwrap();
    let next = Session::builder(back_end.grant()).store(store).origin(ORIGIN).build().unwrap();
    back_end.expire_access_tokens();
    assert_eq!(status(&self::client(&next, &back_end)).await, 200);
    assert_eq!(back_end.refreshes(), 4);
    assert!(back_end.is_alive());
}

/// P6.
#[tokio::test(start_paused = true)]
async fn a_logout_tells_the_back_end_and_takes_a_late_refresh_with_it() {
    let back_end = BackEnd::new();
    let store = FaultyStore::new();
    let session = back_end.builder().store(store.clone()).build().unwrap();
    session.token().await.unwrap();
    back_end.expire_access_tokens();
    back_end.delay(Duration::from_secs(1));
    let late = tokio::spawn({
        let (session, token) = (session.clone(), session.peek().unwrap());
        async move { session.refresh_after(&token).await }
    });
    settle().await;
    session.logout().await.unwrap();
    assert!(late.await.unwrap().unwrap_err().is_logged_out());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(!back_end.is_alive());
    assert!(store.is_buried());
    // The cookie that the late refresh brought is the one that was good.
    let logouts = back_end.seen();
    let logouts: Vec<_> = logouts.iter().filter(|seen| seen.line.contains("logout")).collect();
    assert!(logouts.last().unwrap().header("cookie").contains("refresh=R3"));
}

#[tokio::test(start_paused = true)]
async fn a_logout_that_the_back_end_did_not_take_is_told() {
    for (code, failed) in [(204, false), (302, false), (401, false), (403, true), (500, true)] {
        let back_end = BackEnd::new();
        let session = back_end.builder().build().unwrap();
        session.token().await.unwrap();
        let mut events = session.events();
        back_end.trouble_at("POST /auth/logout", Trouble::Answer(code, "", &[]));
        session.logout().await.unwrap();
        settle().await;
        let told = told(&mut events);
        let revoke_failed = told.iter().any(|event| matches!(event, Event::RevokeFailed(_)));
        assert_eq!(revoke_failed, failed, "{code}: {told:?}");
    }
}

/// What the refresh endpoint means by an answer says nothing of others.
#[tokio::test(start_paused = true)]
async fn a_logout_is_repeated_with_a_new_csrf_token_whatever_ends_the_session() {
    let back_end = BackEnd::new();
    let grant = back_end.grant().verdict(|head| head.status() == 403);
    let session = back_end.builder_over(grant).build().unwrap();
    session.token().await.unwrap();
    back_end.change_csrf();
    session.logout().await.unwrap();
    assert!(!back_end.is_alive());
    assert_eq!(back_end.lines()[1..], ["POST /auth/logout", "GET /auth/csrf", "POST /auth/logout"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_cookie_to_send_a_login_is_needed_and_nothing_is_asked() {
    let back_end = BackEnd::new();
    let home = || Cookies::new("https://app.example.com/auth/login").unwrap();
    let only_csrf = home().cookie("csrftoken", "C1").unwrap().tokens().unwrap();
    let elsewhere = Cookies::new("https://www.example.com/").unwrap();
    let elsewhere = elsewhere.cookie("refresh", "R1").unwrap().tokens().unwrap();
    let token = AccessToken::new("A1").unwrap();
    let of_another_grant = TokenSet::new(token)
        .refresh_token(RefreshToken::new("8xLOxBtZp8").unwrap())
        .expires_at(SystemTime::UNIX_EPOCH);
    for tokens in [only_csrf, elsewhere, of_another_grant] {
        let session = Session::builder(back_end.grant()).tokens(tokens).origin(ORIGIN);
        let session = session.build().unwrap();
        let error = session.token().await.unwrap_err();
        assert!(error.needs_login() && !error.is_session_ended(), "{error:?}");
    }
    assert!(back_end.lines().is_empty());
    assert!(home().tokens().is_err());
}

#[tokio::test(start_paused = true)]
async fn origin_referer_and_headers_of_the_program_go_with_it() {
    let back_end = BackEnd::new();
    let grant = back_end
        .grant()
        .page("https://www.example.com/account?tab=1")
        .unwrap()
        .header(HeaderName::from_static("x-requested-with"), HeaderValue::from_static("x"))
        .header(header::COOKIE, HeaderValue::from_static("refresh=canary"))
        .header(HeaderName::from_static("x-csrftoken"), HeaderValue::from_static("canary"));
    let session = back_end.builder_over(grant).build().unwrap();
    session.token().await.unwrap();
    let seen = back_end.seen();
    let expected = [
        ("origin", "https://www.example.com"),
        ("referer", "https://www.example.com/account?tab=1"),
        ("x-requested-with", "x"),
        ("cookie", "refresh=R1; csrftoken=C1"),
        ("x-csrftoken", "C1"),
        ("accept", "application/json"),
    ];
    for (name, value) in expected {
        assert_eq!(seen[0].header(name), value);
        assert_eq!(seen[0].headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert!(
        seen[0].headers["cookie"].is_sensitive() && seen[0].headers["x-csrftoken"].is_sensitive()
    );
}

/// A jar that has nothing for a path leaves the field out, whatever the program says.
#[tokio::test(start_paused = true)]
async fn a_request_outside_of_the_cookies_path_has_none() {
    let back_end = BackEnd::new();
    let home = Cookies::new("https://app.example.com/auth/login").unwrap();
    let cookie = HeaderValue::from_static("refresh=R1; Path=/auth");
    let tokens = home.received(&HeaderMap::from_iter([(header::SET_COOKIE, cookie)]));
    let grant = back_end.grant().csrf(Csrf::django().path("/csrf")).unwrap();
    let grant = grant.header(header::COOKIE, HeaderValue::from_static("refresh=canary"));
    let session = Session::builder(grant).tokens(tokens.tokens().unwrap()).origin(ORIGIN);
    assert!(session.build().unwrap().token().await.unwrap_err().is_misconfigured());
    let seen = back_end.seen();
    assert_eq!((seen[0].line.as_str(), seen[0].header("cookie")), ("GET /csrf", ""));
}

/// P7.
#[test]
fn no_other_origin_can_be_named() {
    let grant = || CookieGrant::new("https://app.example.com/auth/refresh", ()).unwrap();
    for path in ["https://evil.example/", "@evil.example/", ".evil.example/", "", "logout", "/a#b"]
    {
        assert!(grant().logout(path).is_err(), "{path}");
        assert!(grant().csrf(Csrf::django().path(path)).is_err(), "{path}");
    }
    for path in ["/", "/a?b=c", "//evil.example/"] {
        assert!(grant().logout(path).is_ok(), "{path}");
    }
    assert!(CookieGrant::new("http://app.example.com/auth/refresh", ()).is_err());
    assert!(CookieGrant::new("https://a:b@app.example.com/auth/refresh", ()).is_err());
    assert!(CookieGrant::new_insecure("http://127.0.0.1/auth/refresh", ()).is_ok());
    assert!(grant().page("/account").is_err());
}
