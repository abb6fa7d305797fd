//! Writes down token requests as they came over the socket, and answers each as a server would.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: String,
    /// Without the name of the case that it begins with.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

pub(crate) struct Recorder {
    pub(crate) origin: String,
    heard: Heard,
    _accepting: JoinSet<()>,
}

type Heard = Arc<Mutex<Vec<(String, Recorded)>>>;

impl Recorder {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let heard = Heard::default();
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, heard.clone()));
        Self { origin, heard, _accepting: accepting }
    }

    /// The requests of this case.
    pub(crate) fn of(&self, case: &str) -> Vec<Recorded> {
        let heard = self.heard.lock().unwrap();
        let of_case = heard.iter().filter(|(name, _)| name == case);
        of_case.map(|(_, request)| request.clone()).collect()
    }
}

async fn accept(listener: TcpListener, heard: Heard) {
    while let Ok((stream, _)) = listener.accept().await {
        let heard = heard.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, heard.clone()));
            let connection = auto::Builder::new(TokioExecutor::new());
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    heard: Heard,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let target = head.uri.path_and_query().unwrap().as_str();
    let (case, path) = target[1..].split_once('/').unwrap();
    let answer = match path {
        "token" => json!({
            "access_token": "new",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 60,
        }),
        "device" => json!({
            "device_code": "d",
            "user_code": "u",
            "verification_uri": "https://login.example.com/device",
            "expires_in": 60,
            "interval": 1,
        }),
        _ => json!({}),
    };
    let recorded = Recorded {
        method: head.method.to_string(),
        path: path.into(),
        headers: head.headers,
        body,
    };
    heard.lock().unwrap().push((case.into(), recorded));
    let mut response = Response::new(Full::from(answer.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().unwrap());
    Ok(response)
}
