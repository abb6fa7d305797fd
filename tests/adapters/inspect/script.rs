//! A response body that does what a test says, frame by frame.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    marker::PhantomPinned,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

pub(super) enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    Error,
    End,
}

/// The test's end of a [`Script`]: it may add steps while the body is on its way.
#[derive(Clone, Default)]
pub(super) struct Author(Rc<RefCell<Desk>>);

#[derive(Default)]
struct Desk {
    steps: VecDeque<Step>,
    waker: Option<Waker>,
    exact: Option<u64>,
    tells_end: bool,
    polls: usize,
}

impl Author {
    pub(super) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        let author = Self::default();
        author.0.borrow_mut().steps.extend(steps);
        author
    }

    /// The size that the body claims before its first frame.
    pub(super) fn exact(self, size: u64) -> Self {
        self.0.borrow_mut().exact = Some(size);
        self
    }

    /// The body knows by itself when nothing but `End` is left.
    pub(super) fn tells_end(self) -> Self {
        self.0.borrow_mut().tells_end = true;
        self
    }

    pub(super) fn add(&self, step: Step) {
        let mut desk = self.0.borrow_mut();
        desk.steps.push_back(step);
        let waker = desk.waker.take();
        drop(desk);
        waker.into_iter().for_each(Waker::wake);
    }

    pub(super) fn polls(&self) -> usize {
        self.0.borrow().polls
    }

    pub(super) fn body(&self) -> Script {
        Script { author: self.clone(), _pinned: PhantomPinned }
    }

    /// Whether the body still exists.
    pub(super) fn is_held(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }
}

pub(super) struct Script {
    author: Author,
    _pinned: PhantomPinned,
}

impl Body for Script {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let mut desk = self.author.0.borrow_mut();
        desk.polls += 1;
        match desk.steps.pop_front() {
            Some(Step::Data(data)) => {
                desk.exact = desk.exact.map(|left| left - data.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Step::Trailers(map)) => Poll::Ready(Some(Ok(Frame::trailers(map)))),
            Some(Step::Error) => Poll::Ready(Some(Err(io::Error::other("cut")))),
            Some(Step::End) => Poll::Ready(None),
            None => {
                desk.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        let desk = self.author.0.borrow();
        desk.tells_end && matches!(desk.steps.front(), Some(Step::End))
    }

    fn size_hint(&self) -> SizeHint {
        self.author.0.borrow().exact.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
