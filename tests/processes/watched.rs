//! A store that says what is done to it.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use tower_reauth::{Entry, Expected, Lease, Record, StoreError, Stored, Swap, TokenStore};

use crate::report::{Report, Window};

/// When the last token request of this process was sent, and answered.
#[derive(Clone, Default)]
pub(crate) struct Exchange(Arc<Mutex<Option<(Instant, Instant)>>>);

impl Exchange {
    pub(crate) fn is_sent(&self) {
        Report::Sending.say();
        let now = Instant::now();
        *self.0.lock().unwrap() = Some((now, now));
    }

    pub(crate) fn is_answered(&self) {
        if let Some((_, answered)) = &mut *self.0.lock().unwrap() {
            *answered = Instant::now();
        }
    }
}

pub(crate) struct Watched<S> {
    inner: S,
    exchange: Exchange,
    /// The refresh token that bore a mark when the record was last read.
    marked: Mutex<Option<String>>,
}

impl<S> Watched<S> {
    pub(crate) fn new(inner: S, exchange: Exchange) -> Self {
        Self { inner, exchange, marked: Mutex::default() }
    }
}

fn name(record: &Record) -> String {
    record.tokens().refresh().expect("this session has one").expose_secret().to_owned()
}

impl<S: TokenStore> TokenStore for Watched<S> {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        let loaded = self.inner.load().await;
        let record = match &loaded {
            Ok(Some(Stored { entry: Entry::Live(record), .. })) => Some(record),
            _ => None,
        };
        let marked = record.filter(|record| record.spent_since().is_some());
        *self.marked.lock().unwrap() = marked.map(name);
        loaded
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.inner.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        let name = name(&record);
        if record.spent_since().is_some() {
            // Said before it happens: who dies in between has marked or not.
            Report::Mark(name.clone()).say();
            if self.marked.lock().unwrap().as_ref() == Some(&name) {
                Report::Found(name).say();
            }
            return self.inner.compare_and_store(expected, record).await;
        }
        let swap = self.inner.compare_and_store(expected, record).await;
        let mut exchange = self.exchange.0.lock().unwrap();
        match (&swap, *exchange) {
            (Ok(Swap::Done(_)), Some((sent, answered))) => {
                let window = Window { whole: sent.elapsed(), save: answered.elapsed() };
                Report::Saved(name, window).say();
                *exchange = None;
            }
            (Ok(Swap::Moved), Some(_)) => Report::Late(name).say(),
            (Ok(_), None) => {}
            (Err(error), _) => Report::Failed(format!("save: {error:?}")).say(),
        }
        swap
    }

    async fn compare_and_bury(&self, expected: Expected) -> Result<Swap, StoreError> {
        let swap = self.inner.compare_and_bury(expected).await;
        if matches!(swap, Ok(Swap::Done(_))) {
            Report::Buried.say();
        }
        swap
    }
    async fn settle(&self) {
        self.inner.settle().await;
    }
}
