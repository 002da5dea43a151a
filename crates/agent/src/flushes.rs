//! Which flows still have to be flushed.
//!
//! A flush is an edge, which VPP's state does not show: it is owed when a backend comes into a
//! condition that flushes, stays owed until VPP answered 0, and is void when VPP restarted.

use std::{collections::BTreeMap, net::IpAddr};

use maglev_model::{
    config::OnBackendDown,
    plan::{DueFlushes, Step, keys_of},
    vip::VipKey,
    weights::{Condition, WantAs},
};

/// Conditions as last seen, and what is owed because of how they changed.
#[derive(Debug, Default)]
pub struct Flushes(BTreeMap<VipKey, BTreeMap<IpAddr, Seen>>);

/// An application server as last seen.
#[derive(Debug)]
struct Seen {
    condition: Condition,
    /// Flows pinned to it are still to be flushed.
    owed: bool,
}

impl Flushes {
    /// Takes note of a VIP's conditions; `vpp` tells the weight that VPP has for an address.
    pub fn observe(
        &mut self,
        vip: VipKey,
        ases: &BTreeMap<IpAddr, WantAs>,
        on_backend_down: OnBackendDown,
        vpp: impl Fn(IpAddr) -> Option<u8>,
    ) {
        let servers = self.0.entry(vip).or_default();
        if !servers.keys().eq(ases.keys()) {
            servers.retain(|address, _| ases.contains_key(address));
            for address in ases.keys() {
                servers.entry(*address).or_insert(Seen { condition: Condition::NeverKnown, owed: false });
            }
        }
        for ((address, of), seen) in ases.iter().zip(servers.values_mut()) {
            let was = std::mem::replace(&mut seen.condition, of.condition);
            if !of.condition.flushes(on_backend_down) {
                seen.owed = false;
            } else if was != of.condition && needs_flush(was, vpp(*address)) {
                seen.owed = true;
            }
        }
    }

    /// What is owed now by the VIPs of `address`.
    pub fn due(&self, address: IpAddr) -> DueFlushes {
        let servers = self.0.range(keys_of(address)).flat_map(|(vip, servers)| servers.iter().map(|of| (*vip, of)));
        servers.filter(|(_, (_, seen))| seen.owed).map(|(vip, (server, _))| (vip, *server)).collect()
    }

    /// VPP answered 0 to `step`.
    pub fn mark_flushed(&mut self, step: &Step) {
        let paid = match step {
            Step::SetWeight { vip, address, flush: true, .. } | Step::AddAs { vip, address, .. } => {
                Some((*vip, *address))
            }
            Step::RemoveAs { vip, address, .. } => vip.key().map(|key| (key, *address)),
            _ => None,
        };
        let seen = paid.and_then(|(vip, address)| self.0.get_mut(&vip)?.get_mut(&address));
        if let Some(seen) = seen {
            seen.owed = false;
        }
    }

    /// VPP restarted: its flows are gone.
    pub fn clear(&mut self) {
        for seen in self.0.values_mut().flat_map(BTreeMap::values_mut) {
            seen.owed = false;
        }
    }

    /// The VIP is no Frontend's any more.
    pub fn forget(&mut self, vip: VipKey) {
        self.0.remove(&vip);
    }
}

/// Whether coming into a condition that flushes owes a flush: from a known condition always (VPP may
/// hold pins even at weight 0), from an unknown one only where VPP still gave it flows. What VPP does
/// not have has no pins.
fn needs_flush(was: Condition, in_vpp: Option<u8>) -> bool {
    in_vpp.is_some_and(|weight| was.is_known() || weight > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::{
        Name,
        vip::{Service, Weight},
        weights::WantWeight,
    };

    const SERVER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn vip() -> VipKey {
        VipKey { address: "203.0.113.1".parse().unwrap(), service: Service::AllPorts }
    }

    /// Lets the flushes see a row of conditions, VPP having the server at `weight`.
    fn owed_after(conditions: &[Condition], weight: Option<u8>, on_down: OnBackendDown) -> bool {
        let mut flushes = Flushes::default();
        for condition in conditions {
            observe(&mut flushes, *condition, weight, on_down);
        }
        !flushes.due(vip().address).is_empty()
    }

    fn observe(flushes: &mut Flushes, condition: Condition, weight: Option<u8>, on_down: OnBackendDown) {
        let of = WantAs { backend: Name::namespaced("default", "b"), condition, weight: WantWeight::Set(Weight::ZERO) };
        flushes.observe(vip(), &BTreeMap::from([(SERVER, of)]), on_down, |_| weight);
    }

    #[test]
    fn a_flush_is_owed_on_the_edges_of_the_table() {
        use Condition::{CheckMissing, Disabled, Down, NeverKnown, Paused, Suspect, Unknown, Up};
        use OnBackendDown::{Flush, Keep};
        for (conditions, weight, on_down, owed) in [
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
            assert_eq!(owed_after(conditions, weight, on_down), owed, "{conditions:?} {weight:?} {on_down:?}");
        }
    }

    #[test]
    fn a_flush_is_paid_once_and_void_when_vpp_restarted() {
        let mut flushes = Flushes::default();
        observe(&mut flushes, Condition::Up, Some(10), OnBackendDown::Flush);
        observe(&mut flushes, Condition::Down, Some(10), OnBackendDown::Flush);
        let backend = Name::namespaced("default", "b");
        let step = Step::SetWeight { vip: vip(), address: SERVER, backend, from: 10, to: Weight::ZERO, flush: true };
        flushes.mark_flushed(&step);
        assert!(flushes.due(vip().address).is_empty());
        observe(&mut flushes, Condition::Down, Some(0), OnBackendDown::Flush);
        assert!(flushes.due(vip().address).is_empty(), "a repair does not flush again");
        observe(&mut flushes, Condition::Disabled, Some(0), OnBackendDown::Flush);
        assert!(!flushes.due(vip().address).is_empty());
        flushes.clear();
        assert!(flushes.due(vip().address).is_empty());
    }
}
