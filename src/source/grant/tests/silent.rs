//! Nothing of what goes to and fro is printed.

use super::*;

const CANARY: &str = "canary";

fn assert_silent(shown: impl fmt::Debug) {
    for text in [format!("{shown:?}"), format!("{shown:#?}")] {
        assert!(!text.contains(CANARY), "{text}");
    }
}

fn assert_error_silent(error: &(dyn Error + 'static)) {
    assert_silent(error);
    assert!(!error.to_string().contains(CANARY), "{error}");
    if let Some(source) = error.source() {
        assert_error_silent(source);
    }
}

#[tokio::test(start_paused = true)]
async fn case_67_nothing_shows_a_token_or_the_words_of_a_server() {
    let token = TokenSet::new(AccessToken::new("canary").unwrap())
        .refresh_token(RefreshToken::new("canary").unwrap());
    let held = Held::new(Some(token));
    for body in [
        "<p>canary</p>",
        r#"{"error":"canary"}"#,
        r#"{"error":"invalid_client","error_description":"canary","error_uri":"canary"}"#,
        r#"{"error":"invalid_grant","canary":"canary"}"#,
        r#"{"access_token":"canary","refresh_token":"canary","scope":"canary"}"#,
        r#"{"access_token":"canary canary"}"#,
        r#"{"access_token":"a","refresh_token":"canary\u0001"}"#,
        r#"{"access_token":"a","token_type":"canary"}"#,
        r#"{"access_token":"canary""#,
    ] {
        for status in [200, 302, 400, 429, 500] {
            let service = service_fn(move |_: Request<Full<Bytes>>| {
                let response = Response::builder()
                    .status(status)
                    .header("retry-after", "canary")
                    .header("location", "https://canary.example/")
                    .body(Full::<Bytes>::from(body));
                ready(response)
            });
            let grant = RefreshTokenGrant::new("https://as.example/canary?canary", "app", service)
                .unwrap()
                .parameter("secret", "canary");
            assert_silent(&grant);
            match TokenSource::refresh(&grant, held.clone()).await {
                Ok(tokens) => assert_silent(tokens),
                Err(error) => assert_error_silent(&error),
            }
            let grant = grant.revocation_endpoint("https://as.example/canary").unwrap();
            if let Err(error) = TokenSource::revoke(&grant, set()).await {
                assert_error_silent(&error);
            }
        }
    }
    let error = || BoxError::from(io::Error::other("POST https://as.example/?canary"));
    for grant in [failing(error), failing(error).not_sent(|_| true)] {
        let error = TokenSource::refresh(&grant, held.clone()).await.unwrap_err();
        assert!(error.source().is_some());
        assert_error_silent(&error);
    }
    assert_silent(&held);
    for address in ["http://canary/", "https://canary@as.example/", "https://a/#canary"] {
        assert_error_silent(&RefreshTokenGrant::new(address, "app", ()).unwrap_err());
    }
}
