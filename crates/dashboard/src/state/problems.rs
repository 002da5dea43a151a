//! Objects with problems on at least one reporting node.

use std::sync::Arc;

use super::DashboardState;
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

/// The objects that may have a problem on a node.
pub fn possible_problems(inputs: &Inputs) -> impl Iterator<Item = (Kind, Name)> {
    let view = inputs.view();
    let held = view.frontends.keys().filter(|name| is_held(inputs, name)).chain(view.reports.keys());
    view.problems.keys().cloned().chain(held.map(|name| (Kind::Frontend, name.clone())))
}

impl DashboardState {
    /// Collects the problems of an object again.
    pub fn set_problems(&mut self, kind: Kind, name: &Name) {
        let new = self.collect_problems(kind, name).map(Arc::new);
        let key = (kind, name.clone());
        let old = match &new {
            Some(new) => self.snapshot.problems.insert(key, Arc::clone(new)),
            None => self.snapshot.problems.remove(&key),
        };
        if old != new {
            let (old, new) = (old.map(|old| patch::to_json(&*old)), new.map(|new| patch::to_json(&*new)));
            let key = format!("{} {name}", kind.as_str());
            self.dirty.add_difference(&["problems", &key], old.as_ref(), new.as_ref());
        }
    }

    fn collect_problems(&self, kind: Kind, name: &Name) -> Option<ObjectProblems> {
        let (mut nodes, mut problems, mut held) = (Vec::new(), Vec::<ProblemDetail>::new(), false);
        for (node, inputs) in self.snapshot.nodes.iter().filter(|(_, inputs)| inputs.reporting()) {
            let node_problems = detail::problems(inputs.view(), kind, name);
            let held_here = kind == Kind::Frontend && is_held(inputs, name);
            held |= held_here;
            if held_here || !node_problems.is_empty() {
                nodes.push(Arc::clone(node));
            }
            for problem in node_problems {
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
