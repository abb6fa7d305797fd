//! What is kept of a request, so that it can be sent again exactly as it was.

use std::hash::{DefaultHasher, Hash, Hasher};

use http::{
    Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version, header::AUTHORIZATION,
    uri::Authority,
};

use http_body::Body;

use crate::{BoxError, ReplayBody, lifecycle::Endpoint, replay::Kept, session::observe::Target};

/// What outlives the send of a request.
pub(super) struct Outgoing<B> {
    /// Tells endpoints apart, and is sent again.
    uri: Uri,
    /// `None`: the request asked not to be kept.
    rest: Option<Rest<B>>,
}

struct Rest<B> {
    head: Head,
    body: Kept<B>,
}

/// A compact copy: the header fields are one allocation, and become a map again only for a replay.
pub(super) struct Head {
    method: Method,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

impl Head {
    /// Whether the request carries credentials of its own, so that its copy would be none.
    #[inline]
    pub(super) fn has_credentials<B>(request: &Request<B>) -> bool {
        request.headers().keys().any(|name| *name == AUTHORIZATION)
    }

    /// `None` where the request carries credentials of its own.
    #[inline]
    pub(super) fn of<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        // In one allocation: an iterator over a map does not know its length.
        let mut fields = Vec::with_capacity(headers.len());
        for (name, value) in headers {
            if *name == AUTHORIZATION {
                return None;
            }
            fields.push((name.clone(), value.clone()));
        }
        Some(Self {
            method: request.method().clone(),
            version: request.version(),
            fields,
            extensions: request.extensions().clone(),
        })
    }
}

impl<B> Outgoing<B> {
    #[inline]
    pub(super) fn kept(uri: Uri, head: Head, body: Option<Kept<B>>) -> Self {
        Self { uri, rest: body.map(|body| Rest { head, body }) }
    }

    #[inline]
    pub(super) fn unkept(uri: Uri) -> Self {
        Self { uri, rest: None }
    }
}

impl<B: Body + 'static> Outgoing<B>
where
    B::Error: Into<BoxError>,
{
    /// The request once more. `None` where it was not kept, or not whole.
    pub(super) fn again(&self) -> Option<Request<ReplayBody<B>>> {
        let Rest { head, body } = self.rest.as_ref()?;
        let mut request = Request::new(body.replay()?);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = head.version;
        *request.extensions_mut() = head.extensions.clone();
        let headers = request.headers_mut();
        // At once, with room for the credential; a map that was larger grows as it did before.
        let _ = headers.try_reserve(head.fields.len() + 1);
        for (name, value) in &head.fields {
            headers.append(name, value.clone());
        }
        Some(request)
    }

    /// What others may see of it. The method is gone where the request asked not to be kept.
    pub(super) fn target(&self) -> Target<'_> {
        (self.rest.as_ref().map(|rest| &rest.head.method), &self.uri)
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
