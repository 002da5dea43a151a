//! Objects with problems, over all reporting nodes.

use std::sync::Arc;

use super::Board;
use crate::{
    detail,
    document::{ObjectProblems, ProblemDetail},
    inputs::Inputs,
    patch,
};
use maglev_model::{
    Name,
    config::{Kind, Standing},
    event::ProgramResult,
};

/// The objects with which a node has, or may have, a problem.
pub fn of(inputs: &Inputs) -> impl Iterator<Item = (Kind, Name)> {
    let view = inputs.view();
    let held = view.frontends.keys().filter(|name| is_held(inputs, name)).chain(view.reports.keys());
    view.problems.keys().cloned().chain(held.map(|name| (Kind::Frontend, name.clone())))
}

impl Board {
    /// Finds anew what is wrong with an object.
    pub fn set_problems(&mut self, kind: Kind, name: &Name) {
        let found = self.find(kind, name).map(Arc::new);
        let key = (kind, name.clone());
        let old = match &found {
            Some(found) => self.glance.problems.insert(key, Arc::clone(found)),
            None => self.glance.problems.remove(&key),
        };
        if old != found {
            let (old, new) = (old.map(|old| patch::json(&*old)), found.map(|new| patch::json(&*new)));
            let key = format!("{} {name}", kind.as_str());
            self.dirty.differs(&["problems", &key], old.as_ref(), new.as_ref());
        }
    }

    fn find(&self, kind: Kind, name: &Name) -> Option<ObjectProblems> {
        let (mut nodes, mut problems, mut held) = (Vec::new(), Vec::<ProblemDetail>::new(), false);
        for (node, inputs) in self.glance.nodes.iter().filter(|(_, inputs)| inputs.reporting()) {
            let found = detail::problems(inputs.view(), kind, name);
            let held_here = kind == Kind::Frontend && is_held(inputs, name);
            held |= held_here;
            if held_here || !found.is_empty() {
                nodes.push(Arc::clone(node));
            }
            for problem in found {
                if !problems.contains(&problem) {
                    problems.push(problem);
                }
            }
        }
        let (kind, name) = (kind.as_str(), name.to_string());
        (!nodes.is_empty()).then_some(ObjectProblems { kind, name, nodes, problems, held })
    }
}

fn is_held(inputs: &Inputs, name: &Name) -> bool {
    let view = inputs.view();
    let standing = view.frontends.get(name).map(|frontend| &frontend.standing);
    let reported = view.reports.get(name).is_some_and(|report| report.result == ProgramResult::Held);
    reported || matches!(standing, Some(Standing::Held(_)))
}
