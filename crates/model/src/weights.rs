//! The effective weights of a Frontend's application servers.
//!
//! One pure function, used by the sync and by all displays of weights. The *active pool* is the first pool with a member
//! that has a weight above 0 and is up (or whose weight is kept at more than 0). A weight is *kept*, that is, stays as
//! VPP reports it, while the health of the backend is not known well enough to change it.

mod entries;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, net::IpAddr};

pub use self::entries::PoolEntry;

use super::{
    config::{Backend, Frontend, Member, MemberTarget, OnBackendDown, Pool},
    health::{BackendHealth, BackendState, HealthSnapshot},
    name::Name,
    path::{PathHealth, PathKey, PathState},
    probe_mode::ProbeMode,
    vip::{Family, Weight},
};

/// The condition of a backend, which determines its effective weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackendCondition {
    /// Probes succeed, or the Backend names no HealthCheck.
    Up,
    /// Probes fail.
    Down,
    /// Probes fail or failed, together with all other probes on the same path: the health is not known.
    Suspect,
    /// The health has not been known since the agent started, or the agent does not support the type of the probe.
    NeverKnown,
    /// The health is not known now, but was known before: after a pause, or at a new address.
    Unknown,
    /// The HealthCheck is missing or unreadable.
    CheckMissing,
    /// The Backend is unreadable.
    Unreadable,
    /// The admin state is `Paused`: no new flows.
    Paused,
    /// The admin state is `Disabled`: no flows.
    Disabled,
    /// Probes succeed, but the packets of the VIP do not reach the server, and the Frontend requires the path.
    PathDown,
    /// As `PathDown`, but together with all other paths of the address family: the fault may be this node's.
    PathSuspect,
    /// Probes succeed. The Frontend requires the path, and nothing is known about it: no probe has finished, or this node
    /// cannot send one.
    PathUnknown,
}

impl BackendCondition {
    /// The condition of a pool member of `frontend`, with the health and the path from a snapshot.
    pub fn of_member(frontend: &Frontend, target: &MemberTarget, health: &HealthSnapshot) -> Self {
        Self::from_snapshot(target, health).with_path_of(frontend, target, health)
    }

    /// The condition of a Backend as every Frontend shares it, with the health from a snapshot.
    pub fn from_snapshot(target: &MemberTarget, health: &HealthSnapshot) -> Self {
        let backend_health = match target {
            MemberTarget::Backend(backend) => health.backends.get(&backend.name),
            MemberTarget::Unreadable { .. } => None,
        };
        Self::new(target, backend_health, |family| health.suspect(family))
    }

    /// The condition of a pool member of `frontend` that is in condition `self` without regard to its path. Differs only if
    /// the backend is up and the Frontend requires the path.
    pub fn with_path_of(self, frontend: &Frontend, target: &MemberTarget, health: &HealthSnapshot) -> Self {
        match target {
            MemberTarget::Backend(backend) if self == Self::Up && frontend.requires_path() => {
                let key = PathKey { frontend: frontend.name.clone(), backend: backend.name.clone() };
                Self::for_path(health.paths.get(&key).filter(|path| path.address == backend.address))
            }
            _ => self,
        }
    }

    /// The condition of a backend that is up and needs its path.
    fn for_path(path: Option<&PathHealth>) -> Self {
        let Some(path) = path else { return Self::PathUnknown };
        match path.state {
            PathState::Ok => Self::Up,
            PathState::Timeout | PathState::Refused | PathState::MtuTooSmall if path.in_doubt => Self::PathSuspect,
            PathState::Timeout | PathState::Refused | PathState::MtuTooSmall => Self::PathDown,
            PathState::Unknown | PathState::Unable => Self::PathUnknown,
        }
    }

    /// The condition of a pool member with the given health. `suspect` returns true if the probe path of a family is
    /// suspect.
    pub fn new(target: &MemberTarget, health: Option<&BackendHealth>, suspect: impl Fn(Family) -> bool) -> Self {
        match target {
            MemberTarget::Unreadable { .. } => Self::Unreadable,
            MemberTarget::Backend(backend) => Self::for_backend(backend, health, suspect),
        }
    }

    fn for_backend(backend: &Backend, health: Option<&BackendHealth>, suspect: impl Fn(Family) -> bool) -> Self {
        let mode = backend.probe_mode();
        let health = health.filter(|health| health.address == backend.address);
        let probed = health.map(|health| health.state);
        let state = match (mode, probed) {
            // The health checker already has a newer spec, or still an older one.
            (ProbeMode::Probed(_), Some(suspended @ (BackendState::Paused | BackendState::Disabled))) => suspended,
            _ => mode.state(probed),
        };
        match state {
            BackendState::Paused => Self::Paused,
            BackendState::Disabled => Self::Disabled,
            BackendState::Up => Self::Up,
            BackendState::Down => {
                let suspect = suspect(Family::from_address(backend.address));
                let in_doubt = health.is_some_and(|health| health.in_doubt);
                if suspect || in_doubt { Self::Suspect } else { Self::Down }
            }
            BackendState::Unknown => match mode {
                ProbeMode::CheckMissing => Self::CheckMissing,
                // Decided from the specs alone, so that an old and a restarted agent agree.
                ProbeMode::CheckNotSupported => Self::NeverKnown,
                _ if health.is_some_and(|health| health.ever_known) => Self::Unknown,
                _ => Self::NeverKnown,
            },
        }
    }

    /// True if the state was determined by probes or set by the operator.
    pub fn is_known(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::Paused | Self::Disabled | Self::PathDown)
    }

    /// True if nothing has been known since the agent started.
    pub fn is_never_known(self) -> bool {
        matches!(self, Self::NeverKnown | Self::PathUnknown)
    }

    /// True if flows pinned to the backend are flushed when it enters this condition.
    pub fn flushes(self, on_backend_down: OnBackendDown) -> bool {
        match self {
            Self::Disabled => true,
            Self::Down | Self::PathDown => on_backend_down == OnBackendDown::Flush,
            _ => false,
        }
    }
}

/// The desired weight of an application server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DesiredWeight {
    /// The given weight.
    Set(Weight),
    /// The weight that VPP has.
    Keep {
        /// The weight with which to add the application server if VPP does not have it; `None` to not add it.
        if_absent: Option<Weight>,
    },
    /// Present (`true`) or absent, for a VPP without weights.
    Presence(bool),
}

impl DesiredWeight {
    /// Converts the weight for a VPP without weights: 0 becomes absent, any other weight present. A kept weight stays
    /// kept. `vip_exists` is true if VPP has the VIP; absence is then a weight, which is kept as well.
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

    /// The weight that will be in effect in VPP. `vpp` is the weight that VPP reports now.
    pub fn effective(self, vpp: Option<u8>) -> u8 {
        match self {
            Self::Set(weight) => weight.get(),
            Self::Keep { if_absent } => vpp.or(if_absent.map(Weight::get)).unwrap_or(0),
            Self::Presence(present) => if present { Weight::PRESENT } else { Weight::ZERO }.get(),
        }
    }
}

/// A desired application server and its weight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredAs {
    /// The Backend.
    pub backend: Name,
    /// The current condition of the backend.
    pub condition: BackendCondition,
    /// The desired weight.
    pub weight: DesiredWeight,
}

/// The effective weights of one Frontend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectiveWeights {
    /// The index of the active pool; `None` if no pool is active.
    pub active_pool: Option<usize>,
    /// The application servers by address. Members with an unreadable address are left out.
    pub ases: BTreeMap<IpAddr, DesiredAs>,
    /// True if the address of some member is unreadable: any application server that no member claims may be this member.
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

impl EffectiveWeights {
    /// True if at least one weight above 0 will be in effect in VPP. `vpp` returns the weight that VPP reports now.
    pub fn serves(&self, vpp: impl Fn(IpAddr) -> Option<u8>) -> bool {
        self.ases.iter().any(|(address, server)| server.weight.effective(vpp(*address)) > 0)
    }
}

/// Computes the effective weights of a Frontend. `vpp` returns the weight that VPP has for an address of the VIP; `None`
/// if VPP does not have the application server.
pub fn effective_weights(
    frontend: &Frontend,
    health: &HealthSnapshot,
    vpp: impl Fn(IpAddr) -> Option<u8>,
) -> EffectiveWeights {
    let condition = |_, member: &Member| BackendCondition::of_member(frontend, &member.target, health);
    effective_weights_by(&frontend.pools, condition, vpp)
}

/// Computes the effective weights of a Frontend with conditions from `condition`, which is called with the index of the
/// member, counted over all pools.
pub fn effective_weights_by(
    pools: &[Pool],
    condition: impl Fn(usize, &Member) -> BackendCondition,
    vpp: impl Fn(IpAddr) -> Option<u8>,
) -> EffectiveWeights {
    let serves = |member: &Member, condition: BackendCondition| {
        member.weight > Weight::ZERO && {
            let vpp = || member.target.address().and_then(&vpp);
            match condition {
                BackendCondition::Up => true,
                BackendCondition::Suspect | BackendCondition::PathSuspect => vpp().is_none_or(|weight| weight > 0),
                BackendCondition::NeverKnown
                | BackendCondition::PathUnknown
                | BackendCondition::CheckMissing
                | BackendCondition::Unreadable => vpp().is_some_and(|weight| weight > 0),
                BackendCondition::Down
                | BackendCondition::PathDown
                | BackendCondition::Unknown
                | BackendCondition::Paused
                | BackendCondition::Disabled => false,
            }
        }
    };
    let indexed = pools.iter().enumerate();
    let members = indexed.flat_map(|(index, pool)| pool.members.iter().map(move |member| (index, member)));
    let members = members.enumerate().map(|(index, (pool, member))| (pool, member, condition(index, member)));
    let active_pool = members.clone().find(|(_, member, condition)| serves(member, *condition)).map(|(pool, ..)| pool);
    let mut result = EffectiveWeights { active_pool, ..EffectiveWeights::default() };
    let active_members = active_pool.and_then(|index| pools.get(index)).map_or(0, |pool| pool.members.len());
    let (mut active, mut others) = (Vec::with_capacity(active_members), Vec::new());
    for (pool, member, condition) in members {
        let Some(address) = member.target.address() else {
            result.keep_unclaimed = true;
            continue;
        };
        let is_active = active_pool == Some(pool);
        let servers = if is_active { &mut active } else { &mut others };
        servers.push((address, desired_as(member, is_active, condition)));
    }
    // A map that is built from all its entries at once is smaller and takes less time.
    result.ases = active.into_iter().collect();
    for (address, server) in others {
        result.ases.entry(address).or_insert(server);
    }
    result
}

/// The desired weight of one member. `active` is true for members of the active pool.
fn desired_as(member: &Member, active: bool, condition: BackendCondition) -> DesiredAs {
    let if_up = if active { member.weight } else { Weight::ZERO };
    let weight = match condition {
        BackendCondition::Up => DesiredWeight::Set(if_up),
        BackendCondition::Down
        | BackendCondition::PathDown
        | BackendCondition::Unknown
        | BackendCondition::Paused
        | BackendCondition::Disabled => DesiredWeight::Set(Weight::ZERO),
        BackendCondition::NeverKnown | BackendCondition::PathUnknown | BackendCondition::CheckMissing => {
            DesiredWeight::Keep { if_absent: Some(Weight::ZERO) }
        }
        BackendCondition::Suspect | BackendCondition::PathSuspect => DesiredWeight::Keep { if_absent: Some(if_up) },
        BackendCondition::Unreadable => DesiredWeight::Keep { if_absent: None },
    };
    DesiredAs { backend: member.backend.clone(), condition, weight }
}
