//! Everything that a value prints, and where traces go.

use std::{
    error::Error,
    fmt::{Debug, Write},
    io,
    sync::{Arc, Mutex},
};

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

/// In every secret, and in every text that a server writes.
pub(crate) const CANARY: &str = "canary";

/// Both forms of `Debug`.
pub(crate) fn debug(value: impl Debug) -> String {
    format!("{value:?}\n{value:#?}\n")
}

/// An error with all that is beneath it, in every form.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        writeln!(text, "{error}\n{error:#}\n{error:?}\n{error:#?}").unwrap();
        next = error.source();
    }
    text
}

#[track_caller]
pub(crate) fn assert_clean(what: &str, text: &str) {
    let lower = text.to_lowercase();
    assert!(!text.trim().is_empty(), "{what} printed nothing");
    if let Some(line) = lower.lines().find(|line| line.contains(CANARY)) {
        panic!("{what} shows a secret: {line}");
    }
}

/// Traces at every level, as text.
#[derive(Clone, Default)]
pub(crate) struct Traces(Arc<Mutex<Vec<u8>>>);

impl Traces {
    pub(crate) fn subscriber(&self) -> impl Subscriber + Send + Sync + use<> {
        tracing_subscriber::fmt()
            .with_max_level(LevelFilter::TRACE)
            .with_span_events(FmtSpan::FULL)
            .with_ansi(false)
            .with_writer(self.clone())
            .finish()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl<'a> MakeWriter<'a> for Traces {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl io::Write for Traces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
