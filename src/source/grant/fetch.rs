//! A closure that gives a text, asked anew for each attempt.

use std::{future::Future, sync::Arc};

use zeroize::Zeroizing;

use crate::{RefreshError, source::BoxFuture};

type Answer = Result<Zeroizing<String>, RefreshError>;

#[derive(Clone)]
pub(super) struct Fetch(Arc<dyn Fn() -> BoxFuture<'static, Answer> + Send + Sync>);

impl Fetch {
    pub(super) fn new<F, Fut>(fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, RefreshError>> + Send + 'static,
    {
        Self(Arc::new(move || {
            let answer = fetch();
            Box::pin(async move { Ok(Zeroizing::new(answer.await?)) })
        }))
    }

    pub(super) async fn text(&self) -> Answer {
        (self.0)().await
    }
}
