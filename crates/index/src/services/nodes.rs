//! The Nodes as servers of pools that follow a Service, and their settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use crate::object::NodeObject;
use maglev_crd::{self as crd, DRAIN_ANNOTATION, DrainSpec, DrainTrigger, NodeCheckType, NodeHealthCheck};
use maglev_model::{
    Name,
    config::{Check, ConnectionMode, HealthCheck, Http, HttpMethod, Probe, Revision, StatusRange},
    derived::DerivedName,
    drain::DrainConf,
    vip::Family,
};

/// The name of the health check of Nodes. No HealthCheck can have it.
const NODE_CHECK: &str = "node:health-check";
/// The label of Nodes that take no traffic from load balancers.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// The settings of pools that follow a Service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSettings {
    pub check: NodeHealthCheck,
    /// Labels that a Node must have.
    pub selector: BTreeMap<String, String>,
    /// States that drain a Node.
    pub drain_on: Vec<DrainTrigger>,
}

impl From<&crd::Services> for ServiceSettings {
    fn from(crd::Services { node_health_check, node_selector, drain_on }: &crd::Services) -> Self {
        Self {
            check: node_health_check.clone(),
            selector: node_selector.clone().unwrap_or_default(),
            drain_on: drain_on.clone(),
        }
    }
}

/// A derived Backend gets no new flows, keeps its flows, and is not probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pause {
    /// The reason, human-readable.
    pub cause: Arc<str>,
    pub drain: DrainConf,
}

/// A Node that takes traffic, as server of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeServer {
    pub name: DerivedName,
    pub address: IpAddr,
    /// Set while the Node is drained.
    pub pause: Option<Arc<Pause>>,
}

/// A stored Node, and the names of its derived Backends, which all pools share.
#[derive(Debug)]
struct Stored {
    object: NodeObject,
    /// The name for its first address and others of that family.
    name: DerivedName,
    /// The name for an address of the other family.
    other: DerivedName,
}

/// All Nodes.
#[derive(Debug, Default)]
pub struct NodeServers {
    servers: BTreeMap<String, Stored>,
    settings: ServiceSettings,
    dirty: bool,
    drains_dirty: bool,
}

impl Stored {
    fn new(object: NodeObject) -> Self {
        let first = object.addresses.first().map_or(Family::V4, |address| Family::from_address(*address));
        let other = match first {
            Family::V4 => Family::V6,
            Family::V6 => Family::V4,
        };
        let (name, other) = (DerivedName::node(&object.name), DerivedName::node_address(&object.name, other));
        Self { object, name, other }
    }
}

impl NodeServers {
    /// Applies a stored Node.
    pub fn apply(&mut self, node: &NodeObject) {
        if self.servers.get(&node.name).is_some_and(|stored| stored.object == *node) {
            return;
        }
        let (addresses, pause) = (self.addresses(&node.name), self.pause(&node.name));
        self.servers.insert(node.name.clone(), Stored::new(node.clone()));
        self.dirty |= addresses != self.addresses(&node.name);
        self.drains_dirty |= pause != self.pause(&node.name);
    }

    /// The addresses of a Node that takes traffic.
    fn addresses(&self, node: &str) -> Option<Vec<IpAddr>> {
        Some(self.eligible(node)?.object.addresses.clone())
    }

    /// Removes a deleted Node.
    pub fn delete(&mut self, node: &str) {
        self.dirty |= self.eligible(node).is_some();
        self.drains_dirty |= self.pause(node).is_some();
        self.servers.remove(node);
    }

    /// The names of all Nodes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// Sets the settings. Returns true if the health check changed.
    pub fn set_settings(&mut self, settings: ServiceSettings) -> bool {
        let is_other_check = self.settings.check != settings.check;
        self.dirty |= self.settings.selector != settings.selector;
        self.drains_dirty |= self.settings.drain_on != settings.drain_on;
        self.settings = settings;
        is_other_check
    }

    /// True if the Nodes that take traffic, or their addresses, changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// True if a Node was drained, or is no longer, since the last call.
    pub fn take_drains_dirty(&mut self) -> bool {
        std::mem::take(&mut self.drains_dirty)
    }

    /// A Node that takes traffic; `None` for other Nodes.
    fn eligible(&self, node: &str) -> Option<&Stored> {
        let stored = self.servers.get(node)?;
        let NodeObject { labels, addresses, .. } = &stored.object;
        let is_selected = self.settings.selector.iter().all(|(label, value)| labels.get(label) == Some(value));
        (is_selected && !labels.contains_key(EXCLUDED) && !addresses.is_empty()).then_some(stored)
    }

    /// The drain of a Node, by its annotation or its state. An annotation that cannot be read drains the Node without a
    /// deadline: its flows stay.
    pub fn pause(&self, node: &str) -> Option<Arc<Pause>> {
        self.pause_by(&self.servers.get(node)?.object)
    }

    fn pause_by(&self, object: &NodeObject) -> Option<Arc<Pause>> {
        let NodeObject { name, drain, unschedulable, .. } = object;
        let drains_if_unschedulable = self.settings.drain_on.contains(&DrainTrigger::Unschedulable);
        let (cause, drain) = match drain.as_deref() {
            Some(value) if value != "false" => match DrainSpec::from_annotation(value) {
                Some(drain) => (format!("Node {name} has the annotation {DRAIN_ANNOTATION}"), DrainConf::from(&drain)),
                None => (
                    format!(
                        "Node {name} has the annotation {DRAIN_ANNOTATION}, whose value is not a deadline such as 10m"
                    ),
                    DrainConf::default(),
                ),
            },
            _ if *unschedulable && drains_if_unschedulable => (
                format!(
                    "Node {name} is unschedulable, and services.drainOn of the LoadBalancerConfig has Unschedulable"
                ),
                DrainConf::default(),
            ),
            _ => return None,
        };
        Some(Arc::new(Pause { cause: cause.into(), drain }))
    }

    /// The derived Backend of a Node that takes traffic, for a VIP of `family`: the first address of that family, else the
    /// first address.
    pub fn server(&self, node: &str, family: Family) -> Option<NodeServer> {
        let Stored { object, name, other } = self.eligible(node)?;
        let first = *object.addresses.first()?;
        let is_wanted = |address: &&IpAddr| Family::from_address(**address) == family;
        let address = object.addresses.iter().find(is_wanted).copied().unwrap_or(first);
        let is_first = Family::from_address(address) == Family::from_address(first);
        let name = if is_first { name } else { other }.clone();
        Some(NodeServer { name, address, pause: self.pause_by(object) })
    }

    /// The names of all Nodes that take traffic.
    pub fn eligible_names(&self) -> BTreeSet<&str> {
        self.names().filter(|node| self.eligible(node).is_some()).collect()
    }

    /// The health check of all Nodes.
    pub fn check(&self) -> Check {
        let NodeHealthCheck { check_type, port, path } = &self.settings.check;
        let port = NonZeroU16::from(*port);
        let probe = match check_type {
            NodeCheckType::None => return Check::None,
            NodeCheckType::Tcp => Probe::Tcp { port, tls: None },
            NodeCheckType::Http => Probe::Http { port, http: request(path), tls: None },
        };
        Check::Probe(Arc::new(HealthCheck {
            name: Name::cluster(NODE_CHECK),
            revision: Revision::default(),
            interval: Duration::from_secs(2),
            fast_interval: Duration::from_secs(2),
            down_interval: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            rise: 2,
            fall: 3,
            probe,
        }))
    }
}

fn request(path: &str) -> Http {
    Http {
        path: path.to_owned(),
        host: None,
        method: HttpMethod::Get,
        connection: ConnectionMode::New,
        expected_statuses: vec![StatusRange { from: 200, to: 399 }],
        expected_text: None,
        expected_body: None,
        headers: Vec::new(),
    }
}
