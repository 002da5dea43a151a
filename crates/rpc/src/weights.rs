//! The effective weights of a Frontend, written beside its members.

use crate::proto;
use maglev_model::{actual::VppVip, config::Frontend, view::View, weights::Condition};

/// The active pool and the Frontend with each member's weight now and why.
pub fn weighed(view: &View, frontend: &Frontend) -> (Option<u32>, proto::Frontend) {
    let (effective, vip) = (view.effective(frontend), VppVip::from(frontend.vip));
    let mut told = proto::Frontend::from(frontend);
    let entries = effective.entries(&frontend.pools, |address| view.weight_in_vpp(&vip, address));
    let members = told.pools.iter_mut().flat_map(|pool| &mut pool.members);
    for (entry, told) in entries.into_iter().zip(members) {
        if let Some(weight) = entry.effective {
            told.effective_weight = Some(weight.into());
            let standby = proto::WeightReason::Standby;
            told.why = entry.want.map_or(standby, |want| why(want.condition, entry.active)).into();
        }
    }
    (effective.active_pool.and_then(|index| u32::try_from(index).ok()), told)
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
