//! An API that holds its rejections until all requests of the storm are in.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower::Service;

use crate::tokens;

/// Rejects the old token, once that has come `crowd` times, and accepts the new one at once.
#[derive(Clone)]
pub(crate) struct Api(Arc<Door>);

pub(crate) struct Door {
    crowd: usize,
    sends: AtomicUsize,
    open: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    /// The field that a rejection carries, where it carries any.
    challenge: Option<HeaderValue>,
}

impl Api {
    pub(crate) fn new(crowd: usize) -> Self {
        Self(Arc::new(Door {
            crowd,
            sends: AtomicUsize::new(0),
            open: AtomicBool::new(false),
            // No wait-list that grows in the middle of a measurement.
            waiting: Mutex::new(Vec::with_capacity(crowd)),
            challenge: None,
        }))
    }

    /// Rejections say why.
    pub(crate) fn with_challenge(crowd: usize) -> Self {
        let Self(door) = Self::new(crowd);
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        let Ok(door) = Arc::try_unwrap(door) else { unreachable!("it was made just now") };
        Self(Arc::new(Door { challenge: Some(challenge), ..door }))
    }

    /// How often a request arrived.
    pub(crate) fn sends(&self) -> usize {
        self.0.sends.load(Ordering::Relaxed)
    }

    /// As the service answers it, for a server that has the request's head.
    pub(crate) fn answer(&self, headers: &HeaderMap) -> Answer {
        self.0.sends.fetch_add(1, Ordering::Relaxed);
        let authorization = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        match authorization {
            Some(value) if tokens::is_new(value) => Answer { status: StatusCode::OK, door: None },
            Some(value) if tokens::is_old(value) => {
                Answer { status: StatusCode::UNAUTHORIZED, door: Some((self.0.clone(), false)) }
            }
            _ => panic!("a request came without one of the two tokens"),
        }
    }
}

impl<B> Service<Request<B>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        self.answer(request.headers())
    }
}

pub(crate) struct Answer {
    status: StatusCode,
    /// Where a rejection waits, and whether it does already.
    door: Option<(Arc<Door>, bool)>,
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.status;
        if let Some((door, waits)) = &mut self.door {
            let goes = door.open.load(Ordering::Acquire) || (!*waits && door.enter(cx));
            if !goes {
                *waits = true;
                return Poll::Pending;
            }
            if let Some(challenge) = &door.challenge {
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge.clone());
            }
        }
        Poll::Ready(Ok(response))
    }
}

impl Door {
    /// Whether that was the last one: then all go.
    fn enter(&self, cx: &Context<'_>) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(cx.waker().clone());
        if waiting.len() < self.crowd {
            return false;
        }
        self.open.store(true, Ordering::Release);
        waiting.pop();
        waiting.drain(..).for_each(Waker::wake);
        true
    }
}
