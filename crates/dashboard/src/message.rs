//! The messages of the event stream, and the filter that selects those of one client.

mod data;

use std::{collections::BTreeSet, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use serde_json::{Map, Value};

pub(crate) use self::data::{
    BeatList, Heartbeat, Hello, Line, Log, NodePatch, ObjectChange, ResyncNotice, SummaryPatch, Tick, WatchedBeats,
};
use super::{
    document::{ObjectInfo, Position, Positions},
    patch,
};
use maglev_kube::objects::{ObjectKey, ObjectKind};
use maglev_model::Name;

/// A message to clients; cheap to clone.
#[derive(Clone, Debug)]
pub struct Message(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topic: Topic,
    data: Value,
    encoded: OnceLock<Bytes>,
}

/// The subject of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Topic {
    Summary,
    Node(Arc<str>),
    Object(ObjectKey),
    Log(Arc<str>),
}

/// The subjects that one client shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// The node whose tab is open.
    pub(crate) node: Option<String>,
    /// Frontends that are open, on every node.
    pub(crate) open: BTreeSet<Name>,
    pub(crate) log: Option<LogFilter>,
}

impl ClientFilter {
    /// True for objects that the page shows: those of the open node, and those in the namespaces of open Frontends.
    fn shows(&self, ObjectKey { kind, name }: &ObjectKey) -> bool {
        match kind {
            ObjectKind::MaglevNode => self.node.as_deref() == Some(name.as_str()),
            ObjectKind::LoadBalancerConfig => self.node.is_some(),
            ObjectKind::Backend | ObjectKind::Frontend | ObjectKind::HealthCheck => {
                self.open.iter().any(|open| open.namespace() == name.namespace())
            }
        }
    }
}

/// The nodes whose events a client shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFilter {
    All,
    Node(String),
}

impl Message {
    /// The summary changed.
    pub fn summary(as_of: &Positions, patch: Value) -> Self {
        let as_of = (!as_of.is_empty()).then_some(as_of);
        Self::new(Topic::Summary, patch::to_json(&SummaryPatch { as_of, patch }))
    }

    /// A node's document changed.
    pub fn node(node: Arc<str>, as_of: Option<Position>, patch: Value) -> Self {
        let data = patch::to_json(&NodePatch { node: &node, as_of, patch });
        Self::new(Topic::Node(node), data)
    }

    /// An object changed; `info` is `None` if it was deleted.
    pub fn object(key: &ObjectKey, info: Option<&ObjectInfo>) -> Self {
        let data = ObjectChange { key: format!("{} {}", key.kind.as_str(), key.name), object: info };
        Self::new(Topic::Object(key.clone()), patch::to_json(&data))
    }

    /// Events of an agent.
    pub fn log<'l>(node: Arc<str>, epoch: u64, lines: impl IntoIterator<Item = &'l maglev_fleet::Line>) -> Self {
        let lines = lines.into_iter().map(Line::from).collect();
        let data = patch::to_json(&Log { node: &node, epoch: format!("{epoch:x}"), lines });
        Self::new(Topic::Log(node), data)
    }

    fn new(topic: Topic, data: Value) -> Self {
        Self(Arc::new(Inner { topic, data, encoded: OnceLock::new() }))
    }

    /// The name of the server-sent event.
    pub fn event(&self) -> &'static str {
        match &self.0.topic {
            Topic::Summary => "summary",
            Topic::Node(_) => "node",
            Topic::Object(_) => "object",
            Topic::Log(_) => "log",
        }
    }

    #[cfg(test)]
    pub fn data(&self) -> &Value {
        &self.0.data
    }

    /// The encoded part of the message that passes `filter`; `None` if no part does. Whole messages are encoded once for
    /// all clients.
    pub fn for_client(&self, filter: &ClientFilter) -> Option<Bytes> {
        match &self.0.topic {
            Topic::Summary => Some(self.whole()),
            Topic::Node(node) if filter.node.as_deref() == Some(&**node) => Some(self.whole()),
            Topic::Node(_) if filter.open.is_empty() => None,
            Topic::Node(_) => self.reduced(&filter.open),
            Topic::Object(key) => filter.shows(key).then(|| self.whole()),
            Topic::Log(node) => match &filter.log {
                Some(LogFilter::All) => Some(self.whole()),
                Some(LogFilter::Node(name)) => (*name == **node).then(|| self.whole()),
                None => None,
            },
        }
    }

    fn whole(&self) -> Bytes {
        self.0.encoded.get_or_init(|| self.0.data.to_string().into()).clone()
    }

    /// The parts of a node's patch about open Frontends, and about the Backends and HealthChecks of their namespaces.
    fn reduced(&self, open: &BTreeSet<Name>) -> Option<Bytes> {
        let whole = self.0.data.get("patch")?.as_object()?;
        let is_open = |name: &str| open.iter().any(|open| open.as_str() == name);
        let is_in_namespace = |name: &str| {
            let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
            open.iter().any(|open| open.namespace() == namespace)
        };
        let mut patch = Map::new();
        copy_matching(&mut patch, whole, "frontends", is_open);
        copy_matching(&mut patch, whole, "backends", is_in_namespace);
        copy_matching(&mut patch, whole, "health_checks", is_in_namespace);
        let mut data = self.0.data.as_object()?.iter().filter(|(key, _)| *key != "patch");
        let mut rest: Map<String, Value> = data.by_ref().map(|(key, value)| (key.clone(), value.clone())).collect();
        let has_patch = !patch.is_empty();
        rest.insert("patch".into(), patch.into());
        has_patch.then(|| Value::Object(rest).to_string().into())
    }
}

fn copy_matching(
    into: &mut Map<String, Value>,
    whole: &Map<String, Value>,
    part: &str,
    matches: impl Fn(&str) -> bool,
) {
    let entries = whole.get(part).and_then(Value::as_object).into_iter().flatten();
    let matching: Map<_, _> =
        entries.filter(|(name, _)| matches(name)).map(|(name, value)| (name.clone(), value.clone())).collect();
    if !matching.is_empty() {
        into.insert(part.to_owned(), matching.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(node: &str, open: &[&str]) -> ClientFilter {
        let open = open.iter().map(|name| Name::from(*name)).collect();
        ClientFilter { node: (!node.is_empty()).then(|| node.to_owned()), open, log: None }
    }

    fn sent(message: &Message, filter: &ClientFilter) -> Option<Value> {
        message.for_client(filter).map(|data| serde_json::from_slice(&data).expect("JSON"))
    }

    #[test]
    fn client_gets_the_parts_that_it_shows() {
        let patch = json!({
            "frontends": {"shop/web": {"state": "down"}, "shop/api": {"state": "up"}},
            "backends": {"shop/web-1": {"state": "down"}, "blog/www-1": {"state": "up"}},
            "vpp": {"vips": 3},
        });
        let message = Message::node("node-a".into(), None, patch.clone());
        assert_eq!(sent(&message, &filter("node-a", &[])), Some(json!({"node": "node-a", "patch": patch})));
        assert_eq!(sent(&message, &filter("node-b", &[])), None);
        let cut = json!({"frontends": {"shop/web": {"state": "down"}}, "backends": {"shop/web-1": {"state": "down"}}});
        let open = filter("node-b", &["shop/web"]);
        assert_eq!(sent(&message, &open), Some(json!({"node": "node-a", "patch": cut})));
        assert_eq!(sent(&message, &filter("", &["other/web"])), None);
    }

    #[test]
    fn object_is_sent_to_its_node_tab_and_to_open_frontends_of_its_namespace() {
        let message = |kind, name: &str| Message::object(&ObjectKey { kind, name: name.into() }, None);
        let node = message(ObjectKind::MaglevNode, "node-a");
        assert_eq!(sent(&node, &filter("node-a", &[])), Some(json!({"key": "MaglevNode node-a"})));
        assert_eq!(sent(&node, &filter("node-b", &["shop/web"])), None);
        let config = message(ObjectKind::LoadBalancerConfig, "edge");
        assert!(sent(&config, &filter("node-a", &[])).is_some() && sent(&config, &filter("", &[])).is_none());
        let backend = message(ObjectKind::Backend, "shop/web-1");
        assert!(sent(&backend, &filter("", &["shop/web"])).is_some());
        assert!(sent(&backend, &filter("node-a", &["blog/www"])).is_none());
    }

    #[test]
    fn log_is_sent_to_clients_that_show_it() {
        let message = Message::log("node-a".into(), 0xab, []);
        let with = |log| ClientFilter { log, ..ClientFilter::default() };
        let expected = Some(json!({"node": "node-a", "epoch": "ab", "lines": []}));
        assert_eq!(sent(&message, &with(Some(LogFilter::All))), expected);
        assert_eq!(sent(&message, &with(Some(LogFilter::Node("node-a".into())))), expected);
        assert_eq!(sent(&message, &with(Some(LogFilter::Node("node-b".into())))), None);
        assert_eq!(sent(&message, &with(None)), None);
    }
}
