//! A first-party back end that keeps the session in an HttpOnly cookie, as it does for its web pages.
//!
//! The refresh cookie is replaced at every refresh, and the CSRF cookie is echoed into a header. The API
//! sees the access token alone.
//!
//! ```console
//! $ cargo run --example cookies --features cookies
//! ```

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering::Relaxed},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{AuthLayer, BoxError, CookieGrant, Cookies, Csrf, RefreshLayer, Session};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let back_end = BackEnd::default();
    let home = back_end.clone().serve().await?;
    let http = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();

    // The login is the program's own: what it leaves behind is cookies.
    let login = format!("{home}/auth/login");
    let request = Request::post(&login).body(Full::from(r#"{"user":"ada","password":"…"}"#))?;
    let response = http.request(request).await?;
    let cookies = Cookies::new(&login)?.received(response.headers());

    // Over `https` this is `CookieGrant::new` and `origin`.
    let grant = CookieGrant::new_insecure(&format!("{home}/auth/refresh"), http)?
        .csrf(Csrf::django())? // `csrftoken`, echoed as `X-CSRFToken`
        .logout("/auth/logout")?;
    let session = Session::builder(grant)
        .tokens(cookies.tokens()?) // no access token yet: the first request asks for one
        .insecure_origin(&home)
        .build()?;

    let mut client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(Client::builder(TokioExecutor::new()).build_http());
    for _ in 0..3 {
        let order = Request::post(format!("{home}/orders")).body(Full::<Bytes>::from("tea"))?;
        println!("an order: {}", client.ready().await?.call(order).await?.status());
        // The access token expires. The next order does not notice.
        back_end.access.fetch_add(1, Relaxed);
    }

    session.logout().await?; // the back end is told, with the cookies
    println!("logged out: {}", session.token().await.err().ok_or("still logged in")?);
    Ok(())
}

/// Rotates the cookie `refresh`, and wants `csrftoken` in a header too.
#[derive(Clone, Default)]
struct BackEnd {
    refresh: Arc<AtomicU32>,
    access: Arc<AtomicU32>,
}

impl BackEnd {
    fn answer(&self, path: &str, headers: &HeaderMap) -> http::Result<Response<Full<Bytes>>> {
        let read = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        let (cookies, csrf) = (read(header::COOKIE.as_str()), read("x-csrftoken"));
        let current = format!("refresh=R{}; csrftoken=C1", self.refresh.load(Relaxed));
        let known = csrf == "C1" && cookies == current;
        println!("  {path}: Cookie {cookies}, X-CSRFToken {csrf}, {}", read("authorization"));
        match path {
            "/auth/login" => self.rotated(),
            "/auth/refresh" if known => self.rotated(),
            "/auth/logout" if known => answer(StatusCode::NO_CONTENT),
            "/orders"
                if read("authorization") == format!("Bearer A{}", self.access.load(Relaxed)) =>
            {
                answer(StatusCode::CREATED)
            }
            _ => answer(StatusCode::UNAUTHORIZED),
        }
    }

    fn rotated(&self) -> http::Result<Response<Full<Bytes>>> {
        let refresh = self.refresh.fetch_add(1, Relaxed) + 1;
        let access = self.access.fetch_add(1, Relaxed) + 1;
        let cookie = format!("refresh=R{refresh}; Path=/auth; HttpOnly; Secure; SameSite=Strict");
        Response::builder()
            .header(header::SET_COOKIE, cookie)
            .header(header::SET_COOKIE, "csrftoken=C1; Path=/; Secure")
            .body(Full::from(format!(r#"{{"access_token":"A{access}","expires_in":600}}"#)))
    }

    /// Serves on a free port, and returns the origin.
    async fn serve(self) -> Result<String, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let this = self.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = this.answer(request.uri().path(), request.headers());
                    async { answer }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        Ok(origin)
    }
}

fn answer(status: StatusCode) -> http::Result<Response<Full<Bytes>>> {
    Response::builder().status(status).body(Full::default())
}
