//! A closure that gives a text, asked anew for each attempt.

use std::{future::Future, sync::Arc};

use zeroize::Zeroizing;

use super::BoxFuture;
use crate::RefreshError;

type Answer = Result<Zeroizing<String>, RefreshError>;

pub(super) struct Fetch<A>(Arc<dyn Fn(A) -> BoxFuture<'static, Answer> + Send + Sync>);

impl<A> Fetch<A> {
    pub(super) fn new<F, Fut>(fetch: F) -> Self
    where
        F: Fn(A) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self(Arc::new(move |argument| {
            let answer = fetch(argument);
            Box::pin(async move { Ok(Zeroizing::new(answer.await?)) })
        }))
    }

    pub(super) async fn text(&self, argument: A) -> Answer {
        (self.0)(argument).await
    }
}

impl<A> Clone for Fetch<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}
