//! What a batch of objects changed, for the events that tell of it; and the record kept per object
//! from which that follows.

use maglev_model::{
    Name,
    config::{Kind, Revision},
    problem::Problem,
};

/// A problem of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectProblem {
    /// The object's kind.
    pub kind: Kind,
    pub name: Name,
    /// The object's `metadata.generation` when the problem was found.
    pub generation: i64,
    /// What is wrong.
    pub problem: Problem,
}

/// What a batch changed. To be told in the order of the fields: where an object was deleted and
/// created again, its problems vanish first and then appear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Kinds whose first complete list came in, with the number of their objects. Those objects
    /// are not in `applied`.
    pub listed: Vec<(Kind, u32)>,
    /// Objects that were deleted.
    pub removed: Vec<(Kind, Name)>,
    /// Problems that are gone.
    pub vanished: Vec<ObjectProblem>,
    /// Objects that came into effect, with their generation: new, changed, or no longer withdrawn,
    /// held or unreadable.
    pub applied: Vec<(Kind, Name, i64)>,
    /// Problems that are new, or that a new generation of their object still has.
    pub appeared: Vec<ObjectProblem>,
}

impl Changes {
    /// Problems that are gone, then those that are new.
    pub fn problems(&self) -> impl Iterator<Item = &ObjectProblem> {
        self.vanished.iter().chain(&self.appeared)
    }

    /// Whether there is nothing to tell.
    pub fn is_empty(&self) -> bool {
        let Self { listed, removed, vanished, applied, appeared } = self;
        listed.is_empty() && removed.is_empty() && vanished.is_empty() && applied.is_empty() && appeared.is_empty()
    }
}

/// What was last told of one object.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// The version that is in effect.
    applied: Option<Revision>,
    /// The version that the problems were told of.
    judged: Option<Revision>,
    /// Its problems, in order.
    problems: Vec<Problem>,
}

impl Record {
    /// The record of an object of the first list: it comes into effect without being told of.
    pub fn of_first_list(revision: &Revision) -> Self {
        Self { applied: Some(revision.clone()), ..Self::default() }
    }

    /// Its problems, in order.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Notes what the object `(kind, name)` now comes to, and tells what is new of that.
    pub fn settle(
        &mut self,
        (kind, name, revision): (Kind, &Name, &Revision),
        in_effect: bool,
        mut problems: Vec<Problem>,
        changes: &mut Changes,
    ) {
        problems.sort();
        problems.dedup();
        if in_effect && self.applied.as_ref() != Some(revision) {
            changes.applied.push((kind, name.clone(), revision.generation));
        }
        self.applied = in_effect.then(|| revision.clone());

        let same_version = self.judged.as_ref() == Some(revision);
        let before = std::mem::replace(&mut self.problems, problems);
        let tell =
            |problem: Problem| ObjectProblem { kind, name: name.clone(), generation: revision.generation, problem };
        let gone = before.iter().filter(|problem| self.problems.binary_search(problem).is_err());
        changes.vanished.extend(gone.cloned().map(tell));
        let new = self.problems.iter().filter(|problem| !same_version || before.binary_search(problem).is_err());
        changes.appeared.extend(new.cloned().map(tell));
        self.judged = Some(revision.clone());
    }

    /// Notes that nothing can be said of the object `(kind, name)` for a moment: its problems are gone,
    /// and it is not in effect for that.
    pub fn pend(&mut self, (kind, name, revision): (Kind, &Name, &Revision), changes: &mut Changes) {
        let generation = revision.generation;
        let tell = |problem| ObjectProblem { kind, name: name.clone(), generation, problem };
        changes.vanished.extend(std::mem::take(&mut self.problems).into_iter().map(tell));
        self.judged = None;
    }

    /// Tells that the object `(kind, name)` is deleted.
    pub fn remove(self, (kind, name, revision): (Kind, &Name, &Revision), changes: &mut Changes) {
        let generation = revision.generation;
        let tell = |problem| ObjectProblem { kind, name: name.clone(), generation, problem };
        changes.vanished.extend(self.problems.into_iter().map(tell));
        changes.removed.push((kind, name.clone()));
    }
}
