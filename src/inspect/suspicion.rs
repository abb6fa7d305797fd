//! Which bodies can be read at all, by head.

use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body;

use crate::ResponseHead;

/// Whether a response to this method has a body of the resource.
pub(super) fn has_body(method: &Method) -> bool {
    *method != Method::HEAD && *method != Method::CONNECT
}

/// Whether the body behind this head, as far as it is known, can be read within `limit` bytes, and is
/// one that ends.
pub(super) fn is_readable<B: Body>(head: &ResponseHead<'_>, body: &B, limit: usize) -> bool {
    let status = head.status();
    let without = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
    );
    !status.is_informational()
        && !without
        && !body.is_end_stream()
        && body.size_hint().lower() <= limit as u64
        && content_length(head.headers()).is_none_or(|length| length <= limit as u64)
        && is_plain(head.headers())
        && !is_stream(head)
}

/// `application/json`, or a type built on it (RFC 6839 §3.1).
pub(super) fn is_json(head: &ResponseHead<'_>) -> bool {
    let essence = essence(head);
    let suffix = essence.len().checked_sub("+json".len()).and_then(|at| essence.get(at..));
    essence.eq_ignore_ascii_case("application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

/// Types that are read while they are written.
fn is_stream(head: &ResponseHead<'_>) -> bool {
    const STREAMS: [&str; 5] = [
        "text/event-stream",
        "application/x-ndjson",
        "application/jsonl",
        "application/json-seq",
        "application/stream+json",
    ];
    let essence = essence(head);
    let begins = |prefix: &str| {
        essence.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
    };
    begins("multipart/")
        || begins("application/grpc")
        || STREAMS.iter().any(|stream| essence.eq_ignore_ascii_case(stream))
}

/// The media type without its parameters.
fn essence<'a>(head: &ResponseHead<'a>) -> &'a str {
    let value = head.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.unwrap_or_default().split(';').next();
    essence.unwrap_or_default().trim()
}

/// RFC 9110 §8.4: without a content coding, so that the bytes are the text.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::Response;
    use http_body_util::{Empty, Full};

    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> Response<()> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap()
    }

    fn readable(status: u16, headers: &[(&str, &str)]) -> bool {
        let response = response(status, headers);
        is_readable(&ResponseHead::new(&response), &Full::<&[u8]>::new(b"text"), 64)
    }

    #[test]
    fn a_body_that_may_be_short_and_plain_can_be_read() {
        assert!(readable(200, &[]));
        assert!(readable(401, &[("content-length", "64"), ("content-encoding", "Identity")]));
        assert!(readable(500, &[("content-length", "many")]));
        assert!(readable(200, &[("content-type", "application/json; charset=utf-8")]));
    }

    #[test]
    fn what_has_no_body_or_a_part_of_one_is_not_read() {
        for status in [101, 204, 206, 304] {
            assert!(!readable(status, &[]), "{status}");
        }
        let empty = Empty::<&[u8]>::new();
        assert!(!is_readable(&ResponseHead::new(&response(401, &[])), &empty, 64));
        assert!(!has_body(&Method::HEAD) && !has_body(&Method::CONNECT) && has_body(&Method::GET));
    }

    #[test]
    fn what_is_known_to_be_too_long_is_not_read() {
        assert!(!readable(200, &[("content-length", "65")]));
        let long = Full::<&[u8]>::new(&[0; 65]);
        assert!(!is_readable(&ResponseHead::new(&response(200, &[])), &long, 64));
    }

    #[test]
    fn a_coded_body_is_not_read() {
        for coding in ["gzip", "br", "identity, gzip", "zstd"] {
            assert!(!readable(200, &[("content-encoding", coding)]), "{coding}");
        }
        let twice = [("content-encoding", "identity"), ("content-encoding", "gzip")];
        assert!(!readable(200, &twice));
    }

    #[test]
    fn a_stream_is_not_read() {
        for stream in [
            "text/event-stream",
            "TEXT/Event-Stream; charset=utf-8",
            "multipart/mixed; boundary=\"-\"",
            "Multipart/Form-Data",
            "application/grpc+json",
            "application/x-ndjson",
        ] {
            assert!(!readable(200, &[("content-type", stream)]), "{stream}");
        }
    }

    #[test]
    fn json_is_told_by_its_type() {
        let json = |value| is_json(&ResponseHead::new(&response(200, &[("content-type", value)])));
        for value in [
            "application/json",
            "Application/JSON;charset=utf-8",
            "application/graphql-response+json ; charset=utf-8",
            "application/problem+json",
        ] {
            assert!(json(value), "{value}");
        }
        for value in ["", "text/html", "application/jsonp", "json", "application/json5", "ü+json"]
        {
            assert!(!json(value), "{value}");
        }
        assert!(!is_json(&ResponseHead::new(&response(200, &[]))));
    }
}
