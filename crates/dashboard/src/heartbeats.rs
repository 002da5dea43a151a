//! Collects probe events of one node between two messages to one page. Only the last event of each Backend is kept.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::{
    message::{BeatList, ClientFilter, Heartbeat, LogFilter, Message},
    patch,
};
use maglev_fleet::{FollowedLines, Line};
use maglev_model::Name;

/// Largest number of buffered lines for the debug panel.
const MAX_LINES: usize = 500;

/// Probe events of one node for one page.
#[derive(Debug)]
pub struct Heartbeats {
    node: String,
    debug: bool,
    pending: Mutex<Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    names: BTreeSet<Name>,
    beats: BTreeMap<String, Heartbeat>,
    lines: Vec<Line>,
    epoch: u64,
}

impl Heartbeats {
    /// `debug` also keeps the log lines.
    pub fn new(node: String, debug: bool) -> Self {
        Self { node, debug, pending: Mutex::default() }
    }

    pub fn node(&self) -> &str {
        &self.node
    }

    /// Replaces the Backends that the page shows.
    pub fn set_backends(&self, names: BTreeSet<Name>) {
        self.pending().names = names;
    }

    /// Adds the probe events of an agent.
    pub fn add(&self, probes: &FollowedLines) {
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
            if let Some(beat) = Heartbeat::from_line(line) {
                pending.beats.insert(backend.to_string(), beat);
            }
            if self.debug && pending.lines.len() < MAX_LINES {
                pending.lines.push(line.clone());
            }
        }
    }

    /// Removes and returns the names and data of at most two messages.
    pub fn take_messages(&self) -> Vec<(&'static str, Bytes)> {
        let (beats, lines, epoch) = {
            let mut pending = self.pending();
            (std::mem::take(&mut pending.beats), std::mem::take(&mut pending.lines), pending.epoch)
        };
        let mut messages = Vec::new();
        if !beats.is_empty() {
            messages.push(("beats", patch::to_bytes(&BeatList { node: &self.node, beats })));
        }
        if !lines.is_empty() {
            let all = ClientFilter { log: Some(LogFilter::All), ..ClientFilter::default() };
            let message = Message::log(Arc::from(&*self.node), epoch, &lines);
            messages.extend(message.for_client(&all).map(|data| (message.event(), data)));
        }
        messages
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock()
    }
}

impl Heartbeat {
    fn from_line(line: &Line) -> Option<Self> {
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

fn attribute<'l>(line: &'l Line, name: &str) -> Option<&'l str> {
    line.attributes.iter().find(|(key, _)| **key == *name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

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
    fn only_the_last_probe_event_of_each_shown_backend_is_sent() {
        let beats = Heartbeats::new("node-a".into(), true);
        beats.set_backends([Name::from("shop/web-1")].into());
        let done = [("backend", "shop/web-1"), ("code", "L7OK"), ("result", "success"), ("duration-ms", "1.250")];
        let lines = vec![
            line("probe-start", &[("backend", "shop/web-1")]),
            line("probe-start", &[("backend", "shop/web-2")]),
            line("probe-done", &done),
        ];
        beats.add(&probes("node-b", lines.clone()));
        assert!(beats.take_messages().is_empty(), "events of another node");
        beats.add(&probes("node-a", lines));
        let messages = beats.take_messages();
        let messages: Vec<(_, Value)> =
            messages.iter().map(|(event, data)| (*event, serde_json::from_slice(data).expect("JSON"))).collect();
        let beat = json!({"phase": "done", "code": "L7OK", "ok": true, "ms": 1.25});
        assert_eq!(messages[0], ("beats", json!({"node": "node-a", "beats": {"shop/web-1": beat}})));
        assert_eq!((messages[1].0, messages[1].1["lines"].as_array().map(Vec::len)), ("log", Some(2)));
        assert!(beats.take_messages().is_empty());
    }
}
