//! A session in the cookie of a framework with its own CSRF protection: Django, over TLS.

use http::{HeaderMap, HeaderValue, header};
use tower_reauth::{CookieGrant, Cookies, Csrf, EndpointClient, MemoryStore};

use crate::{
    django::Django,
    support::{get, send},
};

const REFRESH: &str = "POST /auth/refresh";

async fn orders(django: &Django, client: &crate::support::Stack) -> u16 {
    send(client, get(&django.uri("/orders"))).await.unwrap().status().as_u16()
}

/// Refused by the framework, for this reason, before the view was reached.
async fn is_refused(
    django: &Django,
    grant: CookieGrant<EndpointClient>,
    cookies: &Cookies,
    reason: &str,
) {
    let session = django.builder(grant, cookies.tokens().unwrap()).build().unwrap();
    let error = session.token().await.unwrap_err();
    assert!(error.is_misconfigured() && !error.needs_login(), "{error:?}");
    assert_eq!(django.reached(REFRESH).await, 0);
    assert_eq!(django.reached(reason).await, 1);
}

#[tokio::test]
async fn django_rotates_its_session_at_every_refresh() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let session = django.builder(django.grant(), cookies.tokens().unwrap()).build().unwrap();
    let client = django.stack(&session);
    for round in 1..=3 {
        assert_eq!(orders(&django, &client).await, 200);
        assert_eq!(django.reached(REFRESH).await, round);
        django.expire().await;
    }
    // The cookie of the login is worth nothing by now.
    let late = django.builder(django.grant(), cookies.tokens().unwrap()).build().unwrap();
    assert!(late.token().await.unwrap_err().is_session_ended());
    assert_eq!(orders(&django, &client).await, 200);
}

#[tokio::test]
async fn one_refresh_answers_all_who_were_refused() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let session = django.builder(django.grant(), cookies.tokens().unwrap()).build().unwrap();
    let client = django.stack(&session);
    assert_eq!(orders(&django, &client).await, 200);
    django.expire().await;
    let all = (0..64).map(|_| orders(&django, &client));
    assert!(futures::future::join_all(all).await.into_iter().all(|status| status == 200));
    assert_eq!(django.reached(REFRESH).await, 2);
}

#[tokio::test]
async fn without_the_csrf_header_django_refuses() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let grant = django.bare_grant().page(&django.uri("/account")).unwrap();
    is_refused(&django, grant, &cookies, "CSRF token missing.").await;
}

#[tokio::test]
async fn with_another_value_than_the_cookies_django_refuses() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let wrong = HeaderValue::from_static("0123456789abcdefghijklmnopqrstuv");
    let grant = django.bare_grant().page(&django.uri("/account")).unwrap();
    let grant = grant.header(header::HeaderName::from_static("x-csrftoken"), wrong);
    is_refused(
        &django,
        grant,
        &cookies,
        "CSRF token from the 'X-Csrftoken' HTTP header incorrect.",
    )
    .await;
}

#[tokio::test]
async fn without_origin_and_referer_django_refuses_over_tls() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let grant = django.bare_grant().csrf(Csrf::django()).unwrap();
    is_refused(&django, grant, &cookies, "Referer checking failed - no Referer.").await;
}

#[tokio::test]
async fn from_a_foreign_page_django_refuses() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let grant = django.grant().page("https://evil.example/").unwrap();
    is_refused(
        &django,
        grant,
        &cookies,
        "Origin checking failed - https://evil.example does not match any trusted origins.",
    )
    .await;
}

#[tokio::test]
async fn a_csrf_cookie_that_is_missing_or_broken_is_had_from_django() {
    let django = Django::new().await;
    let fetching = || django.grant().csrf(Csrf::django().path("/auth/csrf")).unwrap();
    for broken in ["csrftoken=; Max-Age=0", "csrftoken=old; Path=/; Secure"] {
        let headers = HeaderMap::from_iter([(header::SET_COOKIE, broken.parse().unwrap())]);
        let deleted = "csrftoken=; Path=/; Max-Age=0".parse().unwrap();
        let cookies = django.log_in().await;
        let cookies = cookies.received(&HeaderMap::from_iter([(header::SET_COOKIE, deleted)]));
        let tokens = cookies.received(&headers).tokens().unwrap();
        let session = django.builder(fetching(), tokens).build().unwrap();
        session.token().await.unwrap();
    }
    assert_eq!(django.reached(REFRESH).await, 2);
    assert_eq!(django.reached("GET /auth/csrf").await, 2);
}

#[tokio::test]
async fn a_logout_ends_the_session_at_django() {
    let django = Django::new().await;
    let cookies = django.log_in().await;
    let store = MemoryStore::new();
    let builder = django.builder(django.grant(), cookies.tokens().unwrap());
    let session = builder.store(store.clone()).build().unwrap();
    session.token().await.unwrap();
    let kept = tower_reauth::TokenStore::load(&store).await.unwrap().unwrap();
    session.logout().await.unwrap();
    assert_eq!(django.reached("POST /auth/logout").await, 1);

    // Whoever had copied the cookies has nothing.
    let tower_reauth::Entry::Live(record) = kept.entry else { panic!("a tombstone") };
    let tokens =
        cookies.tokens().unwrap().refresh_token(record.tokens().refresh().unwrap().clone());
    let copied = django.builder(django.grant(), tokens).build().unwrap();
    assert!(copied.token().await.unwrap_err().is_session_ended());
}

#[tokio::test]
async fn two_processes_share_the_cookies_in_a_store() {
    let django = Django::new().await;
    let tokens = django.log_in().await.tokens().unwrap();
    let store = MemoryStore::new();
    let begin = || {
        let builder = django.builder(django.grant(), tokens.clone());
        builder.store(store.clone()).build().unwrap()
    };
    let sessions = [begin(), begin()];
    let clients = sessions.each_ref().map(|session| django.stack(session));
    for round in 1..=3 {
        let both = clients.each_ref().map(|client| orders(&django, client));
        assert_eq!(futures::future::join_all(both).await, [200, 200]);
        assert_eq!(django.reached(REFRESH).await, round);
        django.expire().await;
    }
}
