//! The effective weights of a Frontend, written beside its members.

use crate::{
    model::{
        actual::VppVip,
        config::{Frontend, Member},
        view::View,
        weights::{Condition, Effective},
    },
    rpc::proto,
};

/// The active pool and the Frontend with each member's weight now and why.
pub(super) fn weighed(view: &View, frontend: &Frontend) -> (Option<u32>, proto::Frontend) {
    let effective = view.effective(frontend);
    let mut told = proto::Frontend::from(frontend);
    for (index, (pool, told)) in frontend.pools.iter().zip(&mut told.pools).enumerate() {
        for (member, told) in pool.members.iter().zip(&mut told.members) {
            if let Some((weight, why)) = weight(view, frontend, &effective, index, member) {
                told.effective_weight = Some(weight);
                told.why = why.into();
            }
        }
    }
    (effective.active_pool.and_then(|index| u32::try_from(index).ok()), told)
}

/// `None` where nothing is wanted of VPP for this member: its address is not known, or the Frontend is withdrawn.
fn weight(
    view: &View,
    frontend: &Frontend,
    effective: &Effective,
    pool: usize,
    member: &Member,
) -> Option<(u32, proto::WeightReason)> {
    let address = member.target.address()?;
    let want = effective.ases.get(&address)?;
    let in_active = effective.active_pool == Some(pool);
    // The entry that counts for a server in several pools is that of the active one.
    let counts_elsewhere = !in_active && {
        let active = effective.active_pool.and_then(|index| frontend.pools.get(index));
        active.is_some_and(|pool| pool.members.iter().any(|other| other.target.address() == Some(address)))
    };
    if counts_elsewhere {
        return Some((0, proto::WeightReason::Standby));
    }
    let weight = want.weight.effective(view.weight_in_vpp(&VppVip::from(frontend.vip), address));
    Some((weight.into(), why(want.condition, in_active)))
}

fn why(condition: Condition, in_active: bool) -> proto::WeightReason {
    use proto::WeightReason as Why;
    match condition {
        Condition::Up if in_active => Why::Up,
        Condition::Up => Why::Standby,
        Condition::Down => Why::Down,
        Condition::Unknown => Why::Unknown,
        Condition::Paused => Why::Paused,
        Condition::Disabled => Why::Disabled,
        Condition::NeverKnown => Why::KeptNeverKnown,
        Condition::CheckMissing => Why::KeptCheckMissing,
        Condition::Unreadable => Why::KeptUnreadable,
        Condition::Suspect => Why::KeptSuspect,
    }
}
