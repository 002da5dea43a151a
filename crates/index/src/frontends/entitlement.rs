//! Decides which Frontends are allowed: by the AddressPolicies of their namespace, and within its limits. A Frontend that
//! is not allowed makes no claim on its address against other namespaces, whatever its age.

use super::{Entry, FrontendRead, Frontends};
use crate::{
    Work,
    claims::{ClaimedEncap, EncapType},
    object::Meta,
    policies::{Affected, Effect, FrontendUse, Policies, Quotas, Share, Verdict, frontend_quota},
};
use maglev_crd as crd;
use maglev_model::{Name, problem::Problem};

/// The decisions on one Frontend.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entitlement {
    usage: Verdict,
    quota: Verdict,
    shares: Shares,
}

/// The shares of a Frontend in the limits of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Shares {
    count: Share,
    tables: Share,
}

impl Entitlement {
    /// The problem because of which the Frontend does not take effect.
    pub fn refusal(&self) -> Option<&Problem> {
        self.usage.refusal.as_ref().or(self.quota.refusal.as_ref())
    }

    /// The problem because of which the VIP is removed.
    pub fn withdrawal(&self) -> Option<&Problem> {
        self.usage.refusal.as_ref().filter(|_| self.usage.withdraws)
    }

    /// The problems that are only reported.
    pub fn reports(&self) -> impl Iterator<Item = &Problem> {
        [&self.usage, &self.quota].into_iter().filter_map(|verdict| verdict.report.as_ref())
    }
}

/// The limits of Frontends.
#[derive(Debug, Default)]
pub struct FrontendQuotas {
    count: Quotas,
    tables: Quotas,
}

impl FrontendQuotas {
    /// Removes the shares of an object.
    pub fn forget(&mut self, meta: &Meta, entitlement: &mut Entitlement) {
        self.replace(meta, &mut entitlement.shares, Shares::default());
    }

    fn replace(&mut self, meta: &Meta, shares: &mut Shares, wanted: Shares) {
        self.count.replace(|| meta.age(), &mut shares.count, wanted.count);
        self.tables.replace(|| meta.age(), &mut shares.tables, wanted.tables);
    }

    /// The problem of a Frontend beyond a limit.
    fn problem(&self, name: &Name) -> Option<Problem> {
        let count = || self.count.exceeded(name).map(|limit| frontend_quota(name, "frontends", limit, "Frontends"));
        let tables = || {
            let limit = self.tables.exceeded(name)?;
            Some(frontend_quota(name, "tableEntries", limit, "buckets of tables"))
        };
        count().or_else(tables)
    }
}

impl FrontendRead {
    /// The part that AddressPolicies decide on; `None` without a readable address.
    pub fn usage(&self) -> Option<FrontendUse> {
        let encap = match &self.body {
            super::Body::Readable { settings, .. } => Some(settings.encap),
            super::Body::Unreadable { encap: ClaimedEncap::Known(encap, _), .. } => Some(*encap),
            super::Body::Unreadable { encap: ClaimedEncap::Unknown, .. } => None,
        };
        let encap = encap.map(|encap| match encap {
            EncapType::Gre => crd::EncapType::Gre,
            EncapType::L3dsr(_) => crd::EncapType::L3dsr,
        });
        Some(FrontendUse { address: self.address?, service: self.service, encap })
    }
}

impl Frontends {
    /// Decides on the dirty Frontends. Addresses whose claims that changes become dirty.
    pub fn entitle(&mut self, policies: &mut Policies, work: &mut Work) {
        let mut names = self.dirty.clone();
        let mut before: Vec<(Name, bool)> = Vec::with_capacity(names.len());
        for name in &names {
            let Some(entry) = self.entries.get_mut(name) else { continue };
            before.push((name.clone(), entry.is_entitled()));
            let grant = policies.grant(name.namespace(), work);
            let verdict = entry.read.usage().map(|usage| policies.frontend(name, usage, &grant)).unwrap_or_default();
            let is_counted = verdict.refusal.is_none() && entry.read.address.is_some();
            let length = entry.read.settings().map(|settings| u64::from(settings.table_length.get()));
            let wanted = Shares {
                count: Share::new(is_counted.then_some(1), grant.limits.frontends),
                tables: Share::new(length.filter(|_| is_counted), grant.limits.table_entries),
            };
            self.quotas.replace(&entry.meta, &mut entry.entitlement.shares, wanted);
            entry.entitlement.usage = verdict;
        }
        for name in self.quotas.count.decide().into_iter().chain(self.quotas.tables.decide()) {
            if let Some(entry) = self.entries.get(&name)
                && names.insert(name.clone())
            {
                before.push((name, entry.is_entitled()));
            }
        }
        for (name, was_entitled) in before {
            let problem = self.quotas.problem(&name);
            let Some(entry) = self.entries.get_mut(&name) else { continue };
            let effect = problem.as_ref().map_or(Effect::Allow, |_| policies.grant(name.namespace(), work).effect);
            entry.entitlement.quota = Verdict::with_effect(problem, effect);
            if entry.is_entitled() != was_entitled {
                self.dirty_addresses.extend(entry.read.address);
            }
            self.dirty.insert(name);
        }
    }

    /// Each Frontend with the part that AddressPolicies decide on, and true if it violates them.
    pub fn usages(&self) -> impl Iterator<Item = (&Name, Option<FrontendUse>, bool)> {
        self.entries.iter().map(|(name, entry)| {
            let violates = !entry.is_entitled() || entry.entitlement.reports().next().is_some();
            (name, entry.read.usage(), violates)
        })
    }

    /// Marks the Frontends as dirty that other AddressPolicies, or another deny list, may affect.
    pub fn touch_affected(&mut self, affected: &Affected) {
        if affected.everything || !affected.namespaces.is_empty() {
            let is_affected = |name: &&Name| affected.everything || affected.namespaces.contains(name.namespace());
            self.dirty.extend(self.entries.keys().filter(is_affected).cloned());
        }
    }
}

impl Entry {
    /// True if the Frontend is allowed, so that it can claim its address against other namespaces.
    pub fn is_entitled(&self) -> bool {
        self.entitlement.refusal().is_none()
    }
}
