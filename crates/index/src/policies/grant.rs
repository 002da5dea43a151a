//! The grant of one namespace: the AddressPolicies that select it, compiled for lookups.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    prefix_map::PrefixMap,
    rules::{BackendRule, FrontendRule, Limits, PolicyRead},
};
use maglev_crd::EncapType;
use maglev_model::{Name, config::HealthCheck, vip::Service};

/// The effect on objects that are not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effect {
    /// There is no AddressPolicy: everything is allowed.
    #[default]
    Allow,
    /// Objects are reported, and take effect.
    Report,
    /// Objects do not take effect.
    Refuse,
}

/// Everything that a namespace may use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grant {
    pub effect: Effect,
    pub limits: Limits,
    /// True to remove VIPs that are no longer allowed.
    pub withdraws: bool,
    frontends: PrefixMap<Arc<FrontendRule>>,
    backends: PrefixMap<Arc<BackendRule>>,
    /// Networks of Frontends and of Backends, and exceptions of the latter, for messages.
    pub frontend_networks: Vec<IpNet>,
    pub backend_networks: Vec<IpNet>,
    pub backend_exceptions: Vec<IpNet>,
}

/// The part of a Frontend that is not allowed.
#[derive(Clone, Debug, PartialEq)]
pub enum FrontendFault<'a> {
    Address,
    /// The rules that allow the address.
    Service(Vec<&'a FrontendRule>),
    /// The rules that allow address, protocol and port.
    Encap(Vec<&'a FrontendRule>),
}

/// The part of a Frontend that AddressPolicies decide on. `None` for unreadable fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrontendUse {
    pub address: IpAddr,
    pub service: Option<Service>,
    pub encap: Option<EncapType>,
}

impl Grant {
    /// Compiles the AddressPolicies `selecting` a namespace, of `all`.
    pub fn compile(all: &[&PolicyRead], selecting: impl Fn(&PolicyRead) -> bool) -> Self {
        let mut grant = Self { effect: Effect::Refuse, ..Self::default() };
        let mut is_selected = false;
        for read in all.iter().filter(|read| selecting(read)) {
            is_selected = true;
            if read.audits {
                grant.effect = Effect::Report;
            }
            grant.withdraws |= read.withdraws;
            grant.limits = grant.limits.larger(read.limits);
            grant.add(read);
        }
        if all.is_empty() {
            grant.effect = Effect::Allow;
        } else if !is_selected && all.iter().all(|read| read.audits) {
            grant.effect = Effect::Report;
        }
        // A grant that cannot be read may be missing.
        grant.withdraws &= grant.effect == Effect::Refuse && all.iter().all(|read| read.problem.is_none());
        for networks in [&mut grant.frontend_networks, &mut grant.backend_networks, &mut grant.backend_exceptions] {
            networks.sort();
            networks.dedup();
        }
        grant
    }

    fn add(&mut self, read: &PolicyRead) {
        if let Some(rule) = &read.frontends {
            rule.addresses.iter().for_each(|network| self.frontends.add(*network, Arc::clone(rule)));
            self.frontend_networks.extend(&rule.addresses);
        }
        if let Some(rule) = &read.backends {
            rule.addresses.iter().for_each(|network| self.backends.add(*network, Arc::clone(rule)));
            self.backend_networks.extend(&rule.addresses);
            self.backend_exceptions.extend(&rule.except);
        }
    }

    /// The rules that allow a Frontend.
    pub fn frontend_rules(&self, usage: FrontendUse) -> impl Iterator<Item = &FrontendRule> {
        let rules = self.frontends.covering(usage.address).map(|rule| &**rule);
        rules.filter(move |rule| rule.allows_service(usage.service) && rule.allows_encap(usage.encap))
    }

    /// The part of a Frontend that is not allowed, if any.
    pub fn frontend_fault(&self, usage: FrontendUse) -> Option<FrontendFault<'_>> {
        if self.frontend_rules(usage).next().is_some() {
            return None;
        }
        let on_address: Vec<&FrontendRule> = self.frontends.covering(usage.address).map(|rule| &**rule).collect();
        if on_address.is_empty() {
            return Some(FrontendFault::Address);
        }
        let on_port: Vec<&FrontendRule> =
            on_address.iter().copied().filter(|rule| rule.allows_service(usage.service)).collect();
        Some(if on_port.is_empty() { FrontendFault::Service(on_address) } else { FrontendFault::Encap(on_port) })
    }

    /// The rules that allow Backends to have `address`.
    pub fn backend_rules(&self, address: IpAddr) -> impl Iterator<Item = &BackendRule> {
        let rules = self.backends.covering(address).map(|rule| &**rule);
        rules.filter(move |rule| !rule.except.iter().any(|network| network.contains(&address)))
    }

    /// True if an AddressPolicy allows Backends exactly this address, not only a network that contains it.
    pub fn names_backend(&self, address: IpAddr) -> bool {
        let mut rules = self.backends.exactly(address);
        rules.any(|rule| !rule.except.iter().any(|network| network.contains(&address)))
    }

    /// The part of a message on the reason why no rule for `address` allows the probes of `check`; `None` if they are
    /// allowed.
    pub fn probe_fault(&self, address: IpAddr, check: &HealthCheck) -> Option<String> {
        let mut nearest: Option<(u8, String)> = None;
        for rule in self.backend_rules(address) {
            let fault = rule.probes.as_ref().and_then(|probes| probes.fault(check))?;
            if nearest.as_ref().is_none_or(|(position, _)| fault.0 > *position) {
                nearest = Some(fault);
            }
        }
        // Without a rule the address is not allowed, which is another problem.
        nearest.map(|(_, fault)| fault)
    }

    /// The AddressPolicies that allow Backends to have `address`.
    pub fn backend_policies(&self, address: IpAddr) -> impl Iterator<Item = &Name> {
        self.backend_rules(address).map(|rule| &rule.policy)
    }
}
