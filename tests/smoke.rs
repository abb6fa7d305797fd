use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use std::time::Duration;
use tower::{ServiceBuilder, ServiceExt};
use tower_reauth::*;

#[tokio::test(start_paused = true)]
async fn many_rejected_requests_share_one_refresh() {
    let calls = Arc::new(AtomicUsize::new(0));
    let sends = Arc::new(AtomicUsize::new(0));
    let c = calls.clone();
    let source = source_fn(move |held: Held| {
        let c = c.clone();
        async move {
            assert_eq!(held.refresh_token().unwrap().expose_secret(), "R1");
            c.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(TokenSet::new(AccessToken::new("T2").unwrap())
                .refresh_token(RefreshToken::new("R2").unwrap())
                .expires_in(Duration::from_secs(3600)))
        }
    });
    let session = Session::builder(source)
        .tokens(
            TokenSet::new(AccessToken::new("T1").unwrap())
                .refresh_token(RefreshToken::new("R1").unwrap())
                .expires_in(Duration::from_secs(3600)),
        )
        .origin("https://api.example.com")
        .build()
        .unwrap();
    let s = sends.clone();
    let inner = tower::service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let s = s.clone();
        async move {
            s.fetch_add(1, Ordering::SeqCst);
            let ok = request.headers()["authorization"] == "Bearer T2";
            let mut response = Response::new(Full::new(Bytes::new()));
            if !ok {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, std::io::Error>(response)
        }
    });
    let client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(inner);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..256 {
        let client = client.clone();
        tasks.spawn(async move {
            client
                .oneshot(
                    Request::post("https://api.example.com/a")
                        .body(Full::new(Bytes::from_static(b"hello")))
                        .unwrap(),
                )
                .await
                .unwrap()
                .status()
        });
    }
    while let Some(status) = tasks.join_next().await {
        assert_eq!(status.unwrap(), 200);
    }
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert!(sends.load(Ordering::SeqCst) <= 512);
}
