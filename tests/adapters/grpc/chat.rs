//! A service of words, written by hand: what the health service has no methods for.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use bytes::{Buf, BufMut};
use futures::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use http::uri::PathAndQuery;
use tokio::sync::Semaphore;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    client::GrpcService,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    server::NamedService,
};
use tower::{Service, service_fn};
use tower_reauth::{AccessToken, BoxError, testing::AuthorizationServer};

use super::world::token_in;

/// A message is a text, as it is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Words;

impl Codec for Words {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Words {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Words {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = source.copy_to_bytes(source.remaining());
        String::from_utf8(bytes.into()).map(Some).map_err(|_| Status::internal("not a text"))
    }
}

/// The client, as a generated one is: generic over what it sends through.
#[derive(Clone)]
pub(crate) struct Chat<T>(tonic::client::Grpc<T>);

impl<T> Chat<T>
where
    T: GrpcService<Body>,
    T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<BoxError>,
{
    pub(crate) fn new(inner: T) -> Self {
        Self(tonic::client::Grpc::new(inner))
    }

    /// One text, and the same comes back.
    pub(crate) async fn say(&mut self, text: impl Into<String>) -> Result<String, Status> {
        self.say_in(Request::new(text.into())).await
    }

    pub(crate) async fn say_in(&mut self, request: Request<String>) -> Result<String, Status> {
        self.ready().await?;
        let answer = self.0.unary(request, path("Say"), Words).await?;
        Ok(answer.into_inner())
    }

    /// Many texts, and what arrived comes back, joined by commas.
    pub(crate) async fn tell(
        &mut self,
        texts: impl Stream<Item = String> + Send + 'static,
    ) -> Result<String, Status> {
        self.ready().await?;
        let answer = self.0.client_streaming(Request::new(texts), path("Tell"), Words).await?;
        Ok(answer.into_inner())
    }

    /// `first` at once, `next` at every [`turn`](ChatServer::turn) while the token is good.
    pub(crate) async fn follow(&mut self) -> Result<Streaming<String>, Status> {
        self.server_streaming("Follow").await
    }

    /// The token is looked at when the response has begun, at a [`turn`](ChatServer::turn): a refusal comes
    /// in trailers.
    pub(crate) async fn late(&mut self) -> Result<Streaming<String>, Status> {
        self.server_streaming("Late").await
    }

    /// An echo of each text as it comes, while the token is good.
    pub(crate) async fn talk(
        &mut self,
        texts: impl Stream<Item = String> + Send + 'static,
    ) -> Result<Streaming<String>, Status> {
        self.ready().await?;
        Ok(self.0.streaming(Request::new(texts), path("Talk"), Words).await?.into_inner())
    }

    async fn server_streaming(&mut self, method: &str) -> Result<Streaming<String>, Status> {
        self.ready().await?;
        let request = Request::new(String::new());
        Ok(self.0.server_streaming(request, path(method), Words).await?.into_inner())
    }

    async fn ready(&mut self) -> Result<(), Status> {
        self.0.ready().await.map_err(|error| Status::from_error(error.into()))
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Chat/{method}").parse().unwrap()
}

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
