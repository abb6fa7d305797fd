//! A server of the kit on a loopback socket.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::pin,
    time::Duration,
};

use futures_util::future;
use http::{Request, Response, Uri};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinSet,
};
use tower::Service;

use super::body::ResponseBody;
use crate::{BoxError, sync::Arc};

/// A server that listens on a loopback socket, with HTTP/1.1 and HTTP/2 by prior knowledge.
///
/// Dropping it ends everything that runs for it: the listener, the connections and the requests on
/// them. The server's handle keeps its state, and can be served again.
///
/// Sockets and paused time do not go together: tokio moves paused time on while it waits for I/O.
#[derive(Debug)]
#[must_use = "dropping it stops the server"]
pub struct Loopback {
    address: SocketAddr,
    /// The one task that accepts; it owns all others.
    _accepting: JoinSet<()>,
}

impl Loopback {
    pub(super) async fn serve<S>(server: S) -> io::Result<Self>
    where
        S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = BoxError>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server));
        Ok(Self { address, _accepting: accepting })
    }

    /// Where it listens: 127.0.0.1 and a free port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The origin as a session is told it, `http://127.0.0.1:port`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URI of `path`, which begins with a slash and may end in a query.
    ///
    /// # Panics
    ///
    /// If `path` does not belong in a URI.
    #[must_use]
    pub fn uri(&self, path: &str) -> Uri {
        match format!("{}{path}", self.origin()).parse() {
            Ok(uri) if path.starts_with('/') => uri,
            _ => panic!("not a path: {path:?}"),
        }
    }
}

async fn accept<S>(listener: TcpListener, server: S)
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let mut connections = JoinSet::new();
    loop {
        // An accept fails for a connection that is gone already, or for want of descriptors, which
        // takes a while to mend.
        match listener.accept().await {
            Ok((stream, _)) => drop(connections.spawn(connection(stream, server.clone()))),
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<S>(stream: TcpStream, server: S)
where
    S: Service<Request<Incoming>, Response = Response<ResponseBody>, Error = BoxError>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    // A failure to switch off Nagle's algorithm only costs time.
    let _ = stream.set_nodelay(true);
    let broken = Arc::new(Notify::new());
    let breaking = Arc::clone(&broken);
    let service = service_fn(move |request| {
        let answer = server.clone().call(request);
        let breaking = Arc::clone(&breaking);
        async move {
            let answer = answer.await;
            // An error of a type with no lifetime: with a boxed one rustc does not see that this
            // task is `Send`.
            answer.map_err(|error| {
                breaking.notify_one();
                io::Error::other(error)
            })
        }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    // hyper would reset the one HTTP/2 stream; a connection that is gone takes the socket with it.
    // The other streams' tasks end with the connection they write to.
    future::select(serving, pin!(broken.notified())).await;
}

#[cfg(test)]
mod tests;
