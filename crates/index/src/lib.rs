//! Custom resources in, [`Config`] and per-object problems out.
//!
//! ```text
//!  Secret, ConfigMap ──▶ HealthCheck ──▶ Backend ──▶ Frontend ──▶ claims on its address ─┐
//!  Node, LoadBalancerConfig ─────────────────────────────────────────────────────────────┴▶ Config, problems, Changes
//! ```
//!
//! `k8s` hands in every object it sees, those that do not decode included, and turns the [`Changes`]
//! into events; `agent` and `health` hold the receiver of the [`Config`]. The index is synchronous,
//! has no clock and no history: equal objects give an equal `Config` and equal problems, in whatever
//! order they came.
//!
//! It is incremental: an object that changes is resolved again, then what refers to it, as long as
//! something really changes. What comes out equal keeps its `Arc`, so that the `diff` of two
//! `Config`s is exactly the difference. Until every kind has been listed nothing is resolved, so
//! that no half-seen world is judged.

mod backends;
mod certificates;
mod changes;
mod claims;
mod frontends;
mod health_checks;
mod manifest;
mod members;
mod node;
mod object;
mod read;
mod references;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use tokio::sync::watch;

use self::{backends::Backends, frontends::Frontends, health_checks::HealthChecks, node::NodeState};
pub use self::{
    certificates::{HOLDER_KEYS, Held, Holder, HolderKind},
    changes::{Changes, ObjectProblem},
    manifest::{Manifest, ManifestError},
    node::Chosen,
    object::{Meta, NodeObject, Object, Stored, Unreadable},
};
use maglev_model::{
    Name,
    config::{Config, Kind, Listed},
    problem::Problem,
};

/// What the index has to be told about where it runs.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// Whether Frontends and Backends may have loopback addresses (`--allow-loopback`).
    pub allow_loopback: bool,
    /// The name of the Node whose labels and addresses count; `None` for a view of all nodes, whose
    /// [`Config::node`] has the defaults. See [`Index::chosen_for`].
    pub node_name: Option<String>,
    /// What this node lacks for probing by ICMP, as a sentence; `None` where it can.
    pub icmp_missing: Option<String>,
}

/// How much was resolved since the start; what tests of the incremental work look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    pub health_checks: u64,
    pub backends: u64,
    /// Frontends whose pools were resolved.
    pub frontends: u64,
    /// Addresses whose claims were compared.
    pub addresses: u64,
    /// Claims compared, over all those addresses.
    pub claims: u64,
    /// Decisions on the node's LoadBalancerConfig.
    pub nodes: u64,
    pub published: u64,
}

/// The index. See the module's text.
pub struct Index {
    options: IndexOptions,
    listed: BTreeSet<Kind>,
    health_checks: HealthChecks,
    backends: Backends,
    frontends: Frontends,
    node: NodeState,
    /// What was found since the last publishing.
    changes: Changes,
    work: Work,
    config_tx: watch::Sender<Option<Config>>,
}

impl Index {
    /// An empty index, and where its configuration appears: `None` until every kind was listed and
    /// the own Node seen.
    pub fn new(options: IndexOptions) -> (Self, watch::Receiver<Option<Config>>) {
        let (config_tx, config_rx) = watch::channel(None);
        let index = Self {
            options,
            listed: BTreeSet::new(),
            health_checks: HealthChecks::default(),
            backends: Backends::default(),
            frontends: Frontends::default(),
            node: NodeState::default(),
            changes: Changes::default(),
            work: Work::default(),
            config_tx,
        };
        (index, config_rx)
    }

    /// Takes in an object that was created or changed, and publishes. For more than one at a time
    /// see [`Index::batch`].
    pub fn apply(&mut self, object: Object) -> Changes {
        let mut batch = self.batch();
        batch.apply(object);
        batch.publish()
    }

    /// Forgets a deleted object, and publishes.
    pub fn delete(&mut self, kind: Kind, name: &Name) -> Changes {
        let mut batch = self.batch();
        batch.delete(kind, name);
        batch.publish()
    }

    /// Takes in a complete list of `kind`, and publishes. See [`Batch::reset`].
    pub fn reset(&mut self, kind: Kind, objects: Vec<Object>) -> Changes {
        let mut batch = self.batch();
        batch.reset(kind, objects);
        batch.publish()
    }

    /// Starts a burst: many objects, one [`Batch::publish`].
    pub fn batch(&mut self) -> Batch<'_> {
        Batch { index: self }
    }

    /// The problems of an object, in order; empty for one that is unknown or has none. Nothing is
    /// judged before every kind was listed.
    pub fn problems(&self, kind: Kind, name: &Name) -> &[Problem] {
        match kind {
            Kind::HealthCheck => self.health_checks.problems(name),
            Kind::Backend => self.backends.problems(name),
            Kind::Frontend => self.frontends.problems(name),
            Kind::LoadBalancerConfig => self.node.problems(name),
            Kind::Node => &[],
        }
    }

    /// The Frontends that name this Backend, whether or not it exists.
    pub fn frontends_of(&self, backend: &Name) -> impl Iterator<Item = &Name> {
        self.backends.users.users(backend)
    }

    /// Which LoadBalancerConfig a node has to use, and which others select it in vain.
    pub fn chosen_for(&self, node: &NodeObject) -> Chosen<'_> {
        self.node.chosen_for(node)
    }

    /// The kinds that are still waited for. The Node is, until the own one has been seen: without its
    /// labels it is not known which LoadBalancerConfig holds.
    pub fn awaited(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.is_listed(*kind))
    }

    /// The Secrets and ConfigMaps that HealthChecks refer to for certificates: to be read now and then,
    /// and handed to [`Batch::apply_certificates`].
    pub fn certificates_wanted(&self) -> BTreeSet<Holder> {
        self.health_checks.certificates_wanted()
    }

    /// How much was resolved since the start.
    pub fn work(&self) -> Work {
        self.work
    }

    fn is_listed(&self, kind: Kind) -> bool {
        let own_node = self.options.node_name.is_none() || self.node.has_node();
        self.listed.contains(&kind) && (kind != Kind::Node || own_node)
    }

    fn take_in(&mut self, object: Object, first_list: bool) {
        let loopback = self.options.allow_loopback;
        match object {
            Object::HealthCheck(Stored { meta, spec }) => {
                let read =
                    read::health_check(&meta.name, &meta.revision, spec.as_ref(), self.options.icmp_missing.as_deref());
                self.health_checks.apply(meta, read, first_list);
            }
            Object::Backend(Stored { meta, spec }) => {
                let read = read::backend(&meta.name, spec.as_ref(), loopback);
                self.backends.apply(meta, read, first_list, &mut self.health_checks.users);
            }
            Object::Frontend(Stored { meta, spec }) => {
                let read = read::frontend(&meta.name, spec.as_ref(), loopback);
                self.frontends.apply(meta, read, first_list, &mut self.backends.users);
            }
            Object::LoadBalancerConfig(Stored { meta, spec }) => {
                let read = read::load_balancer_config(&meta.name, spec.as_ref());
                self.node.apply(meta, read, first_list);
            }
            Object::Node(node) if Some(&node.name) == self.options.node_name.as_ref() => self.node.apply_node(node),
            Object::Node(_) => {}
        }
    }

    fn forget(&mut self, kind: Kind, name: &Name) {
        match kind {
            Kind::HealthCheck => self.health_checks.delete(name, &mut self.changes),
            Kind::Backend => self.backends.delete(name, &mut self.health_checks.users, &mut self.changes),
            Kind::Frontend => self.frontends.delete(name, &mut self.backends.users, &mut self.changes),
            Kind::LoadBalancerConfig => self.node.delete(name, &mut self.changes),
            // A Node that is gone is unknown, and stays as last seen.
            Kind::Node => {}
        }
    }

    fn stored(&self, kind: Kind) -> BTreeSet<Name> {
        match kind {
            Kind::HealthCheck => self.health_checks.names().cloned().collect(),
            Kind::Backend => self.backends.names().cloned().collect(),
            Kind::Frontend => self.frontends.names().cloned().collect(),
            Kind::LoadBalancerConfig => self.node.names().cloned().collect(),
            Kind::Node => BTreeSet::new(),
        }
    }

    /// Resolves what was touched, in the order of the references. Returns whether anything that
    /// shows in the configuration changed.
    fn settle(&mut self) -> bool {
        let unknown_before = self.config_tx.borrow().as_ref().is_some_and(|config| config.claims_unknown);
        let (changes, work) = (&mut self.changes, &mut self.work);

        let checks = self.health_checks.settle(changes, work);
        for backend in checks.iter().flat_map(|check| self.health_checks.users.users(check)) {
            self.backends.touch(backend.clone());
        }
        let backends = self.backends.settle(&self.health_checks, changes, work);
        for frontend in backends.iter().flat_map(|backend| self.backends.users.users(backend)) {
            self.frontends.touch(frontend.clone());
        }
        let frontends = self.frontends.settle(&self.backends, changes, work);
        let node = self.node.settle(changes, work);

        let unknown = self.frontends.claims_unknown() != unknown_before;
        !checks.is_empty() || !backends.is_empty() || frontends || node || unknown
    }

    fn publish(&mut self) -> Changes {
        let Some(listed) = Listed::when(|kind| self.is_listed(kind)) else {
            let listed = std::mem::take(&mut self.changes.listed);
            return Changes { listed, ..Changes::default() };
        };
        let changed = self.settle();
        if changed || self.config_tx.borrow().is_none() {
            let mut config = Config::new(listed, self.node.resolved.clone());
            config.frontends = self.frontends.resolved.clone();
            config.backends = self.backends.resolved.clone();
            config.health_checks = self.health_checks.resolved.clone();
            config.claims_unknown = self.frontends.claims_unknown();
            self.work.published += 1;
            self.config_tx.send_replace(Some(config));
        }
        std::mem::take(&mut self.changes)
    }
}

/// A burst of objects that becomes one new configuration.
#[must_use = "nothing of a batch shows before `publish`"]
pub struct Batch<'a> {
    index: &'a mut Index,
}

impl Batch<'_> {
    /// Takes in an object that was created or changed.
    pub fn apply(&mut self, object: Object) {
        self.index.take_in(object, false);
    }

    /// Forgets a deleted object. A deleted Node stays as last seen: it is unknown, not empty.
    pub fn delete(&mut self, kind: Kind, name: &Name) {
        self.index.forget(kind, name);
    }

    /// Takes in what was read of a Secret or ConfigMap with certificates. That of one that nobody refers
    /// to is ignored.
    pub fn apply_certificates(&mut self, holder: &Holder, held: Held) {
        self.index.health_checks.apply_certificates(holder, held);
    }

    /// Takes in a complete list of `kind`: what is not in it is gone. Objects of another kind in it
    /// are only applied.
    pub fn reset(&mut self, kind: Kind, objects: Vec<Object>) {
        let first_list = self.index.listed.insert(kind);
        let objects: BTreeMap<(Kind, Name), Object> =
            objects.into_iter().map(|object| ((object.kind(), object.name()), object)).collect();
        if first_list {
            self.index.changes.listed.push((kind, u32::try_from(objects.len()).unwrap_or(u32::MAX)));
        }
        for name in self.index.stored(kind) {
            if !objects.contains_key(&(kind, name.clone())) {
                self.index.forget(kind, &name);
            }
        }
        for ((of, _), object) in objects {
            self.index.take_in(object, first_list && of == kind);
        }
    }

    /// Resolves what changed and publishes a new configuration, if there is anything new. Before
    /// every kind was listed, the only news are the lists.
    pub fn publish(self) -> Changes {
        self.index.publish()
    }
}

/// Puts `value` under `name`, or leaves what is there if that is equal, and returns what is there.
fn keep_if_equal<T: PartialEq>(map: &mut OrdMap<Name, Arc<T>>, name: &Name, value: T) -> Arc<T> {
    if let Some(before) = map.get(name)
        && **before == value
    {
        return before.clone();
    }
    let value = Arc::new(value);
    map.insert(name.clone(), value.clone());
    value
}
