//! The effective-weight rule: which weight each application server of a Frontend has now.
//!
//! One pure function, used by sync and by everything that shows weights. The *active pool* is the
//! first with a member that has a weight and is up (or kept at more than 0). A weight is *kept*
//! where nothing is known well enough to change it: it stays as VPP reports it.

mod entries;

use std::{collections::BTreeMap, net::IpAddr};

pub use self::entries::Entry;

use super::{
    config::{AdminState, Backend, Check, Member, OnBackendDown, Pool, Target},
    health::{BackendHealth, BackendState, HealthSnapshot},
    name::Name,
    vip::{Family, Weight},
};

/// What the rule needs to know about one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// It takes traffic.
    Up,
    /// Its probes fail.
    Down,
    /// Its probes fail or failed, and so did every other on the same path: nothing is known.
    Suspect,
    /// Not known since the agent started, or not knowable by this build.
    NeverKnown,
    /// Not known just now, but it was before: after a pause, or at a new address.
    Unknown,
    /// Its HealthCheck is missing or unreadable.
    CheckMissing,
    /// The Backend itself is unreadable.
    Unreadable,
    /// No new flows wanted.
    Paused,
    /// No flows wanted.
    Disabled,
}

impl Condition {
    /// The condition of what a member's name resolved to.
    pub fn of(target: &Target, health: &HealthSnapshot) -> Self {
        let known = match target {
            Target::Backend(backend) => health.backends.get(&backend.name),
            Target::Unreadable { .. } => None,
        };
        Self::of_known(target, known, |family| health.suspect(family))
    }

    /// The same where the health of that Backend is at hand; `suspect` tells whether a family's probe path
    /// is.
    pub fn of_known(target: &Target, health: Option<&BackendHealth>, suspect: impl Fn(Family) -> bool) -> Self {
        match target {
            Target::Unreadable { .. } => Self::Unreadable,
            Target::Backend(backend) => Self::of_backend(backend, health, suspect),
        }
    }

    fn of_backend(backend: &Backend, health: Option<&BackendHealth>, suspect: impl Fn(Family) -> bool) -> Self {
        match (backend.admin_state, &backend.check) {
            (AdminState::Paused, _) => Self::Paused,
            (AdminState::Disabled, _) => Self::Disabled,
            (AdminState::Enabled, Check::None) => Self::Up,
            (AdminState::Enabled, Check::Missing(_)) => Self::CheckMissing,
            // Decided from the specs alone, so that an old and a restarted agent agree.
            (AdminState::Enabled, Check::NotSupported(_)) => Self::NeverKnown,
            (AdminState::Enabled, Check::Probe(_)) => {
                let known = health.filter(|known| known.address == backend.address);
                Self::of_probed(known, suspect(Family::of(backend.address)))
            }
        }
    }

    fn of_probed(health: Option<&BackendHealth>, suspect: bool) -> Self {
        match health {
            Some(BackendHealth { state: BackendState::Up, .. }) => Self::Up,
            Some(BackendHealth { state: BackendState::Down, in_doubt, .. }) if suspect || *in_doubt => Self::Suspect,
            Some(BackendHealth { state: BackendState::Down, .. }) => Self::Down,
            // Paused or Disabled here means that probing has not caught up with the Backend yet.
            Some(BackendHealth { ever_known: true, .. }) => Self::Unknown,
            _ => Self::NeverKnown,
        }
    }

    /// Whether it is a state that somebody decided: by probing or by the operator.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::Paused | Self::Disabled)
    }

    /// Whether flows pinned to the backend are to be flushed when it comes into this condition.
    pub fn flushes(self, on_backend_down: OnBackendDown) -> bool {
        match self {
            Self::Disabled => true,
            Self::Down => on_backend_down == OnBackendDown::Flush,
            _ => false,
        }
    }
}

/// The weight that an application server is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WantWeight {
    /// This one.
    Set(Weight),
    /// The one that VPP has, whatever it is.
    Keep {
        /// The weight to add it with where VPP does not have it; `None` = do not add it.
        if_absent: Option<Weight>,
    },
    /// VPP has no weights: it is to be there, or not.
    Presence(bool),
}

impl WantWeight {
    /// The same for a VPP without weights: 0 is absence and anything else presence. What is kept stays
    /// as it is in a VIP that VPP has (`vip_exists`), for absence is a weight there.
    pub fn without_weights(self, vip_exists: bool) -> Self {
        match self {
            Self::Set(weight) => Self::Presence(weight > Weight::ZERO),
            Self::Keep { if_absent } => {
                let added = if_absent.filter(|weight| *weight > Weight::ZERO && !vip_exists);
                Self::Keep { if_absent: added.map(|_| Weight::PRESENT) }
            }
            Self::Presence(_) => self,
        }
    }

    /// The number that is in effect once VPP follows, `vpp` being what it reports now.
    pub fn effective(self, vpp: Option<u8>) -> u8 {
        match self {
            Self::Set(weight) => weight.get(),
            Self::Keep { if_absent } => vpp.or(if_absent.map(Weight::get)).unwrap_or(0),
            Self::Presence(present) => if present { Weight::PRESENT } else { Weight::ZERO }.get(),
        }
    }
}

/// An application server that a Frontend wants, and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantAs {
    /// The Backend.
    pub backend: Name,
    /// Its condition now.
    pub condition: Condition,
    /// The weight it is to have.
    pub weight: WantWeight,
}

/// The effective weights of one Frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// The active pool's index; `None` where no pool is active.
    pub active_pool: Option<usize>,
    /// By address; members whose address is not known are left out.
    pub ases: BTreeMap<IpAddr, WantAs>,
    /// Some member's address is not known: an application server that nobody claims may be it.
    pub keep_unclaimed: bool,
}

/// The pool of a Frontend that takes its traffic on one node, as the node's agent reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivePool {
    /// No pool has a backend that takes traffic.
    None,
    /// The index of the pool in `spec.pools`.
    Index(u32),
}

impl From<Option<usize>> for ActivePool {
    fn from(pool: Option<usize>) -> Self {
        pool.and_then(|index| u32::try_from(index).ok()).map_or(Self::None, Self::Index)
    }
}

impl Effective {
    /// Whether any weight above 0 is in effect once VPP follows.
    pub fn serves(&self, vpp: impl Fn(IpAddr) -> Option<u8>) -> bool {
        self.ases.iter().any(|(address, of)| of.weight.effective(vpp(*address)) > 0)
    }
}

/// Decides the weights of a Frontend's application servers; `vpp` tells the weight that VPP has for
/// an address of this VIP, if it has it.
pub fn effective(pools: &[Pool], health: &HealthSnapshot, vpp: impl Fn(IpAddr) -> Option<u8>) -> Effective {
    effective_by(pools, |_, member| Condition::of(&member.target, health), vpp)
}

/// The same where `condition` tells that of a member; it is asked with the member's index, counted
/// through all pools.
pub fn effective_by(
    pools: &[Pool],
    condition: impl Fn(usize, &Member) -> Condition,
    vpp: impl Fn(IpAddr) -> Option<u8>,
) -> Effective {
    let serves = |member: &Member, condition: Condition| {
        member.weight > Weight::ZERO && {
            let vpp = || member.target.address().and_then(&vpp);
            match condition {
                Condition::Up => true,
                Condition::Suspect => vpp().is_none_or(|weight| weight > 0),
                Condition::NeverKnown | Condition::CheckMissing | Condition::Unreadable => {
                    vpp().is_some_and(|weight| weight > 0)
                }
                Condition::Down | Condition::Unknown | Condition::Paused | Condition::Disabled => false,
            }
        }
    };
    let members = pools.iter().enumerate().flat_map(|(pool, of)| of.members.iter().map(move |member| (pool, member)));
    let members = members.enumerate().map(|(index, (pool, member))| (pool, member, condition(index, member)));
    let active_pool = members.clone().find(|(_, member, condition)| serves(member, *condition)).map(|(pool, ..)| pool);
    let mut result = Effective { active_pool, ..Effective::default() };
    for (pool, member, condition) in members {
        let Some(address) = member.target.address() else {
            result.keep_unclaimed = true;
            continue;
        };
        let active = active_pool == Some(pool);
        if active || !result.ases.contains_key(&address) {
            result.ases.insert(address, want(member, active, condition));
        }
    }
    result
}

/// The row of the rule's table for one member of the active pool, or of another.
fn want(member: &Member, active: bool, condition: Condition) -> WantAs {
    let if_up = if active { member.weight } else { Weight::ZERO };
    let weight = match condition {
        Condition::Up => WantWeight::Set(if_up),
        Condition::Down | Condition::Unknown | Condition::Paused | Condition::Disabled => WantWeight::Set(Weight::ZERO),
        Condition::NeverKnown | Condition::CheckMissing => WantWeight::Keep { if_absent: Some(Weight::ZERO) },
        Condition::Suspect => WantWeight::Keep { if_absent: Some(if_up) },
        Condition::Unreadable => WantWeight::Keep { if_absent: None },
    };
    WantAs { backend: member.backend.clone(), condition, weight }
}
