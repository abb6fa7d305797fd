//! A GraphQL API that answers 200 whatever happens, and says in the body that the token is dead.
//!
//! The server is a small one of this example. It words its errors as Apollo Server does, and tells them by
//! `extensions.code`.
//!
//! ```console
//! $ cargo run --features inspect-body --example graphql
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, BoxError, GraphQlErrors, InspectLayer, NoReplay, NotReplayed, RefreshLayer,
    RefreshTokenGrant, Session,
    testing::{AuthorizationServer, ResourceServer},
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let authorization = AuthorizationServer::new();
    let login_socket = authorization.serve().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let tokens = ResourceServer::new(&authorization);
    tokio::spawn(serve(listener, tokens.clone()));

    let token_endpoint = login_socket.uri("/token").to_string();
    let endpoint_client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let grant = RefreshTokenGrant::new_insecure(&token_endpoint, "my-app", endpoint_client)?;
    let session =
        Session::builder(grant).tokens(authorization.login()).insecure_origin(&origin).build()?;

    let mut client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .layer(InspectLayer::new(GraphQlErrors::new())) // reads the errors of short JSON answers
        .service(Client::builder(TokioExecutor::new()).build_http());

    for query in ["{ me { name } }", "mutation { order(drink: \"tea\") { id } }"] {
        authorization.revoke_access_tokens();
        let posts = tokens.requests();
        let response = client.ready().await?.call(post(&origin, query)?).await?;
        println!("{query}");
        println!("  {} {}", response.status(), text(response).await?);
        println!(
            "  posted {} times, {} refresh(es) so far",
            tokens.requests() - posts,
            authorization.refreshes()
        );
    }

    println!("a mutation that must not be done twice carries NoReplay");
    authorization.revoke_access_tokens();
    let mut payment = post(&origin, "mutation { pay { id } }")?;
    payment.extensions_mut().insert(NoReplay);
    let response = client.ready().await?.call(payment).await?;
    println!("  not sent again: {:?}", response.extensions().get::<NotReplayed>());
    println!("  {} {}", response.status(), text(response).await?);

    session.close().await?;
    Ok(())
}

fn post(origin: &str, query: &str) -> Result<Request<Full<Bytes>>, http::Error> {
    Request::post(format!("{origin}/graphql"))
        .header(CONTENT_TYPE, "application/json")
        .body(Full::from(json!({ "query": query }).to_string()))
}

async fn text<B>(response: Response<B>) -> Result<String, BoxError>
where
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let body = response.into_body().collect().await.map_err(Into::into)?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

/// The API, until the program ends.
async fn serve(listener: TcpListener, tokens: ResourceServer) {
    while let Ok((stream, _)) = listener.accept().await {
        let tokens = tokens.clone();
        let answer = service_fn(move |request| {
            let answer = answer(tokens.clone(), request);
            async move { Ok::<_, Infallible>(answer.await.unwrap_or_else(|error| failed(&error))) }
        });
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

async fn answer(
    tokens: ResourceServer,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, BoxError> {
    let (head, body) = request.into_parts();
    let asked: Value = serde_json::from_slice(&body.collect().await?.to_bytes())?;
    let query = asked["query"].as_str().unwrap_or_default();
    let judged = tokens.oneshot(Request::from_parts(head, Full::<Bytes>::default())).await?;
    let field = ["me", "order", "pay"].into_iter().find(|field| query.contains(field));
    let field = field.unwrap_or("__typename");
    Ok(said(if judged.status().is_success() {
        json!({ "data": { field: { "id": 1, "name": "Ada" } } })
    } else {
        // The field may be null, so the answer has data, and an error for each field.
        let error = json!({
            "message": "The token is dead, sign in again.",
            "path": [field],
            "extensions": { "code": "UNAUTHENTICATED" }
        });
        json!({ "errors": [error], "data": { field: null } })
    }))
}

fn failed(error: &BoxError) -> Response<Full<Bytes>> {
    said(json!({ "errors": [{ "message": error.to_string() }] }))
}

fn said(answer: Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(answer.to_string()));
    let json = http::HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
