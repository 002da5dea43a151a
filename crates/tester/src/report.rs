//! Results as JSON lines. The guide documents them: docs/guide/test-from-outside.md.

use std::net::SocketAddr;

use jiff::Timestamp;
use maglev_model::printable::escaped_json;
use serde::{Serialize, Serializer};

use super::{
    flow::Target,
    tally::{Change, ErrorCount, State, Tally},
};

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Line<'a> {
    /// The results so far of a VIP.
    Vip(VipReport<'a>),
    /// A VIP that failed or recovered.
    Change(ChangeReport<'a>),
    /// The final results of a VIP.
    Result {
        passed: bool,
        problems: &'a [String],
        #[serde(flatten)]
        report: VipReport<'a>,
    },
    Summary(Summary),
}

impl Line<'_> {
    /// The line with its line break. Control characters of answers are escaped.
    pub fn to_text(&self) -> String {
        let json = serde_json::to_string(self).expect("keys are texts, and numbers are finite");
        escaped_json(&json).into_owned() + "\n"
    }
}

#[derive(Debug, Serialize)]
pub struct VipReport<'a> {
    #[serde(serialize_with = "milliseconds")]
    time: Timestamp,
    vip: String,
    address: SocketAddr,
    state: State,
    flows: u64,
    succeeded: u64,
    failed: u64,
    not_sent: u64,
    success_percent: Option<f64>,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    backends: Vec<BackendReport<'a>>,
    unnamed: u64,
    errors: Vec<ErrorReport<'a>>,
}

#[derive(Debug, Serialize)]
struct BackendReport<'a> {
    name: &'a str,
    flows: u64,
    failed: u64,
    share_percent: f64,
}

#[derive(Debug, Serialize)]
struct ErrorReport<'a> {
    #[serde(serialize_with = "milliseconds")]
    time: Timestamp,
    error: &'a str,
    count: u64,
}

#[derive(Debug, Serialize)]
pub struct ChangeReport<'a> {
    #[serde(serialize_with = "milliseconds")]
    time: Timestamp,
    vip: String,
    change: &'static str,
    after_ms: f64,
    error: &'a str,
}

#[derive(Debug, Serialize)]
pub struct Summary {
    #[serde(serialize_with = "milliseconds")]
    pub time: Timestamp,
    pub seconds: f64,
    pub vips: usize,
    pub passed_vips: usize,
    pub passed: bool,
}

impl<'a> VipReport<'a> {
    /// The results of a VIP at a time.
    pub fn new(target: &Target, tally: &'a Tally, state: State, time: Timestamp) -> Self {
        let named = tally.named();
        let backends = tally.backends.iter().map(|(name, backend)| BackendReport {
            name,
            flows: backend.flows,
            failed: backend.failed,
            share_percent: rounded(100.0 * backend.flows as f64 / named as f64),
        });
        let errors = tally.errors.iter().rev().map(|ErrorCount { time, error, count }| ErrorReport {
            time: *time,
            error,
            count: *count,
        });
        Self {
            time,
            vip: target.vip.to_string(),
            address: target.address,
            state,
            flows: tally.flows(),
            succeeded: tally.succeeded,
            failed: tally.failed,
            not_sent: tally.not_sent,
            success_percent: tally.success_percent().map(floored),
            p50_ms: tally.latency(0.5),
            p99_ms: tally.latency(0.99),
            backends: backends.collect(),
            unnamed: tally.unnamed,
            errors: errors.collect(),
        }
    }
}

impl<'a> ChangeReport<'a> {
    pub fn new(target: &Target, change: &'a Change, time: Timestamp) -> Self {
        let name = if change.has_failed { "failed" } else { "recovered" };
        let after_ms = rounded(change.after.as_secs_f64() * 1000.0);
        Self { time, vip: target.vip.to_string(), change: name, after_ms, error: &change.error }
    }
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Rounded down, so that 100 means every flow.
pub fn floored(percent: f64) -> f64 {
    (percent * 100.0).floor() / 100.0
}

/// RFC 3339 in UTC, with milliseconds.
fn milliseconds<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}
