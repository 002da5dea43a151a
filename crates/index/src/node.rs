//! The agent's own Node and the LoadBalancerConfigs: which one it uses, and what follows.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use super::{
    Work,
    changes::{Changes, Record},
    claims::Age,
    object::{Meta, NodeObject},
};
use maglev_model::{
    Name,
    config::{Kind, NodeConfig, ProbeConf, SyncConf, VppConf},
    problem::{Problem, Reason},
};

/// A LoadBalancerConfig as it was read.
///
/// One that does not decode keeps its place, so that no node changes over to another while somebody
/// mends it: what can be read of it holds, the rest has the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeRead {
    /// Labels that a Node has to have; `None` where they cannot be read, so that it matches none.
    pub selector: Option<BTreeMap<String, String>>,
    pub vpp: VppConf,
    pub sync: SyncConf,
    pub probe: ProbeConf,
    /// What could not be read of it.
    pub problems: Vec<Problem>,
}

impl NodeRead {
    fn matches(&self, node: &NodeObject) -> bool {
        self.selector
            .as_ref()
            .is_some_and(|selector| selector.iter().all(|(label, value)| node.labels.get(label) == Some(value)))
    }
}

/// Which LoadBalancerConfig a node has to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// The oldest that selects it; `None` = the defaults.
    pub used: Option<&'a Name>,
    /// The others that select it, by age.
    pub in_vain: Vec<&'a Name>,
}

struct Entry {
    meta: Meta,
    read: NodeRead,
    record: Record,
}

impl Entry {
    fn age(&self) -> Age {
        Age { created: self.meta.created, name: self.meta.name.clone() }
    }
}

/// The own Node and all LoadBalancerConfigs.
#[derive(Default)]
pub struct NodeState {
    entries: HashMap<Name, Entry>,
    by_age: BTreeSet<Age>,
    /// The own Node as last seen; one that was deleted is unknown, not without labels.
    node: Option<NodeObject>,
    pub resolved: Arc<NodeConfig>,
    dirty: bool,
}

impl NodeState {
    /// Takes in a LoadBalancerConfig.
    pub fn apply(&mut self, meta: Meta, read: NodeRead, first_list: bool) {
        let name = meta.name.clone();
        let mut record = if first_list { Record::of_first_list(&meta.revision) } else { Record::default() };
        if let Some(entry) = self.entries.get(&name)
            && entry.meta == meta
            && entry.read == read
        {
            return;
        }
        if let Some(entry) = self.entries.remove(&name) {
            self.by_age.remove(&entry.age());
            record = entry.record;
        }
        let entry = Entry { meta, read, record };
        self.by_age.insert(entry.age());
        self.entries.insert(name, entry);
        self.dirty = true;
    }

    /// Forgets a deleted LoadBalancerConfig.
    pub fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            self.by_age.remove(&entry.age());
            entry.record.remove((Kind::LoadBalancerConfig, name, &entry.meta.revision), changes);
            self.dirty = true;
        }
    }

    /// The names of all LoadBalancerConfigs.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Takes in the own Node.
    pub fn apply_node(&mut self, node: NodeObject) {
        if self.node.as_ref() != Some(&node) {
            self.node = Some(node);
            self.dirty = true;
        }
    }

    /// Whether the own Node has been seen.
    pub fn has_node(&self) -> bool {
        self.node.is_some()
    }

    /// Which LoadBalancerConfig `node` has to use, and which others select it in vain.
    pub fn chosen_for(&self, node: &NodeObject) -> Chosen<'_> {
        let selects = |name: &&Name| self.entries.get(*name).is_some_and(|entry| entry.read.matches(node));
        let mut matching = self.by_age.iter().map(|age| &age.name).filter(selects);
        Chosen { used: matching.next(), in_vain: matching.collect() }
    }

    /// Decides which LoadBalancerConfig is used. Returns whether what follows changed. Without a node only what
    /// is wrong with each by itself is told.
    pub fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> bool {
        if !std::mem::take(&mut self.dirty) {
            return false;
        }
        work.nodes += 1;
        let chosen = self.node.as_ref().map(|node| self.chosen_for(node)).unwrap_or_default();
        let (used, in_vain): (_, Vec<_>) = (chosen.used.cloned(), chosen.in_vain.into_iter().cloned().collect());
        for age in &self.by_age {
            let Some(entry) = self.entries.get_mut(&age.name) else { continue };
            let mut problems = entry.read.problems.clone();
            if let (Some(node), Some(used)) = (&self.node, &used)
                && in_vain.contains(&age.name)
            {
                problems.push(conflicted(&age.name, used, &node.name));
            }
            let in_effect = problems.is_empty();
            let object = (Kind::LoadBalancerConfig, &age.name, &entry.meta.revision);
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
