//! The parts of a node's documents that may differ between two states. A part that is listed but equal costs a
//! comparison; a part that differs and is not listed would be a bug.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use imbl::{OrdMap, ordmap::DiffItem};

use super::Inputs;
use maglev_model::{
    Name,
    actual::{Actual, ActualVip, VppVip},
    config::Kind,
};

/// The parts that may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirtyParts {
    pub(crate) frontends: BTreeSet<Name>,
    pub(crate) backends: BTreeSet<Name>,
    pub(crate) health_checks: BTreeSet<Name>,
    pub(crate) problems: BTreeSet<(Kind, Name)>,
    /// Backends whose health differs.
    pub(crate) health: BTreeSet<Name>,
    /// Frontends whose state differs.
    pub(crate) states: BTreeSet<Name>,
}

impl DirtyParts {
    /// Compares two states of the same node.
    pub fn between(old: &Inputs, new: &Inputs) -> Self {
        let mut parts = Self::default();
        parts.config(old, new);
        parts.health(old, new);
        parts.programming(old, new);
        parts.vpp(old, new);
        parts.counters(old, new);
        parts
    }

    fn config(&mut self, old: &Inputs, new: &Inputs) {
        let (old, new) = (old.view(), new.view());
        for name in changed(&old.frontends, &new.frontends) {
            // A held Frontend is listed among the problems.
            self.problems.insert((Kind::Frontend, name.clone()));
            self.frontends.insert(name);
        }
        self.health_checks.extend(changed(&old.health_checks, &new.health_checks));
        self.backends.extend(changed(&old.backends, &new.backends));
        for (kind, name) in changed(&old.problems, &new.problems) {
            match kind {
                Kind::Frontend => drop(self.frontends.insert(name.clone())),
                Kind::Backend => drop(self.backends.insert(name.clone())),
                Kind::HealthCheck => drop(self.health_checks.insert(name.clone())),
                Kind::LoadBalancerConfig | Kind::AddressPolicy | Kind::Node | Kind::Namespace | Kind::EndpointSlice => {
                }
            }
            self.problems.insert((kind, name));
        }
    }

    fn health(&mut self, old: &Inputs, new: &Inputs) {
        for name in changed(&old.view().health.backends, &new.view().health.backends) {
            for inputs in [old, new] {
                self.frontends.extend(inputs.users(&name).cloned());
            }
            self.backends.insert(name.clone());
            self.health.insert(name);
        }
        let paths = changed(&old.view().health.paths, &new.view().health.paths);
        self.frontends.extend(paths.into_iter().map(|path| path.frontend));
        let suspect = |inputs: &Inputs| (inputs.view().health.suspect_v4, inputs.view().health.suspect_v6);
        if suspect(old) != suspect(new) {
            self.add_all_frontends(old, new);
        }
    }

    fn programming(&mut self, old: &Inputs, new: &Inputs) {
        let (old, new) = (old.view(), new.view());
        for name in changed(&old.states, &new.states) {
            self.frontends.insert(name.clone());
            self.states.insert(name);
        }
        self.frontends.extend(changed(&old.ramps, &new.ramps));
        for name in changed(&old.reports, &new.reports) {
            // A held Frontend is listed among the problems.
            self.problems.insert((Kind::Frontend, name.clone()));
            self.frontends.insert(name);
        }
    }

    fn vpp(&mut self, old: &Inputs, new: &Inputs) {
        match (&old.view().vpp, &new.view().vpp) {
            (None, None) => {}
            (Some(old_vpp), Some(new_vpp)) if old_vpp.weightless == new_vpp.weightless => {
                self.add_owners(changed(&old_vpp.vips, &new_vpp.vips), old, new);
            }
            _ => self.add_all_frontends(old, new),
        }
        match (&old.state.dump, &new.state.dump) {
            (None, None) => {}
            (Some(old_dump), Some(new_dump)) => {
                self.add_owners(differing(&old_dump.actual, &new_dump.actual), old, new);
            }
            _ => self.add_all_frontends(old, new),
        }
    }

    fn counters(&mut self, old: &Inputs, new: &Inputs) {
        let (old_traffic, new_traffic) = (old.traffic.as_deref(), new.traffic.as_deref());
        let vips = changed_entries(old_traffic.map(|traffic| &traffic.vips), new_traffic.map(|traffic| &traffic.vips));
        let flows =
            changed_entries(old_traffic.map(|traffic| &traffic.flows), new_traffic.map(|traffic| &traffic.flows));
        self.add_owners(vips.into_iter().chain(flows), old, new);
        let backends =
            changed_entries(old_traffic.map(|traffic| &traffic.backends), new_traffic.map(|traffic| &traffic.backends));
        self.add_frontends_with(&backends, old, new);
    }

    /// Adds the Frontends with a member of one of these addresses.
    fn add_frontends_with(&mut self, addresses: &BTreeSet<IpAddr>, old: &Inputs, new: &Inputs) {
        if addresses.is_empty() {
            return;
        }
        for frontend in [old, new].into_iter().flat_map(|inputs| inputs.view().frontends.values()) {
            let mut members = frontend.pools.iter().flat_map(|pool| &pool.members);
            if members.any(|member| member.target.address().is_some_and(|address| addresses.contains(&address))) {
                self.frontends.insert(frontend.name.clone());
            }
        }
    }

    /// Adds the Frontends that own the VIPs.
    fn add_owners(&mut self, vips: impl IntoIterator<Item = VppVip>, old: &Inputs, new: &Inputs) {
        for vip in vips {
            self.frontends.extend([old, new].into_iter().filter_map(|inputs| inputs.owner(&vip)).cloned());
        }
    }

    fn add_all_frontends(&mut self, old: &Inputs, new: &Inputs) {
        for inputs in [old, new] {
            self.frontends.extend(inputs.view().frontends.keys().cloned());
        }
    }
}

/// The keys whose values differ.
fn changed<K: Ord + Clone, V: PartialEq>(old: &OrdMap<K, V>, new: &OrdMap<K, V>) -> Vec<K> {
    let key = |item: DiffItem<'_, '_, K, V>| match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key.clone(),
    };
    old.diff(new).map(key).collect()
}

/// The keys whose values differ; `None` is empty.
fn changed_entries<K: Ord + Copy, V: PartialEq>(
    old: Option<&BTreeMap<K, V>>,
    new: Option<&BTreeMap<K, V>>,
) -> BTreeSet<K> {
    let removed = old.into_iter().flatten().filter(|(key, _)| new.is_none_or(|new| !new.contains_key(key)));
    let changed = new.into_iter().flatten();
    let changed = changed.filter(|(key, value)| old.and_then(|old| old.get(key)) != Some(value));
    removed.chain(changed).map(|(key, _)| *key).collect()
}

/// VIPs whose servers or buckets differ.
fn differing(old: &Actual, new: &Actual) -> Vec<VppVip> {
    let removed = old.vips.keys().filter(|vip| !new.vips.contains_key(vip));
    let differs = |(vip, new): &(&VppVip, &ActualVip)| old.vips.get(vip).is_none_or(|old| old.ases != new.ases);
    removed.chain(new.vips.iter().filter(differs).map(|(vip, _)| vip)).copied().collect()
}
