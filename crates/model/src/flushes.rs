//! Pending flushes of flows. Kept by the agent, and observed before and after a change for its preview.
//!
//! A flush is triggered by an edge, which VPP's state does not show: it becomes pending when a backend enters a
//! condition that flushes, stays pending until VPP replied with 0, and is dropped when VPP restarted.
//!
//! Config, health and VPP's replies arrive in any order, with any condition of unknown health in between. So the edge
//! is one between *known* conditions, and flows are tracked apart from conditions.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    config::OnBackendDown,
    plan::{DueFlushes, Step, keys_on_address},
    server_map::ServerMap,
    vip::{VipKey, Weight},
    weights::{BackendCondition, DesiredAs},
};

/// The last observed state of each application server.
#[derive(Debug, Default)]
pub struct Flushes(BTreeMap<VipKey, ServerMap<ServerState>>);

/// The last observed state of an application server.
#[derive(Clone, Copy, Debug, Default)]
struct ServerState {
    /// The last known condition.
    known: Option<BackendCondition>,
    /// The current condition flushes.
    flushes: bool,
    /// VPP may hold flows that were pinned to the server since its last flush.
    has_flows: bool,
    /// The server was flushed at weight 0, and has had no other weight since.
    flushed: bool,
    /// The flows of the paused server are to be flushed, although its condition does not flush.
    requested: bool,
}

impl ServerState {
    fn observe(&mut self, condition: BackendCondition, on_backend_down: OnBackendDown, in_vpp: Option<u8>) {
        let was = self.known;
        if condition.is_known() {
            self.known = Some(condition);
        }
        self.flushes = condition.flushes(on_backend_down);
        let at_zero = in_vpp == Some(0);
        self.flushed &= at_zero;
        self.requested &= at_zero && condition == BackendCondition::Paused;
        let Some(weight) = in_vpp else {
            self.has_flows = false;
            return;
        };
        if !self.flushes {
            // VPP may hold pinned flows even at weight 0.
            self.has_flows |= condition.is_known() || weight > 0;
        } else if self.known != was {
            // A weight that another client sets later is repaired without a flush.
            self.has_flows |= was.is_some() || weight > 0;
        }
    }

    fn is_pending(&self) -> bool {
        self.flushes && self.has_flows || self.requested
    }

    fn record_weight(&mut self, weight: Weight, flush: bool) {
        if weight > Weight::ZERO {
            (self.has_flows, self.flushed, self.requested) = (true, false, false);
        } else if flush {
            (self.has_flows, self.flushed, self.requested) = (false, true, false);
        }
    }
}

impl Flushes {
    /// Records the conditions of a VIP's application servers. `vpp` returns the weight of an address in VPP. A server
    /// that VPP does not have has no pinned flows.
    pub fn observe(
        &mut self,
        vip: VipKey,
        ases: &BTreeMap<IpAddr, DesiredAs>,
        on_backend_down: OnBackendDown,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) {
        let servers = self.0.entry(vip).or_default();
        if !servers.keys().eq(ases.keys()) {
            let before = std::mem::take(servers);
            let state = |address: &IpAddr| (*address, before.get(address).copied().unwrap_or_default());
            *servers = ases.keys().map(state).collect();
        }
        for ((address, desired), server) in ases.iter().zip(servers.values_mut()) {
            server.observe(desired.condition, on_backend_down, vpp(*address));
        }
    }

    /// The pending flushes of the VIPs of `address`.
    pub fn due(&self, address: IpAddr) -> DueFlushes {
        let servers = self
            .0
            .range(keys_on_address(address))
            .flat_map(|(vip, servers)| servers.iter().map(|server| (*vip, server)));
        servers.filter(|(_, (_, state))| state.is_pending()).map(|(vip, (server, _))| (vip, *server)).collect()
    }

    /// Requests that the flows of a server be flushed once. The request ends with the flush, and without one if the server
    /// is not paused at weight 0 any more.
    pub fn request(&mut self, vip: VipKey, server: IpAddr) {
        if let Some(server) = self.0.get_mut(&vip).and_then(|servers| servers.get_mut(&server)) {
            server.requested = true;
        }
    }

    /// True if the server was flushed at weight 0, and has had no other weight since.
    pub fn is_flushed(&self, vip: VipKey, server: IpAddr) -> bool {
        self.0.get(&vip).and_then(|servers| servers.get(&server)).is_some_and(|server| server.flushed)
    }

    /// Records a step that VPP replied to with 0: a flush ends a pending flush, and a weight above 0 admits flows again.
    pub fn record_step(&mut self, step: &Step) {
        let (vip, address, weight, flush) = match step {
            Step::SetWeight { vip, address, to, flush, .. } => (Some(*vip), address, *to, *flush),
            // An added server is flushed as well.
            Step::AddAs { vip, address, weight, .. } => (Some(*vip), address, *weight, true),
            Step::RemoveAs { vip, address, flush: true, .. } => (vip.key(), address, Weight::ZERO, true),
            Step::RemoveAs { .. } | Step::AddVip { .. } | Step::RemoveVip { .. } => return,
        };
        if let Some(server) = vip.and_then(|vip| self.0.get_mut(&vip)?.get_mut(address)) {
            server.record_weight(weight, flush);
            server.flushed &= matches!(step, Step::SetWeight { .. });
        }
    }

    /// Drops all pending flushes: a restarted VPP has no flows.
    pub fn clear(&mut self) {
        for server in self.0.values_mut().flat_map(ServerMap::values_mut) {
            (server.has_flows, server.flushed, server.requested) = (false, false, false);
        }
    }

    /// Drops the state of a VIP that no Frontend claims any more.
    pub fn forget(&mut self, vip: VipKey) {
        self.0.remove(&vip);
    }
}

#[cfg(test)]
mod tests;
