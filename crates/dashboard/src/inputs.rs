//! The state of one node, indexed for building documents, and the difference between two states.
//!
//! A document is a function of its inputs, so only inputs are stored. Clones share equal parts; the difference between
//! two inputs is computed by comparing them, with work proportional to the difference.

mod dirty_parts;

use std::{net::IpAddr, sync::Arc};

use imbl::{OrdMap, ordmap::DiffItem};

pub use self::dirty_parts::DirtyParts;
use super::traffic::Traffic;
use maglev_fleet::{AsOf, LinkState, NodeState};
use maglev_model::{
    Name,
    actual::{ActualAs, VppVip},
    config::{Frontend, Standing},
    view::View,
};

/// The state of one node; cheap to clone.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub(crate) state: NodeState,
    pub(crate) traffic: Option<Arc<Traffic>>,
    /// The Frontend that owns each VIP. Withdrawn Frontends own none.
    owners: OrdMap<VppVip, Name>,
    /// The Frontends that use each Backend, sorted. Most Backends have one: a list is smaller than a set.
    users: OrdMap<Name, Arc<Vec<Name>>>,
}

impl Inputs {
    pub fn new(state: NodeState) -> Self {
        Self::empty(&state).next(state)
    }

    /// The same node without any state.
    pub fn emptied(&self) -> Self {
        Self::empty(&self.state)
    }

    fn empty(state: &NodeState) -> Self {
        let (view, link) = (View::default(), LinkState::Connecting);
        let empty = NodeState { view, link, as_of: None, counters: None, dump: None, ..state.clone() };
        Self { state: empty, traffic: None, owners: OrdMap::new(), users: OrdMap::new() }
    }

    /// The inputs for the node's next state.
    pub fn next(&self, state: NodeState) -> Self {
        let traffic = match (&self.state.counters, &state.counters) {
            (Some(before), Some(now)) if Arc::ptr_eq(before, now) => self.traffic.clone(),
            (before, Some(now)) => Traffic::between(before.as_deref(), now).map(Arc::new),
            (_, None) => None,
        };
        let mut next = Self { state, traffic, owners: self.owners.clone(), users: self.users.clone() };
        let frontends = next.view().frontends.clone();
        for item in self.view().frontends.diff(&frontends) {
            match item {
                DiffItem::Add(_, new) => next.add(new),
                DiffItem::Remove(_, old) => next.remove(old),
                DiffItem::Update { old: (_, old), new: (_, new) } => {
                    next.remove(old);
                    next.add(new);
                }
            }
        }
        next
    }

    pub fn view(&self) -> &View {
        &self.state.view
    }

    pub fn as_of(&self) -> Option<AsOf> {
        self.state.as_of
    }

    /// True if the state is current, so that the node counts in totals.
    pub fn reporting(&self) -> bool {
        self.state.reporting()
    }

    /// True if weights and states are those of a working node, so that other nodes should have the same.
    pub fn comparable(&self) -> bool {
        self.state.comparable()
    }

    /// The Frontend that owns a VIP of VPP.
    pub fn owner(&self, vip: &VppVip) -> Option<&Name> {
        self.owners.get(vip)
    }

    /// The Frontends that use a Backend.
    pub fn users(&self, backend: &Name) -> impl Iterator<Item = &Name> {
        self.users.get(backend).into_iter().flat_map(|users| users.iter())
    }

    /// An application server as of the last dump.
    pub fn dumped(&self, vip: &VppVip, address: IpAddr) -> Option<ActualAs> {
        self.state.dump.as_ref()?.actual.vips.get(vip)?.ases.get(&address).copied()
    }

    fn add(&mut self, frontend: &Frontend) {
        if !matches!(frontend.standing, Standing::Withdrawn(_)) {
            self.owners.insert(frontend.vip.into(), frontend.name.clone());
        }
        for member in members(frontend) {
            let users = self.users.entry(member.clone()).or_default();
            if let Err(place) = users.binary_search(&frontend.name) {
                Arc::make_mut(users).insert(place, frontend.name.clone());
            }
        }
    }

    fn remove(&mut self, frontend: &Frontend) {
        let vip = VppVip::from(frontend.vip);
        if self.owners.get(&vip) == Some(&frontend.name) {
            self.owners.remove(&vip);
        }
        for member in members(frontend) {
            let Some(users) = self.users.get_mut(member) else { continue };
            if let Ok(place) = users.binary_search(&frontend.name) {
                Arc::make_mut(users).remove(place);
            }
            if users.is_empty() {
                self.users.remove(member);
            }
        }
    }
}

fn members(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    frontend.pools.iter().flat_map(|pool| pool.members.iter().map(|member| &member.backend))
}
