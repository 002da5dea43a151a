//! Backends: kept, resolved with the HealthCheck they name, and looked up by the Frontends.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use imbl::OrdMap;

use super::{
    Work,
    changes::{Changes, Record},
    health_checks::{FoundCheck, HealthChecks},
    object::Meta,
    references::References,
};
use maglev_model::{
    Name,
    config::{AdminState, Backend, Check, Kind, Target},
    problem::{Problem, Reason},
};

/// A Backend as it was read.
#[derive(Clone, Debug, PartialEq)]
pub enum BackendRead {
    /// All of it.
    Readable {
        address: IpAddr,
        /// The HealthCheck that `spec.healthCheckRef` names.
        check: Option<Name>,
        admin_state: AdminState,
    },
    /// It does not decode or has a value that is not allowed.
    Unreadable {
        problem: Problem,
        /// `spec.address`, where at least that could be read.
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
}

struct Entry {
    meta: Meta,
    read: BackendRead,
    record: Record,
}

#[derive(Default)]
pub struct Backends {
    entries: HashMap<Name, Entry>,
    targets: HashMap<Name, Target>,
    /// The readable ones, as the configuration shows them.
    pub resolved: OrdMap<Name, Arc<Backend>>,
    /// The Frontends that name each.
    pub users: References,
    dirty: BTreeSet<Name>,
}

impl Backends {
    /// Takes in a stored object.
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
            entry.meta = meta;
            entry.read = read;
        } else {
            read.check().into_iter().for_each(|check| checks.add(check, &name));
            let record = if first_list { Record::of_first_list(&meta.revision) } else { Record::default() };
            self.entries.insert(name.clone(), Entry { meta, read, record });
        }
        self.dirty.insert(name);
    }

    /// Forgets a deleted object.
    pub fn delete(&mut self, name: &Name, checks: &mut References, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            entry.read.check().into_iter().for_each(|check| checks.remove(check, name));
            entry.record.remove((Kind::Backend, name, &entry.meta.revision), changes);
            self.dirty.insert(name.clone());
        }
    }

    /// The names of all that are stored.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Something that `name` refers to has changed.
    pub fn touch(&mut self, name: Name) {
        self.dirty.insert(name);
    }

    /// Resolves what was touched; returns the names whose look-up gives another result.
    pub fn settle(&mut self, checks: &HealthChecks, changes: &mut Changes, work: &mut Work) -> Vec<Name> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter(|name| self.settle_one(name, checks, changes, work)).collect()
    }

    fn settle_one(&mut self, name: &Name, checks: &HealthChecks, changes: &mut Changes, work: &mut Work) -> bool {
        work.backends += 1;
        let Some(entry) = self.entries.get_mut(name) else {
            self.resolved.remove(name);
            return self.targets.remove(name).is_some();
        };
        let mut problems = Vec::new();
        let target = match &entry.read {
            BackendRead::Unreadable { problem, address } => {
                problems.push(problem.clone());
                self.resolved.remove(name);
                Target::Unreadable { address: *address }
            }
            BackendRead::Readable { address, check, admin_state } => {
                let check = resolve_check(name, check.as_ref(), checks);
                // That certificates have not been read yet passes by itself: it is nobody's problem.
                if let Check::Missing(problem) | Check::NotSupported(problem) = &check
                    && problem.reason != Reason::CertificateUnknown
                {
                    problems.push(problem.clone());
                }
                let backend = Backend {
                    name: entry.meta.name.clone(),
                    revision: entry.meta.revision.clone(),
                    address: *address,
                    admin_state: *admin_state,
                    check,
                };
                Target::Backend(super::keep_if_equal(&mut self.resolved, name, backend))
            }
        };
        let in_effect = matches!(target, Target::Backend(_));
        entry.record.settle((Kind::Backend, name, &entry.meta.revision), in_effect, problems, changes);
        let changed = self.targets.get(name) != Some(&target);
        if changed {
            self.targets.insert(entry.meta.name.clone(), target);
        }
        changed
    }

    /// What a pool's entry for `name` comes to; `None` where there is no such object. The name
    /// returned shares its text with the object's.
    pub fn find(&self, name: &Name) -> Option<(&Name, &Target)> {
        self.targets.get_key_value(name)
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

/// What the reference of the Backend `name` to `check` comes to. Its problems are the Backend's.
fn resolve_check(name: &Name, check: Option<&Name>, checks: &HealthChecks) -> Check {
    const FIELD: &str = "spec.healthCheckRef";
    let Some(check) = check else { return Check::None };
    let short = check.name();
    let problem = |reason, what: &str| {
        Problem::new(reason, FIELD, format!("Backend {name}: {FIELD} names HealthCheck {short:?}, {what}"))
    };
    match checks.find(check) {
        Some(FoundCheck::Usable(check)) => Check::Probe(check.clone()),
        Some(FoundCheck::NotSupported { why, .. }) => {
            let what = format!("which is not probed, so its health stays unknown: {}", why.message);
            Check::NotSupported(problem(why.reason, &what))
        }
        Some(FoundCheck::Pending) => Check::Missing(problem(
            Reason::CertificateUnknown,
            "whose certificates are being read; it is not probed before, and keeps its weight",
        )),
        Some(FoundCheck::Unreadable) => Check::Missing(problem(
            Reason::HealthCheckUnreadable,
            "which cannot be read; it is not probed and keeps its weight until that HealthCheck is corrected",
        )),
        None => Check::Missing(problem(
            Reason::HealthCheckNotFound,
            "which does not exist in its namespace; it is not probed and keeps its weight until there is one",
        )),
    }
}
