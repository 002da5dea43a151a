//! Updates the cached state of VPP with steps that VPP acknowledged.

use super::Step;
use crate::{
    actual::{Actual, ActualAs, ActualEncap, ActualVip, VppVip},
    server_map::ServerMap,
};

impl Actual {
    /// Applies a step that VPP acknowledged. Bucket counts stay as last dumped. A step on an unknown VIP has no effect.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::AddVip { vip, encap, sticky, table_length } => {
                let vip = VppVip::from(*vip);
                let encap = Some(ActualEncap::from(*encap));
                let (sticky, table_length) = (Some(*sticky), Some(table_length.get()));
                let ases = ServerMap::default();
                self.vips.insert(vip, ActualVip { encap, sticky, table_length, pool_index: None, ases });
            }
            Step::RemoveVip { vip, .. } => {
                self.vips.remove(vip);
            }
            Step::AddAs { vip, address, weight, .. } => {
                if let Some(vip) = self.vips.get_mut(&(*vip).into()) {
                    vip.ases.insert(*address, ActualAs { weight: weight.get(), buckets: 0 });
                }
            }
            Step::RemoveAs { vip, address, .. } => {
                if let Some(vip) = self.vips.get_mut(vip) {
                    vip.ases.remove(address);
                }
            }
            Step::SetWeight { vip, address, to, .. } => {
                if let Some(server) = self.vips.get_mut(&(*vip).into()).and_then(|vip| vip.ases.get_mut(address)) {
                    server.weight = to.get();
                }
            }
        }
    }
}
