//! Everything that the page shows, kept current: one owner, synchronous, with work proportional to what changes.
//!
//! ```text
//! nodes that changed ─▶ Inputs, Touched ─┬─▶ patch of the node's document
//!                                        └─▶ facts ─▶ rows ─┐
//! objects of Kubernetes, time ──────────────────────────────┴▶ patch of the summary
//! ```
//!
//! Nothing here waits or talks to anybody: `keeper` brings what is new and takes the messages away.

mod census;
mod facts;
mod problems;
mod row;
mod seen;
mod summary;
#[cfg(test)]
mod tests;
mod transitions;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use imbl::{OrdMap, ordmap::DiffItem};
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::{census::Census, facts::Facts, row::Said, transitions::Transitions};
use super::{
    detail,
    document::{LookedFor, NodeHead, ObjectInfo, ObjectProblems, Place, Places, Row, Strip, Totals, TransitionDetail},
    inputs::{Inputs, Touched},
    message::Message,
    patch,
};
use maglev_fleet::{NodeState, survey::Flag};
use maglev_kube::objects::Objects;
use maglev_model::{Name, config::Kind};

/// Nodes may differ for so long: news does not reach all at the same moment.
const DISAGREE_AFTER: Duration = Duration::from_secs(10);

/// What the page shows, as readers get it. A copy is cheap.
#[derive(Clone, Debug, Default)]
pub struct Glance {
    pub(crate) nodes: OrdMap<Arc<str>, Inputs>,
    pub(crate) heads: OrdMap<Arc<str>, Arc<NodeHead>>,
    pub(crate) rows: OrdMap<Name, Arc<Row>>,
    pub(crate) problems: OrdMap<(Kind, Name), Arc<ObjectProblems>>,
    pub(crate) objects: Objects,
    pub(crate) strip: Strip,
    pub(crate) totals: Totals,
    pub(crate) controller: bool,
    pub(crate) kubernetes: &'static str,
    pub(crate) looked_for: Arc<LookedFor>,
    transitions: Transitions,
}

impl Glance {
    /// Where each node's agent was.
    pub fn places(&self) -> Places {
        self.nodes.iter().filter_map(|(node, inputs)| Some((Arc::clone(node), Place(inputs.as_of()?)))).collect()
    }
}

/// The owner of all that.
#[derive(Debug)]
pub struct Board {
    glance: Glance,
    /// What each node says of each frontend.
    facts: BTreeMap<Name, BTreeMap<Arc<str>, Facts>>,
    /// Frontends about which nodes disagree, and since when.
    disagree: BTreeMap<Name, Instant>,
    census: Census,
    /// Objects that a controller has looked at.
    observed: usize,
    /// The transitions that were told.
    told: BTreeMap<String, Arc<TransitionDetail>>,
    dirty: Dirty,
    messages: Vec<Message>,
}

/// What of the summary may differ from what was told.
#[derive(Debug, Default)]
struct Dirty {
    rows: BTreeSet<Name>,
    problems: BTreeSet<(Kind, Name)>,
    /// Nodes' heads, as they were told.
    heads: BTreeMap<Arc<str>, Option<Arc<NodeHead>>>,
    /// Nodes whose agents went on.
    places: Places,
    /// The summary, in part.
    patch: Map<String, Value>,
    transitions: bool,
    /// Some node began or ceased to count.
    flipped: bool,
}

impl Board {
    /// An empty one. `kubernetes` says whether the objects will be known.
    pub fn new(looked_for: LookedFor, kubernetes: &'static str) -> Self {
        let glance = Glance { looked_for: Arc::new(looked_for), kubernetes, ..Glance::default() };
        Self {
            glance,
            facts: BTreeMap::new(),
            disagree: BTreeMap::new(),
            census: Census::default(),
            observed: 0,
            told: BTreeMap::new(),
            dirty: Dirty::default(),
            messages: Vec::new(),
        }
    }

    /// What there is to read now.
    pub fn glance(&self) -> &Glance {
        &self.glance
    }

    /// A node is so now.
    pub fn set_node(&mut self, state: NodeState) {
        let node = Arc::clone(&state.node);
        let old = self.glance.nodes.get(&node).cloned();
        let new = match &old {
            Some(old) => old.next(state),
            None => Inputs::new(state),
        };
        let before = old.clone().unwrap_or_else(|| new.emptied());
        let touched = Touched::between(&before, &new);
        if old.as_ref().and_then(Inputs::as_of) != new.as_of() {
            self.dirty.places.extend(new.as_of().map(|as_of| (Arc::clone(&node), Place(as_of))));
        }
        self.tell_node(&before, &new, &touched);
        self.count(&node, &before, &new, &touched);
        self.see(&node, old.as_ref(), &new, &touched);
        self.glance.nodes.insert(Arc::clone(&node), new);
        self.set_head(&node);
    }

    /// A node is not there any more.
    pub fn remove_node(&mut self, node: &Arc<str>) {
        let Some(old) = self.glance.nodes.remove(node) else { return };
        self.dirty.places.remove(node);
        self.census.remove(&old);
        for name in old.view().frontends.keys() {
            self.set_facts(name, node, None);
        }
        self.dirty.problems.extend(problems::of(&old));
        let head = self.glance.heads.remove(node);
        self.dirty.heads.entry(Arc::clone(node)).or_insert(head);
    }

    /// What Kubernetes knows is so now.
    pub fn set_objects(&mut self, objects: Objects) {
        let observed = |object: &maglev_kube::objects::Object| usize::from(object.observed_generation.is_some());
        for item in self.glance.objects.objects.diff(&objects.objects) {
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
        self.glance.objects = objects;
    }

    /// What changed since the last time, for those who follow.
    pub fn flush(&mut self, now: Instant) -> Vec<Message> {
        for (name, since) in &self.disagree {
            let known = self.glance.rows.get(name).is_some_and(|row| row.flags.has(Flag::Disagree));
            if !known && now.duration_since(*since) >= DISAGREE_AFTER {
                self.dirty.rows.insert(name.clone());
            }
        }
        for name in std::mem::take(&mut self.dirty.rows) {
            self.set_row(&name, now);
        }
        for (kind, name) in std::mem::take(&mut self.dirty.problems) {
            self.set_problems(kind, &name);
        }
        self.set_transitions();
        let places = std::mem::take(&mut self.dirty.places);
        let places = if std::mem::take(&mut self.dirty.flipped) { Places::new() } else { places };
        self.tell_summary(&places);
        // What follows is no matter of where the agents are.
        self.tell_heads();
        self.set_totals();
        self.tell_summary(&Places::new());
        std::mem::take(&mut self.messages)
    }

    fn tell_summary(&mut self, places: &Places) {
        let patch = std::mem::take(&mut self.dirty.patch);
        if !patch.is_empty() {
            self.messages.push(Message::summary(places, Value::Object(patch)));
        }
    }

    /// When something changes by itself.
    pub fn due(&self) -> Option<Instant> {
        let told = |name: &Name| self.glance.rows.get(name).is_some_and(|row| row.flags.has(Flag::Disagree));
        let waiting = self.disagree.iter().filter(|(name, _)| !told(name));
        waiting.map(|(_, since)| *since + DISAGREE_AFTER).min()
    }

    /// The patch of a node's own document.
    fn tell_node(&mut self, old: &Inputs, new: &Inputs, touched: &Touched) {
        let mut document = Map::new();
        let mut part = |key: &str, names: &BTreeSet<Name>, of: &dyn Fn(&Inputs, &Name) -> Option<Value>| {
            let differing = names.iter().filter_map(|name| {
                let (old, new) = (of(old, name), of(new, name));
                Some((name.to_string(), patch::between(old.as_ref(), new.as_ref())?))
            });
            let differing: Map<String, Value> = differing.collect();
            if !differing.is_empty() {
                document.insert(key.to_owned(), differing.into());
            }
        };
        part("frontends", &touched.frontends, &|of, name| Some(patch::json(&detail::frontend(of, name)?)));
        part("backends", &touched.backends, &|of, name| Some(patch::json(&detail::backend(of.view(), name)?)));
        part("health_checks", &touched.health_checks, &|of, name| {
            Some(patch::json(&detail::health_check(of.view(), name)?))
        });
        let (was, is) = (patch::json(&detail::rest(old)), patch::json(&detail::rest(new)));
        if let Some(Value::Object(rest)) = patch::between(Some(&was), Some(&is)) {
            document.extend(rest);
        }
        if !document.is_empty() {
            let place = new.as_of().filter(|as_of| old.as_of() != Some(*as_of)).map(Place);
            self.messages.push(Message::node(Arc::clone(&new.state.node), place, Value::Object(document)));
        }
    }

    /// The frontends' facts and the objects' problems that a node contributes.
    fn count(&mut self, node: &Arc<str>, old: &Inputs, new: &Inputs, touched: &Touched) {
        self.census.change(old, new, &touched.came_or_went);
        for name in &touched.frontends {
            self.set_facts(name, node, Facts::new(new, name));
        }
        self.dirty.problems.extend(touched.problems.iter().cloned());
        if (old.reporting(), old.comparable()) != (new.reporting(), new.comparable()) {
            self.dirty.rows.extend(new.view().frontends.keys().cloned());
            self.dirty.problems.extend(problems::of(new));
            self.dirty.flipped = true;
        }
    }

    fn set_facts(&mut self, name: &Name, node: &Arc<str>, facts: Option<Facts>) {
        let of = self.facts.entry(name.clone()).or_default();
        if of.get(node) == facts.as_ref() {
            if of.is_empty() {
                self.facts.remove(name);
            }
            return;
        }
        match facts {
            Some(facts) => of.insert(Arc::clone(node), facts),
            None => of.remove(node),
        };
        if of.is_empty() {
            self.facts.remove(name);
        }
        self.dirty.rows.insert(name.clone());
    }

    fn set_row(&mut self, name: &Name, now: Instant) {
        let facts = self.facts.get(name);
        let nodes = &self.glance.nodes;
        let said: Vec<_> = facts
            .into_iter()
            .flatten()
            .filter_map(|(node, facts)| {
                let inputs = nodes.get(node)?;
                Some(Said { node, facts, reporting: inputs.reporting(), comparable: inputs.comparable() })
            })
            .collect();
        let disagree = row::disagree(&said).then(|| *self.disagree.entry(name.clone()).or_insert(now));
        if disagree.is_none() {
            self.disagree.remove(name);
        }
        let too_long = disagree.is_some_and(|since| now.duration_since(since) >= DISAGREE_AFTER);
        let row = row::row(&said, too_long).map(Arc::new);
        let old = match &row {
            Some(row) => self.glance.rows.insert(name.clone(), Arc::clone(row)),
            None => self.glance.rows.remove(name),
        };
        if old != row {
            let (old, new) = (old.map(|old| patch::json(&*old)), row.map(|new| patch::json(&*new)));
            self.dirty.differs(&["rows", name.as_str()], old.as_ref(), new.as_ref());
        }
    }

    fn set_head(&mut self, node: &Arc<str>) {
        let Some(inputs) = self.glance.nodes.get(node) else { return };
        let head = Arc::new(detail::head(inputs));
        let old = self.glance.heads.insert(Arc::clone(node), Arc::clone(&head));
        if old.as_ref() != Some(&head) {
            self.dirty.heads.entry(Arc::clone(node)).or_insert(old);
        }
    }

    fn tell_heads(&mut self) {
        for (node, old) in std::mem::take(&mut self.dirty.heads) {
            let new = self.glance.heads.get(&node).map(|head| patch::json(&**head));
            self.dirty.differs(&["nodes", &node], old.map(|old| patch::json(&*old)).as_ref(), new.as_ref());
        }
    }
}

impl Dirty {
    /// The part of the summary at `path` is no more what it was.
    fn differs(&mut self, path: &[&str; 2], old: Option<&Value>, new: Option<&Value>) {
        if let Some(patch) = patch::between(old, new) {
            self.set(path, patch);
        }
    }

    /// Once for each thing and flush, so no patch goes over another.
    fn set(&mut self, [part, key]: &[&str; 2], patch: Value) {
        let part = self.patch.entry(*part).or_insert_with(|| Map::new().into());
        if let Value::Object(part) = part {
            part.insert((*key).to_owned(), patch);
        }
    }
}
