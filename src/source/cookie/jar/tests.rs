use proptest::prelude::*;

use super::*;

const ENDPOINT: &str = "https://app.example.com/auth/refresh";

fn now() -> SystemTime {
    crate::Clock::system().now().wall
}

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn headers(cookies: &[&str]) -> HeaderMap {
    let value = |text: &&str| (SET_COOKIE, HeaderValue::from_str(text).unwrap());
    cookies.iter().map(value).collect()
}

fn jar(cookies: &[&str]) -> Jar {
    let mut jar = Jar::default();
    jar.receive(&headers(cookies), &url(ENDPOINT), now());
    jar
}

fn sent(jar: &Jar, to: &str) -> String {
    let value = jar.header(&url(to), now());
    assert!(value.as_ref().is_none_or(HeaderValue::is_sensitive));
    value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

#[test]
fn a_cookie_goes_where_its_attributes_say() {
    for (cookie, to, goes) in [
        ("a=1", ENDPOINT, true),
        ("a=1", "https://app.example.com/auth/logout", true),
        ("a=1", "https://app.example.com/", false),
        ("a=1", "https://app.example.com:8443/auth/refresh", true),
        ("a=1", "https://api.app.example.com/auth/refresh", false),
        ("a=1", "https://example.com/auth/refresh", false),
        ("a=1; Path=/", "https://app.example.com/", true),
        ("a=1; Path=/auth/refresh", ENDPOINT, true),
        ("a=1; Path=/auth/refresh", "https://app.example.com/auth/logout", false),
        ("a=1; Path=/auth/ref", ENDPOINT, false),
        ("a=1; Path=auth", ENDPOINT, true),
        ("a=1; Path=/other", ENDPOINT, false),
        ("a=1; Domain=example.com", ENDPOINT, true),
        ("a=1; Domain=.EXAMPLE.com", ENDPOINT, true),
        ("a=1; Domain=", ENDPOINT, true),
        ("a=1; Domain=app.example.com", "https://x.app.example.com/auth/refresh", true),
        ("a=1; Domain=other.example.com", ENDPOINT, false),
        ("a=1; Domain=ample.com", ENDPOINT, false),
        ("a=1; Secure", ENDPOINT, true),
        ("a=1; Secure", "http://app.example.com/auth/refresh", false),
        ("a=1", "http://app.example.com/auth/refresh", true),
        ("a=1; HttpOnly; SameSite=Strict; Secure", ENDPOINT, true),
        ("a=1; SameSite=Lax", ENDPOINT, true),
        ("a=1; SameSite=None; Secure", ENDPOINT, true),
        ("a=1; SameSite=None", ENDPOINT, false),
        ("a=1; Unknown=x; Priority=High", ENDPOINT, true),
        ("a=1; Max-Age=60", ENDPOINT, true),
        ("a=1; Max-Age=0", ENDPOINT, false),
        ("a=1; Max-Age=-1", ENDPOINT, false),
        ("a=1; Max-Age=99999999999999999999", ENDPOINT, true),
        ("a=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT", ENDPOINT, true),
        ("a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ENDPOINT, false),
        ("a=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", ENDPOINT, true),
        ("a=1; Expires=whenever", ENDPOINT, true),
    ] {
        let jar = jar(&[cookie]);
        assert_eq!(sent(&jar, to) == "a=1", goes, "{cookie} to {to}");
        // A restart changes nothing.
        let text = jar.text(now()).unwrap();
        let read = Jar::read(text.expose_secret(), &url(ENDPOINT)).unwrap();
        assert_eq!(sent(&read, to) == "a=1", goes, "{cookie} to {to}, read again");
        assert!(read.text(now()).unwrap() == text, "{cookie}");
    }
}

#[test]
fn a_prefix_of_the_name_is_a_promise() {
    for (cookie, kept) in [
        ("__Secure-a=1; Secure", true),
        ("__Secure-a=1", false),
        ("__SECURE-a=1", false),
        ("__Host-a=1; Secure; Path=/", true),
        ("__Host-a=1; Secure; Path=/; Domain=", true),
        ("__Host-a=1; Path=/", false),
        ("__Host-a=1; Secure", false),
        ("__Host-a=1; Secure; Path=/auth", false),
        ("__Host-a=1; Secure; Path=/; Domain=app.example.com", false),
        ("__hOsT-a=1; Secure; Path=/auth", false),
        ("__Other-a=1", true),
    ] {
        assert_eq!(!jar(&[cookie]).is_empty(now()), kept, "{cookie}");
    }
}

#[test]
fn a_cookie_is_replaced_and_deleted_by_name_domain_and_path() {
    let mut jar = jar(&["a=1; Path=/", "a=2; Path=/auth", "b=3"]);
    assert_eq!(sent(&jar, ENDPOINT), "a=2; b=3; a=1");
    jar.receive(&headers(&["a=4; Path=/"]), &url(ENDPOINT), now());
    assert_eq!(sent(&jar, ENDPOINT), "a=2; b=3; a=4");
    jar.receive(
        &headers(&["a=; Path=/auth; Max-Age=0", "b=; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]),
        &url(ENDPOINT),
        now(),
    );
    assert_eq!(sent(&jar, ENDPOINT), "a=4");
    assert!(!jar.text(now()).unwrap().expose_secret().is_empty());
    jar.receive(&headers(&["a=; Path=/; Max-Age=0"]), &url(ENDPOINT), now());
    assert!(jar.is_empty(now()) && jar.header(&url(ENDPOINT), now()).is_none());
}

#[test]
fn a_cookie_expires_by_the_wall_clock() {
    let jar = jar(&["a=1; Max-Age=60", "b=2"]);
    let later = |seconds| now() + Duration::from_secs(seconds);
    let sent = |at| jar.header(&url(ENDPOINT), at).unwrap();
    assert_eq!(sent(later(50)), "a=1; b=2");
    assert_eq!(sent(later(61)), "b=2");
    assert!(jar.value("a", &url(ENDPOINT), later(61)).is_none());
    // Written down before that, read after it.
    let text = jar.text(now()).unwrap();
    let read = Jar::read(text.expose_secret(), &url(ENDPOINT)).unwrap();
    assert_eq!(read.header(&url(ENDPOINT), later(61)).unwrap(), "b=2");
    assert!(jar.text(later(61)).unwrap() != text);
}

#[test]
fn a_date_is_counted_from_the_servers_own() {
    let hour = Duration::from_secs(3600);
    // Our clock is a day ahead of the server's, or a day behind.
    for theirs in [now() - 24 * hour, now() + 24 * hour] {
        for (left, alive) in [(hour, true), (Duration::ZERO, false)] {
            let until = httpdate::fmt_http_date(theirs + left);
            let mut headers = headers(&[&format!("a=1; Expires={until}")]);
            headers.insert(DATE, httpdate::fmt_http_date(theirs).parse().unwrap());
            let mut jar = Jar::default();
            jar.receive(&headers, &url(ENDPOINT), now());
            let at = |after: Duration| jar.header(&url(ENDPOINT), now() + after).is_some();
            assert_eq!(at(Duration::ZERO), alive);
            assert_eq!(at(hour - Duration::from_secs(60)), alive);
            assert!(!at(hour + Duration::from_secs(60)));
        }
    }
}

#[test]
fn one_host_is_not_given_what_another_set_for_itself() {
    let mut jar = Jar::default();
    let login = url("https://login.example.com/");
    jar.receive(&headers(&["own=1; Path=/", "all=2; Path=/; Domain=example.com"]), &login, now());
    let text = jar.text(now()).unwrap();
    let read = Jar::read(text.expose_secret(), &url(ENDPOINT)).unwrap();
    assert_eq!(sent(&read, ENDPOINT), "all=2");
    assert_eq!(sent(&read, "https://login.example.com/"), "all=2");
}

#[test]
fn an_address_may_be_a_number() {
    for at in ["http://127.0.0.1:8080/auth/refresh", "https://[::1]/auth/refresh"] {
        let mut jar = Jar::default();
        jar.receive(&headers(&["a=1; Secure", "b=2; Domain=0.0.1"]), &url(at), now());
        let text = jar.text(now()).unwrap();
        let read = Jar::read(text.expose_secret(), &url(at)).unwrap();
        assert_eq!(sent(&read, at), "a=1", "{at}");
    }
}

#[test]
fn what_is_no_cookie_is_left_out() {
    for wrong in ["", "a", ";", "=1", "a; b=1", &format!("a={}", "x".repeat(4096))] {
        assert!(jar(&[wrong]).is_empty(now()), "{wrong}");
    }
    let mut beyond = HeaderMap::new();
    beyond.insert(SET_COOKIE, HeaderValue::from_bytes(b"a=\xff").unwrap());
    let mut jar = Jar::default();
    jar.receive(&beyond, &url(ENDPOINT), now());
    assert!(jar.is_empty(now()));
}

#[test]
fn the_number_of_cookies_is_bounded_and_those_that_are_there_are_still_replaced() {
    let many: Vec<_> = (0..200).map(|number| format!("c{number}=1; Path=/")).collect();
    let mut jar = jar(&many.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(jar.living(now()).count(), MOST);
    jar.receive(&headers(&["c0=2; Path=/", "new=1"]), &url(ENDPOINT), now());
    assert_eq!(jar.value("c0", &url(ENDPOINT), now()).unwrap().as_str(), "2");
    assert_eq!(jar.living(now()).count(), MOST);
}

#[test]
fn a_pair_is_a_cookie_or_it_is_not() {
    let mut jar = Jar::default();
    for (name, value) in [
        ("", "1"),
        ("a=b", "1"),
        ("a;b", "1"),
        ("a b", "1"),
        ("a", "1;2"),
        ("a", "1\r\nx: y"),
        ("ä", "1"),
        ("a", "ä"),
    ] {
        assert!(!jar.set(name, value, &url(ENDPOINT)), "{name:?} {value:?}");
    }
    assert!(jar.set("__Host-a", "1==", &url(ENDPOINT)));
    assert_eq!(sent(&jar, "https://app.example.com/"), "__Host-a=1==");
    assert_eq!(sent(&jar, "http://app.example.com/"), "");
    assert!(jar.set("b", "2", &url("http://app.example.com/")));
    assert_eq!(sent(&jar, "http://app.example.com/"), "b=2");
}

#[test]
fn a_text_that_is_no_jar_is_told_from_one() {
    let encode = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    for text in ["", "8xLOxBtZp8", "!", &encode("[]"), &encode("{}"), &encode(r#"{"cookies":1}"#)] {
        assert!(Jar::read(text, &url(ENDPOINT)).is_none(), "{text}");
    }
    // Out of range in every member, and not a panic.
    let odd = r#"{"cookies":[{"name":"a","value":"1","domain":"app.example.com","path":"/","expires":18446744073709551615},
        {"name":"","value":"\u0000","domain":"","path":""},{"name":"b","value":"2","domain":"app.example.com","path":"x"}]}"#;
    let jar = Jar::read(&encode(odd), &url(ENDPOINT)).unwrap();
    assert!(jar.value("a", &url(ENDPOINT), now()).is_some());
    let _ = jar.text(now()).unwrap();
}

proptest! {
    #[test]
    fn no_header_makes_it_panic(value in prop::collection::vec(any::<u8>(), 0..120)) {
        if let Ok(value) = HeaderValue::from_bytes(&value) {
            let mut jar = Jar::default();
            let headers = HeaderMap::from_iter([(SET_COOKIE, value.clone()), (DATE, value)]);
            jar.receive(&headers, &url(ENDPOINT), now());
            let text = jar.text(now()).unwrap();
            let read = Jar::read(text.expose_secret(), &url(ENDPOINT)).unwrap();
            prop_assert_eq!(read.header(&url(ENDPOINT), now()), jar.header(&url(ENDPOINT), now()));
        }
    }

    #[test]
    fn no_attribute_makes_it_panic(
        text in "(__Host-|__Secure-)?[a-z]{0,3}=[ -~]{0,6}(; ?(Path|Domain|Max-Age|Expires|SameSite|Secure)=[ -~]{0,30}){0,4}"
    ) {
        let mut jar = Jar::default();
        if let Ok(value) = HeaderValue::from_str(&text) {
            jar.receive(&HeaderMap::from_iter([(SET_COOKIE, value)]), &url(ENDPOINT), now());
            let _ = (jar.text(now()), jar.header(&url(ENDPOINT), now()));
        }
    }
}
