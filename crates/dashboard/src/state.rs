//! The state that the page shows: one owner, synchronous, with work proportional to the changes.
//!
//! ```text
//! changed nodes ─▶ Inputs, DirtyParts ─┬─▶ patch of the node's document
//!                                      └─▶ facts ─▶ rows ─┐
//! objects of Kubernetes, time ────────────────────────────┴▶ patch of the summary
//! ```
//!
//! Does no I/O: `updater` passes in the changes and publishes the messages.

mod backend_counts;
mod disagreements;
mod problems;
mod row;
mod summary;
#[cfg(test)]
mod tests;
mod transitions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::{OrdMap, ordmap::DiffItem};
use serde_json::{Map, Value};
use tokio::time::Instant;

pub use self::disagreements::Now;
use self::{
    backend_counts::BackendCounts,
    disagreements::Disagreements,
    row::{Facts, NodeReport},
    transitions::Transitions,
};
use super::{
    detail,
    document::{
        AgentSelector, NodeHeader, ObjectInfo, ObjectProblems, Position, Positions, ProblemCounts, Row, Totals,
        TransitionDetail,
    },
    inputs::{DirtyParts, Inputs},
    message::{Message, NodePatchBuilder, Part},
    patch,
};
use maglev_fleet::NodeState;
use maglev_kube::objects::Objects;
use maglev_model::{Name, config::Kind};

/// Immutable snapshot for readers; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) nodes: OrdMap<Arc<str>, Inputs>,
    pub(crate) headers: OrdMap<Arc<str>, Arc<NodeHeader>>,
    pub(crate) rows: OrdMap<Name, Arc<Row>>,
    pub(crate) problems: OrdMap<(Kind, Name), Arc<ObjectProblems>>,
    pub(crate) objects: Objects,
    pub(crate) problem_counts: ProblemCounts,
    pub(crate) totals: Totals,
    /// The largest share of buckets that nodes disagree about, in percent.
    pub(crate) differing_percent: Option<f64>,
    /// The sentence for a fleet without problems.
    pub(crate) healthy: Option<String>,
    /// True if a controller writes status.
    pub(crate) controller: bool,
    pub(crate) kubernetes: &'static str,
    pub(crate) agent_selector: Arc<AgentSelector>,
    transitions: Transitions,
}

impl Snapshot {
    /// The position of each node's agent in its sequence of changes.
    pub fn positions(&self) -> Positions {
        self.nodes.iter().filter_map(|(node, inputs)| Some((Arc::clone(node), Position(inputs.as_of()?)))).collect()
    }
}

/// Owns and updates the snapshot.
#[derive(Debug)]
pub struct DashboardState {
    snapshot: Snapshot,
    /// The contribution of each node to the row of each Frontend.
    facts: BTreeMap<Name, BTreeMap<Arc<str>, Facts>>,
    disagreements: Disagreements,
    backend_counts: BackendCounts,
    /// Number of objects whose status a controller has written.
    observed: usize,
    /// The transitions as last published.
    published_transitions: BTreeMap<String, Arc<TransitionDetail>>,
    dirty: Dirty,
    messages: Vec<Message>,
}

/// Parts of the summary that may differ from what was published.
#[derive(Debug, Default)]
struct Dirty {
    rows: BTreeSet<Name>,
    problems: BTreeSet<(Kind, Name)>,
    /// Headers of nodes as last published.
    headers: BTreeMap<Arc<str>, Option<Arc<NodeHeader>>>,
    /// Positions that advanced.
    positions: Positions,
    /// The patch of the summary so far.
    patch: Map<String, Value>,
    transitions: bool,
    /// True if a node started or stopped reporting.
    reporting_changed: bool,
}

impl DashboardState {
    /// Starts without nodes. `kubernetes` is the state of the connection to the API server.
    pub fn new(agent_selector: AgentSelector, kubernetes: &'static str) -> Self {
        let snapshot = Snapshot { agent_selector: Arc::new(agent_selector), kubernetes, ..Snapshot::default() };
        Self {
            snapshot,
            facts: BTreeMap::new(),
            disagreements: Disagreements::default(),
            backend_counts: BackendCounts::default(),
            observed: 0,
            published_transitions: BTreeMap::new(),
            dirty: Dirty::default(),
            messages: Vec::new(),
        }
    }

    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Replaces the state of one node.
    pub fn set_node(&mut self, state: NodeState) {
        let node = Arc::clone(&state.node);
        let old = self.snapshot.nodes.get(&node).cloned();
        let new = match &old {
            Some(old) => old.next(state),
            None => Inputs::new(state),
        };
        let before = old.clone().unwrap_or_else(|| new.emptied());
        let dirty = DirtyParts::between(&before, &new);
        if old.as_ref().and_then(Inputs::as_of) != new.as_of() {
            self.dirty.positions.extend(new.as_of().map(|as_of| (Arc::clone(&node), Position(as_of))));
        }
        self.publish_node(&before, &new, &dirty);
        self.count_node(&node, &before, &new, &dirty);
        self.add_transitions(&node, old.as_ref(), &new, &dirty);
        self.snapshot.nodes.insert(Arc::clone(&node), new);
        self.set_header(&node);
    }

    pub fn remove_node(&mut self, node: &Arc<str>) {
        let Some(old) = self.snapshot.nodes.remove(node) else { return };
        self.dirty.positions.remove(node);
        self.backend_counts.remove(&old);
        for name in old.view().frontends.keys() {
            self.set_facts(name, node, None);
        }
        self.dirty.problems.extend(problems::possible_problems(&old));
        let header = self.snapshot.headers.remove(node);
        self.dirty.headers.entry(Arc::clone(node)).or_insert(header);
    }

    /// Replaces the objects of Kubernetes.
    pub fn set_objects(&mut self, objects: Objects) {
        let observed = |object: &maglev_kube::objects::Object| usize::from(object.observed_generation.is_some());
        for item in self.snapshot.objects.objects.diff(&objects.objects) {
            let (key, old, new) = match item {
                DiffItem::Add(key, new) => (key, None, Some(new)),
                DiffItem::Remove(key, old) => (key, Some(old), None),
                DiffItem::Update { old: (_, old), new: (key, new) } => (key, Some(old), Some(new)),
            };
            self.observed += new.map_or(0, |new| observed(new));
            self.observed -= old.map_or(0, |old| observed(old));
            let info = new.map(|new| ObjectInfo::new(key, new));
            self.messages.push(Message::object(key, info.as_ref()));
        }
        self.snapshot.objects = objects;
    }

    /// Returns the messages about all changes since the last call.
    pub fn flush(&mut self, now: Now) -> Vec<Message> {
        self.dirty.rows.extend(self.disagreements.newly_lasting(now.monotonic).cloned());
        for name in std::mem::take(&mut self.dirty.rows) {
            self.set_row(&name, now);
        }
        for (kind, name) in std::mem::take(&mut self.dirty.problems) {
            self.set_problems(kind, &name);
        }
        self.set_transitions();
        let positions = std::mem::take(&mut self.dirty.positions);
        let positions = if std::mem::take(&mut self.dirty.reporting_changed) { Positions::new() } else { positions };
        self.publish_summary(&positions);
        // The headers and totals do not belong to a position.
        self.publish_headers();
        self.set_totals();
        self.publish_summary(&Positions::new());
        std::mem::take(&mut self.messages)
    }

    fn publish_summary(&mut self, positions: &Positions) {
        let patch = std::mem::take(&mut self.dirty.patch);
        if !patch.is_empty() {
            self.messages.push(Message::summary(positions, Value::Object(patch)));
        }
    }

    /// Time of the next change that follows from time alone.
    pub fn due(&self) -> Option<Instant> {
        self.disagreements.due()
    }

    /// Publishes the patch of a node's document.
    fn publish_node(&mut self, old: &Inputs, new: &Inputs, dirty: &DirtyParts) {
        let mut document = NodePatchBuilder::default();
        let mut add = |part: Part, names: &BTreeSet<Name>, detail: &dyn Fn(&Inputs, &Name) -> Option<Value>| {
            for name in names {
                if let Some(patch) = patch::between(detail(old, name).as_ref(), detail(new, name).as_ref()) {
                    document.add(part, name, &patch);
                }
            }
        };
        add(Part::Frontends, &dirty.frontends, &|inputs, name| Some(patch::to_json(&detail::frontend(inputs, name)?)));
        add(Part::Backends, &dirty.backends, &|inputs, name| {
            Some(patch::to_json(&detail::backend(inputs.view(), name)?))
        });
        add(Part::HealthChecks, &dirty.health_checks, &|inputs, name| {
            Some(patch::to_json(&detail::health_check(inputs.view(), name)?))
        });
        let (old_rest, new_rest) = (patch::to_json(&detail::rest(old)), patch::to_json(&detail::rest(new)));
        let rest = match patch::between(Some(&old_rest), Some(&new_rest)) {
            Some(Value::Object(rest)) => rest,
            _ => Map::new(),
        };
        if let Some(patch) = document.finish(&rest) {
            let position = new.as_of().filter(|as_of| old.as_of() != Some(*as_of)).map(Position);
            self.messages.push(Message::node(Arc::clone(&new.state.node), position, patch));
        }
    }

    /// Updates what a node contributes to rows, problems and totals.
    fn count_node(&mut self, node: &Arc<str>, old: &Inputs, new: &Inputs, dirty: &DirtyParts) {
        self.backend_counts.change(old, new, &dirty.backends);
        for name in &dirty.frontends {
            self.set_facts(name, node, Facts::new(new, name));
        }
        self.dirty.problems.extend(dirty.problems.iter().cloned());
        if (old.reporting(), old.comparable()) != (new.reporting(), new.comparable()) {
            self.dirty.rows.extend(new.view().frontends.keys().cloned());
            self.dirty.problems.extend(problems::possible_problems(new));
            self.dirty.reporting_changed = true;
        }
    }

    fn set_facts(&mut self, name: &Name, node: &Arc<str>, facts: Option<Facts>) {
        let by_node = self.facts.entry(name.clone()).or_default();
        if by_node.get(node) == facts.as_ref() {
            if by_node.is_empty() {
                self.facts.remove(name);
            }
            return;
        }
        match facts {
            Some(facts) => by_node.insert(Arc::clone(node), facts),
            None => by_node.remove(node),
        };
        if by_node.is_empty() {
            self.facts.remove(name);
        }
        self.dirty.rows.insert(name.clone());
    }

    fn set_row(&mut self, name: &Name, now: Now) {
        let facts = self.facts.get(name);
        let nodes = &self.snapshot.nodes;
        let reports: Vec<_> = facts
            .into_iter()
            .flatten()
            .filter_map(|(node, facts)| {
                let inputs = nodes.get(node)?;
                Some(NodeReport { node, facts, reporting: inputs.reporting(), comparable: inputs.comparable() })
            })
            .collect();
        let disagreement = self.disagreements.observe(name, &reports, now);
        let row = row::row(&reports, disagreement).map(Arc::new);
        let old = match &row {
            Some(row) => self.snapshot.rows.insert(name.clone(), Arc::clone(row)),
            None => self.snapshot.rows.remove(name),
        };
        if old != row {
            let (old, new) = (old.map(|old| patch::to_json(&*old)), row.map(|new| patch::to_json(&*new)));
            self.dirty.add_difference(&["rows", name.as_str()], old.as_ref(), new.as_ref());
        }
    }

    fn set_header(&mut self, node: &Arc<str>) {
        let Some(inputs) = self.snapshot.nodes.get(node) else { return };
        let header = Arc::new(detail::node_header(inputs));
        let old = self.snapshot.headers.insert(Arc::clone(node), Arc::clone(&header));
        if old.as_ref() != Some(&header) {
            self.dirty.headers.entry(Arc::clone(node)).or_insert(old);
        }
    }

    fn publish_headers(&mut self) {
        for (node, old) in std::mem::take(&mut self.dirty.headers) {
            let new = self.snapshot.headers.get(&node).map(|header| patch::to_json(&**header));
            self.dirty.add_difference(&["nodes", &node], old.map(|old| patch::to_json(&*old)).as_ref(), new.as_ref());
        }
    }
}

impl Dirty {
    /// Adds the difference of the part of the summary at `path`.
    fn add_difference(&mut self, path: &[&str; 2], old: Option<&Value>, new: Option<&Value>) {
        if let Some(patch) = patch::between(old, new) {
            self.set(path, patch);
        }
    }

    /// Called once per path and flush, so no patch overwrites another.
    fn set(&mut self, [part, key]: &[&str; 2], patch: Value) {
        let part = self.patch.entry(*part).or_insert_with(|| Map::new().into());
        if let Value::Object(part) = part {
            part.insert((*key).to_owned(), patch);
        }
    }
}
