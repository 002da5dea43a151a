//! The numbers of an AddressPolicy's status. Computed on request, over all objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Index,
    address_range::{AddressRange, AddressRanges},
    policies::FrontendRule,
};
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
    /// The addresses for Services; `None` if the AddressPolicy gives none to Services that ask for none.
    pub addresses: Option<AddressCounts>,
}

/// The addresses of an AddressPolicy that gives them to Services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Addresses with a Frontend.
    pub allocated: usize,
    /// Addresses that are left; `u128::MAX` also stands for more.
    pub available: u128,
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
        let mut counts: BTreeMap<Name, PolicyCounts> =
            counts.into_iter().map(|(name, counts)| (name.clone(), counts)).collect();
        self.count_addresses(&mut counts);
        counts
    }

    fn count_addresses(&self, counts: &mut BTreeMap<Name, PolicyCounts>) {
        let rules: Vec<&FrontendRule> = self.policies.frontend_rules().filter(|rule| rule.assigns).collect();
        if rules.is_empty() {
            return;
        }
        let taken = self.frontends.taken_addresses();
        let denied: Vec<AddressRange> =
            self.policies.denied_networks().iter().map(|network| AddressRange::all(*network)).collect();
        for rule in rules {
            let ranges = || rule.addresses.iter().copied();
            let (all, left) = (
                AddressRanges::new(ranges().map(AddressRange::all), &[]),
                AddressRanges::new(ranges().map(AddressRange::assignable), &denied),
            );
            let has_frontend = |address: &IpAddr| self.frontends.has_frontend_on(*address);
            let allocated = taken.iter().filter(|address| all.contains(**address) && has_frontend(address)).count();
            let unavailable = taken.iter().filter(|address| left.contains(**address)).count();
            let available = left.size().saturating_sub(unavailable as u128);
            if let Some(counts) = counts.get_mut(&rule.policy) {
                counts.addresses = Some(AddressCounts { allocated, available });
            }
        }
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
