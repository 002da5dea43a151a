//! Effective weights of a Frontend's members.

use crate::proto;
use maglev_model::{actual::VppVip, config::Frontend, view::View, weights::BackendCondition};

/// The index of the active pool, and the Frontend with the effective weight and its reason for each member.
pub fn frontend_with_weights(view: &View, frontend: &Frontend) -> (Option<u32>, proto::Frontend) {
    let (effective, vip) = (view.effective_weights(frontend), VppVip::from(frontend.vip));
    let mut message = proto::Frontend::from(frontend);
    let entries = effective.entries(&frontend.pools, |address| view.weight_in_vpp(&vip, address));
    let members = message.pools.iter_mut().flat_map(|pool| &mut pool.members);
    for (entry, member) in entries.into_iter().zip(members) {
        if let Some(weight) = entry.effective {
            member.effective_weight = Some(weight.into());
            let standby = proto::WeightReason::Standby;
            member.why = entry.desired.map_or(standby, |desired| reason(desired.condition, entry.active)).into();
        }
    }
    (effective.active_pool.and_then(|index| u32::try_from(index).ok()), message)
}

fn reason(condition: BackendCondition, in_active: bool) -> proto::WeightReason {
    use proto::WeightReason;
    match condition {
        BackendCondition::Up if in_active => WeightReason::Up,
        BackendCondition::Up => WeightReason::Standby,
        BackendCondition::Down => WeightReason::Down,
        BackendCondition::Unknown => WeightReason::Unknown,
        BackendCondition::Paused => WeightReason::Paused,
        BackendCondition::Disabled => WeightReason::Disabled,
        BackendCondition::NeverKnown => WeightReason::KeptNeverKnown,
        BackendCondition::CheckMissing => WeightReason::KeptCheckMissing,
        BackendCondition::Unreadable => WeightReason::KeptUnreadable,
        BackendCondition::Suspect => WeightReason::KeptSuspect,
        BackendCondition::PathDown => WeightReason::PathDown,
        BackendCondition::PathSuspect => WeightReason::KeptPathSuspect,
        BackendCondition::PathUnknown => WeightReason::KeptPathUnknown,
    }
}
