//! Decides which Backends and which of their probes are allowed. A Backend that is not allowed is like one that cannot be
//! read: it is not probed and not added, and stays in VPP as it is.

use std::{collections::BTreeSet, net::IpAddr};

use super::{BackendRead, Backends, Entry};
use crate::{
    Work,
    health_checks::{HealthChecks, ResolvedCheck},
    object::Meta,
    policies::{Policies, Quotas, Share, Verdict, backend_quota, probe_quota, shortest_interval},
};
use maglev_model::{
    Name,
    config::{Check, HealthCheck},
    derived::Origin,
    problem::Problem,
};

/// Probes are counted in thousandths of a probe per second.
const PROBES: u64 = 1000;

/// The decisions on one Backend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entitlement {
    address: Verdict,
    count: Verdict,
    probe: Verdict,
    rate: Verdict,
    shares: Shares,
}

/// The shares of a Backend in the limits of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shares {
    count: Share,
    rate: Share,
}

impl Entitlement {
    /// The problem because of which the Backend does not take effect.
    pub fn refusal(&self) -> Option<&Problem> {
        self.address.refusal.as_ref().or(self.count.refusal.as_ref())
    }

    /// The problems that are only reported.
    pub fn reports(&self) -> impl Iterator<Item = &Problem> {
        [&self.address, &self.count, &self.probe, &self.rate].into_iter().filter_map(|verdict| verdict.report.as_ref())
    }

    /// True if something is not allowed or exceeds a limit.
    fn violates(&self) -> bool {
        let verdicts = [&self.address, &self.count, &self.probe, &self.rate];
        verdicts.into_iter().any(|verdict| verdict.refusal.is_some() || verdict.report.is_some())
    }

    /// The check, unless its probes are not allowed.
    pub fn restrict(&self, check: Check) -> Check {
        match (check, self.probe.refusal.as_ref().or(self.rate.refusal.as_ref())) {
            (Check::Probe(_), Some(problem)) => Check::Missing(problem.clone()),
            (check, _) => check,
        }
    }
}

/// The limits of Backends.
#[derive(Debug, Default)]
pub struct BackendQuotas {
    count: Quotas,
    /// Limits of thousandths of a probe per second.
    rate: Quotas,
}

impl BackendQuotas {
    /// Removes the shares of an object.
    pub fn forget(&mut self, meta: &Meta, entitlement: &mut Entitlement) {
        self.replace(meta, &mut entitlement.shares, Shares::default());
    }

    fn replace(&mut self, meta: &Meta, shares: &mut Shares, wanted: Shares) {
        self.count.replace(|| meta.age(), &mut shares.count, wanted.count);
        self.rate.replace(|| meta.age(), &mut shares.rate, wanted.rate);
    }
}

impl Backends {
    /// Each Backend with its readable address, and true if it violates the AddressPolicies of its namespace.
    pub fn usages(&self) -> impl Iterator<Item = (&Name, Option<IpAddr>, bool)> {
        let is_namespaced = |(_, entry): &(&Name, &Entry)| !matches!(entry.origin, Some(Origin::Node(_)));
        let entries = self.entries.iter().filter(is_namespaced);
        entries.map(|(name, entry)| (name, entry.read.address(), entry.entitlement.violates()))
    }

    /// Decides on the dirty Backends. Returns them, with those that a limit concerns in another way.
    pub fn entitle(&mut self, checks: &HealthChecks, policies: &mut Policies, work: &mut Work) -> BTreeSet<Name> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for name in &dirty {
            self.judge(name, checks, policies, work);
        }
        dirty.extend(self.quotas.count.decide());
        dirty.extend(self.quotas.rate.decide());
        for name in &dirty {
            let (count, rate) = (self.quotas.count.exceeded(name), self.quotas.rate.exceeded(name));
            let Some(entry) = self.entries.get_mut(name) else { continue };
            if count.is_none() && rate.is_none() {
                (entry.entitlement.count, entry.entitlement.rate) = (Verdict::default(), Verdict::default());
                continue;
            }
            let effect = policies.grant(name.namespace(), work).effect;
            let rate = rate.map(|limit| probe_quota(name, limit / PROBES));
            entry.entitlement.count = Verdict::with_effect(count.map(|limit| backend_quota(name, limit)), effect);
            entry.entitlement.rate = Verdict::with_effect(rate, effect);
        }
        dirty
    }

    /// Decides on the address and the probes of one Backend, and what it takes of the limits.
    fn judge(&mut self, name: &Name, checks: &HealthChecks, policies: &mut Policies, work: &mut Work) {
        let Some(entry) = self.entries.get_mut(name) else { return };
        // The cluster decides on the addresses and the check of Nodes, not a namespace.
        if let Some(Origin::Node(_)) = entry.origin {
            return;
        }
        let BackendRead::Readable { address, check, .. } = &entry.read else {
            self.quotas.forget(&entry.meta, &mut entry.entitlement);
            entry.entitlement = Entitlement::default();
            return;
        };
        let grant = policies.grant(name.namespace(), work);
        let verdict = policies.backend(name, *address, &grant);
        let check = check.as_ref().and_then(|check| match checks.find(check) {
            Some(ResolvedCheck::Usable(check)) => Some(&**check),
            _ => None,
        });
        let probe = check.map(|check| policies.probe(name, *address, check, &grant)).unwrap_or_default();
        let is_allowed = verdict.refusal.is_none();
        let rate = check.filter(|_| is_allowed && probe.refusal.is_none()).map(probe_rate);
        let wanted = Shares {
            count: Share::new(is_allowed.then_some(1), grant.limits.backends),
            rate: Share::new(rate, grant.limits.probes_per_second.map(|limit| limit * PROBES)),
        };
        self.quotas.replace(&entry.meta, &mut entry.entitlement.shares, wanted);
        (entry.entitlement.address, entry.entitlement.probe) = (verdict, probe);
    }
}

/// Thousandths of a probe per second at the shortest interval, rounded up.
fn probe_rate(check: &HealthCheck) -> u64 {
    let milliseconds = u64::try_from(shortest_interval(check).as_millis()).unwrap_or(u64::MAX).max(1);
    (1000 * PROBES).div_ceil(milliseconds)
}
