//! Stores AddressPolicies and the labels of Namespaces, and decides what the objects of each namespace may use.
//!
//! ```text
//!  AddressPolicies, labels of Namespaces ──▶ Grant of each namespace ─┐
//!  LoadBalancerConfigs, own Node ──────────▶ DenyList ────────────────┴▶ Verdict on a Frontend, Backend or probe
//! ```
//!
//! A grant is compiled once for each namespace with objects, so a changed Backend costs a lookup in the grant of its
//! namespace, however many AddressPolicies there are.

mod deny_list;
mod grant;
mod messages;
mod prefix_map;
mod quota;
mod rules;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

pub use self::{
    deny_list::DenyList,
    grant::{Effect, FrontendUse, Grant},
    messages::{backend_quota, frontend_quota, probe_quota, reported},
    quota::{Quotas, Share},
    rules::{BackendRule, FrontendRule, Limits, NamespaceMatch, PolicyRead, PortSpan, ProbeRule, shortest_interval},
};
use ipnet::IpNet;

use super::{
    Work,
    changes::{Changes, ObjectVersion, Record},
    object::{Meta, NamespaceObject},
};
use maglev_model::{
    Name,
    config::{HealthCheck, Kind},
    problem::Problem,
};

/// The decision on an object. At most one of the problems is set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The problem because of which the object does not take effect.
    pub refusal: Option<Problem>,
    /// The problem that is only reported.
    pub report: Option<Problem>,
    /// True if the refusal removes a VIP that VPP has.
    pub withdraws: bool,
}

impl Verdict {
    fn refused(problem: Problem) -> Self {
        Self { refusal: Some(problem), ..Self::default() }
    }

    /// The decision on an object with `problem` in a namespace with this effect.
    pub fn with_effect(problem: Option<Problem>, effect: Effect) -> Self {
        match (problem, effect) {
            (None, _) | (_, Effect::Allow) => Self::default(),
            (Some(problem), Effect::Report) => Self { report: Some(reported(problem)), ..Self::default() },
            (Some(problem), Effect::Refuse) => Self::refused(problem),
        }
    }
}

/// The namespaces whose objects have to be decided again.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Affected {
    /// Namespaces with another grant.
    pub namespaces: BTreeSet<Box<str>>,
    /// The deny list has changed, so every object may be affected.
    pub everything: bool,
    /// The addresses of the own Node have changed, so every Backend may be affected.
    pub own_addresses: bool,
}

struct Entry {
    meta: Meta,
    read: PolicyRead,
    record: Record,
}

#[derive(Default)]
pub struct Policies {
    entries: BTreeMap<Name, Entry>,
    /// Number of AddressPolicies that select namespaces by label.
    label_selectors: usize,
    /// The labels of the Namespaces, as far as they are watched.
    labels: HashMap<Box<str>, BTreeMap<String, String>>,
    /// The compiled grants of the namespaces with objects.
    grants: HashMap<Box<str>, Arc<Grant>>,
    deny_list: DenyList,
    /// The addresses of the own Node.
    own: BTreeSet<IpAddr>,
    dirty: BTreeSet<Name>,
    /// All grants have to be compiled again.
    stale: bool,
    /// Namespaces with other labels.
    relabelled: BTreeSet<Box<str>>,
    affected: Affected,
}

impl Policies {
    /// Applies a stored AddressPolicy.
    pub fn apply(&mut self, meta: Meta, read: PolicyRead, first_list: bool) {
        let name = meta.name.clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            if entry.meta == meta && entry.read == read {
                return;
            }
            self.stale |= entry.read != read;
            self.label_selectors -= usize::from(entry.read.selects_by_label());
            self.label_selectors += usize::from(read.selects_by_label());
            (entry.meta, entry.read) = (meta, read);
        } else {
            self.label_selectors += usize::from(read.selects_by_label());
            let record = if first_list { Record::for_first_list(&meta.revision) } else { Record::default() };
            self.entries.insert(name.clone(), Entry { meta, read, record });
            self.stale = true;
        }
        self.dirty.insert(name);
    }

    /// Removes a deleted AddressPolicy.
    pub fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            self.label_selectors -= usize::from(entry.read.selects_by_label());
            let object = ObjectVersion { kind: Kind::AddressPolicy, name, revision: &entry.meta.revision };
            entry.record.remove(object, changes);
            self.stale = true;
        }
    }

    /// The names of all AddressPolicies.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// The problems of the AddressPolicy `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }

    /// True if an AddressPolicy selects namespaces by label.
    pub fn selects_by_label(&self) -> bool {
        self.label_selectors > 0
    }

    /// True if the AddressPolicy `name` selects `namespace`.
    pub fn selects(&self, name: &Name, namespace: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| selects(&entry.read, namespace, &self.labels))
    }

    /// Applies a Namespace.
    pub fn apply_namespace(&mut self, namespace: NamespaceObject) {
        let NamespaceObject { name, labels } = namespace;
        let name: Box<str> = name.into();
        if self.labels.get(&name) != Some(&labels) {
            self.relabelled.insert(name.clone());
            self.labels.insert(name, labels);
        }
    }

    /// Removes a deleted Namespace.
    pub fn delete_namespace(&mut self, name: &str) {
        if self.labels.remove(name).is_some() {
            self.relabelled.insert(name.into());
        }
    }

    /// The names of all Namespaces with known labels.
    pub fn namespace_names(&self) -> impl Iterator<Item = &str> {
        self.labels.keys().map(|name| &**name)
    }

    /// Replaces the configured part of the deny list.
    pub fn set_deny_list(&mut self, deny_list: DenyList) {
        if self.deny_list != deny_list {
            self.deny_list = deny_list;
            self.affected.everything = true;
        }
    }

    /// Replaces the addresses of the own Node.
    pub fn set_own_addresses(&mut self, own: BTreeSet<IpAddr>) {
        self.affected.own_addresses |= self.own != own;
        self.own = own;
    }

    /// Compiles the affected grants. Returns the namespaces to decide again.
    pub fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> Affected {
        for name in std::mem::take(&mut self.dirty) {
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let problems: Vec<Problem> = entry.read.problem.iter().cloned().collect();
            let object = ObjectVersion { kind: Kind::AddressPolicy, name: &name, revision: &entry.meta.revision };
            entry.record.settle(object, problems.is_empty(), problems, changes);
        }
        let mut affected = std::mem::take(&mut self.affected);
        let relabelled = std::mem::take(&mut self.relabelled);
        let stale: Vec<Box<str>> = if std::mem::take(&mut self.stale) {
            self.grants.keys().cloned().collect()
        } else {
            relabelled.into_iter().filter(|namespace| self.grants.contains_key(namespace)).collect()
        };
        for namespace in stale {
            let grant = self.compile(&namespace, work);
            if self.grants.get(&namespace).is_none_or(|before| **before != grant) {
                self.grants.insert(namespace.clone(), Arc::new(grant));
                affected.namespaces.insert(namespace);
            }
        }
        affected
    }

    /// The grant of `namespace`.
    pub fn grant(&mut self, namespace: &str, work: &mut Work) -> Arc<Grant> {
        if let Some(grant) = self.grants.get(namespace) {
            return Arc::clone(grant);
        }
        let grant = Arc::new(self.compile(namespace, work));
        self.grants.insert(namespace.into(), Arc::clone(&grant));
        grant
    }

    /// The grant of `namespace`; `None` if it has never had objects.
    pub fn compiled(&self, namespace: &str) -> Option<&Grant> {
        self.grants.get(namespace).map(|grant| &**grant)
    }

    fn compile(&self, namespace: &str, work: &mut Work) -> Grant {
        work.grants += 1;
        let all: Vec<&PolicyRead> = self.reads().collect();
        Grant::compile(&all, |read| selects(read, namespace, &self.labels))
    }

    fn reads(&self) -> impl Iterator<Item = &PolicyRead> {
        self.entries.values().map(|entry| &entry.read)
    }

    /// The decision on a Frontend.
    pub fn frontend(&self, name: &Name, usage: FrontendUse, grant: &Grant) -> Verdict {
        if let Some(denied) = self.deny_list.entry(usage.address) {
            return Verdict::refused(messages::denied_frontend(name, usage.address, denied));
        }
        if grant.effect == Effect::Allow {
            return Verdict::default();
        }
        let fault = grant.frontend_fault(usage);
        let problem = fault.map(|fault| messages::frontend(name, usage, &fault, grant));
        let verdict = Verdict::with_effect(problem, grant.effect);
        Verdict { withdraws: grant.withdraws && verdict.refusal.is_some(), ..verdict }
    }

    /// The part of a message on the reason why a Frontend of `namespace` would not take effect; `None` if it would.
    pub fn frontend_refusal(&self, namespace: &str, usage: FrontendUse, grant: &Grant) -> Option<String> {
        if let Some(denied) = self.deny_list.entry(usage.address) {
            return Some(format!("{} {}, and no AddressPolicy can allow it", usage.address, denied.what));
        }
        let fault = grant.frontend_fault(usage).filter(|_| grant.effect == Effect::Refuse)?;
        Some(messages::frontend_fault(namespace, usage, &fault, grant).1)
    }

    /// The Frontends that each AddressPolicy allows, by the names of the AddressPolicies.
    pub fn frontend_rules(&self) -> impl Iterator<Item = &FrontendRule> {
        self.reads().filter_map(|read| read.frontends.as_deref())
    }

    /// The Frontends that the AddressPolicies which select `namespace` allow, by the names of the AddressPolicies.
    pub fn frontend_rules_of(&self, namespace: &str) -> impl Iterator<Item = &FrontendRule> {
        let selected = self.reads().filter(move |read| selects(read, namespace, &self.labels));
        selected.filter_map(|read| read.frontends.as_deref())
    }

    /// The configured networks and addresses that no Frontend may use.
    pub fn denied_networks(&self) -> Vec<IpNet> {
        let DenyList { allow_loopback: _, sources, never } = &self.deny_list;
        never.iter().copied().chain(sources.iter().map(|address| IpNet::from(*address))).collect()
    }

    /// The last address of the denied network around `address`; `None` if it is not denied.
    pub fn denied_until(&self, address: IpAddr) -> Option<IpAddr> {
        self.deny_list.until(address)
    }

    /// The decision on the address of a Backend.
    pub fn backend(&self, name: &Name, address: IpAddr, grant: &Grant) -> Verdict {
        if let Some(denied) = self.deny_list.entry(address)
            && !(denied.by_name && grant.names_backend(address))
        {
            return Verdict::refused(messages::denied_backend(name, address, denied));
        }
        if grant.effect == Effect::Allow {
            return Verdict::default();
        }
        let is_allowed = grant.backend_rules(address).next().is_some();
        Verdict::with_effect((!is_allowed).then(|| messages::backend(name, address, grant)), grant.effect)
    }

    /// The decision on the probes of a Backend with `address` and `check`.
    pub fn probe(&self, name: &Name, address: IpAddr, check: &HealthCheck, grant: &Grant) -> Verdict {
        if deny_list::reaches(address, &self.own) && !grant.names_backend(address) {
            return Verdict::refused(messages::own_address(name, address));
        }
        if grant.effect == Effect::Allow {
            return Verdict::default();
        }
        let problem = grant.probe_fault(address, check).map(|fault| messages::probe(name, &check.name, &fault));
        Verdict::with_effect(problem, grant.effect)
    }
}

fn selects(read: &PolicyRead, namespace: &str, labels: &HashMap<Box<str>, BTreeMap<String, String>>) -> bool {
    read.namespaces.as_ref().is_some_and(|selected| selected.selects(namespace, labels.get(namespace)))
}
