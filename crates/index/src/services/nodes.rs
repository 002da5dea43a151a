//! The Nodes as servers of pools that follow a Service, and their settings.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    num::NonZeroU16,
    sync::Arc,
    time::Duration,
};

use crate::object::NodeObject;
use maglev_crd::{self as crd, NodeCheckType, NodeHealthCheck};
use maglev_model::{
    Name,
    config::{Check, ConnectionMode, HealthCheck, Http, HttpMethod, Probe, Revision, StatusRange},
    derived::DerivedName,
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
}

impl From<&crd::Services> for ServiceSettings {
    fn from(crd::Services { node_health_check, node_selector }: &crd::Services) -> Self {
        Self { check: node_health_check.clone(), selector: node_selector.clone().unwrap_or_default() }
    }
}

/// The fields of a Node that decide on its traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    labels: BTreeMap<String, String>,
    addresses: Vec<IpAddr>,
}

/// All Nodes.
#[derive(Debug, Default)]
pub struct NodeServers {
    servers: BTreeMap<String, Server>,
    settings: ServiceSettings,
    dirty: bool,
}

impl NodeServers {
    /// Applies a stored Node.
    pub fn apply(&mut self, node: &NodeObject) {
        let server = Server { labels: node.labels.clone(), addresses: node.addresses.clone() };
        if self.servers.get(&node.name) == Some(&server) {
            return;
        }
        let before = self.eligible(&node.name).map(<[IpAddr]>::to_vec);
        self.servers.insert(node.name.clone(), server);
        self.dirty |= before.as_deref() != self.eligible(&node.name);
    }

    /// Removes a deleted Node.
    pub fn delete(&mut self, node: &str) {
        self.dirty |= self.eligible(node).is_some();
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
        self.settings = settings;
        is_other_check
    }

    /// True if the Nodes that take traffic, or their addresses, changed since the last call.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.dirty)
    }

    /// The addresses of a Node that takes traffic; `None` for other Nodes.
    fn eligible(&self, node: &str) -> Option<&[IpAddr]> {
        let Server { labels, addresses } = self.servers.get(node)?;
        let is_selected = self.settings.selector.iter().all(|(label, value)| labels.get(label) == Some(value));
        (is_selected && !labels.contains_key(EXCLUDED) && !addresses.is_empty()).then_some(addresses.as_slice())
    }

    /// The derived Backend of a Node that takes traffic, for a VIP of `family`: the first address of that family, else the
    /// first address.
    pub fn server(&self, node: &str, family: Family) -> Option<(DerivedName, IpAddr)> {
        let addresses = self.eligible(node)?;
        let first = *addresses.first()?;
        let is_wanted = |address: &&IpAddr| Family::from_address(**address) == family;
        let address = addresses.iter().find(is_wanted).copied().unwrap_or(first);
        let name = if Family::from_address(address) == Family::from_address(first) {
            DerivedName::node(node)
        } else {
            DerivedName::node_address(node, family)
        };
        Some((name, address))
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
