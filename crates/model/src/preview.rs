//! The effect of a change on the VIPs of a node, computed before the change is made.
//!
//! ```text
//!  NodeInputs before ─▶ weights ─▶ desired VIPs ─▶ plan ─┐
//!                                                        ├▶ difference: VipPreview of each VIP that the change concerns
//!  NodeInputs after  ─▶ weights ─▶ desired VIPs ─▶ plan ─┘
//! ```
//!
//! The rules are those of the agent, applied to the state that the agent reports. What only time decides is left out: the
//! warm-up after a start, retries, and the wait for a second dump before a recreate.

mod address;
mod inputs;
#[cfg(test)]
mod tests;
mod what_if;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use self::address::AddressPreview;
pub use self::{inputs::NodeInputs, what_if::WhatIf};
use super::{
    actual::{ActualConf, VppVip},
    conf::desired_conf,
    name::Name,
    plan::{FlowChange, Removal, is_mass_removal},
    problem::Problem,
    view::{View, VppView},
    vip::VipKey,
};

/// The effect of a change on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodePreview {
    /// The VIPs that the change concerns, by VIP and Frontend.
    pub vips: Vec<VipPreview>,
    /// The removals that the agent would hold back, since they are many; `None` if it would not.
    pub mass_removal: Option<MassRemoval>,
    /// The change of the size of VPP's sticky tables, which drops all tracked flows of every VIP; `None` if there is none.
    pub sticky_buckets: Option<StickyBuckets>,
}

/// Removals that the agent would hold back. The effect on the VIPs is that of the time after the hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MassRemoval {
    /// Number of removed VIPs; 0 if only removals of application servers are held.
    pub vips: usize,
    /// Number of application servers that are removed from VIPs that stay; 0 if only removals of VIPs are held.
    pub servers: usize,
    /// Duration of the hold, unless an operator accepts it earlier.
    pub hold: Duration,
}

/// The size of VPP's sticky tables before and after, in buckets of each worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StickyBuckets {
    /// The size that VPP has.
    pub from: u32,
    /// The size that the agent would set.
    pub to: u32,
}

/// The effect of a change on one VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipPreview {
    /// The VIP.
    pub vip: VipKey,
    /// The Frontend after the change, or before it if the VIP is removed; `None` if no Frontend claims the VIP.
    pub frontend: Option<Name>,
    /// The change in VPP; `None` if there is none.
    pub change: Option<FlowChange>,
    /// The reason for which VPP does not follow the Frontend; `None` if it does.
    pub obstacle: Option<Obstacle>,
    /// The disruption budget of the Frontend, if the change exceeds it by itself: the agent would hold it. The effect is that
    /// of the time after the hold. What moved shortly before counts against the budget as well, and is not known here.
    pub exceeded_budget: Option<BudgetExcess>,
    /// The Backends of the application servers before and after the change.
    pub backends: BTreeMap<IpAddr, Name>,
}

/// A disruption budget, and the change that exceeds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetExcess {
    /// The share of the buckets that may move within the window, in percent.
    pub max_moved_percent: u8,
    /// The share that the change moves, in thousandths.
    pub moved_permille: u16,
    /// Duration of the hold, unless an operator accepts the change earlier.
    pub hold: Duration,
}

/// The reason for which VPP does not follow a Frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The VIP stays as VPP has it; only weights follow.
    Held(Problem),
    /// The Frontend has no VIP.
    Withdrawn(Problem),
}

impl NodePreview {
    /// The effect of the change from `before` to `after` on the node of `view`; `None` while the state of VPP is not known.
    pub fn new(view: &View, before: &NodeInputs, after: &NodeInputs) -> Option<Self> {
        let vpp = view.vpp.as_ref()?;
        let conf = vpp.conf?;
        let mut preview = Self { sticky_buckets: sticky_buckets(conf, before, after), ..Self::default() };
        let mut removals = BTreeSet::new();
        for address in after.affected_addresses(before, vpp) {
            let AddressPreview { vips, removals: requested } =
                AddressPreview::new(view, vpp, conf, before, after, address);
            preview.vips.extend(vips);
            removals.extend(requested);
        }
        preview.mass_removal = mass_removal(&removals, vpp, after.node.sync.mass_removal_hold);
        Some(preview)
    }

    /// True if the change concerns no VIP of the node and drops no flow.
    pub fn is_empty(&self) -> bool {
        self.vips.is_empty() && self.sticky_buckets.is_none()
    }
}

fn sticky_buckets(conf: ActualConf, before: &NodeInputs, after: &NodeInputs) -> Option<StickyBuckets> {
    let [old, new] = [before, after].map(|inputs| desired_conf(&inputs.node, &conf).sticky_buckets_per_core);
    let is_change =
        old != new && new != conf.sticky_buckets_per_core && conf.sticky_buckets_per_core != ActualConf::UNKNOWN;
    is_change.then_some(StickyBuckets { from: conf.sticky_buckets_per_core, to: new })
}

/// The part of `removals` that the agent would hold back.
fn mass_removal(removals: &BTreeSet<Removal>, vpp: &VppView, hold: Duration) -> Option<MassRemoval> {
    let (servers, vips): (Vec<&Removal>, Vec<&Removal>) = removals.iter().partition(|removal| removal.server.is_some());
    let owned = vpp.vips.iter().filter(|(vip, _)| is_owned(vpp, vip));
    let (total_vips, total_servers) =
        owned.fold((0, 0), |(vips, servers), (_, vip)| (vips + 1, servers + vip.servers.len()));
    let held = |count: usize, total: usize| if is_mass_removal(count, total) { count } else { 0 };
    let mass = MassRemoval { vips: held(vips.len(), total_vips), servers: held(servers.len(), total_servers), hold };
    (mass.vips + mass.servers > 0 && !hold.is_zero()).then_some(mass)
}

/// True if the agent added `vip`, or a Frontend claims it.
fn is_owned(vpp: &VppView, vip: &VppVip) -> bool {
    vip.key().is_some() && !vpp.foreign.contains(vip)
}
