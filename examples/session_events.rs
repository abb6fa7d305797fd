//! A session ends, the user logs in again, the program goes on.
//!
//! The refresh token may be revoked at any time: by an administrator, by a new password, by the user on
//! another device. No request can mend that. One task hears of it and asks the user; whoever has
//! something to send waits for the login and tries again.
//!
//! ```console
//! $ cargo run --example session_events
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::Full;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, Event, Events, RefreshError, RefreshLayer, RefreshTokenGrant, Session,
    testing::{AuthorizationServer, ResourceServer},
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
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(api);

    let desk = tokio::spawn(front_desk(session.events(), session.clone(), authorization.clone()));
    let mut events = session.events();

    for number in 1..=3 {
        loop {
            let request =
                Request::get("https://api.example.com/me").body(Full::<Bytes>::default())?;
            let result = client.clone().oneshot(request).await;
            if needs_login(&result) {
                println!("request {number}: waits for a login");
                while !matches!(events.next().await, Some(Event::LoggedIn) | None) {}
                continue;
            }
            println!("request {number}: {}", result?.status());
            break;
        }
        if number == 1 {
            println!("an administrator revokes everything");
            authorization.revoke_all();
        }
    }

    session.logout().await?;
    desk.await?;
    Ok(())
}

/// Whether the session's own word is that only a login helps: beside the challenge where a request was
/// refused, and instead of an answer where it was not even sent.
fn needs_login<B>(result: &Result<Response<B>, BoxError>) -> bool {
    let error = match result {
        Ok(response) => response.extensions().get::<RefreshError>(),
        Err(error) => error.downcast_ref::<RefreshError>(),
    };
    error.is_some_and(RefreshError::needs_login)
}

/// Ask the user to log in whenever the session ends. The login's tokens go to the same session, and so
/// to every client that shares it.
async fn front_desk(mut events: Events, session: Session, authorization: AuthorizationServer) {
    while let Some(event) = events.next().await {
        match event {
            Event::SessionEnded(error) => {
                println!("  event: {error}");
                // Here a program opens a browser, and the user takes a while.
                tokio::time::sleep(Duration::from_millis(200)).await;
                let tokens = authorization.login();
                println!("  the user logged in");
                if let Err(error) = session.login(tokens).await {
                    println!("  used, but not saved: {error}");
                }
            }
            Event::LoggedOut => return println!("  event: logged out"),
            _ => {}
        }
    }
}
