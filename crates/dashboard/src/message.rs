//! The messages of the event stream, and the filter that selects those of one client.

mod data;
mod node_patch;

use std::{collections::BTreeSet, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

pub(crate) use self::data::{
    BeatList, Heartbeat, Hello, Line, Log, NodePatch, ObjectChange, ResyncNotice, SummaryPatch, Tick, WatchedBeats,
};
pub use self::node_patch::{NodePatchBuilder, NodePatchText, Part};
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
    data: Data,
}

#[derive(Debug)]
enum Data {
    /// A message that is sent as a whole.
    Encoded(Bytes),
    /// A node's patch, of which a client gets the parts that it shows.
    Node {
        as_of: Option<Position>,
        patch: NodePatchText,
        /// The whole message, once a client shows the node.
        encoded: OnceLock<Bytes>,
    },
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
        Self::encoded(Topic::Summary, &SummaryPatch { as_of, patch })
    }

    /// A node's document changed.
    pub fn node(node: Arc<str>, as_of: Option<Position>, patch: NodePatchText) -> Self {
        Self::new(Topic::Node(node), Data::Node { as_of, patch, encoded: OnceLock::new() })
    }

    /// An object changed; `info` is `None` if it was deleted.
    pub fn object(key: &ObjectKey, info: Option<&ObjectInfo>) -> Self {
        let data = ObjectChange { key: format!("{} {}", key.kind.as_str(), key.name), object: info };
        Self::encoded(Topic::Object(key.clone()), &data)
    }

    /// Events of an agent.
    pub fn log<'l>(node: Arc<str>, epoch: u64, lines: impl IntoIterator<Item = &'l maglev_fleet::Line>) -> Self {
        let lines = lines.into_iter().map(Line::from).collect();
        let data = patch::to_bytes(&Log { node: &node, epoch: format!("{epoch:x}"), lines });
        Self::new(Topic::Log(node), Data::Encoded(data))
    }

    fn encoded(topic: Topic, data: &impl Serialize) -> Self {
        Self::new(topic, Data::Encoded(patch::to_bytes(data)))
    }

    fn new(topic: Topic, data: Data) -> Self {
        Self(Arc::new(Inner { topic, data }))
    }

    /// Size of the text in bytes.
    pub fn size(&self) -> usize {
        match &self.0.data {
            Data::Encoded(data) => data.len(),
            Data::Node { patch, .. } => patch.as_str().len(),
        }
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
    pub fn data(&self) -> Value {
        serde_json::from_slice(&self.whole()).expect("JSON")
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
        match &self.0.data {
            Data::Encoded(data) => data.clone(),
            Data::Node { patch, encoded, .. } => encoded.get_or_init(|| self.node_message(patch)).clone(),
        }
    }

    /// The parts of a node's patch about open Frontends, and about the Backends and HealthChecks of their namespaces.
    fn reduced(&self, open: &BTreeSet<Name>) -> Option<Bytes> {
        match &self.0.data {
            Data::Encoded(_) => None,
            Data::Node { patch, .. } => Some(self.node_message(&patch.reduced(open)?)),
        }
    }

    fn node_message(&self, patch: &NodePatchText) -> Bytes {
        let (Topic::Node(node), Data::Node { as_of, .. }) = (&self.0.topic, &self.0.data) else { return Bytes::new() };
        let patch: Option<&RawValue> = serde_json::from_str(patch.as_str()).ok();
        patch::to_bytes(&NodePatch { node, as_of: *as_of, patch })
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
        let mut builder = NodePatchBuilder::default();
        for (part, key) in [(Part::Frontends, "frontends"), (Part::Backends, "backends")] {
            for (name, patch) in patch[key].as_object().unwrap() {
                builder.add(part, &name.as_str().into(), patch);
            }
        }
        let rest = [("vpp".to_owned(), patch["vpp"].clone())].into_iter().collect();
        let message = Message::node("node-a".into(), None, builder.finish(&rest).unwrap());
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
