//! The data of the messages, as they are serialized.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, value::RawValue};

use crate::document::{ObjectInfo, Position, Positions, Time};
use maglev_model::event::Level;

/// The first message of a stream.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Hello<'m> {
    /// The positions of the agents at the start of the stream.
    #[cfg_attr(test, ts(as = "BTreeMap<String, Position>"))]
    pub(crate) nodes: &'m Positions,
    pub(crate) now: Time,
    /// The process, in hexadecimal.
    pub(crate) replica: String,
    /// Missed messages follow, so documents need not be fetched again.
    pub(crate) resumed: bool,
    pub(crate) version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) beats: Option<WatchedBeats>,
}

/// Numbers of Backends whose probes the page requests, and receives.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct WatchedBeats {
    #[serde(rename = "asked")]
    pub(crate) requested: usize,
    pub(crate) watched: usize,
}

/// A change to the summary.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct SummaryPatch<'m> {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, ts(as = "Option<BTreeMap<String, Position>>"))]
    pub(crate) as_of: Option<&'m Positions>,
    /// A JSON merge patch (RFC 7396).
    #[cfg_attr(test, ts(type = "unknown"))]
    pub(crate) patch: Value,
}

/// A change to the document of one node.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct NodePatch<'m> {
    pub(crate) node: &'m str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) as_of: Option<Position>,
    /// A JSON merge patch (RFC 7396).
    #[cfg_attr(test, ts(type = "unknown"))]
    pub(crate) patch: Option<&'m RawValue>,
}

/// A change to an object.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ObjectChange<'m> {
    /// Kind and name.
    pub(crate) key: String,
    /// Absent if the object was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<&'m ObjectInfo>,
}

/// New lines of an agent's log.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Log<'m> {
    pub(crate) node: &'m str,
    pub(crate) epoch: String,
    pub(crate) lines: Vec<Line<'m>>,
}

/// A line of an agent's log.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Line<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    time: Time,
    #[cfg_attr(test, ts(type = r#""debug" | "info" | "warn" | "error""#))]
    level: &'static str,
    name: &'l str,
    attributes: Vec<(&'l str, &'l str)>,
}

impl<'l> From<&'l maglev_fleet::Line> for Line<'l> {
    fn from(line: &'l maglev_fleet::Line) -> Self {
        Self {
            seq: line.seq,
            time: Time(line.time),
            level: match line.level {
                Level::Debug => "debug",
                Level::Info => "info",
                Level::Warn => "warn",
                Level::Error => "error",
            },
            name: &line.name,
            attributes: line.attributes.iter().map(|(key, value)| (&**key, value.as_str())).collect(),
        }
    }
}

/// The latest probe events of Backends, by name.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct BeatList<'m> {
    pub(crate) node: &'m str,
    pub(crate) beats: BTreeMap<String, Heartbeat>,
}

/// The last event of a Backend's probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Heartbeat {
    #[cfg_attr(test, ts(type = r#""start" | "done""#))]
    pub(crate) phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// True if the probe succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ms: Option<f64>,
}

/// The time of a keep-alive.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct Tick {
    pub(crate) now: Time,
}

/// Requests that the page fetches all documents again.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ResyncNotice {
    #[cfg_attr(test, ts(type = r#""too-old" | "other-replica""#))]
    pub(crate) reason: &'static str,
}
