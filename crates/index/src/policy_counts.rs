//! The numbers of an AddressPolicy's status. Computed on request, over all objects.

use std::collections::{BTreeMap, BTreeSet};

use super::Index;
use maglev_model::Name;

/// The numbers of one AddressPolicy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Selected namespaces with Frontends or Backends.
    pub namespaces: usize,
    /// Frontends that the AddressPolicy allows.
    pub frontends: usize,
    /// Backends whose addresses the AddressPolicy allows.
    pub backends: usize,
    /// Frontends and Backends of the selected namespaces that are not allowed or exceed a limit, reported ones included.
    pub violations: usize,
}

impl Index {
    /// The numbers of every AddressPolicy. Empty before every kind has been listed.
    pub fn policy_counts(&self) -> BTreeMap<Name, PolicyCounts> {
        let mut counts: BTreeMap<&Name, PolicyCounts> =
            self.policies.names().map(|name| (name, PolicyCounts::default())).collect();
        // Violations by namespace; a namespace without any has 0.
        let mut violations: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, usage, violates) in self.frontends.usages() {
            *violations.entry(name.namespace()).or_default() += usize::from(violates);
            let Some(grant) = self.policies.compiled(name.namespace()) else { continue };
            let allowing: BTreeSet<&Name> =
                usage.into_iter().flat_map(|usage| grant.frontend_rules(usage)).map(|rule| &rule.policy).collect();
            allowing.into_iter().for_each(|policy| add(&mut counts, policy, |counts| &mut counts.frontends));
        }
        for (name, address, violates) in self.backends.usages() {
            *violations.entry(name.namespace()).or_default() += usize::from(violates);
            let Some(grant) = self.policies.compiled(name.namespace()) else { continue };
            let allowing: BTreeSet<&Name> =
                address.into_iter().flat_map(|address| grant.backend_policies(address)).collect();
            allowing.into_iter().for_each(|policy| add(&mut counts, policy, |counts| &mut counts.backends));
        }
        for (policy, counts) in &mut counts {
            for (namespace, violating) in violations.iter().filter(|(name, _)| self.policies.selects(policy, name)) {
                debug_assert!(!namespace.is_empty(), "Frontends and Backends are namespaced");
                counts.namespaces += 1;
                counts.violations += violating;
            }
        }
        counts.into_iter().map(|(name, counts)| (name.clone(), counts)).collect()
    }
}

fn add<'a>(
    counts: &mut BTreeMap<&'a Name, PolicyCounts>,
    policy: &'a Name,
    number: impl Fn(&mut PolicyCounts) -> &mut usize,
) {
    if let Some(counts) = counts.get_mut(policy) {
        *number(counts) += 1;
    }
}
