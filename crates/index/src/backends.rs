//! Stores Backends and resolves them with their HealthChecks, for lookup by the Frontends that refer to them.

mod derived;
mod entitlement;

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdMap;

use self::entitlement::{BackendQuotas, Entitlement};
use super::{
    Work,
    changes::{Changes, ObjectVersion, Record},
    frontends::Frontends,
    health_checks::{HealthChecks, ResolvedCheck},
    object::Meta,
    policies::{Affected, Policies},
    references::References,
};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, Kind, Member, MemberTarget},
    derived::Origin,
    drain::DrainConf,
    problem::{Problem, Reason},
};

/// A Backend as read from its object.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendRead {
    Readable {
        address: IpAddr,
        /// The HealthCheck that `spec.healthCheckRef` names.
        check: Option<Name>,
        admin_state: AdminState,
        /// The reason for which a derived Backend is paused.
        pause_cause: Option<Arc<str>>,
        drain: DrainConf,
    },
    /// The object does not decode or has an invalid value.
    Unreadable {
        problem: Problem,
        /// `spec.address`; `None` if it is unreadable, too.
        address: Option<IpAddr>,
    },
}

impl BackendRead {
    fn check(&self) -> Option<&Name> {
        match self {
            Self::Readable { check, .. } => check.as_ref(),
            Self::Unreadable { .. } => None,
        }
    }

    /// The address of a readable Backend.
    fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Readable { address, .. } => Some(*address),
            Self::Unreadable { .. } => None,
        }
    }
}

struct Entry {
    meta: Meta,
    /// `None` for a stored Backend.
    origin: Option<Origin>,
    read: BackendRead,
    /// The readable address at the last resolution. It determines the encap that Frontends claim.
    resolved_address: Option<IpAddr>,
    entitlement: Entitlement,
    record: Record,
}

impl Entry {
    /// The Backend; the readable address of one that does not take effect. Adds its problems to `problems`.
    fn backend(
        &self,
        frontends: &Frontends,
        checks: &HealthChecks,
        node_check: &Check,
        problems: &mut Vec<Problem>,
    ) -> Result<Backend, Option<IpAddr>> {
        let name = &self.meta.name;
        let (address, check, admin_state, pause_cause, drain) = match &self.read {
            BackendRead::Unreadable { problem, address } => {
                problems.push(problem.clone());
                return Err(*address);
            }
            BackendRead::Readable { address, check, admin_state, pause_cause, drain } => {
                (*address, check, *admin_state, pause_cause.clone(), *drain)
            }
        };
        if frontends.is_vip(address) {
            problems.push(used_by_frontend(name, address));
            return Err(Some(address));
        }
        if let Some(refusal) = self.entitlement.refusal() {
            problems.push(refusal.clone());
            return Err(Some(address));
        }
        let check = match &self.origin {
            Some(Origin::Node(_)) => node_check.clone(),
            _ => self.entitlement.restrict(resolve_check(name, check.as_ref(), checks)),
        };
        // Certificates that have not been read yet are not a problem: the state is transient.
        if let Check::Missing(problem) | Check::NotSupported(problem) = &check
            && problem.reason != Reason::CertificateUnknown
        {
            problems.push(problem.clone());
        }
        let (name, revision) = (name.clone(), self.meta.revision.clone());
        Ok(Backend { name, revision, address, admin_state, pause_cause, drain, check })
    }
}

pub struct Backends {
    entries: HashMap<Name, Entry>,
    targets: HashMap<Name, MemberTarget>,
    /// The readable Backends, as in the configuration.
    pub resolved: OrdMap<Name, Arc<Backend>>,
    /// The Backends with each address.
    by_address: References<IpAddr>,
    /// The Frontends that refer to each Backend.
    pub users: References,
    quotas: BackendQuotas,
    /// The health check of derived Backends that are Nodes.
    node_check: Check,
    dirty: BTreeSet<Name>,
}

impl Backends {
    /// Applies a stored object.
    pub fn apply(&mut self, meta: Meta, read: BackendRead, first_list: bool, checks: &mut References) {
        let name = meta.name.clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            if entry.meta == meta && entry.read == read {
                return;
            }
            if entry.read.check() != read.check() {
                entry.read.check().into_iter().for_each(|check| checks.remove(check, &name));
                read.check().into_iter().for_each(|check| checks.add(check, &name));
            }
            if entry.read.address() != read.address() {
                entry.read.address().iter().for_each(|address| self.by_address.remove(address, &name));
                read.address().iter().for_each(|address| self.by_address.add(address, &name));
            }
            if entry.meta.created != meta.created {
                self.quotas.forget(&entry.meta, &mut entry.entitlement);
            }
            entry.meta = meta;
            entry.read = read;
        } else {
            read.check().into_iter().for_each(|check| checks.add(check, &name));
            read.address().iter().for_each(|address| self.by_address.add(address, &name));
            let record = if first_list { Record::for_first_list(&meta.revision) } else { Record::default() };
            let entitlement = Entitlement::default();
            let origin = Origin::parse(&name);
            self.entries
                .insert(name.clone(), Entry { meta, origin, read, resolved_address: None, entitlement, record });
        }
        self.dirty.insert(name);
    }

    /// Removes a deleted object.
    pub fn delete(&mut self, name: &Name, checks: &mut References, changes: &mut Changes) {
        if let Some(mut entry) = self.entries.remove(name) {
            self.quotas.forget(&entry.meta, &mut entry.entitlement);
            entry.read.check().into_iter().for_each(|check| checks.remove(check, name));
            entry.read.address().iter().for_each(|address| self.by_address.remove(address, name));
            entry.record.remove(ObjectVersion { kind: Kind::Backend, name, revision: &entry.meta.revision }, changes);
            self.dirty.insert(name.clone());
        }
    }

    /// The names of all stored objects.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.iter().filter(|(_, entry)| entry.origin.is_none()).map(|(name, _)| name)
    }

    /// Marks a Backend as dirty, because an object that it refers to changed.
    pub fn touch(&mut self, name: Name) {
        self.dirty.insert(name);
    }

    /// Marks the Backends with `address` as dirty, because the Frontends on that address changed.
    pub fn touch_address(&mut self, address: IpAddr) {
        self.dirty.extend(self.by_address.users(&address).cloned());
    }

    /// Marks the Backends as dirty that other AddressPolicies, or another deny list, may affect.
    pub fn touch_affected(&mut self, affected: &Affected) {
        let everything = affected.everything || affected.own_addresses;
        if everything || !affected.namespaces.is_empty() {
            let is_affected = |name: &&Name| everything || affected.namespaces.contains(name.namespace());
            self.dirty.extend(self.entries.keys().filter(is_affected).cloned());
        }
    }

    /// Resolves the dirty objects. Returns the names whose lookup result changed.
    pub fn settle(
        &mut self,
        checks: &HealthChecks,
        frontends: &Frontends,
        policies: &mut Policies,
        changes: &mut Changes,
        work: &mut Work,
    ) -> Vec<Name> {
        let dirty = self.entitle(checks, policies, work);
        dirty.into_iter().filter(|name| self.settle_one(name, checks, frontends, changes, work)).collect()
    }

    fn settle_one(
        &mut self,
        name: &Name,
        checks: &HealthChecks,
        frontends: &Frontends,
        changes: &mut Changes,
        work: &mut Work,
    ) -> bool {
        work.backends += 1;
        let Some(entry) = self.entries.get_mut(name) else {
            self.resolved.remove(name);
            return self.targets.remove(name).is_some();
        };
        let mut problems = Vec::new();
        let target = match entry.backend(frontends, checks, &self.node_check, &mut problems) {
            Ok(backend) => MemberTarget::Backend(super::keep_if_equal(&mut self.resolved, name, backend)),
            Err(address) => {
                self.resolved.remove(name);
                MemberTarget::Unreadable { address }
            }
        };
        problems.extend(entry.entitlement.reports().cloned());
        // A derived Backend has no object whose versions take effect.
        let in_effect = entry.origin.is_none() && matches!(target, MemberTarget::Backend(_));
        let object = ObjectVersion { kind: Kind::Backend, name, revision: &entry.meta.revision };
        entry.record.settle(object, in_effect, problems, changes);
        let address = entry.read.address();
        let is_readable_as_before = std::mem::replace(&mut entry.resolved_address, address) == address;
        let changed = self.targets.get(name) != Some(&target) || !is_readable_as_before;
        if changed {
            self.targets.insert(entry.meta.name.clone(), target);
        }
        changed
    }

    /// The Backend `name`; `None` if there is no such object. The returned name shares its text with that of the object.
    pub fn find(&self, name: &Name) -> Option<(&Name, &MemberTarget)> {
        self.targets.get_key_value(name)
    }

    /// The address of a member whose Backend is readable, even if it is not in effect.
    pub fn readable_address(&self, member: &Member) -> Option<IpAddr> {
        match &member.target {
            MemberTarget::Backend(backend) => Some(backend.address),
            MemberTarget::Unreadable { .. } => self.entries.get(&member.backend)?.read.address(),
        }
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

/// The problem of a Backend with the address of a Frontend. The message does not name the Frontend, which may be in another
/// namespace.
fn used_by_frontend(name: &Name, address: IpAddr) -> Problem {
    let message = format!(
        "Backend {name}: spec.address {address} is the address of a Frontend, so VPP would send the packets to itself; use \
         the address of the server; until then the Backend stays in VPP as it is and is not probed"
    );
    Problem::new(Reason::AddressUsedByFrontend, "spec.address", message)
}

/// Resolves the reference of the Backend `name` to `check`. The problems are those of the Backend.
fn resolve_check(name: &Name, check: Option<&Name>, checks: &HealthChecks) -> Check {
    const FIELD: &str = "spec.healthCheckRef";
    let Some(check) = check else { return Check::None };
    let short = check.name();
    let problem = |reason, clause: &str| {
        Problem::new(reason, FIELD, format!("Backend {name}: {FIELD} refers to HealthCheck {short:?}, {clause}"))
    };
    match checks.find(check) {
        Some(ResolvedCheck::Usable(check)) => Check::Probe(check.clone()),
        Some(ResolvedCheck::NotSupported { problem: cause, .. }) => {
            let clause = format!("which this node does not support, so the health stays unknown: {}", cause.message);
            Check::NotSupported(problem(cause.reason, &clause))
        }
        Some(ResolvedCheck::Pending) => Check::Missing(problem(
            Reason::CertificateUnknown,
            "whose certificates or values of headers have not been read yet; until then the Backend is not probed and \
             keeps its weight",
        )),
        Some(ResolvedCheck::Unreadable) => Check::Missing(problem(
            Reason::HealthCheckUnreadable,
            "which cannot be read: correct it; until then the Backend is not probed and keeps its weight",
        )),
        None => Check::Missing(problem(
            Reason::HealthCheckNotFound,
            "which does not exist in the same namespace: create it; until then the Backend is not probed and keeps its \
             weight",
        )),
    }
}
