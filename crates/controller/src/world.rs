//! All that status follows from, and what follows: pure, but for the clock that is passed in.
//!
//! ```text
//!  objects ─▶ index ─┐
//!  Nodes, pods ──────┼─▶ touched objects ─▶ action: write this status, make or remove that MaglevNode
//!  agents ─▶ digests ┘                       (or nothing, where the status is what is stored)
//! ```

mod actions;
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
    digest::{Digest, Program, Touched},
    links::LinkNews,
    node_status::Link,
    status::Status,
    tally::{NodeView, Tally},
};
pub use actions::Action;
use maglev_index::{Index, IndexOptions, Object};
use maglev_kube::{KindNews, NodeSeen, StoredStatus, cluster_watch::BoundPod, status_writer::Written};
use maglev_model::{
    Name,
    change::{ConfigDelta, Fold as _},
    config::{Config, Frontend, Kind},
};

/// An object with a status.
pub type Key = (Written, Name);

/// Now, on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For how long something lasts.
    pub(crate) monotonic: Instant,
    /// For what is told.
    pub(crate) wall: Timestamp,
}

/// What is stored of an object.
struct Stored {
    raw: StoredStatus,
    status: Status,
    /// Backends that it names, if it is a Frontend.
    named: usize,
}

/// What is known of one node's agent.
#[derive(Default)]
struct Agent {
    link: Link,
    digest: Option<Digest>,
}

/// See the module's text.
pub struct World {
    index: Index,
    config_rx: watch::Receiver<Option<Config>>,
    config: Option<Config>,
    stored: HashMap<Key, Stored>,
    nodes: Option<OrdMap<Name, NodeSeen>>,
    pods_known: bool,
    maglev_nodes_known: bool,
    desired: DesiredNodes,
    /// Nodes with a MaglevNode, and those of them that are to have what Frontends say; as last looked at.
    present: BTreeSet<Arc<str>>,
    wanted: BTreeSet<Arc<str>>,
    agents: BTreeMap<Arc<str>, Agent>,
    touched: HashSet<Key>,
    /// All objects are.
    all_touched: bool,
    programs: HashMap<Name, (Arc<Frontend>, Program)>,
    tallies: HashMap<Name, Tally>,
}

impl World {
    /// A world in which nothing is known.
    pub fn new(allow_loopback: bool) -> Self {
        let (index, config_rx) = Index::new(IndexOptions { allow_loopback, ..IndexOptions::default() });
        Self {
            index,
            config_rx,
            config: None,
            stored: HashMap::new(),
            nodes: None,
            pods_known: false,
            maglev_nodes_known: false,
            desired: DesiredNodes::default(),
            present: BTreeSet::new(),
            wanted: BTreeSet::new(),
            agents: BTreeMap::new(),
            touched: HashSet::new(),
            all_touched: false,
            programs: HashMap::new(),
            tallies: HashMap::new(),
        }
    }

    /// Whether everything has been listed.
    pub fn is_listed(&self) -> bool {
        self.config.is_some() && self.nodes.is_some() && self.pods_known && self.maglev_nodes_known
    }

    /// Nodes that are to have what Frontends say, and those of them whose agent was not heard yet.
    pub fn heard(&self) -> (usize, usize) {
        let silent = |node: &&Arc<str>| self.agents.get(*node).is_none_or(|agent| agent.digest.is_none());
        (self.wanted.len(), self.wanted.iter().filter(silent).count())
    }

    /// How many agents answer.
    pub fn connected(&self) -> usize {
        self.agents.values().filter(|agent| matches!(agent.link.up, Some(Ok(())))).count()
    }

    /// Takes in news of our kinds.
    pub fn take_kinds(&mut self, news: Vec<KindNews>) {
        let mut concerned: BTreeSet<Key> = BTreeSet::new();
        let mut batch = self.index.batch();
        for KindNews { kind, first, gone, seen } in news {
            for name in gone {
                batch.delete(kind, &name);
                let key = (Written::Kind(kind), name);
                self.stored.remove(&key);
                concerned.insert(key);
            }
            let mut objects = Vec::with_capacity(seen.len());
            for of in seen {
                let key = (Written::Kind(kind), of.object.name());
                let stored = Stored::new(key.0, of.stored, named(&of.object));
                concerned.insert(key.clone());
                keep_newer(&mut self.stored, key, stored);
                objects.push(of.object);
            }
            if first {
                batch.reset(kind, objects);
            } else {
                objects.into_iter().for_each(|object| batch.apply(object));
            }
        }
        let changes = batch.publish();
        concerned.extend(changes.problems().map(|of| (Written::Kind(of.kind), of.name.clone())));
        self.follow_config(concerned);
    }

    /// Touches what was concerned, and what follows from the new configuration.
    fn follow_config(&mut self, mut concerned: BTreeSet<Key>) {
        let config = self.config_rx.borrow_and_update().clone();
        if let Some(config) = config {
            let delta = ConfigDelta::between(self.config.as_ref(), &config);
            let of = |kind: Kind| move |name: &Name| (Written::Kind(kind), name.clone());
            concerned.extend(delta.backends.iter().map(|(name, _)| name).map(of(Kind::Backend)));
            concerned.extend(delta.frontends.iter().map(|(name, _)| name).map(of(Kind::Frontend)));
            concerned.extend(delta.health_checks.iter().map(|(name, _)| name).map(of(Kind::HealthCheck)));
            self.config = Some(config);
        }
        let configs = concerned.iter().any(|(what, _)| *what == Written::Kind(Kind::LoadBalancerConfig));
        for (what, name) in concerned {
            match what {
                Written::Kind(Kind::Backend) => self.touch_backend(&name),
                Written::Kind(Kind::Frontend) => {
                    self.programs.remove(&name);
                    self.touch(what, name);
                }
                _ => self.touch(what, name),
            }
        }
        if configs {
            self.touch_nodes();
        }
    }

    /// Takes in all Nodes.
    pub fn take_nodes(&mut self, nodes: OrdMap<Name, NodeSeen>, now: Now) {
        let since = nodes.iter().map(|(name, of)| (Arc::from(name.as_str()), of.not_ready_since));
        self.desired.set_nodes(since.collect());
        let before = self.nodes.replace(nodes);
        let first = before.is_none();
        // An agent may be heard before its Node is seen; it is forgotten only with a Node that was there.
        let there = |nodes: &Option<OrdMap<Name, NodeSeen>>, name: &Name| {
            nodes.as_ref().is_some_and(|nodes| nodes.contains_key(name))
        };
        self.agents.retain(|node, _| {
            let name = Name::cluster(node);
            there(&self.nodes, &name) || !there(&before, &name)
        });
        if first {
            // No node is the index's own, but it waits until they are known.
            let mut batch = self.index.batch();
            batch.reset(Kind::Node, Vec::new());
            drop(batch.publish());
            let all = self.stored.keys().cloned().collect();
            self.follow_config(all);
        }
        self.look_at_nodes(now);
        self.touch_nodes();
    }

    /// Takes in the agents' pods.
    pub fn take_pods(&mut self, pods: &OrdMap<Name, BoundPod>, now: Now) {
        self.pods_known = true;
        let bound = pods.values().map(|pod| Arc::clone(&pod.node)).collect();
        self.desired.set_bound(bound, now.monotonic);
        self.look_at_nodes(now);
    }

    /// Takes in all MaglevNodes.
    pub fn take_maglev_nodes(&mut self, found: &OrdMap<Name, StoredStatus>, now: Now) {
        if !std::mem::replace(&mut self.maglev_nodes_known, true) {
            self.desired.inherit(found.keys().map(|name| Arc::from(name.as_str())), now.monotonic);
        }
        let gone = |key: &Key| key.0 == Written::MaglevNode && !found.contains_key(&key.1);
        let gone: Vec<Key> = self.stored.keys().filter(|key| gone(key)).cloned().collect();
        for key in gone {
            self.stored.remove(&key);
            self.touched.insert(key);
        }
        for (name, of) in found {
            let key = (Written::MaglevNode, name.clone());
            if self.stored.get(&key).is_some_and(|stored| stored.raw == *of) {
                continue;
            }
            keep_newer(&mut self.stored, key.clone(), Stored::new(key.0, of.clone(), 0));
            self.touched.insert(key);
        }
        self.look_at_nodes(now);
    }

    /// Takes in what was written, which the watch brings later.
    pub fn take_written(&mut self, key: Key, written: StoredStatus) {
        let named = self.stored.get(&key).map_or(0, |stored| stored.named);
        if key.0 == Written::MaglevNode || self.stored.contains_key(&key) {
            let stored = Stored::new(key.0, written, named);
            keep_newer(&mut self.stored, key.clone(), stored);
        }
        self.touched.insert(key);
    }

    /// Takes in news from the agents.
    pub fn take_link(&mut self, news: LinkNews) {
        let agent = self.agents.entry(Arc::clone(news.node())).or_default();
        match news {
            LinkNews::Link(node, up) => {
                agent.link.up = Some(up);
                self.touch(Written::MaglevNode, Name::cluster(&node));
            }
            LinkNews::Gone(node) => {
                agent.link.up = None;
                self.touch(Written::MaglevNode, Name::cluster(&node));
            }
            LinkNews::Reset(_, mut digest) => {
                if let Some(before) = agent.digest.take() {
                    digest.succeed(&before);
                }
                agent.digest = Some(digest);
                self.touch_all();
            }
            LinkNews::Changes(node, changes) => {
                // Before its first whole state, changes say nothing.
                let Some(digest) = &mut agent.digest else { return };
                let mut touched = HashSet::new();
                for (change, at) in &changes {
                    digest.apply(change, *at);
                    Touched::by(change, &mut touched);
                }
                touched.into_iter().for_each(|touched| self.touch_by(&node, touched));
            }
        }
    }

    fn touch_by(&mut self, node: &Arc<str>, touched: Touched) {
        match touched {
            Touched::NodeNumbers => {}
            Touched::Backend(name) => self.touch_backend(&name),
            Touched::HealthCheck(name) => self.touch(Written::Kind(Kind::HealthCheck), name),
            Touched::Frontend(name) => self.touch(Written::Kind(Kind::Frontend), name),
            Touched::Node => self.touch(Written::MaglevNode, Name::cluster(node)),
            Touched::All => self.touch_all(),
        }
    }

    /// Looks at what follows from time alone: which nodes count. To be called now and then.
    pub fn look_at_nodes(&mut self, now: Now) {
        let (present, wanted) = (self.desired.present(now.monotonic), self.desired.desired(now.monotonic, now.wall));
        if present != self.present {
            let differing: Vec<Arc<str>> = present.symmetric_difference(&self.present).cloned().collect();
            differing.iter().for_each(|node| self.touch(Written::MaglevNode, Name::cluster(node)));
            self.present = present;
        }
        if wanted != self.wanted {
            self.wanted = wanted;
            self.touch_all();
        }
    }

    /// Looks at every node's numbers, which nobody tells of one by one.
    pub fn touch_nodes(&mut self) {
        let nodes: Vec<Name> = self.present.iter().map(|node| Name::cluster(node)).collect();
        nodes.into_iter().for_each(|node| self.touch(Written::MaglevNode, node));
        let configs = self.stored.keys().filter(|key| key.0 == Written::Kind(Kind::LoadBalancerConfig)).cloned();
        let configs: Vec<Key> = configs.collect();
        self.touched.extend(configs);
    }

    pub fn touch_all(&mut self) {
        self.tallies.clear();
        self.all_touched = true;
    }

    fn touch_backend(&mut self, name: &Name) {
        self.tallies.remove(name);
        let frontends: Vec<Name> = self.index.frontends_of(name).cloned().collect();
        frontends.into_iter().for_each(|frontend| self.touch(Written::Kind(Kind::Frontend), frontend));
        self.touch(Written::Kind(Kind::Backend), name.clone());
    }

    /// Has an object looked at again.
    pub fn touch(&mut self, what: Written, name: Name) {
        self.touched.insert((what, name));
    }

    /// What has to be looked at again.
    pub fn take_touched(&mut self) -> HashSet<Key> {
        if std::mem::take(&mut self.all_touched) {
            self.touched.extend(self.stored.keys().cloned());
            self.touch_nodes();
        }
        std::mem::take(&mut self.touched)
    }

    /// The nodes that are to have what the Frontends say.
    fn views<'a>(
        wanted: &'a BTreeSet<Arc<str>>,
        agents: &'a BTreeMap<Arc<str>, Agent>,
        desired: &DesiredNodes,
    ) -> Vec<NodeView<'a>> {
        let view = |name: &'a Arc<str>| NodeView {
            name,
            digest: agents.get(name).and_then(|agent| agent.digest.as_ref()),
            inherited: desired.is_inherited(name),
        };
        wanted.iter().map(view).collect()
    }
}

impl Stored {
    fn new(what: Written, raw: StoredStatus, named: usize) -> Self {
        let status = Status::read(what, &raw.status);
        Self { raw, status, named }
    }
}

/// A watch may bring what was stored before our own last write.
fn keep_newer(stored: &mut HashMap<Key, Stored>, key: Key, new: Stored) {
    if stored.get(&key).is_none_or(|old| !new.raw.is_older_than(&old.raw)) {
        stored.insert(key, new);
    }
}

/// Backends that a Frontend names.
fn named(object: &Object) -> usize {
    let Object::Frontend(of) = object else { return 0 };
    let pools = of.spec.iter().flat_map(|spec| &spec.pools);
    pools.flat_map(|pool| &pool.backends).map(|backend| &backend.name).collect::<BTreeSet<_>>().len()
}
