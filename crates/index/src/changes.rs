//! The changes of a batch of objects, for events, and the record per object that they are computed from.

use maglev_model::{
    Name,
    config::{Kind, Revision},
    problem::Problem,
};

/// A problem of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectProblem {
    pub kind: Kind,
    pub name: Name,
    /// The `metadata.generation` of the object that has the problem.
    pub generation: i64,
    pub problem: Problem,
}

/// The changes of a batch. To be published in the order of the fields: if an object was deleted and created again, its
/// problems vanish first and then appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Kinds whose first complete list was received, with the number of objects. These objects are not in `applied`.
    pub listed: Vec<(Kind, u32)>,
    /// Deleted objects.
    pub removed: Vec<(Kind, Name)>,
    /// Problems that no longer exist.
    pub vanished: Vec<ObjectProblem>,
    /// Objects that took effect, with their generation: new, changed, or no longer withdrawn, held or unreadable.
    pub applied: Vec<(Kind, Name, i64)>,
    /// New problems, and problems that a new generation of their object still has.
    pub appeared: Vec<ObjectProblem>,
}

impl Changes {
    /// The vanished problems, followed by the new problems.
    pub fn problems(&self) -> impl Iterator<Item = &ObjectProblem> {
        self.vanished.iter().chain(&self.appeared)
    }

    /// True if nothing changed.
    pub fn is_empty(&self) -> bool {
        let Self { listed, removed, vanished, applied, appeared } = self;
        listed.is_empty() && removed.is_empty() && vanished.is_empty() && applied.is_empty() && appeared.is_empty()
    }
}

/// A version of an object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectVersion<'a> {
    pub kind: Kind,
    pub name: &'a Name,
    pub revision: &'a Revision,
}

impl ObjectVersion<'_> {
    fn problem(&self, problem: Problem) -> ObjectProblem {
        ObjectProblem { kind: self.kind, name: self.name.clone(), generation: self.revision.generation, problem }
    }
}

/// The published state of one object.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The version that is in effect.
    applied: Option<Revision>,
    /// The version whose problems are published.
    checked: Option<Revision>,
    /// The published problems, sorted.
    problems: Vec<Problem>,
}

impl Record {
    /// The record of an object of the first list, which takes effect without being published.
    pub fn for_first_list(revision: &Revision) -> Self {
        Self { applied: Some(revision.clone()), ..Self::default() }
    }

    /// The published problems, sorted.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Sets the resolved state of an object, and adds the differences to `changes`.
    pub fn settle(
        &mut self,
        object: ObjectVersion<'_>,
        in_effect: bool,
        mut problems: Vec<Problem>,
        changes: &mut Changes,
    ) {
        problems.sort();
        problems.dedup();
        let ObjectVersion { kind, name, revision } = object;
        if in_effect && self.applied.as_ref() != Some(revision) {
            changes.applied.push((kind, name.clone(), revision.generation));
        }
        self.applied = in_effect.then(|| revision.clone());

        let same_version = self.checked.as_ref() == Some(revision);
        let before = std::mem::replace(&mut self.problems, problems);
        let vanished = before.iter().filter(|problem| self.problems.binary_search(problem).is_err());
        changes.vanished.extend(vanished.cloned().map(|problem| object.problem(problem)));
        let new = self.problems.iter().filter(|problem| !same_version || before.binary_search(problem).is_err());
        changes.appeared.extend(new.cloned().map(|problem| object.problem(problem)));
        self.checked = Some(revision.clone());
    }

    /// Marks an object as pending: its problems vanish, without the object taking effect.
    pub fn pend(&mut self, object: ObjectVersion<'_>, changes: &mut Changes) {
        let problems = std::mem::take(&mut self.problems);
        changes.vanished.extend(problems.into_iter().map(|problem| object.problem(problem)));
        self.checked = None;
    }

    /// Adds the deletion of an object to `changes`.
    pub fn remove(self, object: ObjectVersion<'_>, changes: &mut Changes) {
        changes.vanished.extend(self.problems.into_iter().map(|problem| object.problem(problem)));
        changes.removed.push((object.kind, object.name.clone()));
    }
}
