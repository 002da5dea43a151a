//! What happens to probes between two messages to one page: only the last thing of each backend is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use super::message::{Interest, Message};
use maglev_fleet::{FollowedLines, Line};
use maglev_model::Name;

/// Lines for the debug panel that wait; more than anybody reads in so short a time.
const MAX_LINES: usize = 500;

/// What one page shows of one node's probes.
#[derive(Debug)]
pub struct Beats {
    node: String,
    debug: bool,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    names: BTreeSet<Name>,
    beats: BTreeMap<String, Beat>,
    lines: Vec<Line>,
    epoch: u64,
}

/// The last thing that happened to a backend's probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Beat {
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<f64>,
}

impl Beats {
    /// Nothing of `node` yet; `debug` keeps the lines as well.
    pub fn new(node: String, debug: bool) -> Self {
        Self { node, debug, pending: Mutex::default() }
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// From now on these backends are shown.
    pub fn show(&self, names: BTreeSet<Name>) {
        self.pending().names = names;
    }

    /// Takes what an agent told of its probes.
    pub fn take(&self, probes: &FollowedLines) {
        if *probes.node != *self.node {
            return;
        }
        let mut pending = self.pending();
        pending.epoch = probes.as_of.epoch;
        for line in &probes.lines {
            let Some(backend) = attribute(line, "backend").map(Name::from) else { continue };
            if !pending.names.contains(&backend) {
                continue;
            }
            if let Some(beat) = Beat::of(line) {
                pending.beats.insert(backend.to_string(), beat);
            }
            if self.debug && pending.lines.len() < MAX_LINES {
                pending.lines.push(line.clone());
            }
        }
    }

    /// What came since the last time: the names and data of at most two messages.
    pub fn news(&self) -> Vec<(&'static str, Bytes)> {
        let (beats, lines, epoch) = {
            let mut pending = self.pending();
            (std::mem::take(&mut pending.beats), std::mem::take(&mut pending.lines), pending.epoch)
        };
        let mut news = Vec::new();
        if !beats.is_empty() {
            news.push(("beats", json!({ "node": self.node, "beats": beats }).to_string().into()));
        }
        if !lines.is_empty() {
            let everybody = Interest { log: Some(super::message::Log::All), ..Interest::default() };
            let message = Message::log(Arc::from(&*self.node), epoch, &lines);
            news.extend(message.for_page(&everybody).map(|data| (message.event(), data)));
        }
        news
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Beat {
    fn of(line: &Line) -> Option<Self> {
        match &*line.name {
            "probe-start" => Some(Self { phase: "start", code: None, ok: None, ms: None }),
            "probe-done" => Some(Self {
                phase: "done",
                code: attribute(line, "code").map(ToOwned::to_owned),
                ok: attribute(line, "result").map(|result| result == "success"),
                ms: attribute(line, "duration-ms").and_then(|ms| ms.parse().ok()),
            }),
            _ => None,
        }
    }
}

fn attribute<'l>(line: &'l Line, wanted: &str) -> Option<&'l str> {
    line.attributes.iter().find(|(key, _)| **key == *wanted).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::Value;

    use super::*;
    use maglev_fleet::AsOf;
    use maglev_model::event::Level;

    fn line(name: &str, attributes: &[(&str, &str)]) -> Line {
        let attributes = attributes.iter().map(|(key, value)| ((*key).into(), (*value).to_owned())).collect();
        let time = Timestamp::UNIX_EPOCH;
        Line { seq: None, time, level: Level::Debug, name: name.into(), attributes, change: None }
    }

    fn probes(node: &str, lines: Vec<Line>) -> FollowedLines {
        FollowedLines { node: node.into(), as_of: AsOf { epoch: 7, seq: 1 }, lines }
    }

    #[test]
    fn a_page_is_told_the_last_thing_of_each_backend_that_it_shows() {
        let beats = Beats::new("node-a".into(), true);
        beats.show([Name::from("shop/web-1")].into());
        let done = [("backend", "shop/web-1"), ("code", "L7OK"), ("result", "success"), ("duration-ms", "1.250")];
        let lines = vec![
            line("probe-start", &[("backend", "shop/web-1")]),
            line("probe-start", &[("backend", "shop/web-2")]),
            line("probe-done", &done),
        ];
        beats.take(&probes("node-b", lines.clone()));
        assert!(beats.news().is_empty(), "another node's");
        beats.take(&probes("node-a", lines));
        let news = beats.news();
        let news: Vec<(_, Value)> =
            news.iter().map(|(event, data)| (*event, serde_json::from_slice(data).expect("JSON"))).collect();
        let beat = json!({"phase": "done", "code": "L7OK", "ok": true, "ms": 1.25});
        assert_eq!(news[0], ("beats", json!({"node": "node-a", "beats": {"shop/web-1": beat}})));
        assert_eq!((news[1].0, news[1].1["lines"].as_array().map(Vec::len)), ("log", Some(2)));
        assert!(beats.news().is_empty());
    }
}
