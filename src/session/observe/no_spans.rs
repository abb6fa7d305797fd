//! Without the feature `tracing`: nothing.

use std::{future::Future, time::Duration};

use http::StatusCode;

use super::{Ending, Target};
use crate::{Event, RefreshCause, RefreshError};

#[derive(Clone)]
pub(crate) struct Span;

impl Span {
    #[inline]
    pub(super) fn none() -> Self {
        Self
    }

    #[inline]
    pub(super) fn refresh(_: &'static str) -> Self {
        Self
    }

    #[inline]
    pub(super) fn record(&self, _: u32, _: usize, _: Option<u64>, _: Duration) {}

    #[inline]
    pub(super) fn end(&self, _: &'static str, _: Option<&'static str>) {}

    #[inline]
    pub(crate) fn around<F: Future>(self, future: F) -> F {
        future
    }
}

#[inline]
pub(super) fn asks_again(_: u32, _: &'static str) {}

#[inline]
pub(super) fn landed(_: RefreshCause, _: Ending, _: Option<&RefreshError>, _: Option<Duration>) {}

#[inline]
pub(super) fn told(_: &Event) {}

#[inline]
pub(super) fn replayed(_: Target<'_>, _: StatusCode, _: u8, _: u64, _: bool) {}

#[inline]
pub(super) fn not_replayed(_: Target<'_>, _: StatusCode, _: &'static str, _: Option<&'static str>) {
}
