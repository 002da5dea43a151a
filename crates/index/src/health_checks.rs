//! HealthChecks: kept, resolved, and looked up by the Backends that name them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use imbl::OrdMap;

use super::{
    Work,
    certificates::{CertificateRefs, Certificates, Held, Holder, Resolved},
    changes::{Changes, Record},
    object::Meta,
    references::References,
};
use maglev_model::{
    Name,
    config::{HealthCheck, Kind},
    problem::Problem,
};

/// A HealthCheck as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRead {
    /// The HealthCheck without the certificates that it refers to, or why it is unreadable.
    pub check: Result<HealthCheck, Problem>,
    /// The certificates that it refers to.
    pub refs: CertificateRefs,
    /// Why this node cannot do it, although it is readable.
    pub not_supported: Option<Problem>,
}

/// What a reference to a HealthCheck comes to.
#[derive(Clone, Debug, PartialEq)]
pub enum FoundCheck {
    /// It is stored, but does not decode, has a value that is not allowed, or refers to certificates that
    /// cannot be used.
    Unreadable,
    /// The certificates that it refers to have not been read yet.
    Pending,
    /// It is readable, but this node cannot do it.
    NotSupported { check: Arc<HealthCheck>, why: Problem },
    /// It can be done.
    Usable(Arc<HealthCheck>),
}

struct Entry {
    meta: Meta,
    read: CheckRead,
    record: Record,
}

#[derive(Default)]
pub struct HealthChecks {
    entries: HashMap<Name, Entry>,
    found: HashMap<Name, FoundCheck>,
    /// The readable ones, as the configuration shows them.
    pub resolved: OrdMap<Name, Arc<HealthCheck>>,
    /// The Backends that name each.
    pub users: References,
    certificates: Certificates,
    dirty: BTreeSet<Name>,
}

impl HealthChecks {
    /// Takes in a stored object.
    pub fn apply(&mut self, meta: Meta, read: CheckRead, first_list: bool) {
        let name = meta.name.clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            if entry.meta == meta && entry.read == read {
                return;
            }
            if entry.read.refs != read.refs {
                entry.read.refs.holders().for_each(|holder| self.certificates.users.remove(holder, &name));
                read.refs.holders().for_each(|holder| self.certificates.users.add(holder, &name));
            }
            entry.meta = meta;
            entry.read = read;
        } else {
            read.refs.holders().for_each(|holder| self.certificates.users.add(holder, &name));
            let record = if first_list { Record::of_first_list(&meta.revision) } else { Record::default() };
            self.entries.insert(name.clone(), Entry { meta, read, record });
        }
        self.dirty.insert(name);
    }

    /// Forgets a deleted object.
    pub fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            entry.read.refs.holders().for_each(|holder| self.certificates.users.remove(holder, name));
            entry.record.remove((Kind::HealthCheck, name, &entry.meta.revision), changes);
            self.dirty.insert(name.clone());
        }
    }

    /// The names of all that are stored.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Takes in what was read of an object with certificates.
    pub fn apply_certificates(&mut self, holder: &Holder, held: Held) {
        if self.certificates.apply(holder, held) {
            self.dirty.extend(self.certificates.users.users(holder).cloned());
        }
    }

    /// The objects with certificates that are referred to.
    pub fn certificates_wanted(&self) -> BTreeSet<Holder> {
        self.certificates.wanted()
    }

    /// Resolves what was applied or deleted; returns the names whose look-up gives another result.
    pub fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> Vec<Name> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter(|name| self.settle_one(name, changes, work)).collect()
    }

    fn settle_one(&mut self, name: &Name, changes: &mut Changes, work: &mut Work) -> bool {
        work.health_checks += 1;
        let Some(entry) = self.entries.get_mut(name) else {
            self.certificates.forget_unused();
            self.resolved.remove(name);
            return self.found.remove(name).is_some();
        };
        let mut problems: Vec<Problem> = entry.read.not_supported.iter().cloned().collect();
        let found = match (&entry.read.check, self.certificates.resolve(name, &entry.read.refs)) {
            (Err(problem), _) => {
                problems.push(problem.clone());
                FoundCheck::Unreadable
            }
            (Ok(_), Resolved::Unusable(found)) => {
                problems.extend(found);
                FoundCheck::Unreadable
            }
            (Ok(_), Resolved::Pending) => FoundCheck::Pending,
            (Ok(check), Resolved::Usable(authorities, client)) => {
                let mut check = check.clone();
                if let Some(tls) = check.probe.tls_mut() {
                    (tls.authorities, tls.client) = (authorities, client);
                }
                let check = super::keep_if_equal(&mut self.resolved, name, check);
                match &entry.read.not_supported {
                    Some(why) => FoundCheck::NotSupported { check, why: why.clone() },
                    None => FoundCheck::Usable(check),
                }
            }
        };
        if let FoundCheck::Unreadable | FoundCheck::Pending = found {
            self.resolved.remove(name);
        }
        let object = (Kind::HealthCheck, name, &entry.meta.revision);
        match found {
            FoundCheck::Pending => entry.record.pend(object, changes),
            FoundCheck::Unreadable => entry.record.settle(object, false, problems, changes),
            FoundCheck::NotSupported { .. } | FoundCheck::Usable(_) => {
                entry.record.settle(object, true, problems, changes);
            }
        }
        let changed = self.found.get(name) != Some(&found);
        if changed {
            self.found.insert(name.clone(), found);
        }
        changed
    }

    /// What a reference to `name` comes to; `None` where there is no such object.
    pub fn find(&self, name: &Name) -> Option<&FoundCheck> {
        self.found.get(name)
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}
