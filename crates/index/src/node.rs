//! The settings of the agent's own Node, selected from the LoadBalancerConfigs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use ipnet::IpNet;

use super::{
    Work,
    changes::{Changes, ObjectVersion, Record},
    claims::Age,
    object::{Meta, NodeObject},
    policies::DenyList,
    services::ServiceSettings,
};
use maglev_model::{
    Name,
    config::{Kind, NodeConfig, ProbeConf, SyncConf, VppConf},
    problem::{Problem, Reason},
};

/// A LoadBalancerConfig as read from its object.
///
/// An object that does not decode is still selected, so that nodes do not switch to another LoadBalancerConfig until it is
/// corrected: its readable blocks apply, the others have their defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRead {
    /// Labels that a Node must have; `None` if unreadable, so that no Node matches.
    pub selector: Option<BTreeMap<String, String>>,
    pub vpp: VppConf,
    pub sync: SyncConf,
    pub probe: ProbeConf,
    /// `spec.neverAddresses`.
    pub never: Vec<IpNet>,
    /// `spec.services`.
    pub services: Option<ServiceSettings>,
    /// The unreadable parts.
    pub problems: Vec<Problem>,
}

impl NodeRead {
    fn matches(&self, node: &NodeObject) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.iter().all(|(label, value)| node.labels.get(label) == Some(value)))
    }
}

/// The LoadBalancerConfigs that select a Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigSelection<'a> {
    /// The oldest one, which the node uses; `None` for the defaults.
    pub used: Option<&'a Name>,
    /// All others, by age.
    pub overridden: Vec<&'a Name>,
}

struct Entry {
    meta: Meta,
    read: NodeRead,
    record: Record,
}

/// The own Node and all LoadBalancerConfigs.
#[derive(Default)]
pub struct NodeSettings {
    entries: HashMap<Name, Entry>,
    by_age: BTreeSet<Age>,
    /// The own Node as last seen. It is kept if the Node is deleted, since its labels are then unknown, not empty.
    node: Option<NodeObject>,
    pub resolved: Arc<NodeConfig>,
    dirty: bool,
}

impl NodeSettings {
    /// Applies a LoadBalancerConfig.
    pub fn apply(&mut self, meta: Meta, read: NodeRead, first_list: bool) {
        let name = meta.name.clone();
        let mut record = if first_list { Record::for_first_list(&meta.revision) } else { Record::default() };
        if let Some(entry) = self.entries.get(&name)
            && entry.meta == meta
            && entry.read == read
        {
            return;
        }
        if let Some(entry) = self.entries.remove(&name) {
            self.by_age.remove(&entry.meta.age());
            record = entry.record;
        }
        let entry = Entry { meta, read, record };
        self.by_age.insert(entry.meta.age());
        self.entries.insert(name, entry);
        self.dirty = true;
    }

    /// Removes a deleted LoadBalancerConfig.
    pub fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            self.by_age.remove(&entry.meta.age());
            let object = ObjectVersion { kind: Kind::LoadBalancerConfig, name, revision: &entry.meta.revision };
            entry.record.remove(object, changes);
            self.dirty = true;
        }
    }

    /// The names of all LoadBalancerConfigs.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Applies the own Node.
    pub fn apply_node(&mut self, node: NodeObject) {
        if self.node.as_ref() != Some(&node) {
            self.node = Some(node);
            self.dirty = true;
        }
    }

    /// True once the own Node has been seen.
    pub fn has_node(&self) -> bool {
        self.node.is_some()
    }

    /// True if the own Node or a LoadBalancerConfig has changed since the last call of [`Self::settle`].
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The part of the deny list that all LoadBalancerConfigs determine.
    pub fn deny_list(&self, allow_loopback: bool) -> DenyList {
        let reads = || self.entries.values().map(|entry| &entry.read);
        let v4 = reads().filter_map(|read| read.vpp.ipv4_source.map(IpAddr::V4));
        let v6 = reads().filter_map(|read| read.vpp.ipv6_source.map(IpAddr::V6));
        let mut never: Vec<IpNet> = reads().flat_map(|read| read.never.iter().copied()).collect();
        never.sort();
        never.dedup();
        DenyList { allow_loopback, sources: v4.chain(v6).collect(), never }
    }

    /// The oldest LoadBalancerConfig with settings of Services.
    fn with_services(&self) -> Option<&Entry> {
        let mut entries = self.by_age.iter().filter_map(|age| self.entries.get(&age.name));
        entries.find(|entry| entry.read.services.is_some())
    }

    /// The settings of Services, which apply to the whole cluster.
    pub fn service_settings(&self) -> ServiceSettings {
        self.with_services().and_then(|entry| entry.read.services.clone()).unwrap_or_default()
    }

    /// The addresses of the own Node.
    pub fn own_addresses(&self) -> BTreeSet<IpAddr> {
        self.node.iter().flat_map(|node| node.addresses.iter().copied()).collect()
    }

    /// The LoadBalancerConfigs that select `node`.
    pub fn selection_for(&self, node: &NodeObject) -> ConfigSelection<'_> {
        let selects = |name: &&Name| self.entries.get(*name).is_some_and(|entry| entry.read.matches(node));
        let mut matching = self.by_age.iter().map(|age| &age.name).filter(selects);
        ConfigSelection { used: matching.next(), overridden: matching.collect() }
    }

    /// Selects the LoadBalancerConfig of the own Node. Returns true if the settings changed. Without a Node, only the
    /// problems of each LoadBalancerConfig by itself are determined.
    pub fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> bool {
        if !std::mem::take(&mut self.dirty) {
            return false;
        }
        work.nodes += 1;
        let selection = self.node.as_ref().map(|node| self.selection_for(node)).unwrap_or_default();
        let (used, overridden): (_, Vec<_>) =
            (selection.used.cloned(), selection.overridden.into_iter().cloned().collect());
        let with_services = self.with_services().map(|entry| entry.meta.name.clone());
        for age in &self.by_age {
            let Some(entry) = self.entries.get_mut(&age.name) else { continue };
            let mut problems = entry.read.problems.clone();
            if let (Some(node), Some(used)) = (&self.node, &used)
                && overridden.contains(&age.name)
            {
                problems.push(conflicted(&age.name, used, &node.name));
            }
            if let Some(used) = with_services.as_ref().filter(|used| **used != age.name)
                && entry.read.services.is_some()
            {
                problems.push(overridden_services(&age.name, used));
            }
            let in_effect = problems.is_empty();
            let object =
                ObjectVersion { kind: Kind::LoadBalancerConfig, name: &age.name, revision: &entry.meta.revision };
            entry.record.settle(object, in_effect, problems, changes);
        }
        let Some(node) = &self.node else { return false };
        let config = node_config(node, used.and_then(|name| self.entries.get(&name)));
        let changed = *self.resolved != config;
        if changed {
            self.resolved = Arc::new(config);
        }
        changed
    }

    /// The problems of the LoadBalancerConfig `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

fn node_config(node: &NodeObject, used: Option<&Entry>) -> NodeConfig {
    let read = used.map(|entry| &entry.read);
    NodeConfig {
        load_balancer_config: used.map(|entry| entry.meta.name.clone()),
        internal_ipv4: node.addresses.iter().find_map(|address| match address {
            IpAddr::V4(address) => Some(*address),
            IpAddr::V6(_) => None,
        }),
        internal_ipv6: node.addresses.iter().find_map(|address| match address {
            IpAddr::V6(address) => Some(*address),
            IpAddr::V4(_) => None,
        }),
        vpp: read.map(|read| read.vpp.clone()).unwrap_or_default(),
        sync: read.map(|read| read.sync.clone()).unwrap_or_default(),
        probe: read.map(|read| read.probe.clone()).unwrap_or_default(),
    }
}

fn conflicted(name: &Name, winner: &Name, node: &str) -> Problem {
    const FIELD: &str = "spec.nodeSelector";
    let message = format!(
        "LoadBalancerConfig {name}: {FIELD} selects Node {node:?}, which uses the older LoadBalancerConfig {winner}; a \
         node uses exactly one"
    );
    Problem::new(Reason::Conflicted, FIELD, message)
}

/// The problem of settings of Services that do not apply.
fn overridden_services(name: &Name, used: &Name) -> Problem {
    const FIELD: &str = "spec.services";
    let message = format!(
        "LoadBalancerConfig {name}: {FIELD} has no effect, because the older LoadBalancerConfig {used} has it, too, and it \
         applies to the whole cluster: remove it from one of them"
    );
    Problem::new(Reason::Invalid, FIELD, message)
}
