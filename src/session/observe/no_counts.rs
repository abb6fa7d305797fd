//! Without the feature `metrics`: nothing.

use std::time::Duration;

#[inline]
pub(super) fn landed(
    _: &'static str,
    _: &'static str,
    _: Option<&'static str>,
    _: Duration,
    _: usize,
) {
}

#[inline]
pub(super) fn replayed(_: bool) {}

#[inline]
pub(super) fn not_replayed(_: &'static str) {}

#[inline]
pub(super) fn served_stale() {}

#[inline]
pub(super) fn persist_failed() {}
