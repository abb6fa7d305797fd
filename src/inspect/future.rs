use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use super::{ClassifyBody, InspectedBody, layer::Settings, prefix::Prefix, suspicion};
use crate::{ResponseHead, Verdict};

pin_project! {
    /// The future of [`Inspect`](super::Inspect).
    pub struct ResponseFuture<F, R: Body, C> {
        #[pin]
        state: State<F, R>,
        settings: Arc<Settings<C>>,
        has_body: bool,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, R: Body> {
        Waiting { #[pin] future: F },
        // Boxed: few responses are read.
        Reading { read: Option<Box<(Response<()>, Prefix<R>)>> },
    }
}

impl<F, R: Body, C> ResponseFuture<F, R, C> {
    #[inline]
    pub(super) fn new(future: F, settings: Arc<Settings<C>>, has_body: bool) -> Self {
        Self { state: State::Waiting { future }, settings, has_body }
    }
}

impl<F, R, E, C> Future for ResponseFuture<F, R, C>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
    C: ClassifyBody,
{
    type Output = Result<Response<InspectedBody<R>>, E>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProj::Waiting { future } = this.state.as_mut().project() {
            let response = ready!(future.poll(cx))?;
            if !*this.has_body || !is_suspicious(&response, this.settings) {
                return Poll::Ready(Ok(response.map(InspectedBody::passing)));
            }
            let (head, body) = response.into_parts();
            let prefix = Prefix::new(body, this.settings.limit);
            let read = Some(Box::new((Response::from_parts(head, ()), prefix)));
            this.state.set(State::Reading { read });
        }
        let StateProj::Reading { read } = this.state.project() else { return Poll::Pending };
        read_on(read, this.settings, cx).map(Ok)
    }
}

/// Whether its body is read: the layer can, the classifier wants to, and nothing beneath knows already.
#[inline]
fn is_suspicious<R: Body, C: ClassifyBody>(response: &Response<R>, settings: &Settings<C>) -> bool {
    let head = ResponseHead::new(response);
    suspicion::is_readable(&head, response.body(), settings.limit)
        && settings.classify.suspects(&head)
        && head.extensions().get::<Verdict>().is_none()
}

#[cold]
fn read_on<R: Body, C: ClassifyBody>(
    read: &mut Option<Box<(Response<()>, Prefix<R>)>>,
    settings: &Settings<C>,
    cx: &mut Context<'_>,
) -> Poll<Response<InspectedBody<R>>> {
    // Polled again after it ended, it stays pending, as futures may.
    let Some(reading) = read else { return Poll::Pending };
    let is_harmless = |begin: &[u8]| settings.classify.is_harmless(begin);
    let is_whole = ready!(reading.1.poll(settings.patience, is_harmless, cx));
    let Some(done) = read.take() else { return Poll::Pending };
    let (mut head, prefix) = *done;
    // A part of a text says nothing for sure.
    if is_whole
        && let Some(verdict) = settings.classify.classify(&ResponseHead::new(&head), prefix.bytes())
    {
        head.extensions_mut().insert(verdict);
    }
    Poll::Ready(head.map(|()| prefix.into_body()))
}

impl<F, R: Body, C> fmt::Debug for ResponseFuture<F, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
