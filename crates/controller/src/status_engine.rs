//! Computes the status of every object. Pure; the clock is a parameter.
//!
//! ```text
//!  objects ─▶ index ─┐
//!  Nodes, pods ──────┼─▶ dirty objects ─▶ action: write this status, create or delete a MaglevNode
//!  agents ─▶ digests ┘                    (none if the stored status is up to date)
//! ```

mod actions;
mod marks;
mod stored;
mod table_differences;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use imbl::OrdMap;
use jiff::Timestamp;
use tokio::{sync::watch, time::Instant};

use super::{
    desired_nodes::DesiredNodes,
    digest::{Digest, ProgramId},
    dirty_key::DirtyKey,
    links::LinkUpdate,
    node_counts::{NodeCounts, NodeView},
    node_status::LinkState,
};
pub use actions::Action;
use maglev_index::{AddressCounts, Coverage, Index, IndexOptions, Object, PolicyCounts};
use maglev_kube::{
    KindUpdate, NamespaceDemand, ObservedNode, SliceDemand, SliceWatch, StatusKind, StoredStatus,
    cluster_watch::BoundPod,
};
use maglev_model::{
    Name,
    change::ConfigDelta,
    config::{Config, Frontend, Kind},
    view::Fold as _,
};
use stored::{Stored, insert_newer, named_backends};
use table_differences::TableDifferences;

/// An object with a status.
pub type Key = (StatusKind, Name);

/// The present time on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub(crate) monotonic: Instant,
    /// For timestamps.
    pub(crate) wall: Timestamp,
}

/// The connection to one node's agent, and its reports.
#[derive(Default)]
struct Agent {
    link: LinkState,
    /// True until the link is removed with the agent's pod. An agent without a link is forgotten with its Node.
    has_link: bool,
    /// `None` until the agent's state has been received.
    digest: Option<Digest>,
}

/// The watches to change after an update; `None` for one that goes on.
#[derive(Debug, Default)]
pub struct Demands {
    /// The number to watch Namespaces with.
    pub(crate) namespaces: Option<Option<u64>>,
    pub(crate) slices: Option<Option<SliceWatch>>,
}

/// Holds everything that the statuses follow from, and the set of objects whose status may be out of date.
///
/// Owned and updated by the task of one term.
pub struct StatusEngine {
    index: Index,
    config_rx: watch::Receiver<Option<Config>>,
    config: Option<Config>,
    stored: HashMap<Key, Stored>,
    nodes: Option<OrdMap<Name, ObservedNode>>,
    pods_listed: bool,
    maglev_nodes_listed: bool,
    desired: DesiredNodes,
    /// Nodes with a MaglevNode, as of the last call of [`Self::update_nodes`].
    present_nodes: BTreeSet<Arc<str>>,
    /// Nodes that are to serve the Frontends, as of that call.
    serving_nodes: BTreeSet<Arc<str>>,
    agents: BTreeMap<Arc<str>, Agent>,
    dirty: HashSet<Key>,
    all_dirty: bool,
    programs: HashMap<Name, (Arc<Frontend>, ProgramId)>,
    counts: HashMap<Name, NodeCounts>,
    /// The numbers of the AddressPolicies, as of the last computation of one of their statuses.
    policy_counts: BTreeMap<Name, PolicyCounts>,
    namespaces: NamespaceDemand,
    /// `None` if EndpointSlices are not watched.
    slices: Option<SliceDemand>,
    tables: TableDifferences,
}

impl StatusEngine {
    /// An engine without objects. `services` is true if EndpointSlices are watched while pools follow a Service.
    pub fn new(allow_loopback: bool, services: bool) -> Self {
        let (index, config_rx) = Index::new(IndexOptions { allow_loopback, services, ..IndexOptions::default() });
        Self {
            index,
            config_rx,
            config: None,
            stored: HashMap::new(),
            nodes: None,
            pods_listed: false,
            maglev_nodes_listed: false,
            desired: DesiredNodes::default(),
            present_nodes: BTreeSet::new(),
            serving_nodes: BTreeSet::new(),
            agents: BTreeMap::new(),
            dirty: HashSet::new(),
            all_dirty: false,
            programs: HashMap::new(),
            counts: HashMap::new(),
            policy_counts: BTreeMap::new(),
            namespaces: NamespaceDemand::default(),
            slices: services.then(SliceDemand::default),
            tables: TableDifferences::default(),
        }
    }

    /// True once all kinds, Nodes, pods and MaglevNodes have been listed.
    pub fn is_listed(&self) -> bool {
        self.config.is_some() && self.nodes.is_some() && self.pods_listed && self.maglev_nodes_listed
    }

    /// The addresses of AddressPolicies that give them to Services, as last counted.
    pub fn policy_addresses(&self) -> impl Iterator<Item = (&Name, AddressCounts)> {
        self.policy_counts.iter().filter_map(|(name, counts)| Some((name, counts.addresses?)))
    }

    /// True if there is an AddressPolicy.
    pub fn has_policies(&self) -> bool {
        self.stored.keys().any(|(kind, _)| *kind == StatusKind::Kind(Kind::AddressPolicy))
    }

    /// The number of nodes that are to serve the Frontends.
    pub fn serving_node_count(&self) -> usize {
        self.serving_nodes.len()
    }

    /// The number of these nodes whose agent's state has not been received.
    pub fn silent_node_count(&self) -> usize {
        let is_silent = |node: &&Arc<str>| self.agents.get(*node).is_none_or(|agent| agent.digest.is_none());
        self.serving_nodes.iter().filter(is_silent).count()
    }

    pub fn connected_agent_count(&self) -> usize {
        self.agents.values().filter(|agent| agent.link == LinkState::Connected).count()
    }

    /// Applies updates of the kinds that users write, of Namespaces and of EndpointSlices.
    pub fn apply_kinds(&mut self, updates: Vec<KindUpdate>) -> Demands {
        let mut affected: BTreeSet<Key> = BTreeSet::new();
        let mut batch = self.index.batch();
        for KindUpdate { kind, services, first, deleted, objects: observed } in updates {
            let has_status = !matches!(kind, Kind::Namespace | Kind::EndpointSlice);
            for name in deleted {
                batch.delete(kind, &name);
                if !has_status {
                    continue;
                }
                let key = (StatusKind::Kind(kind), name);
                self.stored.remove(&key);
                affected.insert(key);
            }
            let mut objects = Vec::with_capacity(observed.len());
            for object in observed {
                if !has_status {
                    objects.push(object.object);
                    continue;
                }
                let key = (StatusKind::Kind(kind), object.object.name());
                let stored = Stored::new(key.0, object.stored, named_backends(&object.object));
                affected.insert(key.clone());
                insert_newer(&mut self.stored, key, stored);
                objects.push(object.object);
            }
            if let (true, Some(services)) = (first, services) {
                batch.reset_slices(Coverage::Services(services), objects);
            } else if first {
                batch.reset(kind, objects);
            } else {
                objects.into_iter().for_each(|object| batch.apply(object));
            }
        }
        let changes = batch.publish();
        affected.extend(changes.problems().map(|changed| (StatusKind::Kind(changed.kind), changed.name.clone())));
        self.follow_config(affected);
        Demands {
            namespaces: self.namespaces.update(&mut self.index),
            slices: self.slices.as_mut().and_then(|slices| slices.update(&mut self.index)),
        }
    }

    /// Marks the affected objects as dirty, and those that the new configuration affects.
    fn follow_config(&mut self, mut affected: BTreeSet<Key>) {
        let config = self.config_rx.borrow_and_update().clone();
        if let Some(config) = config {
            let delta = ConfigDelta::between(self.config.as_ref(), &config);
            self.tables.apply_config(self.config.as_ref(), &delta);
            let key = |kind: Kind| move |name: &Name| (StatusKind::Kind(kind), name.clone());
            affected.extend(delta.backends.iter().map(|(name, _)| name).map(key(Kind::Backend)));
            affected.extend(delta.frontends.iter().map(|(name, _)| name).map(key(Kind::Frontend)));
            affected.extend(delta.health_checks.iter().map(|(name, _)| name).map(key(Kind::HealthCheck)));
            self.config = Some(config);
        }
        let policies = [Kind::Backend, Kind::Frontend, Kind::AddressPolicy].map(StatusKind::Kind);
        if affected.iter().any(|(kind, _)| policies.contains(kind)) {
            self.mark_policies();
        }
        let configs = affected.iter().any(|(kind, _)| *kind == StatusKind::Kind(Kind::LoadBalancerConfig));
        for (kind, name) in affected {
            match kind {
                StatusKind::Kind(Kind::Backend) => self.mark_backend(&name),
                StatusKind::Kind(Kind::Frontend) => {
                    self.programs.remove(&name);
                    self.mark(kind, name);
                }
                _ => self.mark(kind, name),
            }
        }
        if configs {
            self.mark_nodes();
        }
    }

    /// Replaces all Nodes.
    pub fn set_nodes(&mut self, nodes: OrdMap<Name, ObservedNode>, now: Now) {
        let not_ready_since = nodes.iter().map(|(name, node)| (Arc::from(name.as_str()), node.not_ready_since));
        self.desired.set_nodes(not_ready_since.collect());
        let is_first = self.nodes.replace(nodes).is_none();
        // A Node may be registered after its agent has connected, or again while its agent stays connected.
        self.agents.retain(|node, agent| agent.has_link || is_registered(self.nodes.as_ref(), node));
        let mut batch = self.index.batch();
        let objects = self.nodes.iter().flatten().map(|(_, node)| Object::Node(node.object.clone()));
        batch.reset(Kind::Node, objects.collect());
        let changes = batch.publish();
        let affected = changes.problems().map(|changed| (StatusKind::Kind(changed.kind), changed.name.clone()));
        self.follow_config(if is_first { self.stored.keys().cloned().collect() } else { affected.collect() });
        self.update_nodes(now);
        self.mark_nodes();
    }

    /// Replaces all pods of agents.
    pub fn set_pods(&mut self, pods: &OrdMap<Name, BoundPod>, now: Now) {
        self.pods_listed = true;
        let bound = pods.values().map(|pod| Arc::clone(&pod.node)).collect();
        self.desired.set_bound(bound, now.monotonic);
        self.update_nodes(now);
    }

    /// Replaces all MaglevNodes.
    pub fn set_maglev_nodes(&mut self, maglev_nodes: &OrdMap<Name, StoredStatus>, now: Now) {
        if !std::mem::replace(&mut self.maglev_nodes_listed, true) {
            self.desired.inherit(maglev_nodes.keys().map(|name| Arc::from(name.as_str())), now.monotonic);
        }
        let is_deleted = |key: &Key| key.0 == StatusKind::MaglevNode && !maglev_nodes.contains_key(&key.1);
        let deleted: Vec<Key> = self.stored.keys().filter(|key| is_deleted(key)).cloned().collect();
        for key in deleted {
            self.stored.remove(&key);
            self.dirty.insert(key);
        }
        for (name, raw) in maglev_nodes {
            let key = (StatusKind::MaglevNode, name.clone());
            if self.stored.get(&key).is_some_and(|stored| stored.raw == *raw) {
                continue;
            }
            insert_newer(&mut self.stored, key.clone(), Stored::new(key.0, raw.clone(), 0));
            self.dirty.insert(key);
        }
        self.update_nodes(now);
    }

    /// Records a successful write before the watch delivers it.
    pub fn set_written(&mut self, key: Key, written: StoredStatus) {
        let named_backends = self.stored.get(&key).map_or(0, |stored| stored.named_backends);
        if key.0 == StatusKind::MaglevNode || self.stored.contains_key(&key) {
            let stored = Stored::new(key.0, written, named_backends);
            insert_newer(&mut self.stored, key.clone(), stored);
        }
        self.dirty.insert(key);
    }

    pub fn apply_link(&mut self, update: LinkUpdate) {
        if !matches!(update, LinkUpdate::Changes(..)) {
            self.tables.mark_all();
        }
        let agent = self.agents.entry(Arc::clone(update.node())).or_default();
        agent.has_link = !matches!(update, LinkUpdate::Removed(_));
        match update {
            LinkUpdate::Link(node, result) => {
                agent.link = result.map_or_else(LinkState::Failed, |()| LinkState::Connected);
                self.mark(StatusKind::MaglevNode, Name::cluster(&node));
                self.mark_drains();
            }
            LinkUpdate::Removed(node) => {
                agent.link = LinkState::Absent;
                if self.nodes.is_some() && !is_registered(self.nodes.as_ref(), &node) {
                    self.agents.remove(&node);
                }
                self.mark(StatusKind::MaglevNode, Name::cluster(&node));
                self.mark_drains();
            }
            LinkUpdate::Reset(_, mut digest) => {
                if let Some(before) = agent.digest.take() {
                    digest.inherit(&before);
                }
                agent.digest = Some(digest);
                self.mark_all();
            }
            LinkUpdate::Changes(node, changes) => {
                // Changes need a whole state to apply to.
                let Some(digest) = &mut agent.digest else { return };
                let mut dirty = HashSet::new();
                for (change, at) in &changes {
                    digest.apply(change, *at);
                    DirtyKey::extend(&mut dirty, change);
                    self.tables.apply_change(change);
                }
                dirty.into_iter().for_each(|key| self.mark_key(&node, key));
            }
        }
    }

    fn mark_key(&mut self, node: &Arc<str>, key: DirtyKey) {
        match key {
            DirtyKey::Backend(name) => self.mark_backend(&name),
            DirtyKey::HealthCheck(name) => self.mark(StatusKind::Kind(Kind::HealthCheck), name),
            DirtyKey::Frontend(name) => self.mark(StatusKind::Kind(Kind::Frontend), name),
            DirtyKey::Node => self.mark(StatusKind::MaglevNode, Name::cluster(node)),
            DirtyKey::All => self.mark_all(),
        }
    }

    /// Decides which nodes are present and serving. Depends on time, so it must be called periodically.
    pub fn update_nodes(&mut self, now: Now) {
        let present = self.desired.present(now.monotonic);
        let serving = self.desired.desired(now.monotonic, now.wall);
        if present != self.present_nodes {
            let differing: Vec<Arc<str>> = present.symmetric_difference(&self.present_nodes).cloned().collect();
            differing.iter().for_each(|node| self.mark(StatusKind::MaglevNode, Name::cluster(node)));
            self.present_nodes = present;
            self.mark_drains();
        }
        if serving != self.serving_nodes {
            self.serving_nodes = serving;
            self.mark_all();
        }
    }

    /// Compares the tables of VIPs. Depends on time, so it must be called periodically.
    pub fn update_tables(&mut self, now: Now) {
        let nodes = self.tables.update(&self.agents, now.monotonic);
        nodes.into_iter().for_each(|node| self.mark(StatusKind::MaglevNode, Name::cluster(&node)));
    }

    /// Removes and returns the dirty objects.
    pub fn take_dirty(&mut self) -> HashSet<Key> {
        if std::mem::take(&mut self.all_dirty) {
            self.dirty.extend(self.stored.keys().cloned());
            self.mark_nodes();
        }
        std::mem::take(&mut self.dirty)
    }

    /// The nodes that are to serve the Frontends. Borrows only the given fields.
    fn node_views<'a>(
        serving_nodes: &'a BTreeSet<Arc<str>>,
        agents: &'a BTreeMap<Arc<str>, Agent>,
        desired: &DesiredNodes,
    ) -> Vec<NodeView<'a>> {
        let view = |name: &'a Arc<str>| NodeView {
            name,
            digest: agents.get(name).and_then(|agent| agent.digest.as_ref()),
            inherited: desired.is_inherited(name),
        };
        serving_nodes.iter().map(view).collect()
    }
}

/// True if the list of Nodes contains `node`.
fn is_registered(nodes: Option<&OrdMap<Name, ObservedNode>>, node: &str) -> bool {
    nodes.is_some_and(|nodes| nodes.contains_key(&Name::cluster(node)))
}
