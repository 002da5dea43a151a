//! Pending flushes of flows.
//!
//! A flush is triggered by an edge, which VPP's state does not show: it becomes pending when a backend enters a
//! condition that flushes, stays pending until VPP replied with 0, and is dropped when VPP restarted.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_model::{
    config::OnBackendDown,
    plan::{DueFlushes, Step, keys_on_address},
    vip::VipKey,
    weights::{BackendCondition, DesiredAs},
};

/// The last observed condition of each application server, and the flushes that its changes made pending.
#[derive(Debug, Default)]
pub struct Flushes(BTreeMap<VipKey, BTreeMap<IpAddr, ServerState>>);

/// The last observed state of an application server.
#[derive(Debug)]
struct ServerState {
    condition: BackendCondition,
    /// Flows pinned to the server still have to be flushed.
    pending: bool,
}

impl Flushes {
    /// Records the conditions of a VIP's application servers. `vpp` returns the weight of an address in VPP.
    pub fn observe(
        &mut self,
        vip: VipKey,
        ases: &BTreeMap<IpAddr, DesiredAs>,
        on_backend_down: OnBackendDown,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) {
        let servers = self.0.entry(vip).or_default();
        if !servers.keys().eq(ases.keys()) {
            servers.retain(|address, _| ases.contains_key(address));
            for address in ases.keys() {
                let unknown = ServerState { condition: BackendCondition::NeverKnown, pending: false };
                servers.entry(*address).or_insert(unknown);
            }
        }
        for ((address, desired), server) in ases.iter().zip(servers.values_mut()) {
            let was = std::mem::replace(&mut server.condition, desired.condition);
            if !desired.condition.flushes(on_backend_down) {
                server.pending = false;
            } else if was != desired.condition && needs_flush(was, vpp(*address)) {
                server.pending = true;
            }
        }
    }

    /// The pending flushes of the VIPs of `address`.
    pub fn due(&self, address: IpAddr) -> DueFlushes {
        let servers = self
            .0
            .range(keys_on_address(address))
            .flat_map(|(vip, servers)| servers.iter().map(|server| (*vip, server)));
        servers.filter(|(_, (_, state))| state.pending).map(|(vip, (server, _))| (vip, *server)).collect()
    }

    /// Drops the pending flush that `step` executed. Call it when VPP replied with 0.
    pub fn mark_flushed(&mut self, step: &Step) {
        let flushed = match step {
            Step::SetWeight { vip, address, flush: true, .. } | Step::AddAs { vip, address, .. } => {
                Some((*vip, *address))
            }
            Step::RemoveAs { vip, address, .. } => vip.key().map(|key| (key, *address)),
            _ => None,
        };
        let server = flushed.and_then(|(vip, address)| self.0.get_mut(&vip)?.get_mut(&address));
        if let Some(server) = server {
            server.pending = false;
        }
    }

    /// Drops all pending flushes: a restarted VPP has no flows.
    pub fn clear(&mut self) {
        for server in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            server.pending = false;
        }
    }

    /// Drops the state of a VIP that no Frontend claims any more.
    pub fn forget(&mut self, vip: VipKey) {
        self.0.remove(&vip);
    }
}

/// True if entering a condition that flushes requires a flush: always from a known condition (VPP may hold pinned flows
/// even at weight 0), from an unknown condition only if VPP still sent new flows to the server. A server that VPP does
/// not have has no pinned flows.
fn needs_flush(was: BackendCondition, in_vpp: Option<u8>) -> bool {
    in_vpp.is_some_and(|weight| was.is_known() || weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::{
        Name,
        vip::{Service, Weight},
        weights::DesiredWeight,
    };

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn vip() -> VipKey {
        VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts }
    }

    /// Observes the conditions in sequence, with VPP having the server at `weight`.
    fn is_pending_after(conditions: &[BackendCondition], weight: Option<u8>, on_down: OnBackendDown) -> bool {
        let mut flushes = Flushes::default();
        for condition in conditions {
            observe(&mut flushes, *condition, weight, on_down);
        }
        !flushes.due(vip().address).is_empty()
    }

    fn observe(flushes: &mut Flushes, condition: BackendCondition, weight: Option<u8>, on_down: OnBackendDown) {
        let desired = DesiredAs {
            backend: Name::namespaced("default", "b"),
            condition,
            weight: DesiredWeight::Set(Weight::ZERO),
        };
        flushes.observe(vip(), &BTreeMap::from([(SERVER, desired)]), on_down, |_| weight);
    }

    #[test]
    fn flush_becomes_pending_on_the_edges_of_the_table() {
        use BackendCondition::{CheckMissing, Disabled, Down, NeverKnown, Paused, Suspect, Unknown, Up};
        use OnBackendDown::{Flush, Keep};
        for (conditions, weight, on_down, pending) in [
            (&[Up, Down][..], Some(10), Flush, true),
            (&[Up, Down], Some(0), Flush, true),
            (&[Up, Down], Some(10), Keep, false),
            (&[Up, Disabled], Some(10), Keep, true),
            (&[Paused, Disabled], Some(0), Flush, true),
            (&[Up, Paused], Some(10), Flush, false),
            (&[Down], Some(10), Flush, true),
            (&[Down], Some(0), Flush, false),
            (&[NeverKnown, Down], Some(0), Flush, false),
            (&[Disabled], Some(10), Flush, true),
            (&[Up, Unknown, Down], Some(0), Flush, false),
            (&[Up, Suspect], Some(10), Flush, false),
            (&[Up, Suspect, Down], Some(10), Flush, true),
            (&[Up, CheckMissing], Some(10), Flush, false),
            (&[Up, Down], None, Flush, false),
            (&[Up, Down, Up], Some(10), Flush, false),
            (&[Up, Down, Down], Some(10), Flush, true),
        ] {
            assert_eq!(is_pending_after(conditions, weight, on_down), pending, "{conditions:?} {weight:?} {on_down:?}");
        }
    }

    #[test]
    fn flush_is_sent_once_and_dropped_when_vpp_restarts() {
        let mut flushes = Flushes::default();
        observe(&mut flushes, BackendCondition::Up, Some(10), OnBackendDown::Flush);
        observe(&mut flushes, BackendCondition::Down, Some(10), OnBackendDown::Flush);
        let backend = Name::namespaced("default", "b");
        let step = Step::SetWeight { vip: vip(), address: SERVER, backend, from: 10, to: Weight::ZERO, flush: true };
        flushes.mark_flushed(&step);
        assert!(flushes.due(vip().address).is_empty());
        observe(&mut flushes, BackendCondition::Down, Some(0), OnBackendDown::Flush);
        assert!(flushes.due(vip().address).is_empty(), "a repair does not flush again");
        observe(&mut flushes, BackendCondition::Disabled, Some(0), OnBackendDown::Flush);
        assert!(!flushes.due(vip().address).is_empty());
        flushes.clear();
        assert!(flushes.due(vip().address).is_empty());
    }
}
