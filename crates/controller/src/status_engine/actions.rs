//! Derives the action for an object: its status is computed and compared with the stored one.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{Key, Now, StatusEngine};
use crate::{
    backend_status::{self, Selection, SelectionConflict},
    conditions::{StatusRevision, list_names},
    digest::ProgramId,
    frontend_status::{self, FrontendInputs, Resolved},
    node_counts::{NodeCounts, NodeView},
    node_status::{self, LinkState, NodeInputs},
    status::{Priority, Status},
};
use maglev_crd::BackendState;
use maglev_index::NodeObject;
use maglev_kube::{StatusKind, StoredStatus};
use maglev_model::{
    Name,
    config::{AdminState, Config, Frontend, Kind, MemberTarget},
    drain::{DrainSummary, NodeDrain},
    health,
    problem::Problem,
};

/// A request to the API server that brings an object up to date.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the status.
    Write {
        /// The stored status, raw and decoded.
        from: StoredStatus,
        old: Box<Status>,
        status: Box<Status>,
        priority: Priority,
    },
    /// Create the MaglevNode of a Node.
    Create {
        /// `metadata.uid` of the Node.
        node_uid: Arc<str>,
    },
    /// Delete the MaglevNode.
    Delete {
        /// The stored MaglevNode.
        from: StoredStatus,
    },
}

impl Action {
    pub fn priority(&self) -> Priority {
        match self {
            Self::Write { priority, .. } => *priority,
            Self::Create { .. } | Self::Delete { .. } => Priority::Answer,
        }
    }
}

impl StatusEngine {
    /// The action for `key`; `None` if the object is up to date or does not exist.
    pub fn action(&mut self, key: &Key, now: Now) -> Option<Action> {
        self.actions(std::slice::from_ref(key), now).pop()?
    }

    /// The action for each of `keys`, in their order.
    pub fn actions(&mut self, keys: &[Key], now: Now) -> Vec<Option<Action>> {
        self.cache_inputs(keys);
        let nodes = Self::node_views(&self.serving_nodes, &self.agents, &self.desired);
        keys.iter().map(|key| self.action_with(key, &nodes, now)).collect()
    }

    fn action_with(&self, key: &Key, nodes: &[NodeView<'_>], now: Now) -> Option<Action> {
        let (kind, name) = key;
        if *kind == StatusKind::MaglevNode {
            let is_present = self.present_nodes.contains(name.as_str());
            match (self.stored.get(key), is_present) {
                (None, true) => {
                    let node_uid = Arc::clone(&self.nodes.as_ref()?.get(name)?.uid);
                    return Some(Action::Create { node_uid });
                }
                (Some(stored), false) => return Some(Action::Delete { from: stored.raw.clone() }),
                (None, false) => return None,
                (Some(_), true) => {}
            }
        }
        let status = self.status(key, nodes, now)?;
        let stored = self.stored.get(key)?;
        let priority = stored.status.change_priority(&status, stored.programmed_generation)?;
        let (from, old) = (stored.raw.clone(), Box::new(stored.status.clone()));
        Some(Action::Write { from, old, status: Box::new(status), priority })
    }

    /// The status that an object should have; `None` if it does not exist.
    fn status(&self, key: &Key, nodes: &[NodeView<'_>], now: Now) -> Option<Status> {
        let (_, name) = key;
        let stored = self.stored.get(key)?;
        let revision = StatusRevision { generation: stored.raw.generation, now: now.wall };
        Some(match &stored.status {
            Status::HealthCheck(old) => {
                let problems = self.problems_with_nodes(Kind::HealthCheck, name, nodes);
                Status::HealthCheck(backend_status::health_check(&problems, old, revision))
            }
            Status::Backend(old) => {
                let problems = self.problems_with_nodes(Kind::Backend, name, nodes);
                let (counts, drain) = (self.counts.get(name), self.drain(name, revision.generation));
                Status::Backend(backend_status::backend(&problems, counts, drain.as_ref(), old, revision))
            }
            Status::LoadBalancerConfig(old) => {
                let problems = self.index.problems(Kind::LoadBalancerConfig, name);
                let (name, selection) = (name.as_str(), self.selection(name));
                let status = backend_status::load_balancer_config(name, problems, &selection, old, revision);
                Status::LoadBalancerConfig(status)
            }
            Status::AddressPolicy(old) => {
                let problems = self.index.problems(Kind::AddressPolicy, name);
                let counts = self.policy_counts.get(name).copied().unwrap_or_default();
                let status = backend_status::address_policy(name.as_str(), problems, counts, old, revision);
                Status::AddressPolicy(status)
            }
            Status::Frontend(old) => {
                let resolved = self.programs.get(name);
                let inputs = FrontendInputs {
                    name,
                    problems: self.index.problems(Kind::Frontend, name),
                    resolved: resolved.map(|(frontend, program)| Resolved { frontend, program }),
                    named_backends: stored.named_backends,
                    nodes,
                };
                let checks =
                    resolved.map(|(frontend, _)| self.health_check_problems(frontend, nodes)).unwrap_or_default();
                let counts = |name: &Name| self.counts.get(name);
                Status::Frontend(frontend_status::frontend(&inputs, &checks, counts, old, revision))
            }
            Status::MaglevNode(old) => {
                let agent = self.agents.get(name.as_str());
                let inputs = NodeInputs {
                    name: name.as_str(),
                    link: agent.map_or(&LinkState::Absent, |agent| &agent.link),
                    digest: agent.and_then(|agent| agent.digest.as_ref()),
                    vips_differing: self.tables.count(name.as_str()),
                    load_balancer_config: self.node_object(name).and_then(|node| self.index.selection_for(node).used),
                };
                Status::MaglevNode(node_status::maglev_node(&inputs, old, revision))
            }
        })
    }

    /// The drain of a Backend over all nodes that have an agent, or had one recently; `None` unless it is paused or disabled.
    fn drain(&self, name: &Name, generation: i64) -> Option<DrainSummary> {
        let backend = self.config.as_ref()?.backends.get(name)?;
        if backend.admin_state == AdminState::Enabled {
            return None;
        }
        let drains = self.present_nodes.iter().map(|node| {
            let agent = self.agents.get(node).filter(|agent| agent.link == LinkState::Connected);
            let digest = agent.and_then(|agent| agent.digest.as_ref());
            NodeDrain { node, reports: digest.is_some(), drain: digest.and_then(|digest| digest.drain(name)) }
        });
        Some(DrainSummary::new(drains, generation))
    }

    /// The message of the Event about a change of a Backend's state.
    pub fn backend_note(&self, name: &Name, state: Option<BackendState>) -> Option<String> {
        let counts = self.counts.get(name)?;
        let nodes_in = |state| format!("on {} of {} nodes", counts.in_state(state), counts.reporting);
        Some(match state? {
            BackendState::Up => format!("up {}", nodes_in(health::BackendState::Up)),
            BackendState::Paused => format!("paused {}", nodes_in(health::BackendState::Paused)),
            BackendState::Disabled => format!("disabled {}", nodes_in(health::BackendState::Disabled)),
            BackendState::Unknown => format!("unknown {}", nodes_in(health::BackendState::Unknown)),
            BackendState::Down | BackendState::Mixed => {
                let code = counts.code().map(|code| format!(", {code}")).unwrap_or_default();
                format!("down {}{code}", nodes_in(health::BackendState::Down))
            }
        })
    }

    /// The problems of the Backends of `frontend` that are not probed, because the HealthCheck cannot be used.
    fn health_check_problems(&self, frontend: &Frontend, nodes: &[NodeView<'_>]) -> Vec<Problem> {
        let backends: BTreeSet<&Name> =
            frontend.pools.iter().flat_map(|pool| &pool.members).map(|member| &member.backend).collect();
        let problems = backends.into_iter().flat_map(|name| self.problems_with_nodes(Kind::Backend, name, nodes));
        problems.filter(|problem| frontend_status::HEALTH_CHECK_UNUSABLE.contains(&problem.reason)).collect()
    }

    /// The problems of an object that the index found, and those that nodes report. Equal problems of several nodes are
    /// one problem.
    fn problems_with_nodes(&self, kind: Kind, name: &Name, nodes: &[NodeView<'_>]) -> Vec<Problem> {
        let mut problems = self.index.problems(kind, name).to_vec();
        let mut nodes_by_problem: BTreeMap<&Problem, Vec<&str>> = BTreeMap::new();
        for node in nodes {
            for problem in node.digest.map_or(&[][..], |digest| digest.node_problems(kind, name)) {
                nodes_by_problem.entry(problem).or_default().push(node.name);
            }
        }
        problems.extend(nodes_by_problem.into_iter().map(|(problem, affected)| {
            let message = format!(
                "on {} of {} nodes ({}): {}",
                affected.len(),
                nodes.len(),
                list_names(affected.iter().copied()),
                problem.message
            );
            Problem { message, ..problem.clone() }
        }));
        problems
    }

    fn node_object(&self, name: &Name) -> Option<&NodeObject> {
        Some(&self.nodes.as_ref()?.get(name)?.object)
    }

    /// The nodes that the LoadBalancerConfig `name` selects.
    fn selection(&self, name: &Name) -> Selection<'_> {
        let mut selection = Selection::default();
        for node in &self.present_nodes {
            let Some(object) = self.node_object(&Name::cluster(node)) else { continue };
            let chosen = self.index.selection_for(object);
            if chosen.used == Some(name) {
                selection.used_by += 1;
            } else if let Some(used) = chosen.used.filter(|_| chosen.overridden.contains(&name)) {
                selection.conflicts.push(SelectionConflict { node, used: used.as_str() });
            }
        }
        selection
    }

    /// Fills the caches that the statuses of `keys` need: the ids of the Frontends' programs, and the node counts of
    /// the Backends.
    fn cache_inputs(&mut self, keys: &[Key]) {
        if keys.iter().any(|(kind, _)| *kind == StatusKind::Kind(Kind::AddressPolicy)) {
            self.policy_counts = self.index.policy_counts();
        }
        let nodes = Self::node_views(&self.serving_nodes, &self.agents, &self.desired);
        for (kind, name) in keys {
            match kind {
                StatusKind::Kind(Kind::Backend) => {
                    cache_counts(&mut self.counts, self.config.as_ref(), name, &nodes);
                }
                StatusKind::Kind(Kind::Frontend) => {
                    let resolved = self.config.as_ref().and_then(|config| config.frontends.get(name));
                    let Some(frontend) = resolved else {
                        self.programs.remove(name);
                        continue;
                    };
                    for backend in backends(frontend) {
                        cache_counts(&mut self.counts, self.config.as_ref(), backend, &nodes);
                    }
                    if !self.programs.get(name).is_some_and(|(cached, _)| Arc::ptr_eq(cached, frontend)) {
                        self.programs.insert(name.clone(), (Arc::clone(frontend), ProgramId::new(frontend)));
                    }
                }
                _ => {}
            }
        }
    }
}

fn cache_counts(counts: &mut HashMap<Name, NodeCounts>, config: Option<&Config>, name: &Name, nodes: &[NodeView<'_>]) {
    match config.and_then(|config| config.backends.get(name)) {
        None => drop(counts.remove(name)),
        Some(_) if counts.contains_key(name) => {}
        Some(backend) => drop(counts.insert(name.clone(), NodeCounts::new(backend, nodes))),
    }
}

fn backends(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.filter(|member| matches!(member.target, MemberTarget::Backend(_))).map(|member| &member.backend)
}
