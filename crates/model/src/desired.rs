//! The desired state of VIPs in VPP, and its comparison with the actual state.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::{
    actual::{Actual, ActualConf, ActualEncap, ActualVip},
    config::{Frontend, Standing},
    name::Name,
    problem::{Problem, Reason},
    vip::{Dscp, Encap, Family, TableLength, VipKey},
    weights::{DesiredAs, EffectiveWeights},
};

/// The desired state of a VIP in VPP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DesiredVip {
    /// VPP is to match the spec exactly.
    Exactly(VipSpec),
    /// The VIP is left as VPP has it: nothing is added, removed or recreated.
    Hold {
        /// The reason for the hold.
        problem: Problem,
        /// Weights of application servers that VPP has; these still follow health. (Without weights, absence is
        /// weight 0, so application servers are added and removed here.)
        weights: BTreeMap<IpAddr, DesiredAs>,
    },
}

/// The exact desired state of a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VipSpec {
    /// Encapsulation. `None` while no backend resolves: an existing VIP keeps its encapsulation, and a missing VIP is
    /// not added. A VIP that has to be recreated follows the other VIPs of its address.
    pub encap: Option<Encap>,
    /// Session affinity by client address.
    pub sticky: bool,
    /// Number of buckets in the new-flow table.
    pub table_length: TableLength,
    /// Application servers by address.
    pub ases: BTreeMap<IpAddr, DesiredAs>,
    /// True to keep application servers that are not in `ases`: one of them may belong to an unreadable Backend.
    pub keep_unclaimed: bool,
}

/// The desired state of a VIP and the Frontend that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredEntry {
    /// The Frontend.
    pub frontend: Name,
    /// The desired state.
    pub vip: DesiredVip,
}

/// The desired state of all VIPs of Frontends.
pub type Desired = BTreeMap<VipKey, DesiredEntry>;

/// The desired state of the VIP of `frontend` with the current effective weights; `None` for a withdrawn Frontend.
/// `actual` is the state of VPP: if VPP has no weights, the result has none either. A full node adds no VIP, but a VIP that
/// VPP has with its table follows the Frontend.
pub fn desired_vip(frontend: &Frontend, effective: EffectiveWeights, actual: &Actual) -> Option<DesiredVip> {
    let EffectiveWeights { ases, keep_unclaimed, .. } = effective;
    let has_table = || {
        let vip = actual.vips.get(&frontend.vip.into());
        vip.is_some_and(|vip| vip.table_length.is_none_or(|length| length == frontend.table_length.get()))
    };
    let desired = match &frontend.standing {
        Standing::Withdrawn(_) => return None,
        Standing::Held(problem) if problem.reason != Reason::NodeFull || !has_table() => {
            DesiredVip::Hold { problem: problem.clone(), weights: ases }
        }
        Standing::Held(_) | Standing::Serving => DesiredVip::Exactly(VipSpec {
            encap: frontend.encap,
            sticky: frontend.sticky,
            table_length: frontend.table_length,
            ases,
            keep_unclaimed,
        }),
    };
    if actual.weightless {
        return Some(desired.without_weights(actual.vips.contains_key(&frontend.vip.into())));
    }
    Some(desired)
}

impl DesiredVip {
    /// Converts the desired state for a VPP without weights. `vip_exists` is true if VPP has the VIP.
    pub fn without_weights(self, vip_exists: bool) -> Self {
        match self {
            Self::Exactly(vip) => Self::Exactly(vip.without_weights(vip_exists)),
            Self::Hold { problem, weights } => Self::Hold { problem, weights: without_weights(weights, vip_exists) },
        }
    }

    /// Converts to a hold because of `problem`; weights still follow health.
    pub fn hold(self, problem: Problem) -> Self {
        match self {
            Self::Exactly(VipSpec { ases, .. }) => Self::Hold { problem, weights: ases },
            held @ Self::Hold { .. } => held,
        }
    }

    /// The reason for a hold; `None` if the VIP is not held.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Hold { problem, .. } => Some(problem),
            Self::Exactly(_) => None,
        }
    }
}

/// A property of a VIP that differs from the desired state and cannot be changed without recreating the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mismatch {
    /// Encapsulation.
    Encap,
    /// Session affinity.
    Affinity,
    /// Length of the new-flow table.
    TableLength,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encap => "encap",
            Self::Affinity => "session-affinity",
            Self::TableLength => "table-length",
        })
    }
}

fn without_weights(ases: BTreeMap<IpAddr, DesiredAs>, vip_exists: bool) -> BTreeMap<IpAddr, DesiredAs> {
    let presence = |server: DesiredAs| DesiredAs { weight: server.weight.without_weights(vip_exists), ..server };
    ases.into_iter().map(|(address, server)| (address, presence(server))).collect()
}

impl VipSpec {
    /// Converts the spec for a VPP without weights. `vip_exists` is true if VPP has the VIP.
    pub fn without_weights(self, vip_exists: bool) -> Self {
        Self { ases: without_weights(self.ases, vip_exists), ..self }
    }

    /// The first property that makes a recreate necessary. A property that VPP did not report counts as equal: a
    /// recreate cuts flows, so it requires certainty.
    pub fn mismatch(&self, actual: &ActualVip) -> Option<Mismatch> {
        let encap = self.encap.zip(actual.encap).is_some_and(|(desired, actual)| !same_encap(desired, actual));
        let affinity = actual.sticky.is_some_and(|sticky| sticky != self.sticky);
        let length = actual.table_length.is_some_and(|length| length != self.table_length.get());
        if encap {
            Some(Mismatch::Encap)
        } else if affinity {
            Some(Mismatch::Affinity)
        } else if length {
            Some(Mismatch::TableLength)
        } else {
            None
        }
    }
}

impl From<Encap> for ActualEncap {
    /// The numbers of VPP's `lb_encap_type`.
    fn from(encap: Encap) -> Self {
        let (kind, dscp) = match encap {
            Encap::Gre4 => (0, 0),
            Encap::Gre6 => (1, 0),
            Encap::L3dsr(dscp) => (2, dscp.get()),
        };
        Self { kind, dscp, target_port: 0 }
    }
}

/// An encapsulation reported by VPP that does not exist in Frontends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VPP reports encap type {} with DSCP {}, which no Frontend can have", .0.kind, .0.dscp)]
pub struct UnknownEncap(ActualEncap);

impl TryFrom<ActualEncap> for Encap {
    type Error = UnknownEncap;

    fn try_from(encap: ActualEncap) -> Result<Self, UnknownEncap> {
        match encap.kind {
            0 => Some(Self::Gre4),
            1 => Some(Self::Gre6),
            2 => Dscp::new(encap.dscp).map(Self::L3dsr),
            _ => None,
        }
        .ok_or(UnknownEncap(encap))
    }
}

fn same_encap(desired: Encap, actual: ActualEncap) -> bool {
    let desired = ActualEncap::from(desired);
    desired.kind == actual.kind && (desired.kind != 2 || desired.dscp == actual.dscp)
}

/// The reason for which this node cannot program `vip`, the desired state of `frontend`, whatever the health of the
/// backends; `None` also for a VIP that is held anyway.
pub fn obstacle(frontend: &Frontend, vip: &DesiredVip, actual: &Actual, conf: &ActualConf) -> Option<Problem> {
    let DesiredVip::Exactly(VipSpec { encap, .. }) = vip else { return None };
    if actual.has_nat_vip(frontend.vip.address) {
        return Some(nat_vip_in_vpp(&frontend.name));
    }
    let encap = encap.filter(|encap| !conf.has_source(*encap))?;
    Some(no_source_address(&frontend.name, encap))
}

/// The problem of a node without a source address for the encapsulated packets of a VIP.
pub fn no_source_address(frontend: &Name, encap: Encap) -> Problem {
    Problem::new(
        Reason::NoSourceAddress,
        "spec.encap",
        format!(
            "Frontend {frontend} needs {encap}, but this node has no source address of that IP family: set spec.vpp.{} \
             in its LoadBalancerConfig, or add an InternalIP of the family to the Node",
            match encap.backend_family() {
                Family::V4 => "ipv4SourceAddress",
                Family::V6 => "ipv6SourceAddress",
            }
        ),
    )
}

/// The problem of a Frontend whose VIP the agent cannot record as its own.
pub fn state_not_writable(frontend: &Name) -> Problem {
    Problem::new(
        Reason::StateNotWritable,
        "spec.address",
        format!(
            "Frontend {frontend}: the agent adds no VIP that it cannot record in maglevd.vips.json beside VPP's API socket, \
             because it would not remove the VIP after a restart: make room in that directory, or make it writable"
        ),
    )
}

/// The problem of a Frontend on an address with a NAT VIP in VPP.
pub fn nat_vip_in_vpp(frontend: &Name) -> Problem {
    Problem::new(
        Reason::NatVipInVpp,
        "spec.address",
        format!(
            "Frontend {frontend}: VPP on this node has a NAT VIP on the address, which is left as it is, because VPP can \
             abort when it is removed: restart VPP, which starts without VIPs"
        ),
    )
}
