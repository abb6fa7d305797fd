//! As much of a Kubernetes API server as the example needs, on a loopback socket.

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
use serde_json::{Value, json};
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
        let (authorization, count) = (authorization.clone(), refused.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (authorization, count) = (authorization.clone(), count.clone());
                let service = service_fn(move |request| {
                    answer(request, authorization.clone(), count.clone())
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
    authorization: AuthorizationServer,
    refused: Arc<AtomicUsize>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let bearer = head.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| AccessToken::new(value.strip_prefix("Bearer ")?).ok());
    if !token.is_some_and(|token| authorization.is_valid(&token)) {
        refused.fetch_add(1, Ordering::Relaxed);
        let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": "Unauthorized", "reason": "Unauthorized", "code": 401 });
        return Ok(json_response(StatusCode::UNAUTHORIZED, status.to_string()));
    }
    let query = head.uri.query().unwrap_or_default();
    Ok(match (head.method, head.uri.path()) {
        (Method::GET, "/version") => json_response(StatusCode::OK, version().to_string()),
        (Method::GET, PODS) if query.contains("watch=true") => {
            let added = |name| json!({ "type": "ADDED", "object": pod(name) });
            json_response(StatusCode::OK, format!("{}\n{}\n", added("teapot"), added("kettle")))
        }
        (Method::GET, PODS) => {
            let items = [pod("teapot"), pod("samovar")];
            let list = json!({ "kind": "PodList", "apiVersion": "v1",
                "metadata": { "resourceVersion": "1" }, "items": items });
            json_response(StatusCode::OK, list.to_string())
        }
        (Method::POST, PODS) => json_response(StatusCode::CREATED, body),
        _ => json_response(StatusCode::NOT_FOUND, "{}"),
    })
}

const PODS: &str = "/api/v1/namespaces/default/pods";

fn pod(name: &str) -> Value {
    json!({ "kind": "Pod", "apiVersion": "v1",
        "metadata": { "name": name, "namespace": "default", "resourceVersion": "1" } })
}

fn version() -> Value {
    json!({ "major": "1", "minor": "36", "gitVersion": "v1.36.0", "gitCommit": "none",
        "gitTreeState": "clean", "buildDate": "2026-04-22T00:00:00Z", "goVersion": "go1.26",
        "compiler": "gc", "platform": "linux/amd64" })
}

fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let media_type = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}
