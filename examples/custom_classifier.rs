//! An API that says "expired" in its own way.
//!
//! This one answers 419 where others answer 401, and 403 with a header where the token was revoked. A
//! closure names both; the default classifier judges the rest.
//!
//! ```console
//! $ cargo run --example custom_classifier
//! ```

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BearerClassifier, BoxError, Classify, RefreshLayer, RefreshTokenGrant, ResponseHead,
    Session, Verdict, classify_fn,
    testing::{AuthorizationServer, Fault, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let api = ResourceServer::new(&authorization);
    let token_endpoint = authorization.token_endpoint().to_string();

    let grant = RefreshTokenGrant::new(&token_endpoint, "my-app", authorization.clone())?;
    let session = Session::builder(grant)
        .tokens(authorization.login())
        .origin("https://api.example.com")
        .build()?;

    let usual = BearerClassifier::new().also(StatusCode::from_u16(419)?);
    let classifier = classify_fn(move |head: &ResponseHead<'_>| {
        let reason = head.headers().get("x-auth-error").map(|value| value.as_bytes());
        match (head.status(), reason) {
            (StatusCode::FORBIDDEN, Some(b"token_expired")) => Verdict::Challenge,
            // A new token would not unlock the account.
            (StatusCode::UNAUTHORIZED, Some(b"account_locked")) => Verdict::Answer,
            _ => usual.classify(head),
        }
    });

    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()).classifier(classifier))
        .layer(AuthLayer::new(session.clone()))
        .service(api.clone());

    for (status, reason) in
        [(419, ""), (403, "token_expired"), (403, "not_yours"), (401, "account_locked")]
    {
        let answer = http::Response::builder().status(status).header("x-auth-error", reason);
        api.fail_next(1, Fault::Response(answer.body(Bytes::new())?));

        let request = Request::get("https://api.example.com/me").body(Full::<Bytes>::default())?;
        let response = client.clone().oneshot(request).await?;
        println!(
            "the API says {status} {reason:<15} the caller gets {}, after {} refresh(es) in all",
            response.status(),
            authorization.refreshes(),
        );
    }
    session.close().await?;
    Ok(())
}
