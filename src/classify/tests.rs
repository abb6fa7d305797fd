use http::{Response, StatusCode, header::WWW_AUTHENTICATE};

use super::{BearerClassifier, Classify, GrpcClassifier, ResponseHead, Verdict, classify_fn};

const ANSWER: &str = "answer";
const CHALLENGE: &str = "challenge";
const STEP_UP: &str = "step up";

fn response(status: u16, challenges: &[&str]) -> Response<()> {
    let mut response = Response::builder().status(status);
    for line in challenges {
        response = response.header(WWW_AUTHENTICATE, *line);
    }
    response.body(()).unwrap()
}

fn judge(classifier: &impl Classify, response: &Response<()>) -> &'static str {
    match classifier.classify(&ResponseHead::new(response)) {
        Verdict::Answer => ANSWER,
        Verdict::Challenge => CHALLENGE,
        Verdict::StepUp(_) => STEP_UP,
    }
}

#[track_caller]
fn holds(classifier: &impl Classify, table: &[(&str, u16, &[&str], &str)]) {
    for (row, status, challenges, expected) in table {
        assert_eq!(judge(classifier, &response(*status, challenges)), *expected, "{row}");
    }
}

#[test]
#[rustfmt::skip]
fn every_row_of_the_table_holds() {
    holds(&BearerClassifier::default(), &[
        ("401 Bearer error=invalid_token", 401, &["Bearer realm=\"x\", error=\"invalid_token\""], CHALLENGE),
        ("401 DPoP error=invalid_token", 401, &["DPoP error=\"invalid_token\", algs=\"ES256\""], CHALLENGE),
        ("401 Bearer, no params", 401, &["Bearer"], CHALLENGE),
        ("401 Bearer, no error", 401, &["Bearer realm=\"x\", scope=\"a b\""], CHALLENGE),
        ("401 Bearer, empty error", 401, &["Bearer error=\"\""], CHALLENGE),
        ("401 Bearer with an unknown error code", 401, &["Bearer error=\"expired_token\""], CHALLENGE),
        ("401, no WWW-Authenticate", 401, &[], CHALLENGE),
        ("401 only Basic", 401, &["Basic realm=\"x\", error=\"invalid_token\""], ANSWER),
        ("401 only Negotiate", 401, &["Negotiate"], ANSWER),
        ("401 only Digest", 401, &["Digest realm=\"x\", nonce=\"y\"", "NTLM"], ANSWER),
        ("401 DPoP use_dpop_nonce", 401, &["DPoP error=\"use_dpop_nonce\""], ANSWER),
        ("401 DPoP invalid_dpop_proof", 401, &["DPoP error=\"invalid_dpop_proof\""], ANSWER),
        ("401 only DPoP", 401, &["DPoP algs=\"ES256\""], ANSWER),
        ("401 only DPoP with an unknown error code", 401, &["DPoP error=\"vendor\""], ANSWER),
        ("401 invalid_request", 401, &["Bearer error=\"invalid_request\""], ANSWER),
        ("401 insufficient_user_authentication", 401,
            &["Bearer error=\"insufficient_user_authentication\", acr_values=\"gold\", max_age=\"5\""], STEP_UP),
        ("401 insufficient_claims", 401, &["Bearer error=\"insufficient_claims\", claims=\"e30=\""], STEP_UP),
        ("401 insufficient_scope", 401, &["Bearer error=\"insufficient_scope\""], STEP_UP),
        // That it was sent with a fresh token is the session's to know.
        ("401 bare right after a fresh token", 401, &["Bearer"], CHALLENGE),
        ("403 insufficient_scope", 403, &["Bearer error=\"insufficient_scope\", scope=\"a\""], STEP_UP),
        ("403 bare", 403, &[], ANSWER),
        ("403 Bearer, no error", 403, &["Bearer"], ANSWER),
        ("403 invalid_token", 403, &["Bearer error=\"invalid_token\""], ANSWER),
        ("400 invalid_request", 400, &["Bearer error=\"invalid_request\""], ANSWER),
        ("400 invalid_token", 400, &["Bearer error=\"invalid_token\""], ANSWER),
        ("407", 407, &["Bearer error=\"invalid_token\""], ANSWER),
        ("419", 419, &[], ANSWER),
        ("440", 440, &[], ANSWER),
        ("498", 498, &["Bearer error=\"invalid_token\""], ANSWER),
        ("499", 499, &[], ANSWER),
        ("421", 421, &[], ANSWER),
        ("425", 425, &[], ANSWER),
        ("429", 429, &[], ANSWER),
        ("503", 503, &[], ANSWER),
        ("200", 200, &["Bearer error=\"invalid_token\""], ANSWER),
    ]);
}

#[test]
fn unauthenticated_in_a_grpc_head_is_a_challenge_and_permission_denied_is_not() {
    let table = [
        (200, "16", CHALLENGE, ANSWER),
        (200, "7", ANSWER, ANSWER),
        (200, "0", ANSWER, ANSWER),
        (200, "160", ANSWER, ANSWER),
        (503, "16", ANSWER, ANSWER),
        (401, "7", CHALLENGE, CHALLENGE),
    ];
    for (status, grpc, by_grpc, by_bearer) in table {
        let response =
            Response::builder().status(status).header("grpc-status", grpc).body(()).unwrap();
        assert_eq!(
            judge(&GrpcClassifier::default(), &response),
            by_grpc,
            "{status}, grpc-status {grpc}"
        );
        assert_eq!(judge(&BearerClassifier::default(), &response), by_bearer, "{status}");
    }
    assert_eq!(judge(&GrpcClassifier::default(), &response(200, &[])), ANSWER);
}

#[test]
fn what_is_no_grpc_is_judged_by_the_bearer_classifier_that_was_given() {
    let classifier = GrpcClassifier::new(BearerClassifier::new().bare_401(false));
    holds(
        &classifier,
        &[
            ("401, no WWW-Authenticate", 401, &[], ANSWER),
            ("401 Bearer", 401, &["Bearer"], CHALLENGE),
            ("403 insufficient_scope", 403, &["Bearer error=insufficient_scope"], STEP_UP),
        ],
    );
}

#[test]
fn a_bare_401_can_be_switched_off() {
    holds(
        &BearerClassifier::new().bare_401(false).also(StatusCode::FORBIDDEN),
        &[
            ("401, no WWW-Authenticate", 401, &[], ANSWER),
            ("401, nothing readable", 401, &["@"], ANSWER),
            ("401 Bearer, no params", 401, &["Bearer"], CHALLENGE),
            ("a status that was opted in is not a 401", 403, &[], CHALLENGE),
        ],
    );
}

#[test]
fn a_status_that_was_opted_in_is_read_as_a_401() {
    let session_timeout = StatusCode::from_u16(440).unwrap();
    holds(
        &BearerClassifier::new().also(StatusCode::FORBIDDEN).also(session_timeout),
        &[
            ("403 bare", 403, &[], CHALLENGE),
            ("403 invalid_token", 403, &["Bearer error=\"invalid_token\""], CHALLENGE),
            ("403 insufficient_scope", 403, &["Bearer error=\"insufficient_scope\""], STEP_UP),
            ("403 Basic", 403, &["Basic realm=\"x\""], ANSWER),
            ("440", 440, &[], CHALLENGE),
            ("419, not opted in", 419, &[], ANSWER),
        ],
    );
}

#[test]
fn of_several_challenges_the_one_that_says_most_counts() {
    const INVALID: &str = "Bearer error=\"invalid_token\"";
    const SCOPE: &str = "Bearer error=\"insufficient_scope\"";
    const REQUEST: &str = "Bearer error=\"invalid_request\"";
    const UNKNOWN: &str = "Bearer error=\"vendor\"";
    const BARE: &str = "Bearer realm=\"x\"";
    const NONCE: &str = "DPoP error=\"use_dpop_nonce\"";
    const OFFER: &str = "DPoP algs=\"ES256\"";
    let table = [
        (INVALID, SCOPE, CHALLENGE),
        (INVALID, REQUEST, CHALLENGE),
        (INVALID, NONCE, CHALLENGE),
        (SCOPE, REQUEST, STEP_UP),
        (SCOPE, UNKNOWN, STEP_UP),
        (SCOPE, BARE, STEP_UP),
        (REQUEST, UNKNOWN, ANSWER),
        (REQUEST, BARE, ANSWER),
        (NONCE, BARE, ANSWER),
        (BARE, OFFER, CHALLENGE),
        (BARE, "Basic realm=\"x\"", CHALLENGE),
        (INVALID, "Negotiate", CHALLENGE),
        (OFFER, "Basic realm=\"x\"", ANSWER),
    ];
    for (one, other, expected) in table {
        for (first, second) in [(one, other), (other, one)] {
            let classifier = BearerClassifier::new();
            assert_eq!(
                judge(&classifier, &response(401, &[first, second])),
                expected,
                "{first} / {second}"
            );
            let line = format!("{first}, {second}");
            assert_eq!(judge(&classifier, &response(401, &[&line])), expected, "{line}");
        }
    }
}

#[test]
fn a_header_in_which_nothing_can_be_read_says_what_its_absence_says() {
    for line in ["", ",", "@@@", "\"Bearer\"", "error=\"invalid_request\""] {
        assert_eq!(judge(&BearerClassifier::new(), &response(401, &[line])), CHALLENGE, "{line}");
        assert_eq!(judge(&BearerClassifier::new(), &response(403, &[line])), ANSWER, "{line}");
    }
}

#[test]
fn step_up_carries_the_parameters_of_its_challenge() {
    let response = response(
        401,
        &[
            "Basic realm=\"x\", Bearer realm=\"y\"",
            "bearer error=\"insufficient_user_authentication\", acr_values=\"gold\", max_age=5",
        ],
    );
    let Verdict::StepUp(challenge) =
        BearerClassifier::new().classify(&ResponseHead::new(&response))
    else {
        panic!("no step-up");
    };
    assert_eq!(challenge.param("acr_values"), Some("gold"));
    assert_eq!(challenge.param("max_age"), Some("5"));
    assert_eq!(challenge.param("realm"), None);
}

#[test]
fn a_closure_adds_and_vetoes() {
    #[derive(Clone)]
    struct Expired;
    let rest = BearerClassifier::default();
    let classifier = classify_fn(move |head| {
        if head.extensions().get::<Expired>().is_some() {
            Verdict::Challenge
        } else if head.headers().contains_key("x-locked") {
            Verdict::Answer
        } else {
            rest.classify(head)
        }
    });
    let mut marked = response(200, &[]);
    marked.extensions_mut().insert(Expired);
    let mut locked = response(401, &[]);
    locked.headers_mut().insert("x-locked", "1".parse().unwrap());
    assert_eq!(judge(&classifier, &marked), CHALLENGE);
    assert_eq!(judge(&classifier, &locked), ANSWER);
    assert_eq!(judge(&classifier, &response(401, &[])), CHALLENGE);
}

#[test]
fn debug_shows_no_text_of_the_server() {
    let response =
        response(401, &["Bearer error=\"insufficient_scope\", scope=\"canary\", canary=x"]);
    let head = ResponseHead::new(&response);
    let shown = format!("{head:?} {:?}", BearerClassifier::new().classify(&head));
    assert!(!shown.contains("canary") && shown.contains("insufficient_scope"), "{shown}");
}
