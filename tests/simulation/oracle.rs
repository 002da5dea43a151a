//! The state of VPP that given inputs call for.

use std::{net::IpAddr, sync::Arc};

use maglev_model::{
    actual::{ActualEncap, VppVip},
    config::{Frontend, MemberTarget, RampUp, Standing},
    vip::{VipKey, Weight},
    weights::{BackendCondition, DesiredWeight, effective_weights},
};
use maglev_vpp_simulator::{Snapshot, VipSettings};

use crate::{
    monitor::{Version, settings_match},
    objects,
};

/// The weight that a server should have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    Weight(u8),
    /// The weight that VPP has.
    Kept,
    /// The weight depends on VPP's weights, which the agent may know from an earlier dump.
    Unknown,
    /// No Frontend has the server.
    Absent,
}

/// A server that entered a condition which flushes.
pub struct Fall {
    pub vip: VipKey,
    pub address: IpAddr,
    /// The server took traffic before.
    pub was_up: bool,
}

/// The served Frontend of `vip`.
pub fn frontend(version: &Version, vip: VipKey) -> Option<&Arc<Frontend>> {
    let frontends = version.config.as_ref()?.frontends.values();
    frontends.into_iter().find(|it| it.vip == vip && !matches!(it.standing, Standing::Withdrawn(_)))
}

/// True if the VIP, which has `settings` in VPP, is to be removed or recreated. The removal of an absent VIP does no
/// harm.
pub fn vip_goes(version: &Version, vip: VipKey, settings: Option<&VipSettings>) -> bool {
    match (frontend(version, vip), settings) {
        (Some(frontend), Some(settings)) => !settings_match(settings, frontend),
        _ => version.config.is_some(),
    }
}

/// A VIP of another client that VPP refuses the VIP of `frontend` for, among those that `is_counted`.
pub fn excluded_by(snapshot: &Snapshot, frontend: &Frontend, is_counted: impl Fn(&VppVip) -> bool) -> Option<VppVip> {
    let (vip, encap) = (VppVip::from(frontend.vip), ActualEncap::from(frontend.encap?));
    let foreign = snapshot.vips.iter().filter(|(other, _)| !objects::is_own(**other) && is_counted(other));
    let mut excluding = foreign.filter(|(other, state)| {
        let has_all_ports = vip.port == 0 || other.port == 0;
        other.is_host() && other.address == vip.address && (has_all_ports || state.settings.encap != encap.kind)
    });
    excluding.next().map(|(other, _)| *other)
}

/// True if a served Frontend of `vip` has a member with this address.
pub fn is_member(version: &Version, vip: VipKey, address: IpAddr) -> bool {
    let pools = frontend(version, vip).into_iter().flat_map(|frontend| &frontend.pools);
    pools.flat_map(|pool| &pool.members).any(|member| member.target.address() == Some(address))
}

pub fn want(version: &Version, vip: VipKey, address: IpAddr) -> Want {
    let Some(frontend) = frontend(version, vip) else { return Want::Absent };
    let certain = conditions(version, vip).all(|(_, condition)| condition.is_known());
    let effective = effective_weights(frontend, &version.health, |_| None);
    match effective.ases.get(&address).map(|server| server.weight) {
        None => Want::Absent,
        Some(DesiredWeight::Keep { .. }) => Want::Kept,
        Some(_) if !certain => Want::Unknown,
        Some(DesiredWeight::Set(weight)) => Want::Weight(weight.get()),
        Some(DesiredWeight::Presence(_)) => Want::Unknown,
    }
}

/// True if `weight` is a step of the ramp of a server, and not all traffic goes to this server. The weights in VPP do not
/// count: the agent may know earlier ones.
pub fn is_step(version: &Version, vip: VipKey, address: IpAddr, weight: u8) -> bool {
    let Want::Weight(full) = want(version, vip, address) else { return false };
    let (Some(frontend), Some(full)) = (frontend(version, vip), Weight::new(full)) else { return false };
    let steps = |ramp_up: RampUp| (1..=ramp_up.steps).map(move |step| ramp_up.weight_at(full, step).get());
    let is_share = weight > 0 && frontend.ramp_up.is_some_and(|ramp_up| steps(ramp_up).any(|step| step == weight));
    let others = conditions(version, vip).map(|(other, _)| other).filter(|other| *other != address);
    let may_serve = |other| !matches!(want(version, vip, other), Want::Weight(0) | Want::Absent);
    is_share && others.into_iter().any(may_serve)
}

/// The addresses and conditions of the members of `vip`.
fn conditions(version: &Version, vip: VipKey) -> impl Iterator<Item = (IpAddr, BackendCondition)> {
    let members = frontend(version, vip).into_iter().flat_map(|it| &it.pools).flat_map(|pool| &pool.members);
    members.filter_map(|member| match &member.target {
        MemberTarget::Backend(backend) => {
            Some((backend.address, BackendCondition::from_snapshot(&member.target, &version.health)))
        }
        MemberTarget::Unreadable { .. } => None,
    })
}

/// True if the flows of the server are to be flushed.
pub fn flushes(version: &Version, vip: VipKey, address: IpAddr) -> bool {
    let is_down = |frontend: &Arc<Frontend>| {
        conditions(version, vip)
            .any(|(other, condition)| other == address && condition.flushes(frontend.on_backend_down))
    };
    frontend(version, vip).is_some_and(is_down)
}

/// The servers that fall from one version to the next.
pub fn falls(before: &Version, after: &Version) -> Vec<Fall> {
    let frontends = after.config.iter().flat_map(|config| config.frontends.values());
    let vips = frontends.filter(|frontend| !matches!(frontend.standing, Standing::Withdrawn(_)));
    let mut falls = Vec::new();
    for after_frontend in vips {
        let vip = after_frontend.vip;
        let condition_before = |address: IpAddr| {
            let frontend = frontend(before, vip)?;
            let condition = conditions(before, vip).find(|(other, _)| *other == address)?.1;
            Some((condition, condition.flushes(frontend.on_backend_down)))
        };
        for (address, condition) in conditions(after, vip) {
            let before = condition_before(address);
            // A backend that is down and then disabled is flushed twice.
            let is_same = before.is_some_and(|(before, flushed)| flushed && before == condition);
            if condition.flushes(after_frontend.on_backend_down) && !is_same {
                falls.push(Fall {
                    vip,
                    address,
                    was_up: before.is_some_and(|(before, _)| before == BackendCondition::Up),
                });
            }
        }
    }
    falls
}
