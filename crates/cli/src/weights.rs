//! The configured and effective weights of a Frontend's members on one node, with the reasons.

use std::sync::Arc;

use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Member, MemberTarget, Standing},
    derived::Origin,
    health::BackendState,
    weights::{BackendCondition, DesiredWeight, EffectiveWeights},
};

/// A member of a pool on one node.
#[derive(Clone, Debug)]
pub struct MemberWeight {
    pub(crate) frontend: Name,
    pub(crate) pool: Arc<str>,
    pub(crate) pool_index: usize,
    pub(crate) backend: Name,
    pub(crate) state: BackendState,
    /// The weight in the Frontend.
    pub(crate) weight: u8,
    /// The weight in effect once VPP is in sync.
    pub(crate) effective: u8,
    /// The weight in VPP; `None` if VPP does not have the application server.
    pub(crate) in_vpp: Option<u8>,
    /// Number of buckets in VPP's table at the last dump.
    pub(crate) buckets: Option<u32>,
    /// Reason for the effective weight.
    pub(crate) reason: String,
}

/// All members of all pools of the Frontend `name`, in order; empty if the node does not have the Frontend.
pub fn member_weights(node: &NodeState, name: &Name) -> Vec<MemberWeight> {
    let Some(frontend) = node.view.frontends.get(name) else { return Vec::new() };
    let effective = node.view.effective_weights(frontend);
    let pools = frontend.pools.iter().enumerate();
    let members = pools.flat_map(|(index, pool)| pool.members.iter().map(move |member| (index, member)));
    members.map(|(pool, member)| member_weight(node, frontend, &effective, pool, member)).collect()
}

fn member_weight(
    node: &NodeState,
    frontend: &Frontend,
    effective: &EffectiveWeights,
    index: usize,
    member: &Member,
) -> MemberWeight {
    let (view, vip) = (&node.view, VppVip::from(frontend.vip));
    let address = member.target.address();
    let in_vpp = address.and_then(|address| view.weight_in_vpp(&vip, address));
    let desired = address.and_then(|address| effective.ases.get(&address));
    let dump = node.dump.as_ref().and_then(|dump| dump.actual.vips.get(&vip));
    MemberWeight {
        frontend: frontend.name.clone(),
        pool: Arc::clone(&frontend.pools[index].name),
        pool_index: index,
        backend: member.backend.clone(),
        state: match &member.target {
            MemberTarget::Backend(backend) => view.backend_state(backend),
            MemberTarget::Unreadable { .. } => BackendState::Unknown,
        },
        weight: member.weight.get(),
        effective: desired.map_or(0, |desired| desired.weight.effective(in_vpp)),
        in_vpp,
        buckets: address.and_then(|address| dump?.ases.get(&address)).map(|server| server.buckets),
        reason: reason(node, frontend, effective, index, member, desired.map(|desired| desired.weight)),
    }
}

fn reason(
    node: &NodeState,
    frontend: &Frontend,
    effective: &EffectiveWeights,
    index: usize,
    member: &Member,
    desired: Option<DesiredWeight>,
) -> String {
    if let Standing::Withdrawn(problem) = &frontend.standing {
        return format!("the Frontend is withdrawn: {}", problem.message);
    }
    let keeps_vpp_weight = matches!(desired, Some(DesiredWeight::Keep { .. }));
    let condition = match BackendCondition::of_member(frontend, &member.target, &node.view.health) {
        BackendCondition::Up => return up_reason(frontend, effective, index, member),
        BackendCondition::Down => "probes fail",
        BackendCondition::Suspect => {
            "probes fail for all backends of this address family: the probe path is suspect, not the backend"
        }
        BackendCondition::NeverKnown => "not probed yet, or cannot be probed",
        BackendCondition::Unknown => "no probe result since the Backend was enabled or its address changed",
        BackendCondition::CheckMissing => "the HealthCheck is missing or invalid",
        BackendCondition::Unreadable if Origin::parse(&member.backend).is_some() => {
            "the endpoints of the Service are not known, or the address is not allowed"
        }
        BackendCondition::Unreadable => "the Backend is invalid",
        BackendCondition::Paused if Origin::parse(&member.backend).is_some() => {
            "the endpoint terminates or is not ready: no new flows"
        }
        BackendCondition::Paused => "paused by an operator: no new flows",
        BackendCondition::Disabled => "disabled by an operator: no flows",
        BackendCondition::PathDown => "probes succeed, but packets of the VIP do not reach the server",
        BackendCondition::PathSuspect => {
            "packets of no VIP reach a server in this address family: the fault may be this node's, not the backend's"
        }
        BackendCondition::PathUnknown => {
            "probes succeed, but the path of the VIP is not known yet, or cannot be probed"
        }
    };
    if keeps_vpp_weight { format!("{condition}; the weight in VPP is kept") } else { condition.to_owned() }
}

/// The reason for a member that is up.
fn up_reason(frontend: &Frontend, effective: &EffectiveWeights, index: usize, member: &Member) -> String {
    let pool = |index: usize| frontend.pools.get(index).map_or("", |pool| &*pool.name);
    match effective.active_pool {
        Some(active) if active == index && member.weight.get() == 0 => {
            let why =
                if Origin::parse(&member.backend).is_some() { ": the Service has no ready endpoint there" } else { "" };
            format!("up, but its weight in pool {} is 0{why}", pool(index))
        }
        Some(active) if active == index => format!("up, and pool {} is active", pool(index)),
        Some(active) => format!("up, but on standby: pool {} is active", pool(active)),
        None => "up, but no pool has a backend with a weight".to_owned(),
    }
}
