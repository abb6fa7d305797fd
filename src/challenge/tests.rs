use http::{HeaderMap, HeaderValue, header::WWW_AUTHENTICATE};
use proptest::prelude::*;

use super::{Challenge, MAX_CHALLENGES, MAX_PARAMS, is_token};

fn parse(lines: &[impl AsRef<[u8]>]) -> Vec<Challenge> {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(line.as_ref()).unwrap());
    }
    Challenge::parse_all(&headers)
}

/// What was read, in a form of its own: `scheme token68 name=value;…`.
fn shown(challenge: &Challenge) -> String {
    let mut out = challenge.scheme.to_string();
    if let Some(text) = &challenge.token68 {
        out += &format!(" {text}");
    }
    for (name, value) in &challenge.params {
        out += &format!(" {name}={value};");
    }
    out
}

#[track_caller]
fn reads(line: impl AsRef<[u8]>, expected: &[&str]) {
    let found: Vec<_> = parse(&[line]).iter().map(shown).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_scheme_may_stand_alone() {
    reads("Bearer", &["Bearer"]);
    reads("  Negotiate \t", &["Negotiate"]);
    reads("Negotiate,Basic", &["Negotiate", "Basic"]);
}

#[test]
fn a_value_is_a_token_or_a_quoted_string() {
    reads("Bearer error=invalid_token, realm=\"a b\"", &["Bearer error=invalid_token; realm=a b;"]);
    reads("Bearer realm=\"\"", &["Bearer realm=;"]);
}

#[test]
fn commas_and_schemes_inside_quotes_are_text() {
    reads(
        "Bearer realm=\"x, Basic realm=y, error=insufficient_scope\", error=\"invalid_token\"",
        &["Bearer realm=x, Basic realm=y, error=insufficient_scope; error=invalid_token;"],
    );
}

#[test]
fn a_backslash_escapes_what_follows_it() {
    reads(r#"Basic realm="say \"a\\b\", \c", x=y"#, &[r#"Basic realm=say "a\b", c; x=y;"#]);
}

#[test]
fn white_space_around_the_equals_sign_is_tolerated() {
    reads(
        "Bearer realm\t=  \"x\" , error =invalid_token",
        &["Bearer realm=x; error=invalid_token;"],
    );
}

#[test]
fn empty_members_count_for_nothing() {
    reads(",, Bearer ,, error=\"x\" ,, ,Basic,", &["Bearer error=x;", "Basic"]);
    reads("", &[]);
    reads(" , ,", &[]);
}

#[test]
fn several_challenges_in_one_line_keep_their_own_parameters() {
    reads(
        "Newauth realm=\"apps\", type=1, title=\"Login to \\\"apps\\\"\", Basic realm=\"simple\"",
        &["Newauth realm=apps; type=1; title=Login to \"apps\";", "Basic realm=simple;"],
    );
    reads(
        "Negotiate YII=, DPoP algs=\"ES256\", Bearer error=x",
        &["Negotiate YII=", "DPoP algs=ES256;", "Bearer error=x;"],
    );
}

#[test]
fn lines_are_read_in_order_and_each_for_itself() {
    let found = parse(&[
        "Bearer realm=\"x",
        "error=lost",
        "DPoP algs=\"ES256\", Basic",
        "charset=\"UTF-8\"",
    ]);
    let found: Vec<_> = found.iter().map(shown).collect();
    assert_eq!(found, ["Bearer", "DPoP algs=ES256;", "Basic"]);
}

#[test]
fn a_token68_is_one_only_if_its_member_ends_there() {
    reads("Negotiate a87421000492aa874209af8bc028", &["Negotiate a87421000492aa874209af8bc028"]);
    reads("X a+/-._~9== , Y b=c", &["X a+/-._~9==", "Y b=c;"]);
    reads("X a = b", &["X a=b;"]);
    reads("X a=b", &["X a=b;"]);
    reads("X @", &["X"]);
    reads("X ==", &[]);
}

#[test]
fn a_parameter_after_a_token68_is_nobodys() {
    reads("Negotiate abc=, error=\"x\"", &["Negotiate abc="]);
}

#[test]
fn names_and_schemes_match_in_any_case_and_are_shown_as_sent() {
    let found = parse(&["bEaReR eRRor=\"Invalid\""]);
    assert_eq!(found[0].scheme(), "bEaReR");
    assert!(found[0].is("Bearer") && !found[0].is("Bear"));
    assert_eq!(found[0].param("ERROR"), Some("Invalid"));
    assert_eq!(found[0].param("realm"), None);
    assert_eq!(found[0].token68(), None);
}

#[test]
fn the_first_of_several_equal_parameters_counts() {
    reads("Bearer error=a, ERROR=\"b\", x=y, error=c", &["Bearer error=a; x=y;"]);
}

#[test]
fn a_value_of_plain_words_is_left_out_alone() {
    reads(
        "Bearer error_description=The token has expired, error=invalid_token",
        &["Bearer error=invalid_token;"],
    );
    reads("Bearer a=b, scope=, error_uri=https://e.x/y, c=d", &["Bearer a=b; c=d;"]);
}

#[test]
fn after_what_may_have_hidden_a_scheme_parameters_are_nobodys() {
    reads("Bearer a=b, @Basic x=y, error=z, DPoP c=d", &["Bearer a=b;", "DPoP c=d;"]);
    reads("Bearer a=b c=d, error=z", &["Bearer"]);
    reads("Bearer a=\"b\"; c=d, error=z, DPoP x=y", &["Bearer", "DPoP x=y;"]);
    reads("Bearer a=\"say \"b\", twice\", error=z", &["Bearer"]);
    reads("Bearer a=say \"b, error=x, c\", d=e, error=z", &["Bearer"]);
    reads("Bearer one two=\"x\", error=z", &["Bearer"]);
    reads("Bearer a=b, Basic/x realm=c, d=e", &["Bearer a=b;"]);
    reads("error=z, Bearer a=b", &["Bearer a=b;"]);
}

#[test]
fn a_quoted_string_without_end_takes_its_line_with_it() {
    reads("Bearer a=b, c=\"d, error=z, DPoP", &["Bearer a=b;"]);
    reads("Bearer a=\"b\\\"", &["Bearer"]);
    reads("Bearer a=\"b\\", &["Bearer"]);
}

#[test]
fn bytes_that_are_not_utf8_are_replaced_in_quotes_and_unreadable_elsewhere() {
    reads(b"Bearer a=\"\xff\xc3\xa9\", b=c", &["Bearer a=\u{fffd}\u{e9}; b=c;"]);
    reads(b"Bearer a=b, \xff x=y, c=d, Basic", &["Bearer a=b;", "Basic"]);
}

#[test]
fn what_is_kept_is_bounded() {
    assert_eq!(parse(&["Basic,".repeat(1000)]).len(), MAX_CHALLENGES);
    let many: String = (0..1000).map(|n| format!("p{n}=v,")).collect();
    let found = parse(&[format!("Bearer {many} DPoP last=one")]);
    assert_eq!(found[0].params.len(), MAX_PARAMS);
    assert_eq!(found[1].param("last"), Some("one"));
}

/// Were any of these quadratic, the test would not end.
#[test]
fn a_megabyte_of_junk_is_read_in_one_go() {
    for junk in [
        "\"", "\\", "=", ",", " ", "a", "a ", "a=", "a=\"", "a=\"\\\"", "a=,", "@,", "a=a,",
        "\u{ff}",
    ] {
        let junk = junk.repeat((1 << 20) / junk.len());
        assert!(parse(&[&junk]).len() <= MAX_CHALLENGES);
        assert!(parse(&[format!("Bearer, {junk}")])[0].is("Bearer"));
        assert!(parse(&[format!("Bearer a=\"{junk}")])[0].is("Bearer"));
    }
}

#[test]
fn debug_shows_no_text_of_the_server() {
    let found = parse(&[
        "Bearer realm=\"canary\", canary=x, error=\"invalid_token\", error_description=\"canary\"",
        "canary canary",
        "DPoP error=\"canary\"",
    ]);
    let shown = format!("{found:?}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.contains("Bearer") && shown.contains("error_description"), "{shown}");
    assert!(shown.contains("invalid_token"), "{shown}");
}

/// Takes the choices that a rendering leaves open from a list of random bytes, over and over.
#[derive(Clone, Debug)]
struct Dice {
    throws: Vec<u8>,
    next: usize,
}

impl Dice {
    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        let throw = self.throws[self.next % self.throws.len()];
        self.next += 1;
        choices[usize::from(throw) % choices.len()]
    }

    fn value(&mut self, value: &str) -> String {
        let plain = !value.is_empty() && value.bytes().all(is_token);
        if plain && self.pick(&["plain", "quoted"]) == "plain" {
            return value.to_owned();
        }
        let mut out = String::from("\"");
        for char in value.chars() {
            let must = matches!(char, '"' | '\\');
            out += if must || self.pick(&["", "", "", "\\"]) == "\\" { "\\" } else { "" };
            out.push(char);
        }
        out + "\""
    }

    fn challenge(&mut self, challenge: &Challenge) -> String {
        let mut out = challenge.scheme.to_string();
        if let Some(text) = &challenge.token68 {
            out = out + self.pick(&[" ", "  "]) + text + self.pick(&["", " \t"]);
        }
        for (index, (name, value)) in challenge.params.iter().enumerate() {
            out += if index == 0 {
                self.pick(&[" ", "   "])
            } else {
                self.pick(&[",", ", ", " ,\t,"])
            };
            out = out
                + name
                + self.pick(&["", " "])
                + "="
                + self.pick(&["", "\t "])
                + &self.value(value);
        }
        out
    }

    fn lines(&mut self, challenges: &[Challenge]) -> Vec<String> {
        let mut lines = vec![String::new()];
        for challenge in challenges {
            let text = self.challenge(challenge);
            match self.pick(&["line", ",", " , ", ",,\t"]) {
                "line" => lines.push(text),
                comma => *lines.last_mut().unwrap() += &format!("{comma}{text}"),
            }
        }
        lines
    }
}

fn dice() -> impl Strategy<Value = Dice> {
    prop::collection::vec(any::<u8>(), 1..64).prop_map(|throws| Dice { throws, next: 0 })
}

fn challenge() -> impl Strategy<Value = Challenge> {
    const TOKEN: &str = "[!#$%&'*+.^_`|~0-9A-Za-z-]{1,8}";
    let params = prop::collection::vec((TOKEN, "[ -~\té\u{20ac}]{0,12}"), 0..5);
    let token68 = prop::option::of("[A-Za-z0-9._~+/-]{1,8}={0,2}");
    (TOKEN, token68, params).prop_map(|(scheme, token68, params)| {
        let mut challenge = Challenge::new(scheme.into());
        match token68 {
            Some(text) => challenge.token68 = Some(text.into()),
            None => params
                .into_iter()
                .for_each(|(name, value)| challenge.add(name.into(), value.into())),
        }
        challenge
    })
}

/// Challenges `s0`, `s1`, … whose parameters `p<n>_<m>` tell whose they are.
fn labelled() -> impl Strategy<Value = Vec<Challenge>> {
    let values = prop::collection::vec("[a-c ,=\"\\\\]{0,6}", 0..4);
    prop::collection::vec((values, any::<bool>()), 1..5).prop_map(|challenges| {
        let label = |(n, (values, token68)): (usize, (Vec<String>, bool))| {
            let mut challenge = Challenge::new(format!("s{n}").into());
            if token68 && values.is_empty() {
                challenge.token68 = Some("abc==".into());
            }
            for (m, value) in values.into_iter().enumerate() {
                challenge.add(format!("p{n}_{m}").into(), value.into());
            }
            challenge
        };
        challenges.into_iter().enumerate().map(label).collect()
    })
}

proptest! {
    #[test]
    fn what_was_written_is_read_back(sent in prop::collection::vec(challenge(), 0..6), mut dice in dice()) {
        let lines = dice.lines(&sent);
        prop_assert!(parse(&lines) == sent, "{lines:?}");
    }

    #[test]
    fn no_bytes_cause_a_panic(lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)) {
        let mut headers = HeaderMap::new();
        for line in lines {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                headers.append(WWW_AUTHENTICATE, value);
            }
        }
        let _ = format!("{:?}", Challenge::parse_all(&headers));
    }

    #[test]
    fn no_text_of_its_own_alphabet_causes_a_panic(line in "[ab ,=\"\\\\@\té/]{0,60}") {
        parse(&[line]);
    }

    /// One more byte anywhere may lose parameters, and never gives one to another scheme.
    #[test]
    fn a_stray_byte_moves_no_parameter_to_another_scheme(
        sent in labelled(), mut dice in dice(), at in any::<prop::sample::Index>(), stray in "[ ,=\"\\\\@;a1\t/é]"
    ) {
        let mut line = dice.lines(&sent).join(",").into_bytes();
        let at = at.index(line.len() + 1);
        line.splice(at..at, stray.bytes());
        for found in parse(&[line]) {
            for own in sent.iter().filter(|own| own.scheme != found.scheme) {
                let its = sent.iter().any(|own| own.scheme == found.scheme);
                prop_assert!(!its || own.params.iter().all(|(name, _)| found.param(name).is_none()), "{}", shown(&found));
            }
        }
    }
}
