//! From what is known to what has to be written.

use std::sync::Arc;

use super::{Key, Now, World};
use crate::{
    controller::{
        backend_status::{self, Selection},
        digest::Program,
        frontend_status::{self, Inputs},
        node_status,
        status::{Class, Status},
        tally::{NodeView, Tally},
    },
    crd::BackendState,
    index::NodeObject,
    k8s::{StoredStatus, status_writer::Written},
    model::{
        Name,
        config::{Frontend, Kind, Target},
    },
};

/// What has to be done about an object.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::controller) enum Action {
    /// Its status is to be this.
    Write {
        /// What is stored now.
        from: StoredStatus,
        /// The same, read.
        old: Box<Status>,
        /// The status.
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
    pub(in crate::controller) fn class(&self) -> Class {
        match self {
            Self::Write { class, .. } => *class,
            Self::Make { .. } | Self::Remove { .. } => Class::Answer,
        }
    }
}

impl World {
    /// What has to be done about `key` now; `None` where all is well or there is no such object.
    pub(in crate::controller) fn action(&mut self, key: &Key, now: Now) -> Option<Action> {
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
        let status = self.status(key, now)?;
        let stored = self.stored.get(key)?;
        let class = stored.status.change_to(&status)?;
        let (from, old) = (stored.raw.clone(), Box::new(stored.status.clone()));
        Some(Action::Write { from, old, status: Box::new(status), class })
    }

    /// The status that an object is to have.
    fn status(&mut self, key: &Key, now: Now) -> Option<Status> {
        let (what, name) = key;
        if let Written::Kind(Kind::Frontend) = what {
            self.prepare_frontend(name);
        }
        if let Written::Kind(Kind::Backend) = what {
            self.prepare_tally(name);
        }
        let stored = self.stored.get(key)?;
        let at = (stored.raw.generation, now.wall);
        Some(match &stored.status {
            Status::HealthCheck(old) => {
                Status::HealthCheck(backend_status::health_check(self.index.problems(Kind::HealthCheck, name), old, at))
            }
            Status::Backend(old) => {
                let (problems, tally) = (self.index.problems(Kind::Backend, name), self.tallies.get(name));
                Status::Backend(backend_status::backend(problems, tally, old, at))
            }
            Status::LoadBalancerConfig(old) => {
                let problems = self.index.problems(Kind::LoadBalancerConfig, name);
                let selection = self.selection(name);
                let of = (name.as_str(), problems);
                Status::LoadBalancerConfig(backend_status::load_balancer_config(of, &selection, old, at))
            }
            Status::Frontend(old) => {
                let nodes = self.node_views();
                let resolved = self.programs.get(name).map(|(frontend, program)| (frontend, program));
                let problems = self.index.problems(Kind::Frontend, name);
                let inputs = Inputs { name, problems, resolved, named: stored.named, nodes: &nodes };
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
    pub(in crate::controller) fn sentence(&self, name: &Name, state: Option<BackendState>) -> Option<String> {
        use crate::model::health::BackendState as Said;
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

    /// Has at hand what the status of the Frontend `name` follows from.
    fn prepare_frontend(&mut self, name: &Name) {
        let resolved = self.config.as_ref().and_then(|config| config.frontends.get(name)).cloned();
        let Some(frontend) = resolved else {
            self.programs.remove(name);
            return;
        };
        backends(&frontend).into_iter().for_each(|backend| self.prepare_tally(&backend));
        let same = self.programs.get(name).is_some_and(|(known, _)| Arc::ptr_eq(known, &frontend));
        if !same {
            let program = Program::of(&frontend);
            self.programs.insert(name.clone(), (frontend, program));
        }
    }

    fn prepare_tally(&mut self, name: &Name) {
        let Some(backend) = self.config.as_ref().and_then(|config| config.backends.get(name)) else {
            self.tallies.remove(name);
            return;
        };
        if !self.tallies.contains_key(name) {
            let tally = Tally::of(backend, &Self::views(&self.wanted, &self.agents, &self.desired));
            self.tallies.insert(name.clone(), tally);
        }
    }
}

fn backends(frontend: &Frontend) -> Vec<Name> {
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    members.filter(|member| matches!(member.target, Target::Backend(_))).map(|member| member.backend.clone()).collect()
}
