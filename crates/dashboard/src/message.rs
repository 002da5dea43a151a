//! What the stream carries: messages as they are kept and handed on, and who wants which.

use std::{collections::BTreeSet, sync::Arc, sync::OnceLock};

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::document::{ObjectInfo, Place, Places};
use maglev_fleet::Line;
use maglev_kube::objects::{ObjectKey, ObjectKind};
use maglev_model::{Name, event::Level};

/// A message for those who want it.
#[derive(Clone, Debug)]
pub struct Message(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topic: Topic,
    data: Value,
    encoded: OnceLock<Bytes>,
}

/// What a message is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Topic {
    Summary,
    Node(Arc<str>),
    Object(ObjectKey),
    Log(Arc<str>),
}

/// What a page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// The node whose tab is open.
    pub(crate) node: Option<String>,
    /// Frontends that are open, of every node.
    pub(crate) open: BTreeSet<Name>,
    pub(crate) log: Option<Log>,
}

impl Interest {
    /// Whether the object is of a kind and in a place that the page shows: what is about a node is on its tab, what is
    /// about Frontends is in their namespace.
    fn has(&self, ObjectKey { kind, name }: &ObjectKey) -> bool {
        match kind {
            ObjectKind::MaglevNode => self.node.as_deref() == Some(name.as_str()),
            ObjectKind::LoadBalancerConfig => self.node.is_some(),
            ObjectKind::Backend | ObjectKind::Frontend | ObjectKind::HealthCheck => {
                self.open.iter().any(|open| open.namespace() == name.namespace())
            }
        }
    }
}

/// Whose events a page shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Log {
    All,
    Node(String),
}

impl Message {
    /// The summary is no more what it was.
    pub fn summary(as_of: &Places, patch: Value) -> Self {
        let mut data = json!({});
        data["patch"] = patch;
        if !as_of.is_empty() {
            data["as_of"] = json!(as_of);
        }
        Self::new(Topic::Summary, data)
    }

    /// A node's document is no more what it was.
    pub fn node(node: Arc<str>, as_of: Option<Place>, patch: Value) -> Self {
        let mut data = json!({ "node": node });
        data["patch"] = patch;
        if let Some(as_of) = as_of {
            data["as_of"] = json!(as_of);
        }
        Self::new(Topic::Node(node), data)
    }

    /// An object is so now; without `info` it is gone.
    pub fn object(key: &ObjectKey, info: Option<&ObjectInfo>) -> Self {
        let mut data = json!({ "key": format!("{} {}", key.kind.as_str(), key.name) });
        if let Some(info) = info {
            data["object"] = json!(info);
        }
        Self::new(Topic::Object(key.clone()), data)
    }

    /// Lines of an agent's log.
    pub fn log<'l>(node: Arc<str>, epoch: u64, lines: impl IntoIterator<Item = &'l Line>) -> Self {
        let lines: Vec<_> = lines.into_iter().map(LineDetail::from).collect();
        let data = json!({ "node": node, "epoch": format!("{epoch:x}"), "lines": lines });
        Self::new(Topic::Log(node), data)
    }

    fn new(topic: Topic, data: Value) -> Self {
        Self(Arc::new(Inner { topic, data, encoded: OnceLock::new() }))
    }

    /// Its name on the stream.
    pub fn event(&self) -> &'static str {
        match &self.0.topic {
            Topic::Summary => "summary",
            Topic::Node(_) => "node",
            Topic::Object(_) => "object",
            Topic::Log(_) => "log",
        }
    }

    /// What it says, whole.
    #[cfg(test)]
    pub fn data(&self) -> &Value {
        &self.0.data
    }

    /// The part of it that is for a page with this interest. Whole messages are encoded once for all.
    pub fn for_page(&self, interest: &Interest) -> Option<Bytes> {
        match &self.0.topic {
            Topic::Summary => Some(self.whole()),
            Topic::Node(node) if interest.node.as_deref() == Some(&**node) => Some(self.whole()),
            Topic::Node(_) if interest.open.is_empty() => None,
            Topic::Node(_) => self.cut_down(&interest.open),
            Topic::Object(key) => interest.has(key).then(|| self.whole()),
            Topic::Log(node) => match &interest.log {
                Some(Log::All) => Some(self.whole()),
                Some(Log::Node(wanted)) => (*wanted == **node).then(|| self.whole()),
                None => None,
            },
        }
    }

    fn whole(&self) -> Bytes {
        self.0.encoded.get_or_init(|| self.0.data.to_string().into()).clone()
    }

    /// What of a node's patch is about open frontends, and about the backends and checks of their namespaces.
    fn cut_down(&self, open: &BTreeSet<Name>) -> Option<Bytes> {
        let whole = self.0.data.get("patch")?.as_object()?;
        let is_open = |name: &str| open.iter().any(|open| open.as_str() == name);
        let is_near = |name: &str| {
            let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
            open.iter().any(|open| open.namespace() == namespace)
        };
        let mut patch = Map::new();
        keep(&mut patch, whole, "frontends", is_open);
        keep(&mut patch, whole, "backends", is_near);
        keep(&mut patch, whole, "health_checks", is_near);
        let mut data = self.0.data.as_object()?.iter().filter(|(key, _)| *key != "patch");
        let mut rest: Map<String, Value> = data.by_ref().map(|(key, value)| (key.clone(), value.clone())).collect();
        let wanted = !patch.is_empty();
        rest.insert("patch".into(), patch.into());
        wanted.then(|| Value::Object(rest).to_string().into())
    }
}

fn keep(into: &mut Map<String, Value>, whole: &Map<String, Value>, part: &str, wanted: impl Fn(&str) -> bool) {
    let entries = whole.get(part).and_then(Value::as_object).into_iter().flatten();
    let kept: Map<_, _> =
        entries.filter(|(name, _)| wanted(name)).map(|(name, of)| (name.clone(), of.clone())).collect();
    if !kept.is_empty() {
        into.insert(part.to_owned(), kept.into());
    }
}

/// A line of an agent's log.
#[derive(Serialize)]
struct LineDetail<'l> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    time: super::document::Time,
    level: &'static str,
    name: &'l str,
    attributes: Vec<(&'l str, &'l str)>,
}

impl<'l> From<&'l Line> for LineDetail<'l> {
    fn from(line: &'l Line) -> Self {
        Self {
            seq: line.seq,
            time: super::document::Time(line.time),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn interest(node: &str, open: &[&str]) -> Interest {
        let open = open.iter().map(|name| Name::from(*name)).collect();
        Interest { node: (!node.is_empty()).then(|| node.to_owned()), open, log: None }
    }

    fn told(message: &Message, interest: &Interest) -> Option<Value> {
        message.for_page(interest).map(|data| serde_json::from_slice(&data).expect("JSON"))
    }

    #[test]
    fn a_page_gets_what_it_shows() {
        let patch = json!({
            "frontends": {"shop/web": {"state": "down"}, "shop/api": {"state": "up"}},
            "backends": {"shop/web-1": {"state": "down"}, "blog/www-1": {"state": "up"}},
            "vpp": {"vips": 3},
        });
        let message = Message::node("node-a".into(), None, patch.clone());
        assert_eq!(told(&message, &interest("node-a", &[])), Some(json!({"node": "node-a", "patch": patch})));
        assert_eq!(told(&message, &interest("node-b", &[])), None);
        let cut = json!({"frontends": {"shop/web": {"state": "down"}}, "backends": {"shop/web-1": {"state": "down"}}});
        let open = interest("node-b", &["shop/web"]);
        assert_eq!(told(&message, &open), Some(json!({"node": "node-a", "patch": cut})));
        assert_eq!(told(&message, &interest("", &["other/web"])), None);
    }

    #[test]
    fn an_object_is_for_the_tab_of_its_node_or_for_who_opened_a_frontend_beside_it() {
        let of = |kind, name: &str| Message::object(&ObjectKey { kind, name: name.into() }, None);
        let node = of(ObjectKind::MaglevNode, "node-a");
        assert_eq!(told(&node, &interest("node-a", &[])), Some(json!({"key": "MaglevNode node-a"})));
        assert_eq!(told(&node, &interest("node-b", &["shop/web"])), None);
        let config = of(ObjectKind::LoadBalancerConfig, "edge");
        assert!(told(&config, &interest("node-a", &[])).is_some() && told(&config, &interest("", &[])).is_none());
        let backend = of(ObjectKind::Backend, "shop/web-1");
        assert!(told(&backend, &interest("", &["shop/web"])).is_some());
        assert!(told(&backend, &interest("node-a", &["blog/www"])).is_none());
    }

    #[test]
    fn a_log_is_for_who_asked_for_it() {
        let message = Message::log("node-a".into(), 0xab, []);
        let with = |log| Interest { log, ..Interest::default() };
        let expected = Some(json!({"node": "node-a", "epoch": "ab", "lines": []}));
        assert_eq!(told(&message, &with(Some(Log::All))), expected);
        assert_eq!(told(&message, &with(Some(Log::Node("node-a".into())))), expected);
        assert_eq!(told(&message, &with(Some(Log::Node("node-b".into())))), None);
        assert_eq!(told(&message, &with(None)), None);
    }
}
