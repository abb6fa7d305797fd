//! As much of GitHub's API as the example needs, on a loopback socket.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tower_reauth::{AccessToken, testing::AuthorizationServer};

/// It ends with the program.
pub struct StandIn {
    address: SocketAddr,
    refused: Arc<AtomicUsize>,
}

impl StandIn {
    /// Accept the tokens that this server handed out.
    pub async fn serve(authorization: &AuthorizationServer) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let refused = Arc::new(AtomicUsize::new(0));
        let origin = format!("http://{address}");
        let (authorization, count) = (authorization.clone(), refused.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (origin, authorization, count) =
                    (origin.clone(), authorization.clone(), count.clone());
                let service = service_fn(move |request| {
                    answer(request, origin.clone(), authorization.clone(), count.clone())
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self { address, refused })
    }

    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came with a token that was not good.
    pub fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn answer(
    request: Request<Incoming>,
    origin: String,
    authorization: AuthorizationServer,
    refused: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let bearer = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| AccessToken::new(value.strip_prefix("Bearer ")?).ok());
    if !token.is_some_and(|token| authorization.is_valid(&token)) {
        refused.fetch_add(1, Ordering::Relaxed);
        let body = json!({ "message": "Bad credentials", "status": "401" });
        return Ok(json_response(StatusCode::UNAUTHORIZED, body.to_string()));
    }
    Ok(match (head.method, head.uri.path()) {
        (Method::GET, "/user") => {
            json_response(StatusCode::OK, json!({ "login": "octocat" }).to_string())
        }
        (Method::GET, "/user/repos") => repositories(&origin, head.uri.query()),
        (Method::POST, "/gists") => json_response(StatusCode::CREATED, body),
        _ => json_response(StatusCode::NOT_FOUND, r#"{"message":"Not Found"}"#),
    })
}

/// One on each of three pages, with a link to the next.
fn repositories(origin: &str, query: Option<&str>) -> Response<Full<Bytes>> {
    let (name, next) = match query {
        None => ("kettle", Some(2)),
        Some("page=2") => ("teapot", Some(3)),
        Some(_) => ("samovar", None),
    };
    let mut response = json_response(StatusCode::OK, json!([{ "name": name }]).to_string());
    if let Some(next) = next
        && let Ok(link) = format!(r#"<{origin}/user/repos?page={next}>; rel="next""#).parse()
    {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let media_type = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
