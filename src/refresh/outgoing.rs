//! What is kept of a request, so that it can be sent again exactly as it was.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts,
    uri::Authority,
};

use http_body::Body;

use crate::{BoxError, ReplayBody, lifecycle::Endpoint, replay::Kept};

/// What outlives the send of a request.
pub(super) struct Outgoing<B> {
    /// Tells endpoints apart, and is sent again.
    uri: Uri,
    /// `None`: the request asked not to be kept.
    rest: Option<Rest<B>>,
}

/// A compact copy: the header fields are one allocation, and become a map again only for a replay.
struct Rest<B> {
    method: Method,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
    body: Kept<B>,
}

impl<B: Body + 'static> Outgoing<B>
where
    B::Error: Into<BoxError>,
{
    /// A copy of the head, with the body as far as it is kept. `None`: nothing but the target is kept.
    #[inline(always)]
    pub(super) fn new(head: &Parts, body: Option<Kept<B>>) -> Self {
        let rest = body.map(|body| Rest {
            method: head.method.clone(),
            version: head.version,
            fields: fields(&head.headers),
            extensions: head.extensions.clone(),
            body,
        });
        Self { uri: head.uri.clone(), rest }
    }

    /// The request once more. `None` where it was not kept, or not whole.
    pub(super) fn again(&self) -> Option<Request<ReplayBody<B>>> {
        let rest = self.rest.as_ref()?;
        let mut request = Request::new(rest.body.replay()?);
        *request.method_mut() = rest.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = rest.version;
        *request.extensions_mut() = rest.extensions.clone();
        let headers = request.headers_mut();
        // One allocation where it fits; a map that was larger grows as it did before.
        let _ = headers.try_reserve(rest.fields.len());
        for (name, value) in &rest.fields {
            headers.append(name, value.clone());
        }
        Some(request)
    }

    pub(super) fn is_kept(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.rest.as_ref().is_some_and(|rest| rest.body.is_replayable())
    }

    /// The upload pauses where it is.
    pub(super) fn freeze(&self) {
        if let Some(rest) = &self.rest {
            rest.body.freeze();
        }
    }

    /// The upload goes on.
    pub(super) fn thaw(&self) {
        if let Some(rest) = &self.rest {
            rest.body.thaw();
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        let mut hasher = DefaultHasher::new();
        self.uri.scheme_str().hash(&mut hasher);
        self.uri.authority().map(Authority::as_str).hash(&mut hasher);
        self.uri.path().hash(&mut hasher);
        Endpoint(hasher.finish())
    }
}

/// In one allocation: an iterator over a map does not know its length.
fn fields(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut fields = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        fields.push((name.clone(), value.clone()));
    }
    fields
}
