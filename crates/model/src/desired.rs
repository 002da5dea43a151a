//! What VPP should have for one VIP, and how that compares with what it has.

use std::{collections::BTreeMap, fmt, net::IpAddr};

use super::{
    actual::{Actual, ActualEncap, ActualVip},
    config::{Frontend, Standing},
    name::Name,
    problem::{Problem, Reason},
    vip::{Dscp, Encap, Family, TableLength, VipKey},
    weights::{Effective, WantAs},
};

/// What VPP should have for a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Exactly this.
    Exactly(LbVip),
    /// What it has: nothing is added, removed or recreated.
    Hold {
        /// Why.
        problem: Problem,
        /// Weights that still follow health, for application servers that VPP has. (Without weights
        /// one that VPP does not have is at weight 0, so there they come and go.)
        weights: BTreeMap<IpAddr, WantAs>,
    },
}

/// A VIP as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LbVip {
    /// Encapsulation; `None` while no backend resolves: as VPP has it, and a VIP that is not there
    /// is not added.
    pub encap: Option<Encap>,
    /// Flows stick to the client's address.
    pub sticky: bool,
    /// Buckets in the new-flow table.
    pub table_length: TableLength,
    /// Application servers.
    pub ases: BTreeMap<IpAddr, WantAs>,
    /// Application servers that nobody claims stay: one of them may be an unreadable Backend's.
    pub keep_unclaimed: bool,
}

/// What is wanted of one VIP, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The Frontend.
    pub frontend: Name,
    /// What it wants.
    pub want: Want,
}

/// What VPP should have, as far as Frontends say.
pub type Desired = BTreeMap<VipKey, Wanted>;

/// What `frontend` wants, `effective` being its weights now; `None` for a withdrawn one.
/// `actual` is what VPP has; where that has no weights, what is wanted has none either, but the
/// effective weights stay as the Frontend says.
pub fn want(frontend: &Frontend, effective: Effective, actual: &Actual) -> Option<Want> {
    let Effective { ases, keep_unclaimed, .. } = effective;
    let want = match &frontend.standing {
        Standing::Withdrawn(_) => return None,
        Standing::Held(problem) => Want::Hold { problem: problem.clone(), weights: ases },
        Standing::Serving => Want::Exactly(LbVip {
            encap: frontend.encap,
            sticky: frontend.sticky,
            table_length: frontend.table_length,
            ases,
            keep_unclaimed,
        }),
    };
    if actual.weightless {
        return Some(want.without_weights(actual.vips.contains_key(&frontend.vip.into())));
    }
    Some(want)
}

impl Want {
    /// The same for a VPP without weights; `vip_exists` there.
    pub fn without_weights(self, vip_exists: bool) -> Self {
        match self {
            Self::Exactly(vip) => Self::Exactly(vip.without_weights(vip_exists)),
            Self::Hold { problem, weights } => Self::Hold { problem, weights: without_weights(weights, vip_exists) },
        }
    }

    /// The same, but leaving the VIP itself alone for `problem`; weights still follow health.
    pub fn hold(self, problem: Problem) -> Self {
        match self {
            Self::Exactly(LbVip { ases, .. }) => Self::Hold { problem, weights: ases },
            held @ Self::Hold { .. } => held,
        }
    }

    /// The problem of a VIP that is held.
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Hold { problem, .. } => Some(problem),
            Self::Exactly(_) => None,
        }
    }
}

/// A property that cannot be changed on a live VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mismatch {
    /// Encapsulation differs.
    Encap,
    /// Session affinity differs.
    Affinity,
    /// The table's length differs.
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

fn without_weights(ases: BTreeMap<IpAddr, WantAs>, vip_exists: bool) -> BTreeMap<IpAddr, WantAs> {
    let presence = |of: WantAs| WantAs { weight: of.weight.without_weights(vip_exists), ..of };
    ases.into_iter().map(|(address, of)| (address, presence(of))).collect()
}

impl LbVip {
    /// The same for a VPP without weights; `vip_exists` there.
    pub fn without_weights(self, vip_exists: bool) -> Self {
        Self { ases: without_weights(self.ases, vip_exists), ..self }
    }

    /// The first property that only a recreate can mend. What VPP did not tell counts as equal:
    /// a recreate cuts flows, so it needs certainty.
    pub fn mismatch(&self, have: &ActualVip) -> Option<Mismatch> {
        let encap = self.encap.zip(have.encap).is_some_and(|(want, have)| !same_encap(want, have));
        let affinity = have.sticky.is_some_and(|have| have != self.sticky);
        let length = have.table_length.is_some_and(|have| have != self.table_length.get());
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
    /// VPP's numbers for an encap (`lb_encap_type`).
    fn from(encap: Encap) -> Self {
        let (kind, dscp, target_port) = match encap {
            Encap::Gre4 => (0, 0, 0),
            Encap::Gre6 => (1, 0, 0),
            Encap::L3dsr(dscp) => (2, dscp.get(), 0),
            Encap::Nat4(port) => (3, 0, port.get()),
            Encap::Nat6(port) => (4, 0, port.get()),
        };
        Self { kind, dscp, target_port }
    }
}

/// An encapsulation that VPP reports and that no Frontend could ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VPP reports encap {} with dscp {} and target port {}, which no Frontend can ask for", .0.kind, .0.dscp, .0.target_port)]
pub struct NotOurEncap(ActualEncap);

impl TryFrom<ActualEncap> for Encap {
    type Error = NotOurEncap;

    fn try_from(encap: ActualEncap) -> Result<Self, NotOurEncap> {
        let port = std::num::NonZeroU16::new(encap.target_port);
        match encap.kind {
            0 => Some(Self::Gre4),
            1 => Some(Self::Gre6),
            2 => Dscp::new(encap.dscp).map(Self::L3dsr),
            3 => port.map(Self::Nat4),
            4 => port.map(Self::Nat6),
            _ => None,
        }
        .ok_or(NotOurEncap(encap))
    }
}

fn same_encap(want: Encap, have: ActualEncap) -> bool {
    let want = ActualEncap::from(want);
    want.kind == have.kind
        && match want.kind {
            2 => want.dscp == have.dscp,
            // 0, which nobody can want, stands for "not told".
            3 | 4 => have.target_port == 0 || want.target_port == have.target_port,
            _ => true,
        }
}

/// Why a node cannot program a VIP: it has no address to send encapsulated packets from.
pub fn no_source_address(frontend: &Name, encap: Encap) -> Problem {
    Problem::new(
        Reason::NoSourceAddress,
        "spec.encap",
        format!(
            "Frontend {frontend} needs {encap}, but this node has no source address of that family: set spec.vpp.{} \
             in its LoadBalancerConfig, or give the Node an InternalIP of the family",
            match encap.backend_family() {
                Family::V4 => "ipv4SourceAddress",
                Family::V6 => "ipv6SourceAddress",
            }
        ),
    )
}
