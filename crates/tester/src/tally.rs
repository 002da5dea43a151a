//! Results of the flows to one VIP: counts, backends, latencies, the latest errors, and the state. No I/O and no clock.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use jiff::Timestamp;
use tokio::time::Instant;

use super::flow::{Answer, Failure, FinishedFlow};

/// Flows in a row that must fail before a VIP has failed.
const FAILURES: u64 = 3;
/// Time without success before a VIP has failed. A broken backend among others does not fail that long in a row.
const SILENCE: Duration = Duration::from_secs(1);
/// Time after a failure during which a VIP is degraded.
const DEGRADED: Duration = Duration::from_secs(10);
/// The maximum number of different errors that are kept.
const KEPT_ERRORS: usize = 5;
/// The maximum number of different backends; further names are counted as one.
const MAX_BACKENDS: usize = 256;
/// The name for backends beyond [`MAX_BACKENDS`].
const OTHER_BACKENDS: &str = "(others)";
/// One hour in microseconds; longer latencies count as this.
const LONGEST_LATENCY: u64 = 3_600_000_000;
/// Significant digits of latencies.
const PRECISION: u8 = 2;

/// The state of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// No flow has ended yet.
    Pending,
    Ok,
    /// A flow failed in the last 10 s.
    Degraded,
    /// No flow succeeds: the last 3 or more failed, and none succeeded for a second or since the start.
    Failed,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// The flows that a backend answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackendFlows {
    pub flows: u64,
    /// Answers with an error.
    pub failed: u64,
}

/// Equal errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorCount {
    /// Time of the last one.
    pub time: Timestamp,
    pub error: String,
    pub count: u64,
}

/// A VIP that failed, or works again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub has_failed: bool,
    /// Time from the start of the first failed flow in a row to the detection, or of the failure altogether.
    pub after: Duration,
    /// The last error.
    pub error: String,
}

/// The results of one VIP.
#[derive(Debug)]
pub struct Tally {
    pub succeeded: u64,
    pub failed: u64,
    /// Flows that this machine could not send.
    pub not_sent: u64,
    /// Answers without the name of a backend.
    pub unnamed: u64,
    pub backends: BTreeMap<String, BackendFlows>,
    /// The latest error is the last.
    pub errors: Vec<ErrorCount>,
    /// Latencies of successful flows in microseconds.
    latencies: Histogram<u64>,
    failures_in_row: u64,
    /// The start of the first of the failures in a row.
    failing_since: Option<Instant>,
    /// The last success, or the start of the run.
    last_success: Instant,
    last_failure: Option<Instant>,
    has_failed: bool,
}

impl Tally {
    pub fn new(start: Instant) -> Self {
        Self {
            succeeded: 0,
            failed: 0,
            not_sent: 0,
            unnamed: 0,
            backends: BTreeMap::new(),
            errors: vec![],
            latencies: Histogram::new_with_bounds(1, LONGEST_LATENCY, PRECISION).expect("the bounds are valid"),
            failures_in_row: 0,
            failing_since: None,
            last_success: start,
            last_failure: None,
            has_failed: false,
        }
    }

    /// Flows with a result.
    pub fn flows(&self) -> u64 {
        self.succeeded + self.failed
    }

    /// Successful flows in percent; `None` without flows.
    pub fn success_percent(&self) -> Option<f64> {
        (self.flows() > 0).then(|| 100.0 * self.succeeded as f64 / self.flows() as f64)
    }

    /// A quantile of the latency of successful flows in milliseconds.
    pub fn latency(&self, quantile: f64) -> Option<f64> {
        (!self.latencies.is_empty()).then(|| self.latencies.value_at_quantile(quantile) as f64 / 1000.0)
    }

    /// Answers that named a backend.
    pub fn named(&self) -> u64 {
        self.backends.values().map(|backend| backend.flows).sum()
    }

    pub fn state(&self, now: Instant) -> State {
        let is_recent = |failure: Instant| now.saturating_duration_since(failure) < DEGRADED;
        match self.last_failure {
            _ if self.flows() == 0 => State::Pending,
            _ if self.has_failed || self.succeeded == 0 => State::Failed,
            Some(failure) if is_recent(failure) => State::Degraded,
            _ => State::Ok,
        }
    }

    /// Adds a flow. Returns a change of the state to or from failed.
    pub fn add(&mut self, flow: FinishedFlow, time: Timestamp) -> Option<Change> {
        match flow.result {
            Err(Failure::NotSent(error)) => {
                self.not_sent += 1;
                self.add_error(error, time);
                None
            }
            Err(Failure::Failed(error)) => self.add_failure((flow.began, flow.ended), error, time),
            Ok(Answer { backend, error: None }) => {
                self.add_backend(backend, false);
                self.add_success(flow.began, flow.ended)
            }
            Ok(Answer { backend, error: Some(error) }) => {
                let error = match &backend {
                    Some(backend) => format!("{error} from {backend}"),
                    None => error,
                };
                self.add_backend(backend, true);
                self.add_failure((flow.began, flow.ended), error, time)
            }
        }
    }

    fn add_success(&mut self, began: Instant, ended: Instant) -> Option<Change> {
        self.succeeded += 1;
        let micros = u64::try_from((ended - began).as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        self.last_success = self.last_success.max(ended);
        self.failures_in_row = 0;
        let since = self.failing_since.take();
        if !std::mem::take(&mut self.has_failed) {
            return None;
        }
        let after = since.map_or(Duration::ZERO, |since| ended.saturating_duration_since(since));
        Some(Change { has_failed: false, after, error: self.last_error() })
    }

    fn add_failure(&mut self, (began, ended): (Instant, Instant), error: String, time: Timestamp) -> Option<Change> {
        self.failed += 1;
        self.add_error(error, time);
        self.last_failure = Some(ended);
        self.failures_in_row += 1;
        let since = self.failing_since.map_or(began, |since| since.min(began));
        self.failing_since = Some(since);
        let is_silent = ended.saturating_duration_since(self.last_success) >= SILENCE;
        if self.has_failed || self.failures_in_row < FAILURES || !is_silent {
            return None;
        }
        self.has_failed = true;
        Some(Change { has_failed: true, after: ended.saturating_duration_since(since), error: self.last_error() })
    }

    fn last_error(&self) -> String {
        self.errors.last().map(|error| error.error.clone()).unwrap_or_default()
    }

    fn add_error(&mut self, error: String, time: Timestamp) {
        let known = self.errors.iter().position(|entry| entry.error == error);
        let count = known.map_or(0, |index| self.errors.remove(index).count) + 1;
        if self.errors.len() == KEPT_ERRORS {
            self.errors.remove(0);
        }
        self.errors.push(ErrorCount { time, error, count });
    }

    fn add_backend(&mut self, backend: Option<String>, has_error: bool) {
        let Some(mut name) = backend else {
            self.unnamed += 1;
            return;
        };
        if self.backends.len() >= MAX_BACKENDS && !self.backends.contains_key(&name) {
            OTHER_BACKENDS.clone_into(&mut name);
        }
        let backend = self.backends.entry(name).or_default();
        backend.flows += 1;
        backend.failed += u64::from(has_error);
    }
}

#[cfg(test)]
mod tests;
