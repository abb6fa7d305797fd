use proptest::prelude::*;

use super::*;

fn join(base: &str, relative: &str) -> Result<String, UnresolvedUri> {
    Base::parse(base).unwrap().join(&relative.parse().unwrap()).map(|uri| uri.to_string())
}

const BASES: [&str; 5] = [
    "https://api.example.com",
    "https://api.example.com/",
    "https://api.example.com/v2",
    "https://api.example.com/v2/",
    "http://[::1]:8080/a/b/",
];

#[test]
fn a_path_goes_behind_the_base_with_one_slash_between_them() {
    for (base, relative, expected) in [
        ("https://api.example.com", "/orders", "https://api.example.com/orders"),
        ("https://api.example.com/", "/", "https://api.example.com/"),
        ("https://api.example.com/v2", "/orders", "https://api.example.com/v2/orders"),
        ("https://api.example.com/v2/", "/orders", "https://api.example.com/v2/orders"),
        ("https://api.example.com/v2/", "/", "https://api.example.com/v2/"),
        ("https://api.example.com/v2/", "/a?b=/../c", "https://api.example.com/v2/a?b=/../c"),
        ("https://api.example.com/v2/", "/?q", "https://api.example.com/v2/?q"),
        ("https://api.example.com/v2/", "/a//b/", "https://api.example.com/v2/a//b/"),
        ("https://api.example.com/v2/", "/%41%2Fb", "https://api.example.com/v2/%41%2Fb"),
        (
            "https://api.example.com/v2/",
            "/http://evil.test",
            "https://api.example.com/v2/http://evil.test",
        ),
        ("https://api.example.com/v2/", "/@evil.test", "https://api.example.com/v2/@evil.test"),
        ("https://api.example.com/v2/", "/:8443/", "https://api.example.com/v2/:8443/"),
        ("https://api.example.com/v2/", "/a#b", "https://api.example.com/v2/a"),
        ("https://api.example.com/v2/", "/.../..a/.", "https://api.example.com/v2/.../..a/."),
        ("http://[::1]:8080/v2/", "/a", "http://[::1]:8080/v2/a"),
    ] {
        assert_eq!(join(base, relative).as_deref(), Ok(expected), "{base} {relative}");
    }
}

#[test]
fn a_query_alone_is_asked_of_the_base_itself() {
    for (base, expected) in [
        ("https://api.example.com", "https://api.example.com/?q"),
        ("https://api.example.com/v2", "https://api.example.com/v2/?q"),
    ] {
        let relative = Uri::builder().path_and_query("?q").build().unwrap();
        let joined = Base::parse(base).unwrap().join(&relative).unwrap();
        assert_eq!((joined.to_string().as_str(), joined.path().starts_with('/')), (expected, true));
    }
    let nothing = Uri::from_parts(Parts::default()).unwrap();
    let joined = Base::parse("https://api.example.com/v2").unwrap().join(&nothing).unwrap();
    assert_eq!(joined, "https://api.example.com/v2/");
}

#[test]
fn what_could_lead_away_is_a_typed_error() {
    for (relative, expected) in [
        ("//evil.test/x", Flaw::Network),
        ("//", Flaw::Network),
        ("///evil.test", Flaw::Network),
        ("/\\evil.test", Flaw::Backslash),
        ("/a\\..\\b", Flaw::Backslash),
        ("/..", Flaw::Climbs),
        ("/../", Flaw::Climbs),
        ("/a/../b", Flaw::Climbs),
        ("/a/b/../../../c", Flaw::Climbs),
        ("/%2e%2E/b", Flaw::Climbs),
        ("/.%2e", Flaw::Climbs),
        ("/a%2f..%2fb", Flaw::Climbs),
        ("/a%5C%2e.%5cb", Flaw::Climbs),
        ("/a/..;x=y/b", Flaw::Climbs),
        ("/..%3B/b", Flaw::Climbs),
        ("orders", Flaw::Authority),
        ("evil.test:443", Flaw::Authority),
        ("user@evil.test", Flaw::Authority),
        ("*", Flaw::Asterisk),
    ] {
        for base in BASES {
            assert_eq!(join(base, relative), Err(UnresolvedUri(expected)), "{base} {relative}");
        }
    }
    let long = format!("/{}", "a".repeat(65_530));
    assert_eq!(join("https://a.test/version/2", &long), Err(UnresolvedUri(Flaw::TooLong)));
}

#[test]
fn what_is_no_base_is_a_typed_error() {
    for (text, expected) in [
        ("", BaseFlaw::NotAbsolute),
        ("/v2", BaseFlaw::NotAbsolute),
        ("api.example.com", BaseFlaw::NotAbsolute),
        ("https://", BaseFlaw::NotAbsolute),
        ("https:///v2", BaseFlaw::NotAbsolute),
        ("ftp://api.example.com/", BaseFlaw::NotAbsolute),
        ("https://user:secret@api.example.com/", BaseFlaw::NotAbsolute),
        ("https://api.example.com:99999/", BaseFlaw::NotAbsolute),
        ("https://a b/", BaseFlaw::NotAbsolute),
        ("https://api.example.com/?key=1", BaseFlaw::Beyond),
        ("https://api.example.com/v2#top", BaseFlaw::Beyond),
        ("https://api.example.com/v2/../v1", BaseFlaw::Path),
        ("https://api.example.com/%2e%2e", BaseFlaw::Path),
        ("https://api.example.com/v2\\", BaseFlaw::Path),
        ("https://api.example.com//evil.test", BaseFlaw::Path),
    ] {
        assert_eq!(Base::parse(text).map(|_| ()), Err(InvalidBaseUrl(expected)), "{text}");
    }
    for text in BASES {
        assert!(Base::parse(text).is_ok(), "{text}");
    }
}

/// What attackers put into paths, in any order.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "/",
            "//",
            "\\",
            "..",
            ".",
            "%2e",
            "%2E",
            "%2f",
            "%5c",
            "%",
            "%%",
            "%252e",
            "@",
            ":",
            "evil.test",
            ";",
            "?",
            "#",
            "http:",
            "https://evil.test",
            "*",
            "ä",
            "a",
        ])
        .prop_map(str::to_owned),
        "[!-~]{0,4}",
    ]
}

proptest! {
    /// With the parser that browsers have as judge: it takes backslashes for slashes, decodes dots, and
    /// removes dot segments.
    #[test]
    fn whatever_comes_in_stays_beneath_the_base(
        base in prop::sample::select(&BASES[..]),
        pieces in prop::collection::vec(piece(), 0..8),
        with_slash in any::<bool>(),
    ) {
        let text = pieces.concat();
        let text = if with_slash { format!("/{text}") } else { text };
        let Ok(relative) = Uri::builder().path_and_query(text.as_str()).build() else { return Ok(()) };
        let base = Base::parse(base).unwrap();
        let Ok(joined) = base.join(&relative) else { return Ok(()) };

        prop_assert_eq!(joined.scheme(), Some(&base.scheme));
        prop_assert_eq!(joined.authority(), Some(&base.authority));
        prop_assert!(joined.path().starts_with(&format!("{}/", base.path)), "{}", joined);
        prop_assert_eq!(joined.query(), relative.query());

        let home = url::Url::parse(&base.to_string()).unwrap();
        let read = url::Url::parse(&joined.to_string()).unwrap();
        prop_assert_eq!(read.origin(), home.origin());
        prop_assert_eq!(read.username(), "");
        prop_assert!(read.path().starts_with(home.path()), "{} is {}", joined, read);
        // A server that decodes the path first sees no way out either.
        let decoded = read.path().replace("%2f", "/").replace("%2F", "/").replace("%5c", "/");
        let again = url::Url::parse(&format!("{}{decoded}", home.origin().ascii_serialization()));
        prop_assert!(again.unwrap().path().starts_with(home.path()), "{}", joined);
    }
}
