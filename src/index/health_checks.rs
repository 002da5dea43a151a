//! HealthChecks: kept, resolved, and looked up by the Backends that name them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use imbl::OrdMap;

use super::{
    Work,
    changes::{Changes, Record},
    object::Meta,
    references::References,
};
use crate::model::{
    Name,
    config::{HealthCheck, Kind},
    problem::{Problem, Reason},
};

/// A HealthCheck as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct CheckRead {
    /// The HealthCheck, or why it is unreadable.
    pub(super) check: Result<HealthCheck, Problem>,
    /// Why this build cannot do it, although it is readable.
    pub(super) not_supported: Option<Problem>,
}

/// What a reference to a HealthCheck comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum FoundCheck {
    /// It is stored, but does not decode or has a value that is not allowed.
    Unreadable,
    /// It is readable, but this build cannot do it.
    NotSupported {
        /// The HealthCheck.
        check: Arc<HealthCheck>,
        /// Why not.
        why: Problem,
    },
    /// It can be done.
    Usable(Arc<HealthCheck>),
}

struct Entry {
    meta: Meta,
    read: CheckRead,
    record: Record,
}

/// All HealthChecks.
#[derive(Default)]
pub(super) struct HealthChecks {
    entries: HashMap<Name, Entry>,
    found: HashMap<Name, FoundCheck>,
    /// The readable ones, as the configuration shows them.
    pub(super) resolved: OrdMap<Name, Arc<HealthCheck>>,
    /// The Backends that name each.
    pub(super) users: References,
    dirty: BTreeSet<Name>,
}

impl HealthChecks {
    /// Takes in a stored object.
    pub(super) fn apply(&mut self, meta: Meta, read: CheckRead, first_list: bool) {
        let name = meta.name.clone();
        if let Some(entry) = self.entries.get_mut(&name) {
            if entry.meta == meta && entry.read == read {
                return;
            }
            entry.meta = meta;
            entry.read = read;
        } else {
            let record = if first_list { Record::of_first_list(&meta.revision) } else { Record::default() };
            self.entries.insert(name.clone(), Entry { meta, read, record });
        }
        self.dirty.insert(name);
    }

    /// Forgets a deleted object.
    pub(super) fn delete(&mut self, name: &Name, changes: &mut Changes) {
        if let Some(entry) = self.entries.remove(name) {
            entry.record.remove((Kind::HealthCheck, name, &entry.meta.revision), changes);
            self.dirty.insert(name.clone());
        }
    }

    /// The names of all that are stored.
    pub(super) fn names(&self) -> impl Iterator<Item = &Name> {
        self.entries.keys()
    }

    /// Resolves what was applied or deleted; returns the names whose look-up gives another result.
    pub(super) fn settle(&mut self, changes: &mut Changes, work: &mut Work) -> Vec<Name> {
        let dirty = std::mem::take(&mut self.dirty);
        dirty.into_iter().filter(|name| self.settle_one(name, changes, work)).collect()
    }

    fn settle_one(&mut self, name: &Name, changes: &mut Changes, work: &mut Work) -> bool {
        work.health_checks += 1;
        let Some(entry) = self.entries.get_mut(name) else {
            self.resolved.remove(name);
            return self.found.remove(name).is_some();
        };
        let mut problems: Vec<Problem> = entry.read.not_supported.iter().cloned().collect();
        let found = match &entry.read.check {
            Err(problem) => {
                problems.push(problem.clone());
                self.resolved.remove(name);
                FoundCheck::Unreadable
            }
            Ok(check) => {
                let check = super::keep_if_equal(&mut self.resolved, name, check.clone());
                match &entry.read.not_supported {
                    Some(why) => FoundCheck::NotSupported { check, why: why.clone() },
                    None => FoundCheck::Usable(check),
                }
            }
        };
        let in_effect = entry.read.check.is_ok();
        entry.record.settle((Kind::HealthCheck, name, &entry.meta.revision), in_effect, problems, changes);
        let changed = self.found.get(name) != Some(&found);
        if changed {
            self.found.insert(name.clone(), found);
        }
        changed
    }

    /// What a reference to `name` comes to; `None` where there is no such object.
    pub(super) fn find(&self, name: &Name) -> Option<&FoundCheck> {
        self.found.get(name)
    }

    /// The problems of `name`.
    pub(super) fn problems(&self, name: &Name) -> &[Problem] {
        self.entries.get(name).map_or(&[], |entry| entry.record.problems())
    }
}

/// The problem of a HealthCheck that this build cannot do.
pub(super) fn not_supported(name: &Name, reason: Reason, field: &str, found: &str, allowed: &str) -> Problem {
    let message =
        format!("HealthCheck {name}: {field} is {found}, which this build of maglevd does not support; {allowed}");
    Problem::new(reason, field, message)
}
