//! The answer of a token endpoint, read within bounds.

use std::pin::pin;

use bytes::Buf;
use http::{HeaderMap, Response, StatusCode, response::Parts};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use zeroize::Zeroizing;

use super::transport::TransportError;
use crate::BoxError;

/// No answer of a token endpoint is longer, tokens with many claims included.
pub(super) const LONGEST: usize = 1024 * 1024;

pub(in crate::source) struct Answer {
    pub(in crate::source) status: StatusCode,
    pub(in crate::source) headers: HeaderMap,
    /// Empty where there was more than [`LONGEST`].
    pub(in crate::source) content: Zeroizing<Vec<u8>>,
    /// Why the content ends where it does, if that is not its end.
    pub(in crate::source) cut: Option<TransportError>,
}

impl Answer {
    pub(in crate::source) async fn read<B>(response: Response<B>) -> Self
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let (Parts { status, headers, .. }, body) = response.into_parts();
        let mut answer = Self { status, headers, content: Zeroizing::default(), cut: None };
        // The page that comes with a redirection says nothing to a client that does not follow it.
        if !status.is_redirection() {
            answer.collect(body).await;
            mend(&mut answer.content);
        }
        answer
    }

    async fn collect<B>(&mut self, body: B)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let mut body = pin!(body);
        let mut frames = 0;
        while let Some(frame) = body.as_mut().frame().await {
            // A flood of empty frames has no end, and gives no time limit a chance.
            frames += 1;
            if frames > LONGEST {
                self.content = Zeroizing::default();
                return;
            }
            let mut data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                Ok(Err(_trailers)) => continue,
                Err(error) => {
                    self.cut = Some(TransportError::of(&*error.into()));
                    return;
                }
            };
            while data.has_remaining() {
                let chunk = data.chunk();
                if chunk.len() > LONGEST - self.content.len() {
                    self.content = Zeroizing::default();
                    return;
                }
                append(&mut self.content, chunk);
                let taken = chunk.len();
                data.advance(taken);
            }
        }
    }
}

/// JSON is UTF-8 (RFC 8259 §8.1). A server that writes a description or a name in something else has said
/// all the same what it grants or refuses, so what is no UTF-8 becomes a character that no token has.
fn mend(content: &mut [u8]) {
    const DELETE: u8 = 0x7f;
    let mut rest = content;
    while let Err(flaw) = str::from_utf8(rest) {
        let from_there = &mut std::mem::take(&mut rest)[flaw.valid_up_to()..];
        let length = flaw.error_len().unwrap_or(from_there.len());
        let (wrong, after) = from_there.split_at_mut(length);
        wrong.fill(DELETE);
        rest = after;
    }
}

/// A vector that grows by itself leaves a copy of the secret behind; this one zeroizes what it outgrew.
fn append(content: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    let needed = content.len() + chunk.len();
    if needed > content.capacity() {
        let room = needed.max(2 * content.capacity()).max(4096);
        let mut larger = Zeroizing::new(Vec::with_capacity(room));
        larger.extend_from_slice(content);
        *content = larger;
    }
    content.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use std::io;

    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::StreamBody;

    use super::*;
    use crate::source::token_endpoint::response::Members;

    type Frames = Vec<Result<Frame<Bytes>, io::Error>>;

    fn data(length: usize) -> Result<Frame<Bytes>, io::Error> {
        Ok(Frame::data(vec![b'a'; length].into()))
    }

    async fn read(status: u16, frames: Frames) -> Answer {
        let body = StreamBody::new(stream::iter(frames));
        let response = Response::builder().status(status).body(body).unwrap();
        Answer::read(response).await
    }

    #[tokio::test]
    async fn an_answer_is_read_to_its_end_and_up_to_its_bound() {
        assert_eq!(read(200, vec![]).await.content.len(), 0);
        let trailers = Ok(Frame::trailers(HeaderMap::new()));
        let answer = read(200, vec![data(1), data(0), trailers, data(9000)]).await;
        assert_eq!(answer.content.len(), 9001);
        let answer = read(200, vec![data(LONGEST - 1), data(1)]).await;
        assert_eq!(answer.content.len(), LONGEST);
        assert!(answer.cut.is_none());
    }

    #[tokio::test]
    async fn an_answer_without_end_is_not_read_to_its_end() {
        let endless = StreamBody::new(stream::repeat_with(|| data(1000)));
        let answer = Answer::read(Response::new(endless)).await;
        assert!(answer.content.is_empty());
        assert!(read(200, vec![data(LONGEST + 1)]).await.content.is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_ends_early_is_cut() {
        let reset = Err(io::ErrorKind::ConnectionReset.into());
        let answer = read(200, vec![data(2), reset, data(1)]).await;
        assert_eq!((answer.content.len(), answer.cut.is_some()), (2, true));
    }

    #[tokio::test]
    async fn the_body_of_a_redirection_is_not_read() {
        assert!(read(307, vec![data(1)]).await.content.is_empty());
    }

    #[tokio::test]
    async fn a_text_that_is_no_utf_8_does_not_lose_what_stands_beside_it() {
        for (content, code) in [
            (
                &b"{\"error\":\"invalid_grant\",\"error_description\":\"expir\xe9\"}"[..],
                Some("invalid_grant"),
            ),
            (b"{\"\xc3\":\"\xff\xfe\",\"error\":\"invalid_grant\"}", Some("invalid_grant")),
            (b"{\"error\":\"invalid_grant\xe9\"}", Some("invalid_grant\u{7f}")),
            ("{\"error\":\"\u{e9}\"}".as_bytes(), Some("\u{e9}")),
            (b"{\"error\":\"invalid_grant\"}\xc3", None),
        ] {
            let answer = read(400, vec![Ok(Frame::data(content.into()))]).await;
            let members = Members::parse(&answer.content);
            let found = members.and_then(|members| members.text("error"));
            assert_eq!(found.as_ref().map(|found| found.as_str()), code, "{content:?}");
        }
    }

    #[test]
    fn the_content_grows_as_it_is_read() {
        let mut content = Zeroizing::new(Vec::new());
        let mut expected = Vec::new();
        for round in 0..200u8 {
            let chunk = vec![round; usize::from(round) * 7];
            append(&mut content, &chunk);
            expected.extend_from_slice(&chunk);
        }
        assert_eq!(*content, expected);
    }
}
