//! Counters and histograms, for the feature `metrics`; the manual's page on observability has them all.
//!
//! No label names a host, an account or a session: what there is of each is a handful of series.

use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};

const REFRESHES: &str = "tower_reauth_refreshes_total";
const DURATION: &str = "tower_reauth_refresh_duration_seconds";
const WAITERS: &str = "tower_reauth_refresh_waiters";
const REPLAYS: &str = "tower_reauth_replays_total";
const REFUSED: &str = "tower_reauth_replays_refused_total";
const STALE: &str = "tower_reauth_stale_serves_total";
const PERSIST: &str = "tower_reauth_persist_failures_total";

/// Give the recorder a unit and a text for each of the crate's metrics.
///
/// Call it once, after the recorder is installed: exporters show them as help. All of it works without.
/// The [manual](crate::manual::observability#metrics) says what each counts.
///
/// ```
/// // metrics_exporter_prometheus::PrometheusBuilder::new().install()?;
/// tower_reauth::describe_metrics();
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub fn describe_metrics() {
    describe_counter!(REFRESHES, Unit::Count, "Refreshes that ended, by cause and outcome.");
    describe_histogram!(DURATION, Unit::Seconds, "How long refreshes took.");
    describe_histogram!(WAITERS, Unit::Count, "How many waited for a refresh when it ended.");
    describe_counter!(REPLAYS, Unit::Count, "Challenged requests that were sent again.");
    describe_counter!(REFUSED, Unit::Count, "Challenged requests that were not sent again.");
    describe_counter!(
        STALE,
        Unit::Count,
        "Requests answered that went out on a good token whose successor was due."
    );
    describe_counter!(PERSIST, Unit::Count, "Times that the store did not take what it was given.");
}

pub(super) fn landed(
    cause: &'static str,
    outcome: &'static str,
    error_type: Option<&'static str>,
    took: Duration,
    waiters: usize,
) {
    match error_type {
        None => counter!(REFRESHES, "cause" => cause, "outcome" => outcome),
        Some(error_type) => {
            counter!(REFRESHES, "cause" => cause, "outcome" => outcome, "error_type" => error_type)
        }
    }
    .increment(1);
    histogram!(DURATION, "cause" => cause, "outcome" => outcome).record(took);
    histogram!(WAITERS, "cause" => cause).record(waiters as f64);
}

pub(super) fn replayed(is_refreshed: bool) {
    let refreshed = if is_refreshed { "true" } else { "false" };
    counter!(REPLAYS, "refreshed" => refreshed).increment(1);
}

pub(super) fn not_replayed(reason: &'static str) {
    counter!(REFUSED, "reason" => reason).increment(1);
}

pub(super) fn served_stale() {
    counter!(STALE).increment(1);
}

pub(super) fn persist_failed() {
    counter!(PERSIST).increment(1);
}
