//! Which parts of a node's documents may differ between two moments. A part that is named and does not differ costs a
//! comparison; one that differs and is not named would be a fault.

use std::collections::BTreeSet;

use imbl::{OrdMap, ordmap::DiffItem};

use super::Inputs;
use maglev_model::{
    Name,
    actual::{Actual, VppVip},
    config::Kind,
};

/// What may differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    pub(crate) frontends: BTreeSet<Name>,
    pub(crate) backends: BTreeSet<Name>,
    pub(crate) health_checks: BTreeSet<Name>,
    pub(crate) problems: BTreeSet<(Kind, Name)>,
    /// Backends whose health differs.
    pub(crate) health: BTreeSet<Name>,
    /// Frontends whose state differs.
    pub(crate) states: BTreeSet<Name>,
    /// Backends that came or went.
    pub(crate) came_or_went: BTreeSet<Name>,
}

impl Touched {
    /// What may differ between two moments of the same node.
    pub fn between(old: &Inputs, new: &Inputs) -> Self {
        let mut touched = Self::default();
        touched.config(old, new);
        touched.health(old, new);
        touched.programming(old, new);
        touched.vpp(old, new);
        touched.counters(old, new);
        touched
    }

    fn config(&mut self, old: &Inputs, new: &Inputs) {
        let (old, new) = (old.view(), new.view());
        for name in changed(&old.frontends, &new.frontends) {
            // One that is held is among the problems.
            self.problems.insert((Kind::Frontend, name.clone()));
            self.frontends.insert(name);
        }
        self.health_checks.extend(changed(&old.health_checks, &new.health_checks));
        for item in old.backends.diff(&new.backends) {
            let (name, came_or_went) = match item {
                DiffItem::Add(name, _) | DiffItem::Remove(name, _) => (name, true),
                DiffItem::Update { new: (name, _), .. } => (name, false),
            };
            self.backends.insert(name.clone());
            if came_or_went {
                self.came_or_went.insert(name.clone());
            }
        }
        for (kind, name) in changed(&old.problems, &new.problems) {
            match kind {
                Kind::Frontend => drop(self.frontends.insert(name.clone())),
                Kind::Backend => drop(self.backends.insert(name.clone())),
                Kind::HealthCheck => drop(self.health_checks.insert(name.clone())),
                Kind::LoadBalancerConfig | Kind::Node => {}
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
        let suspect = |inputs: &Inputs| (inputs.view().health.suspect_v4, inputs.view().health.suspect_v6);
        if suspect(old) != suspect(new) {
            self.every_frontend(old, new);
        }
    }

    fn programming(&mut self, old: &Inputs, new: &Inputs) {
        let (old, new) = (old.view(), new.view());
        for name in changed(&old.states, &new.states) {
            self.frontends.insert(name.clone());
            self.states.insert(name);
        }
        for name in changed(&old.reports, &new.reports) {
            // Held is told among the problems.
            self.problems.insert((Kind::Frontend, name.clone()));
            self.frontends.insert(name);
        }
    }

    fn vpp(&mut self, old: &Inputs, new: &Inputs) {
        match (&old.view().vpp, &new.view().vpp) {
            (None, None) => {}
            (Some(was), Some(is)) if was.weightless == is.weightless => {
                self.of_vips(changed(&was.vips, &is.vips), old, new);
            }
            _ => self.every_frontend(old, new),
        }
        match (&old.state.dump, &new.state.dump) {
            (None, None) => {}
            (Some(was), Some(is)) => self.of_vips(differing(&was.actual, &is.actual), old, new),
            _ => self.every_frontend(old, new),
        }
    }

    fn counters(&mut self, old: &Inputs, new: &Inputs) {
        let none = std::collections::BTreeMap::new();
        let vips = |inputs: &'_ Inputs| inputs.traffic.clone();
        let (was, is) = (vips(old), vips(new));
        let (was, is) = (was.as_ref().map_or(&none, |of| &of.vips), is.as_ref().map_or(&none, |of| &of.vips));
        let gone = was.keys().filter(|vip| !is.contains_key(vip));
        let differing = is.iter().filter(|(vip, counters)| was.get(vip) != Some(counters)).map(|(vip, _)| vip);
        self.of_vips(gone.chain(differing).copied().collect::<Vec<_>>(), old, new);
    }

    fn of_vips(&mut self, vips: impl IntoIterator<Item = VppVip>, old: &Inputs, new: &Inputs) {
        for vip in vips {
            self.frontends.extend([old, new].into_iter().filter_map(|inputs| inputs.owner(&vip)).cloned());
        }
    }

    fn every_frontend(&mut self, old: &Inputs, new: &Inputs) {
        for inputs in [old, new] {
            self.frontends.extend(inputs.view().frontends.keys().cloned());
        }
    }
}

/// The keys at which two maps differ.
fn changed<K: Ord + Clone, V: PartialEq>(old: &OrdMap<K, V>, new: &OrdMap<K, V>) -> Vec<K> {
    let key = |item: DiffItem<'_, '_, K, V>| match item {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) | DiffItem::Update { new: (key, _), .. } => key.clone(),
    };
    old.diff(new).map(key).collect()
}

/// VIPs whose servers or buckets differ.
fn differing(old: &Actual, new: &Actual) -> Vec<VppVip> {
    let gone = old.vips.keys().filter(|vip| !new.vips.contains_key(vip));
    let differs = |(vip, of): &(&VppVip, &maglev_model::actual::ActualVip)| {
        old.vips.get(vip).is_none_or(|was| was.ases != of.ases)
    };
    gone.chain(new.vips.iter().filter(differs).map(|(vip, _)| vip)).copied().collect()
}
