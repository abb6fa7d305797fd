//! A codec and a client for a service of words, written by hand: what the health service has no methods for.

use bytes::{Buf, BufMut};
use futures::Stream;
use http::uri::PathAndQuery;
use tonic::{
    Request, Status, Streaming,
    body::Body,
    client::GrpcService,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tower_reauth::BoxError;

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

    /// `first` at once, `next` at every turn while the token is good.
    pub(crate) async fn follow(&mut self) -> Result<Streaming<String>, Status> {
        self.server_streaming("Follow").await
    }

    /// The token is looked at when the response has begun, at a turn: a refusal comes in trailers.
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
