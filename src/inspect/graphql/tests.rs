use http::Response;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const UNAUTHENTICATED: &str = r#"{"message":"m","extensions":{"code":"UNAUTHENTICATED"}}"#;

fn is_challenge(graphql: &GraphQlErrors, body: &str) -> bool {
    match graphql.classify(&ResponseHead::new(&Response::new(())), body.as_bytes()) {
        None => false,
        Some(verdict) => {
            assert_eq!(verdict, Verdict::Challenge);
            // What passes early is never judged.
            assert!(!graphql.is_harmless(body.as_bytes()), "{body}");
            true
        }
    }
}

/// An authentication error about this path.
fn at(path: &[&str]) -> Value {
    json!({ "message": "m", "path": path, "extensions": { "code": "UNAUTHENTICATED" } })
}

/// Whether it is a challenge with `Absent`, `Refused` and `Partial`.
#[track_caller]
fn holds(answer: Value, expected: [bool; 3]) {
    let policies = [GraphQlData::Absent, GraphQlData::Refused, GraphQlData::Partial];
    let judged =
        policies.map(|data| is_challenge(&GraphQlErrors::new().data(data), &answer.to_string()));
    assert_eq!(judged, expected, "{answer}");
}

#[test]
fn servers_are_understood_in_their_own_words() {
    let graphql = GraphQlErrors::new();
    for error in [
        r#"{"message":"User is not authenticated","extensions":{"code":"UNAUTHENTICATED"}}"#,
        r#"{"message":"m","extensions":{"code":"AUTH_NOT_AUTHENTICATED"}}"#,
        r#"{"extensions":{"path":"$","code":"invalid-jwt"},"message":"Could not verify JWT: JWTExpired"}"#,
        r#"{"message":"Token expired.","extensions":{"code":"TOKEN_EXPIRED"}}"#,
        r#"{"message":"m","extensions":{"errorType":"UNAUTHENTICATED"}}"#,
        r#"{"message":"Unauthorized","extensions":{"classification":"UNAUTHORIZED"}}"#,
        r#"{"errorType":"UnauthorizedException","message":"Token has expired."}"#,
    ] {
        assert!(is_challenge(&graphql, &format!(r#"{{"errors":[{error}]}}"#)), "{error}");
        assert!(!is_challenge(&GraphQlErrors::none(), &format!(r#"{{"errors":[{error}]}}"#)));
    }
}

#[test]
fn what_denies_a_known_user_something_is_no_challenge() {
    let graphql = GraphQlErrors::new().data(GraphQlData::Partial);
    for error in [
        r#"{"message":"UNAUTHENTICATED"}"#,
        r#"{"message":"m","code":"UNAUTHENTICATED"}"#,
        r#"{"message":"m","extensions":{"code":"unauthenticated"}}"#,
        r#"{"message":"m","extensions":{"code":"FORBIDDEN"}}"#,
        r#"{"message":"m","extensions":{"code":"AUTH_NOT_AUTHORIZED"}}"#,
        r#"{"message":"m","extensions":{"code":"access-denied"}}"#,
        r#"{"message":"m","extensions":{"classification":"FORBIDDEN"}}"#,
        r#"{"message":"m","errorType":"Unauthorized"}"#,
        r#"{"message":"m","extensions":{"code":["UNAUTHENTICATED"]}}"#,
        r#"{"message":"m","extensions":"UNAUTHENTICATED"}"#,
        r#""UNAUTHENTICATED""#,
        "null",
    ] {
        assert!(!is_challenge(&graphql, &format!(r#"{{"errors":[{error}]}}"#)), "{error}");
    }
}

#[test]
fn spellings_of_the_programs_own_are_added() {
    let graphql = GraphQlErrors::none()
        .code("E-17")
        .spelling("/extensions/category", "authentication")
        .unwrap();
    assert!(is_challenge(&graphql, r#"{"errors":[{"extensions":{"code":"E-17"}}]}"#));
    assert!(is_challenge(&graphql, r#"{"errors":[{"extensions":{"category":"authentication"}}]}"#));
    assert!(!is_challenge(&graphql, &format!(r#"{{"errors":[{UNAUTHENTICATED}]}}"#)));
    assert!(GraphQlErrors::none().spelling("code", "E-17").is_err());
}

#[test]
fn an_operation_that_was_not_executed_is_refused_whatever_else_is_said() {
    holds(json!({ "errors": [at(&[])] }), [true; 3]);
    holds(json!({ "errors": [{ "message": "other" }, at(&[])] }), [true; 3]);
    holds(json!({ "errors": [{ "message": "other" }] }), [false; 3]);
    holds(json!({ "errors": [] }), [false; 3]);
    holds(json!({ "errors": null }), [false; 3]);
}

#[test]
fn every_field_refused_is_a_challenge_unless_nothing_may_have_been_executed() {
    let expected = [false, true, true];
    holds(json!({ "errors": [at(&["me"])], "data": null }), expected);
    holds(json!({ "errors": [at(&[])], "data": null }), expected);
    holds(json!({ "data": { "me": null }, "errors": [at(&["me"])] }), expected);
    holds(
        json!({ "errors": [at(&["a"]), at(&["b"])], "data": { "a": null, "b": null } }),
        expected,
    );
}

#[test]
fn a_part_that_may_have_been_done_is_a_challenge_only_by_choice() {
    let expected = [false, false, true];
    // Another field came to something.
    holds(
        json!({ "data": { "me": { "id": 1 }, "orders": null }, "errors": [at(&["orders"])] }),
        expected,
    );
    // A mutation was done, and what was asked about its result was refused.
    holds(
        json!({ "data": { "pay": { "owner": null } }, "errors": [at(&["pay", "owner"])] }),
        expected,
    );
    holds(json!({ "data": null, "errors": [at(&["pay", "owner"])] }), expected);
    // A mutation that returns nothing was done.
    holds(json!({ "data": { "pay": null, "me": null }, "errors": [at(&["me"])] }), expected);
    holds(json!({ "data": { "pay": null }, "errors": [at(&[])] }), expected);
    // A mutation failed after it had done who knows what.
    holds(
        json!({
            "data": { "pay": null, "me": null },
            "errors": [at(&["me"]), { "message": "timeout", "path": ["pay"] }]
        }),
        expected,
    );
    holds(json!({ "data": {}, "errors": [at(&[])] }), expected);
    holds(json!({ "data": "odd", "errors": [at(&[])] }), expected);
}

#[test]
fn a_batch_is_a_challenge_if_each_of_its_answers_is() {
    let refused = || json!({ "errors": [at(&["me"])], "data": null });
    let unexecuted = || json!({ "errors": [at(&[])] });
    let good = || json!({ "data": { "me": 1 } });
    holds(json!([refused(), refused()]), [false, true, true]);
    holds(json!([unexecuted()]), [true; 3]);
    holds(json!([unexecuted(), refused()]), [false, true, true]);
    holds(json!([refused(), good()]), [false, false, true]);
    holds(json!([good(), refused()]), [false, false, true]);
    holds(json!([good()]), [false; 3]);
    holds(json!([]), [false; 3]);
    holds(json!([[unexecuted()]]), [false; 3]);
}

#[test]
fn a_body_that_begins_with_data_passes_as_soon_as_that_is_seen() {
    let graphql = GraphQlErrors::new();
    for begin in [
        r#"{"data":{"me":{"#,
        r#"  { "data" : { "me" : ["#,
        r#"[{"data":{"me":1"#,
        r#"{"data":{"me":""#,
    ] {
        assert!(graphql.is_harmless(begin.as_bytes()), "{begin}");
        assert!(!graphql.clone().data(GraphQlData::Partial).is_harmless(begin.as_bytes()));
        // Nothing is known before the field's first byte.
        for end in 0..begin.len() - 1 {
            assert!(!graphql.is_harmless(&begin.as_bytes()[..end]), "{}", &begin[..end]);
        }
    }
    for begin in [
        r#"{"data":{"me":null"#,
        r#"{"data":null"#,
        r#"{"data":{}"#,
        r#"{"data":{"m\"e":{"#,
        r#"{"errors":[{"data":{"a":1"#,
        r#"{"extensions":{},"data":{"a":1"#,
        "",
    ] {
        assert!(!graphql.is_harmless(begin.as_bytes()), "{begin}");
    }
}

#[test]
fn garbage_and_deep_nesting_say_nothing() {
    let graphql = GraphQlErrors::new();
    let deep = format!(r#"{{"errors":[{UNAUTHENTICATED}],"data":{}"#, "[".repeat(60_000));
    let closed = format!("{deep}{}}}", "]".repeat(60_000));
    for body in ["", "null", "{}", "[", r#"{"errors":"#, "\u{feff}{}", &deep, &closed] {
        assert!(!is_challenge(&graphql, body));
    }
    let head = Response::new(());
    assert!(graphql.classify(&ResponseHead::new(&head), b"{\"errors\":[\"\xff\"]}").is_none());
}

/// A cut answer is never judged by the layer; were it, it would say nothing.
#[test]
fn no_part_of_a_refusal_is_one() {
    let whole = json!({ "errors": [at(&["me"])], "data": { "me": null } }).to_string();
    for end in 0..whole.len() {
        assert!(!is_challenge(&GraphQlErrors::new(), &whole[..end]), "{}", &whole[..end]);
    }
    assert!(is_challenge(&GraphQlErrors::new(), &whole));
}

proptest! {
    #[test]
    fn no_bytes_are_too_odd(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let graphql = GraphQlErrors::new();
        let head = Response::new(());
        let _ = graphql.is_harmless(&body);
        let _ = graphql.classify(&ResponseHead::new(&head), &body);
    }
}
