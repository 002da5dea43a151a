//! Stores and resolves HealthChecks, for lookup by the Backends that refer to them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use imbl::OrdMap;

use super::{
    Work,
    certificates::{Certificates, Holder, HolderContent, HolderRefs, Resolved},
    changes::{Changes, ObjectVersion, Record},
    object::Meta,
    references::References,
};
use maglev_model::{
    Name,
    body_pattern::BodyPattern,
    config::{HeaderValue, HealthCheck, Kind, Probe},
    problem::Problem,
};

/// A HealthCheck as read from its object.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckRead {
    /// The HealthCheck without certificates and values of Secrets, or the problem that makes it unreadable.
    pub check: Result<HealthCheck, Problem>,
    /// The references to certificates and values of headers.
    pub refs: HolderRefs,
    /// The problem of a readable HealthCheck that this node does not support.
    pub not_supported: Option<Problem>,
    /// The problem of a HealthCheck with the value of a header for credentials. It is used all the same.
    pub literal_secret: Option<Problem>,
}

/// The result of resolving a reference to a HealthCheck.
#[derive(Clone, Debug, PartialEq)]
pub enum ResolvedCheck {
    /// The object does not decode, has an invalid value, or refers to unusable certificates.
    Unreadable,
    /// The referenced certificates have not been read yet.
    Pending,
    /// This node does not support the type of the probe.
    NotSupported {
        check: Arc<HealthCheck>,
        problem: Problem,
    },
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
    checks: HashMap<Name, ResolvedCheck>,
    /// The readable HealthChecks, as in the configuration.
    pub resolved: OrdMap<Name, Arc<HealthCheck>>,
    /// The Backends that refer to each HealthCheck.
    pub users: References,
    certificates: Certificates,
    dirty: BTreeSet<Name>,
}

impl HealthChecks {
    /// Applies a stored object.
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
            let record = if first_list { Record::for_first_list(&meta.revision) } else { Record::default() };
            self.entries.insert(name.clone(), Entry { meta, read, record });
        }
        self.dirty.insert(name);
    }

    /// Removes a deleted object.
    pub fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            entry.read.refs.holders().for_each(|holder| self.certificates.users.remove(holder, name));
            entry
                .record
                .remove(ObjectVersion { kind: Kind::HealthCheck, name, revision: &entry.meta.revision }, changes);
            self.dirty.insert(name.clone());
        }
    }

    /// The names of all stored objects.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Applies the content of an object with certificates.
    pub fn apply_certificates(&mut self, holder: &Holder, content: HolderContent) {
        if self.certificates.apply(holder, content) {
            self.dirty.extend(self.certificates.users.users(holder).cloned());
        }
    }

    /// The referenced objects with certificates.
    pub fn required_certificates(&self) -> BTreeSet<Holder> {
        self.certificates.required()
    }

    /// Resolves the dirty objects. Returns the names whose lookup result changed.
    pub fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> Vec<Name> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter(|name| self.settle_one(name, changes, work)).collect()
    }

    fn settle_one(&mut self, name: &Name, changes: &mut Changes, work: &mut Work) -> bool {
        work.health_checks += 1;
        let Some(entry) = self.entries.get_mut(name) else {
            self.certificates.forget_unused();
            self.resolved.remove(name);
            return self.checks.remove(name).is_some();
        };
        let mut problems: Vec<Problem> =
            entry.read.not_supported.iter().chain(&entry.read.literal_secret).cloned().collect();
        let resolved = match (&entry.read.check, self.certificates.resolve(name, &entry.read.refs)) {
            (Err(problem), _) => {
                problems.push(problem.clone());
                ResolvedCheck::Unreadable
            }
            (Ok(_), Resolved::Unusable(faults)) => {
                problems.extend(faults);
                ResolvedCheck::Unreadable
            }
            (Ok(_), Resolved::Pending) => ResolvedCheck::Pending,
            (Ok(check), Resolved::Usable { authorities, client, headers, skipped }) => {
                problems.extend(skipped);
                let mut check = check.clone();
                if let Some(tls) = check.probe.tls_mut() {
                    (tls.authorities, tls.client) = (authorities, client);
                }
                set_header_values(&mut check, headers);
                let check = super::keep_if_equal(&mut self.resolved, name, check);
                match &entry.read.not_supported {
                    Some(problem) => ResolvedCheck::NotSupported { check, problem: problem.clone() },
                    None => ResolvedCheck::Usable(check),
                }
            }
        };
        if let ResolvedCheck::Unreadable | ResolvedCheck::Pending = resolved {
            self.resolved.remove(name);
        }
        let object = ObjectVersion { kind: Kind::HealthCheck, name, revision: &entry.meta.revision };
        match resolved {
            ResolvedCheck::Pending => entry.record.pend(object, changes),
            ResolvedCheck::Unreadable => entry.record.settle(object, false, problems, changes),
            ResolvedCheck::NotSupported { .. } | ResolvedCheck::Usable(_) => {
                entry.record.settle(object, true, problems, changes);
            }
        }
        let changed = self.checks.get(name) != Some(&resolved);
        if changed {
            self.checks.insert(name.clone(), resolved);
        }
        changed
    }

    /// The HealthCheck `name`; `None` if there is no such object.
    pub fn find(&self, name: &Name) -> Option<&ResolvedCheck> {
        self.checks.get(name)
    }

    /// The expression of the stored HealthCheck `name`, if it has a valid one.
    pub fn expected_body(&self, name: &Name) -> Option<&BodyPattern> {
        match &self.entries.get(name)?.read.check.as_ref().ok()?.probe {
            Probe::Http { http, .. } => http.expected_body.as_ref(),
            _ => None,
        }
    }

    /// The problems of `name`.
    pub fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

fn set_header_values(check: &mut HealthCheck, values: Vec<(usize, HeaderValue)>) {
    let Probe::Http { http, .. } = &mut check.probe else { return };
    for (position, value) in values {
        if let Some(header) = http.headers.get_mut(position) {
            header.1 = value;
        }
    }
}
