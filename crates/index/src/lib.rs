//! Resolves custom resources into a [`Config`] and the problems of each object.
//!
//! ```text
//!  Secret, ConfigMap ──▶ HealthCheck ──▶ Backend ──▶ Frontend ──▶ claims on its address ─┐
//!  EndpointSlice, Node ──▶ derived Backends ──▶ (as above)                              │
//!  AddressPolicy, Namespace ──▶ what each namespace may use ─────────────────────────────┤
//!  Node, LoadBalancerConfig ─────────────────────────────────────────────────────────────┴▶ Config, problems, Changes
//! ```
//!
//! `kube` applies every watched object, including objects that do not decode, and publishes the [`Changes`] as events;
//! `agent` and `health` receive the [`Config`]. The index is synchronous and has neither a clock nor a history: equal
//! objects give an equal `Config` and equal problems, regardless of their order.
//!
//! The index is incremental: a changed object is resolved again, followed by the objects that refer to it, for as long as
//! results change. Equal results keep their `Arc`, so the `diff` of two `Config`s is exact. Nothing is resolved until every
//! kind has been listed, since missing objects would look like problems.

mod address_grants;
mod address_range;
mod backends;
mod batch;
mod certificates;
mod changed_objects;
mod changes;
mod claims;
mod frontends;
mod health_checks;
mod manifest;
mod members;
mod node;
mod node_addresses;
mod object;
mod policies;
mod policy_counts;
mod policy_explainer;
mod read;
mod references;
mod services;
#[cfg(test)]
mod tests;
mod work;

use std::{collections::BTreeSet, sync::Arc};

use imbl::OrdMap;
use tokio::sync::watch;

pub use self::{
    address_grants::{AddressGrants, AssignedNetwork},
    address_range::{AddressRange, AddressRanges},
    batch::Batch,
    certificates::{Holder, HolderContent, HolderKind},
    changed_objects::{ChangedObjects, ConfigPair, Requirements},
    changes::{Changes, ObjectProblem},
    manifest::{Manifest, ManifestError},
    node::ConfigSelection,
    object::{
        AddressType, EndpointSliceObject, EndpointState, Meta, NamespaceObject, NodeObject, Object, SliceContent,
        SliceEndpoint, SlicePort, Stored, Unreadable,
    },
    policy_counts::{AddressCounts, PolicyCounts},
    policy_explainer::{NamespaceLimits, PolicyExplainer},
    services::Coverage,
    work::Work,
};
use self::{
    backends::Backends,
    frontends::Frontends,
    health_checks::HealthChecks,
    node::NodeSettings,
    policies::{DenyList, Policies},
    services::Services,
};
use maglev_model::{
    Name,
    config::{Config, Kind, Listed},
    problem::Problem,
};

/// Options of the index.
#[derive(Clone, Debug, Default)]
pub struct IndexOptions {
    /// True to allow loopback addresses in Frontends and Backends (`--allow-loopback`).
    pub allow_loopback: bool,
    /// The name of the own Node. `None` for a view of all nodes: [`Config::node`] then has the defaults, and
    /// [`Index::selection_for`] gives the LoadBalancerConfig of each node.
    pub node_name: Option<String>,
    /// Human-readable reason for which this node cannot send ICMP probes; `None` if it can.
    pub icmp_missing: Option<String>,
    /// True if EndpointSlices are watched (`--services`).
    pub services: bool,
}

/// Holds all custom resources and their resolved state. Owned and updated by a single task.
pub struct Index {
    options: IndexOptions,
    listed: BTreeSet<Kind>,
    health_checks: HealthChecks,
    backends: Backends,
    frontends: Frontends,
    node: NodeSettings,
    policies: Policies,
    services: Services,
    /// Changes since the last publication.
    changes: Changes,
    work: Work,
    /// [`Config::written`].
    written: u64,
    config_tx: watch::Sender<Option<Config>>,
}

impl Index {
    /// Creates an empty index and the receiver of its configuration, which is `None` until every kind has been listed and
    /// the own Node has been seen.
    pub fn new(options: IndexOptions) -> (Self, watch::Receiver<Option<Config>>) {
        let (config_tx, config_rx) = watch::channel(None);
        let mut policies = Policies::default();
        policies.set_deny_list(DenyList { allow_loopback: options.allow_loopback, ..DenyList::default() });
        let services = Services::new(options.services);
        let index = Self {
            options,
            listed: BTreeSet::new(),
            health_checks: HealthChecks::default(),
            backends: Backends::new(services.nodes.check()),
            frontends: Frontends::default(),
            node: NodeSettings::default(),
            policies,
            services,
            changes: Changes::default(),
            work: Work::default(),
            written: 0,
            config_tx,
        };
        (index, config_rx)
    }

    /// Applies a created or changed object, and publishes. For several objects at once, use [`Index::batch`].
    pub fn apply(&mut self, object: Object) -> Changes {
        let mut batch = self.batch();
        batch.apply(object);
        batch.publish()
    }

    /// Removes a deleted object, and publishes.
    pub fn delete(&mut self, kind: Kind, name: &Name) -> Changes {
        let mut batch = self.batch();
        batch.delete(kind, name);
        batch.publish()
    }

    /// Applies a complete list of `kind`, and publishes. See [`Batch::reset`].
    pub fn reset(&mut self, kind: Kind, objects: Vec<Object>) -> Changes {
        let mut batch = self.batch();
        batch.reset(kind, objects);
        batch.publish()
    }

    /// Starts a batch: several objects with one [`Batch::publish`].
    pub fn batch(&mut self) -> Batch<'_> {
        Batch::new(self)
    }

    /// The problems of an object, sorted. Empty before every kind has been listed.
    pub fn problems(&self, kind: Kind, name: &Name) -> &[Problem] {
        match kind {
            Kind::HealthCheck => self.health_checks.problems(name),
            Kind::Backend => self.backends.problems(name),
            Kind::Frontend => self.frontends.problems(name),
            Kind::LoadBalancerConfig => self.node.problems(name),
            Kind::AddressPolicy => self.policies.problems(name),
            Kind::Node | Kind::Namespace | Kind::EndpointSlice => &[],
        }
    }

    /// The Frontends that refer to `backend`, which need not exist.
    pub fn frontends_using(&self, backend: &Name) -> impl Iterator<Item = &Name> {
        self.backends.users.users(backend)
    }

    /// The LoadBalancerConfigs that select `node`.
    pub fn selection_for(&self, node: &NodeObject) -> ConfigSelection<'_> {
        self.node.selection_for(node)
    }

    /// The kinds that are not listed yet. `Node` counts as listed once the own Node has been seen, since its labels select
    /// the LoadBalancerConfig.
    pub fn awaited(&self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(|kind| !self.is_listed(*kind))
    }

    /// The Secrets and ConfigMaps that HealthChecks refer to, for certificates and values of headers. The caller reads
    /// them periodically and passes them to [`Batch::apply_certificates`].
    pub fn required_certificates(&self) -> BTreeSet<Holder> {
        self.health_checks.required_certificates()
    }

    /// True while Namespaces have to be watched, because an AddressPolicy selects them by label.
    pub fn needs_namespaces(&self) -> bool {
        self.policies.selects_by_label()
    }

    /// The Services that pools follow. Their EndpointSlices have to be watched.
    pub fn followed_services(&self) -> BTreeSet<Name> {
        self.frontends.followed_services()
    }

    /// A number that changes with [`Self::followed_services`], which takes longer to compute.
    pub fn followed_version(&self) -> u64 {
        self.frontends.followed_version()
    }

    /// Forgets the objects of a kind that is no longer watched. Takes effect with the next publication.
    pub fn unlist(&mut self, kind: Kind) {
        self.listed.remove(&kind);
        if kind == Kind::EndpointSlice {
            self.services.cover(None);
        }
        self.stored(kind).iter().for_each(|name| self.forget(kind, name));
    }

    /// Counters of the work since the start.
    pub fn work(&self) -> Work {
        self.work
    }

    fn is_listed(&self, kind: Kind) -> bool {
        match kind {
            Kind::Namespace if !self.needs_namespaces() => true,
            // Only pools that follow a Service need them.
            Kind::EndpointSlice => true,
            Kind::Node if self.options.node_name.is_some() && !self.node.has_node() => false,
            _ => self.listed.contains(&kind),
        }
    }

    fn apply_object(&mut self, object: Object, first_list: bool) {
        let loopback = self.options.allow_loopback;
        match object {
            Object::HealthCheck(Stored { meta, spec }) => {
                let context = read::CheckContext {
                    icmp_missing: self.options.icmp_missing.as_deref(),
                    compiled: self.health_checks.expected_body(&meta.name),
                };
                let read = read::health_check(&meta.name, &meta.revision, spec.as_ref(), &context);
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
            Object::AddressPolicy(Stored { meta, spec }) => {
                let read = read::address_policy(&meta.name, spec.as_ref());
                self.policies.apply(meta, read, first_list);
            }
            Object::Namespace(namespace) => self.policies.apply_namespace(namespace),
            Object::EndpointSlice(slice) => self.services.apply(slice),
            Object::Node(node) => {
                self.frontends.apply_node(&node);
                self.services.nodes.apply(&node);
                if Some(&node.name) == self.options.node_name.as_ref() {
                    self.node.apply_node(node);
                }
            }
        }
    }

    fn forget(&mut self, kind: Kind, name: &Name) {
        match kind {
            Kind::HealthCheck => self.health_checks.delete(name, &mut self.changes),
            Kind::Backend => self.backends.delete(name, &mut self.health_checks.users, &mut self.changes),
            Kind::Frontend => self.frontends.delete(name, &mut self.backends.users, &mut self.changes),
            Kind::LoadBalancerConfig => self.node.delete(name, &mut self.changes),
            Kind::AddressPolicy => self.policies.delete(name, &mut self.changes),
            Kind::Namespace => self.policies.delete_namespace(name.as_str()),
            // The settings of the own Node stay as last seen.
            Kind::Node => {
                self.frontends.delete_node(name.as_str());
                self.services.nodes.delete(name.as_str());
            }
            Kind::EndpointSlice => self.services.delete(name),
        }
    }

    fn stored(&self, kind: Kind) -> BTreeSet<Name> {
        match kind {
            Kind::HealthCheck => self.health_checks.names().cloned().collect(),
            Kind::Backend => self.backends.names().cloned().collect(),
            Kind::Frontend => self.frontends.names().cloned().collect(),
            Kind::LoadBalancerConfig => self.node.names().cloned().collect(),
            Kind::AddressPolicy => self.policies.names().cloned().collect(),
            Kind::Namespace => self.policies.namespace_names().map(Name::cluster).collect(),
            Kind::Node => self.services.nodes.names().map(Name::cluster).collect(),
            Kind::EndpointSlice => self.services.slice_names().cloned().collect(),
        }
    }

    /// Resolves the dirty objects in the order of the references. Returns true if the configuration changed.
    fn settle(&mut self) -> bool {
        let unknown_before = self.config_tx.borrow().as_ref().is_some_and(|config| config.claims_unknown);
        let (changes, work) = (&mut self.changes, &mut self.work);

        if self.node.is_dirty() {
            self.policies.set_deny_list(self.node.deny_list(self.options.allow_loopback));
            self.policies.set_own_addresses(self.node.own_addresses());
            if self.services.nodes.set_settings(self.node.service_settings()) {
                self.backends.set_node_check(self.services.nodes.check());
            }
        }
        let node = self.node.settle(changes, work);
        let affected = self.policies.settle(changes, work);
        self.frontends.touch_affected(&affected);
        self.backends.touch_affected(&affected);
        let (services, backends) = (&mut self.services, &mut self.backends);
        self.frontends.derive(services, backends, &mut self.health_checks.users, changes, work);
        self.frontends.entitle(&mut self.policies, work);

        let checks = self.health_checks.settle(changes, work);
        for backend in checks.iter().flat_map(|check| self.health_checks.users.users(check)) {
            self.backends.touch(backend.clone());
        }
        for address in self.frontends.dirty_addresses() {
            self.backends.touch_address(address);
        }
        let backends = self.backends.settle(&self.health_checks, &self.frontends, &mut self.policies, changes, work);
        for frontend in backends.iter().flat_map(|backend| self.backends.users.users(backend)) {
            self.frontends.touch(frontend.clone());
        }
        // The limit is a setting of the own node.
        let max_table_entries = self.node.has_node().then_some(self.node.resolved.vpp.max_table_entries);
        let frontends = self.frontends.settle(&self.backends, max_table_entries, changes, work);

        let unknown = self.frontends.claims_unknown() != unknown_before;
        !checks.is_empty() || !backends.is_empty() || frontends || node || unknown
    }

    fn publish(&mut self) -> Changes {
        let Some(listed) = Listed::when(|kind| self.is_listed(kind)) else {
            let listed = std::mem::take(&mut self.changes.listed);
            return Changes { listed, ..Changes::default() };
        };
        let changed = self.settle();
        // Derived Backends, EndpointSlices and Nodes never take effect with a version.
        self.written += u64::from(!self.changes.is_empty());
        if changed || self.config_tx.borrow().is_none() {
            let mut config = Config::new(listed, self.node.resolved.clone());
            config.frontends = self.frontends.resolved.clone();
            config.backends = self.backends.resolved.clone();
            config.health_checks = self.health_checks.resolved.clone();
            if let Some(check) = self.backends.used_node_check() {
                config.health_checks.insert(check.name.clone(), Arc::clone(check));
            }
            config.claims_unknown = self.frontends.claims_unknown();
            config.written = self.written;
            self.work.published += 1;
            self.config_tx.send_replace(Some(config));
        }
        std::mem::take(&mut self.changes)
    }
}

/// Inserts `value` unless the map has an equal value, and returns the value in the map.
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
