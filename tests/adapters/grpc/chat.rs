//! A server for the words of the client beside it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use futures::{
    StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status, Streaming, body::Body, server::NamedService};
use tower::{Service, service_fn};
use tower_reauth::{AccessToken, testing::AuthorizationServer};

use super::{words::Words, world::token_in};

/// The server.
#[derive(Clone)]
pub(crate) struct ChatServer(Arc<Hall>);

struct Hall {
    authorization: AuthorizationServer,
    /// What every call received, in the order of the calls.
    heard: Mutex<Vec<Vec<String>>>,
    turns: Semaphore,
}

impl ChatServer {
    pub(crate) fn new(authorization: AuthorizationServer) -> Self {
        let heard = Mutex::default();
        Self(Arc::new(Hall { authorization, heard, turns: Semaphore::new(0) }))
    }

    /// What every call that was let in received.
    pub(crate) fn heard(&self) -> Vec<Vec<String>> {
        self.0.heard.lock().unwrap().clone()
    }

    /// Let `Follow` and `Late` go on, by one message.
    pub(crate) fn turn(&self) {
        self.0.turns.add_permits(1);
    }
}

impl Hall {
    fn begin(&self) -> usize {
        let mut heard = self.heard.lock().unwrap();
        heard.push(Vec::new());
        heard.len() - 1
    }

    fn hear(&self, call: usize, text: &str) {
        self.heard.lock().unwrap()[call].push(text.to_owned());
    }

    fn check(&self, token: &Option<AccessToken>) -> Result<(), Status> {
        match token {
            Some(token) if self.authorization.is_valid(token) => Ok(()),
            _ => Err(Status::unauthenticated("no longer")),
        }
    }
}

type Texts = BoxStream<'static, Result<String, Status>>;

impl Service<http::Request<Body>> for ChatServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let hall = self.0.clone();
        let token = token_in(request.headers());
        Box::pin(async move {
            let call = hall.begin();
            let mut grpc = tonic::server::Grpc::new(Words);
            Ok(match request.uri().path().rsplit('/').next() {
                Some("Say") => {
                    let say = service_fn(async |request: Request<String>| {
                        hall.hear(call, request.get_ref());
                        Ok(Response::new(request.into_inner()))
                    });
                    grpc.unary(say, request).await
                }
                Some("Tell") => {
                    let tell = service_fn(async |request: Request<Streaming<String>>| {
                        let mut texts = request.into_inner();
                        while let Some(text) = texts.message().await? {
                            hall.hear(call, &text);
                        }
                        let heard = hall.heard.lock().unwrap()[call].join(",");
                        Ok(Response::new(heard))
                    });
                    grpc.client_streaming(tell, request).await
                }
                Some("Follow") => {
                    let follow = service_fn(async |_: Request<String>| {
                        let (hall, token) = (hall.clone(), token.clone());
                        let next = stream::repeat(()).then(move |()| {
                            let (hall, token) = (hall.clone(), token.clone());
                            async move {
                                hall.turns.acquire().await.unwrap().forget();
                                hall.check(&token).map(|()| "next".to_owned())
                            }
                        });
                        let first = stream::iter([Ok("first".to_owned())]);
                        Ok::<_, Status>(Response::new(first.chain(next).boxed() as Texts))
                    });
                    grpc.server_streaming(follow, request).await
                }
                Some("Late") => {
                    let late = service_fn(async |_: Request<String>| {
                        let (hall, token) = (hall.clone(), token.clone());
                        let verdict = stream::once(async move {
                            hall.turns.acquire().await.unwrap().forget();
                            hall.check(&token).map(|()| "in time".to_owned())
                        });
                        Ok::<_, Status>(Response::new(verdict.boxed() as Texts))
                    });
                    grpc.server_streaming(late, request).await
                }
                Some("Talk") => {
                    let talk = service_fn(async |request: Request<Streaming<String>>| {
                        let (hall, token) = (hall.clone(), token.clone());
                        let echo = request.into_inner().map(move |text| {
                            let text = text?;
                            hall.check(&token)?;
                            hall.hear(call, &text);
                            Ok(text)
                        });
                        Ok::<_, Status>(Response::new(echo.boxed() as Texts))
                    });
                    grpc.streaming(talk, request).await
                }
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

impl NamedService for ChatServer {
    const NAME: &'static str = "test.Chat";
}
