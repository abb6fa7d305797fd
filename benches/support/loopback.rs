//! A resource server on a loopback socket, and hyper's client for it.

use std::{convert::Infallible, net::TcpListener, thread};

use http::{HeaderMap, Request, StatusCode};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};

use super::api::answer;

/// Serve on a thread of its own until the program ends: HTTP/1.1, and HTTP/2 by prior knowledge.
/// Returns the origin.
///
/// Each request is read to its end, then answered with the status that `judge` gives to its headers.
pub(crate) fn serve<J>(judge: J) -> String
where
    J: Fn(&HeaderMap) -> StatusCode + Clone + Send + Sync + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.set_nonblocking(true).expect("a listener can be told not to block");
    let address = listener.local_addr().expect("a listener has an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime starts");
    thread::spawn(move || runtime.block_on(accept(listener, judge)));
    format!("http://{address}")
}

async fn accept<J>(listener: TcpListener, judge: J)
where
    J: Fn(&HeaderMap) -> StatusCode + Clone + Send + Sync + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener).expect("it runs on a runtime");
    loop {
        let (stream, _) = listener.accept().await.expect("there are descriptors enough");
        stream.set_nodelay(true).expect("a socket knows this option");
        let judge = judge.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let status = judge(request.headers());
                async move {
                    let _ = request.into_body().collect().await;
                    Ok::<_, Infallible>(answer(status))
                }
            });
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that has gone away is no failure.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Which of the two protocols a client speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

pub(crate) fn client<B>(protocol: Protocol) -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .http2_only(matches!(protocol, Protocol::Http2))
        .build(connector)
}
