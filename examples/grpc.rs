//! A gRPC client whose calls and streams do not notice that tokens end.
//!
//! ```console
//! $ cargo run --example grpc --features tonic
//! ```

use tonic::{
    Request, Status,
    service::InterceptorLayer,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::{
    ServingStatus,
    pb::{HealthCheckRequest, health_client::HealthClient},
    server::{HealthReporter, health_reporter},
};
use tower::ServiceBuilder;
use tower_reauth::{
    AccessToken, BoxError, RefreshTokenGrant, Session,
    testing::AuthorizationServer,
    tonic::{ReauthLayer, refresh_error},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // What a program has from elsewhere: the two servers, the tokens of a login.
    let authorization = AuthorizationServer::new();
    let (address, health) = serve(authorization.clone())?;
    let token_endpoint = authorization.token_endpoint().to_string();
    let endpoint_client = authorization.clone();
    let first_tokens = authorization.login();

    let grant = RefreshTokenGrant::new(&token_endpoint, "my-app", endpoint_client)?;
    let session = Session::builder(grant)
        .tokens(first_tokens)
        .assume_insecure_origin(&address) // where the channel goes; `assume_origin` for `https`
        .build()?;

    let channel = Channel::from_shared(address)?.connect_lazy();
    let channel = ServiceBuilder::new().layer(ReauthLayer::new(session.clone())).service(channel);
    let mut client = HealthClient::new(channel);

    for _ in 0..2 {
        let answer = client.check(HealthCheckRequest::default()).await?;
        println!("a call: {:?}", answer.get_ref().status());
        // The server forgets the access token. The next call does not notice.
        authorization.revoke_access_tokens();
    }

    let mut changes = client.watch(HealthCheckRequest::default()).await?.into_inner();
    for next in [ServingStatus::NotServing, ServingStatus::Serving] {
        if let Some(change) = changes.message().await? {
            println!("a stream: {:?}", change.status());
        }
        health.set_service_status("", next).await;
    }
    println!("the access token was refreshed {} times", authorization.refreshes());

    // The user's account is closed: no token can be had, and the status says why.
    authorization.revoke_all();
    if let Err(status) = client.check(HealthCheckRequest::default()).await {
        let needs_login = refresh_error(&status).is_some_and(|error| error.needs_login());
        println!("{:?}: {}; log in again: {needs_login}", status.code(), status.message());
    }

    session.close().await?; // a program that ends: joins a refresh in flight and the last save
    Ok(())
}

/// The health service, for those with a valid token.
fn serve(authorization: AuthorizationServer) -> Result<(String, HealthReporter), BoxError> {
    let allow = move |request: Request<()>| {
        let token = request.metadata().get("authorization").and_then(|value| {
            let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
            AccessToken::new(token).ok()
        });
        match token {
            Some(token) if authorization.is_valid(&token) => Ok(request),
            _ => Err(Status::unauthenticated("the token is not valid")),
        }
    };
    let (reporter, service) = health_reporter();
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder().layer(InterceptorLayer::new(allow)).add_service(service);
    tokio::spawn(server.serve_with_incoming(incoming));
    Ok((address, reporter))
}
