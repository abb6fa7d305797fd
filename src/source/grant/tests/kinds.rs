//! What each kind of grant sends, and takes for an answer.

use super::*;
use crate::{Assertion, ClientCredentials, JwtBearer, SecurityToken, TokenExchange};

const ISSUED: &str = r#"{"access_token":"a2","token_type":"Bearer","refresh_token":"r2",
    "issued_token_type":"urn:ietf:params:oauth:token-type:access_token","scope":"read"}"#;

fn service(status: u16, body: &'static str) -> (Endpoint, Sent) {
    let sent = Sent::default();
    (Endpoint { sent: sent.clone(), answer: Answer::Response(status, body) }, sent)
}

/// Texts that differ from one call to the next.
fn fresh(name: &'static str) -> impl Fn() -> Ready<Result<String, RefreshError>> + Send + Sync {
    let calls = AtomicUsize::new(0);
    move || ready(Ok(format!("{name}{}", calls.fetch_add(1, Ordering::Relaxed))))
}

fn assertion(name: &'static str) -> Assertion {
    let fresh = fresh(name);
    Assertion::from_fn(move |_| fresh())
}

fn nothing() -> Held {
    Held::new(None)
}

#[tokio::test]
async fn client_credentials_are_the_clients_alone() {
    let (service, sent) = service(200, ISSUED);
    let client = ClientAuthentication::basic("app", "secret");
    let grant = ClientCredentials::new(ENDPOINT, client, service)
        .unwrap()
        .scope("read write")
        .audience("first")
        .audience("reports")
        .resource("https://a.example/")
        .resource("https://b.example/")
        .parameter("grant_type", "password")
        .parameter("resource", "https://c.example/")
        .parameter("audience", "other")
        .parameter("tenant", "t");
    for held in [nothing(), Held::new(Some(set().scope("other")))] {
        let tokens = TokenSource::refresh(&grant, held).await.unwrap();
        assert_eq!(tokens.access().expose_secret(), "a2");
        assert_eq!(tokens.granted_scope(), Some("read"));
        assert!(tokens.refresh().is_none(), "nobody spends it");
        assert!(sent.lock().unwrap()[0].headers().contains_key(header::AUTHORIZATION));
        assert_eq!(
            body(&sent).await,
            "grant_type=client_credentials&scope=read+write&audience=reports\
             &resource=https%3A%2F%2Fa.example%2F&resource=https%3A%2F%2Fb.example%2F&tenant=t"
        );
    }
    assert!(!TokenSource::spends_refresh_token(&grant));
}

#[tokio::test]
async fn an_assertion_is_asked_for_anew_at_each_attempt() {
    let (service, sent) = service(200, ISSUED);
    let grant = JwtBearer::new(ENDPOINT, assertion("assertion"), service).unwrap();
    let grant = grant.scope("read").parameter("assertion", "other");
    for attempt in 0..2 {
        let tokens = TokenSource::refresh(&grant, nothing()).await.unwrap();
        assert!(tokens.refresh().is_none(), "nobody spends it");
        assert_eq!(
            body(&sent).await,
            format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer\
                 &assertion=assertion{attempt}&scope=read"
            )
        );
    }
    assert!(!TokenSource::spends_refresh_token(&grant));

    TokenSource::refresh(&grant.client("my app"), nothing()).await.unwrap();
    assert!(body(&sent).await.ends_with("&client_id=my+app"));
}

#[tokio::test]
async fn an_exchange_shows_the_newest_token_of_subject_and_actor() {
    let (service, sent) = service(200, ISSUED);
    let subject = SecurityToken::access_token(fresh("subject"));
    let grant = TokenExchange::new(ENDPOINT, subject, service).unwrap();
    let grant = grant.parameter("subject_token", "other").parameter("actor_token", "");
    for attempt in 0..2 {
        let tokens = TokenSource::refresh(&grant, nothing()).await.unwrap();
        assert!(tokens.refresh().is_none(), "nobody spends it");
        assert_eq!(
            body(&sent).await,
            format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                 &subject_token=subject{attempt}\
                 &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"
            )
        );
    }
    assert!(!TokenSource::spends_refresh_token(&grant));

    let grant = grant
        .client(ClientAuthentication::post("app", "secret"))
        .actor(SecurityToken::jwt(fresh("actor")))
        .requested_token_type(SecurityToken::ACCESS_TOKEN)
        .audience("a")
        .audience("b")
        .resource("https://a.example/")
        .scope("read");
    TokenSource::refresh(&grant, nothing()).await.unwrap();
    let sent = body(&sent).await;
    let (_, rest) = sent.split_once("access_token&").unwrap();
    assert_eq!(
        rest,
        "actor_token=actor0&actor_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt\
         &requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token\
         &scope=read&audience=a&audience=b&resource=https%3A%2F%2Fa.example%2F\
         &client_id=app&client_secret=secret"
    );
}

/// RFC 8693 §2.2.1.
#[tokio::test]
async fn an_exchange_whose_answer_cannot_be_attached_is_a_configuration_error() {
    for (name, answer) in [
        ("no issued_token_type", r#"{"access_token":"a2","token_type":"Bearer"}"#),
        ("N_A", r#"{"access_token":"a2","issued_token_type":"urn:x:saml2","token_type":"N_A"}"#),
        ("DPoP", r#"{"access_token":"a2","issued_token_type":"urn:x","token_type":"DPoP"}"#),
    ] {
        let (service, _) = service(200, answer);
        let subject = SecurityToken::new("urn:example:badge", fresh("subject"));
        let grant = TokenExchange::new(ENDPOINT, subject, service).unwrap();
        let error = TokenSource::refresh(&grant, nothing()).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Misconfigured, "{name}");
    }
    let (service, _) = service(200, r#"{"access_token":"a2"}"#);
    let grant = ClientCredentials::new(ENDPOINT, "app", service).unwrap();
    assert!(TokenSource::refresh(&grant, nothing()).await.is_ok(), "others need no such member");
}

#[tokio::test]
async fn nothing_is_sent_if_the_assertion_or_the_token_to_exchange_cannot_be_had() {
    let (service, sent) = service(200, ISSUED);
    let fails = || ready(Err(RefreshError::transient()));
    let bearer =
        JwtBearer::new(ENDPOINT, Assertion::from_fn(move |_| fails()), service.clone()).unwrap();
    let error = TokenSource::refresh(&bearer, nothing()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Transient);

    let subject = SecurityToken::access_token(fails);
    let exchange = TokenExchange::new(ENDPOINT, subject, service.clone()).unwrap();
    assert!(TokenSource::refresh(&exchange, nothing()).await.is_err());
    let subject = SecurityToken::access_token(fresh("subject"));
    let exchange = TokenExchange::new(ENDPOINT, subject, service).unwrap();
    let exchange = exchange.actor(SecurityToken::access_token(fails));
    assert!(TokenSource::refresh(&exchange, nothing()).await.is_err());
    assert!(sent.lock().unwrap().is_empty());
}

#[test]
fn every_kind_insists_on_https_unless_the_program_meant_it() {
    const PLAIN: &str = "http://as.example/token";
    let subject = || SecurityToken::access_token(fresh(""));
    assert!(ClientCredentials::new(PLAIN, "app", ()).is_err());
    assert!(JwtBearer::new(PLAIN, assertion(""), ()).is_err());
    assert!(TokenExchange::new(PLAIN, subject(), ()).is_err());
    assert!(ClientCredentials::new_insecure(PLAIN, "app", ()).is_ok());
    assert!(JwtBearer::new_insecure(PLAIN, assertion(""), ()).is_ok());
    assert!(TokenExchange::new_insecure(PLAIN, subject(), ()).is_ok());
}

#[test]
fn each_kind_is_called_by_its_name() {
    let client = ClientAuthentication::basic("app", "canary");
    let credentials = ClientCredentials::new("https://as.example/canary", client, ()).unwrap();
    let bearer = JwtBearer::new(ENDPOINT, assertion("canary"), ()).unwrap();
    let subject = SecurityToken::access_token(fresh("canary"));
    let exchange = TokenExchange::new(ENDPOINT, subject, ()).unwrap();
    for (printed, name) in [
        (format!("{credentials:?}"), "ClientCredentials"),
        (format!("{bearer:?}"), "JwtBearer"),
        (format!("{exchange:?}"), "TokenExchange"),
    ] {
        assert!(printed.starts_with(name) && !printed.contains("canary"), "{printed}");
        assert!(printed.contains("https://as.example/…"), "{printed}");
    }
}
