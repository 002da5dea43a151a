//! From what is known to what has to be written.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{Key, Now, World};
use crate::{
    backend_status::{self, Selection},
    conditions::name_some,
    digest::Program,
    frontend_status::{self, Inputs},
    node_status,
    status::{Class, Status},
    tally::{NodeView, Tally},
};
use maglev_crd::BackendState;
use maglev_index::NodeObject;
use maglev_kube::{StoredStatus, status_writer::Written};
use maglev_model::{
    Name,
    config::{Config, Frontend, Kind, Target},
    problem::Problem,
};

/// What has to be done about an object.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Its status is to be this.
    Write {
        /// What is stored now.
        from: StoredStatus,
        /// The same, read.
        old: Box<Status>,
        status: Box<Status>,
        /// How much that matters.
        class: Class,
    },
    /// There is to be a MaglevNode for the Node with this uid.
    Make {
        /// `metadata.uid` of the Node.
        node_uid: Arc<str>,
    },
    /// The MaglevNode is to go.
    Remove {
        /// What is stored now.
        from: StoredStatus,
    },
}

impl Action {
    /// How much it matters.
    pub fn class(&self) -> Class {
        match self {
            Self::Write { class, .. } => *class,
            Self::Make { .. } | Self::Remove { .. } => Class::Answer,
        }
    }
}

impl World {
    /// What has to be done about `key` now; `None` where all is well or there is no such object.
    pub fn action(&mut self, key: &Key, now: Now) -> Option<Action> {
        self.actions(std::slice::from_ref(key), now).pop()?
    }

    /// The same for each of `keys`.
    pub fn actions(&mut self, keys: &[Key], now: Now) -> Vec<Option<Action>> {
        self.prepare(keys);
        let nodes = self.node_views();
        keys.iter().map(|key| self.action_among(key, &nodes, now)).collect()
    }

    fn action_among(&self, key: &Key, nodes: &[NodeView<'_>], now: Now) -> Option<Action> {
        let (what, name) = key;
        if *what == Written::MaglevNode {
            let present = self.present.contains(name.as_str());
            match (self.stored.get(key), present) {
                (None, true) => {
                    let node_uid = Arc::clone(&self.nodes.as_ref()?.get(name)?.uid);
                    return Some(Action::Make { node_uid });
                }
                (Some(stored), false) => return Some(Action::Remove { from: stored.raw.clone() }),
                (None, false) => return None,
                (Some(_), true) => {}
            }
        }
        let status = self.status(key, nodes, now)?;
        let stored = self.stored.get(key)?;
        let class = stored.status.change_to(&status)?;
        let (from, old) = (stored.raw.clone(), Box::new(stored.status.clone()));
        Some(Action::Write { from, old, status: Box::new(status), class })
    }

    /// The status that an object is to have.
    fn status(&self, key: &Key, nodes: &[NodeView<'_>], now: Now) -> Option<Status> {
        let (_, name) = key;
        let stored = self.stored.get(key)?;
        let at = (stored.raw.generation, now.wall);
        Some(match &stored.status {
            Status::HealthCheck(old) => {
                let problems = self.problems_with_nodes(Kind::HealthCheck, name, nodes);
                Status::HealthCheck(backend_status::health_check(&problems, old, at))
            }
            Status::Backend(old) => {
                let (problems, tally) = (self.problems_with_nodes(Kind::Backend, name, nodes), self.tallies.get(name));
                Status::Backend(backend_status::backend(&problems, tally, old, at))
            }
            Status::LoadBalancerConfig(old) => {
                let problems = self.index.problems(Kind::LoadBalancerConfig, name);
                let selection = self.selection(name);
                let of = (name.as_str(), problems);
                Status::LoadBalancerConfig(backend_status::load_balancer_config(of, &selection, old, at))
            }
            Status::Frontend(old) => {
                let resolved = self.programs.get(name).map(|(frontend, program)| (frontend, program));
                let problems = self.index.problems(Kind::Frontend, name);
                let inputs = Inputs { name, problems, resolved, named: stored.named, nodes };
                let tally = |name: &Name| self.tallies.get(name);
                Status::Frontend(frontend_status::frontend(&inputs, tally, old, at))
            }
            Status::MaglevNode(old) => {
                let agent = self.agents.get(name.as_str());
                let config = self.node_object(name).and_then(|node| self.index.chosen_for(node).used);
                let link = agent.map(|agent| agent.link.clone()).unwrap_or_default();
                let digest = agent.and_then(|agent| agent.digest.as_ref());
                Status::MaglevNode(node_status::maglev_node(name.as_str(), &link, digest, config, old, at))
            }
        })
    }

    /// What the nodes say of a Backend, for the sentence in an Event.
    pub fn sentence(&self, name: &Name, state: Option<BackendState>) -> Option<String> {
        use maglev_model::health::BackendState as Said;
        let tally = self.tallies.get(name)?;
        let of = |said, word: &str| format!("{word} on {} of {} nodes", tally.count(said), tally.heard);
        Some(match state? {
            BackendState::Up => of(Said::Up, "up"),
            BackendState::Paused => of(Said::Paused, "paused"),
            BackendState::Disabled => of(Said::Disabled, "disabled"),
            BackendState::Unknown => of(Said::Unknown, "unknown"),
            BackendState::Down | BackendState::Mixed => {
                let code = tally.code().map(|code| format!(", {code}")).unwrap_or_default();
                format!("{}{code}", of(Said::Down, "down"))
            }
        })
    }

    /// What is wrong with an object, and what nodes have against it: the same of several nodes is told once.
    fn problems_with_nodes(&self, kind: Kind, name: &Name, nodes: &[NodeView<'_>]) -> Vec<Problem> {
        let mut problems = self.index.problems(kind, name).to_vec();
        let mut unable: BTreeMap<&Problem, Vec<&str>> = BTreeMap::new();
        for node in nodes {
            for problem in node.digest.map_or(&[][..], |digest| digest.unable(kind, name)) {
                unable.entry(problem).or_default().push(node.name);
            }
        }
        problems.extend(unable.into_iter().map(|(problem, on)| {
            let message = format!(
                "on {} of {} nodes ({}): {}",
                on.len(),
                nodes.len(),
                name_some(on.iter().copied()),
                problem.message
            );
            Problem { message, ..problem.clone() }
        }));
        problems
    }

    fn node_views(&self) -> Vec<NodeView<'_>> {
        Self::views(&self.wanted, &self.agents, &self.desired)
    }

    fn node_object(&self, name: &Name) -> Option<&NodeObject> {
        Some(&self.nodes.as_ref()?.get(name)?.object)
    }

    fn selection(&self, name: &Name) -> Selection<'_> {
        let mut selection = Selection::default();
        for node in &self.present {
            let Some(object) = self.node_object(&Name::cluster(node)) else { continue };
            let chosen = self.index.chosen_for(object);
            if chosen.used == Some(name) {
                selection.used_by += 1;
            } else if let Some(winner) = chosen.used.filter(|_| chosen.in_vain.contains(&name)) {
                selection.lost.push((node, winner.as_str()));
            }
        }
        selection
    }

    /// Has at hand what the statuses of `keys` follow from: what Frontends are to be programmed as, and what the nodes
    /// say of each Backend.
    fn prepare(&mut self, keys: &[Key]) {
        let nodes = Self::views(&self.wanted, &self.agents, &self.desired);
        for (what, name) in keys {
            match what {
                Written::Kind(Kind::Backend) => prepare_tally(&mut self.tallies, self.config.as_ref(), name, &nodes),
                Written::Kind(Kind::Frontend) => {
                    let resolved = self.config.as_ref().and_then(|config| config.frontends.get(name));
                    let Some(frontend) = resolved else {
                        self.programs.remove(name);
                        continue;
                    };
                    for backend in backends(frontend) {
                        prepare_tally(&mut self.tallies, self.config.as_ref(), backend, &nodes);
                    }
                    if !self.programs.get(name).is_some_and(|(known, _)| Arc::ptr_eq(known, frontend)) {
                        self.programs.insert(name.clone(), (Arc::clone(frontend), Program::of(frontend)));
                    }
                }
                _ => {}
            }
        }
    }
}

fn prepare_tally(tallies: &mut HashMap<Name, Tally>, config: Option<&Config>, name: &Name, nodes: &[NodeView<'_>]) {
    match config.and_then(|config| config.backends.get(name)) {
        None => drop(tallies.remove(name)),
        Some(_) if tallies.contains_key(name) => {}
        Some(backend) => drop(tallies.insert(name.clone(), Tally::of(backend, nodes))),
    }
}

fn backends(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.filter(|member| matches!(member.target, Target::Backend(_))).map(|member| &member.backend)
}
