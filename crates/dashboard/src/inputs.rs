//! What is known of one node, ready for making documents of it, and what differs between two moments of it.
//!
//! A document is a function of its inputs. So nothing is kept but inputs, whose copies share what is equal: what led
//! from one to the next is found by comparing them, with work proportional to what differs.

mod touched;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use imbl::{OrdMap, ordmap::DiffItem};

pub use self::touched::Touched;
use super::traffic::Traffic;
use maglev_fleet::{AsOf, Link, NodeState};
use maglev_model::{
    Name,
    actual::{ActualAs, VppVip},
    config::{Frontend, Standing},
    view::View,
};

/// One node at one moment. A copy is cheap.
#[derive(Clone, Debug)]
pub struct Inputs {
    pub(crate) state: NodeState,
    pub(crate) traffic: Option<Arc<Traffic>>,
    /// Whose each VIP is, of those that serve or are held.
    owners: OrdMap<VppVip, Name>,
    /// Which frontends use a backend.
    users: OrdMap<Name, Arc<BTreeSet<Name>>>,
}

impl Inputs {
    /// The first that is known of a node.
    pub fn new(state: NodeState) -> Self {
        Self::nothing_of(&state).next(state)
    }

    /// The same node, nothing being known of it.
    pub fn emptied(&self) -> Self {
        Self::nothing_of(&self.state)
    }

    fn nothing_of(state: &NodeState) -> Self {
        let (view, link) = (View::default(), Link::Connecting);
        let empty = NodeState { view, link, as_of: None, counters: None, dump: None, ..state.clone() };
        Self { state: empty, traffic: None, owners: OrdMap::new(), users: OrdMap::new() }
    }

    /// What is known after it, the node being now in `state`.
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

    /// Whether it counts.
    pub fn reporting(&self) -> bool {
        self.state.reporting()
    }

    /// Whether its weights and states are those of a working node, so that others should have the same.
    pub fn comparable(&self) -> bool {
        self.reporting() && self.view().vpp.is_some()
    }

    /// The frontend that a VIP of VPP belongs to.
    pub fn owner(&self, vip: &VppVip) -> Option<&Name> {
        self.owners.get(vip)
    }

    /// The frontends that use a backend.
    pub fn users(&self, backend: &Name) -> impl Iterator<Item = &Name> {
        self.users.get(backend).into_iter().flat_map(|users| users.iter())
    }

    /// An application server as it was last read.
    pub fn dumped(&self, vip: &VppVip, address: IpAddr) -> Option<ActualAs> {
        self.state.dump.as_ref()?.actual.vips.get(vip)?.ases.get(&address).copied()
    }

    fn add(&mut self, frontend: &Frontend) {
        if !matches!(frontend.standing, Standing::Withdrawn(_)) {
            self.owners.insert(frontend.vip.into(), frontend.name.clone());
        }
        for member in members(frontend) {
            Arc::make_mut(self.users.entry(member.clone()).or_default()).insert(frontend.name.clone());
        }
    }

    fn remove(&mut self, frontend: &Frontend) {
        let vip = VppVip::from(frontend.vip);
        if self.owners.get(&vip) == Some(&frontend.name) {
            self.owners.remove(&vip);
        }
        for member in members(frontend) {
            let Some(users) = self.users.get_mut(member) else { continue };
            Arc::make_mut(users).remove(&frontend.name);
            if users.is_empty() {
                self.users.remove(member);
            }
        }
    }
}

fn members(frontend: &Frontend) -> impl Iterator<Item = &Name> {
    frontend.pools.iter().flat_map(|pool| pool.members.iter().map(|member| &member.backend))
}
