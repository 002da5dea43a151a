//! `status.activePool`, and the condition Degraded with the reason StandbyPool.
//!
//! Each agent decides which pool is active on its node (`maglev_model::weights`) and reports it. The controller only
//! counts the reports. An agent of an older release does not report its active pool; its node is not counted. If no node
//! reports, the active pool is unknown and the stored values are kept.

use std::collections::BTreeMap;

use super::{FrontendInputs, Resolved};
use crate::{
    conditions::{ConditionStatus, Conditions},
    node_counts::NodeView,
};
use maglev_crd::FrontendStatus;
use maglev_model::{
    config::{Frontend, Standing},
    weights::ActivePool,
};

const STANDBY_POOL: &str = "StandbyPool";

/// The use of pools other than the first one.
pub enum Standby {
    /// Not in use on any node that reports.
    Unused,
    /// In use; holds the message of the condition.
    Used(String),
    /// No node reports its active pool.
    Unknown,
}

impl Standby {
    /// Sets the condition Degraded if a standby pool is in use.
    pub fn set_degraded(&self, conditions: &mut Conditions<'_>) {
        match self {
            Self::Unused => {}
            Self::Used(message) => conditions.set("Degraded", ConditionStatus::True, STANDBY_POOL, message),
            Self::Unknown => {
                if conditions.stored("Degraded").is_some_and(|stored| stored.reason == STANDBY_POOL) {
                    conditions.keep("Degraded");
                }
            }
        }
    }
}

/// Sets `status.activePool` to the pool that is active on most nodes.
pub fn set_active_pool(inputs: &FrontendInputs<'_>, new: &mut FrontendStatus, old: &FrontendStatus) -> Standby {
    let Some(Resolved { frontend, program }) = inputs.resolved else { return Standby::Unused };
    if matches!(frontend.standing, Standing::Withdrawn(_)) {
        return Standby::Unused;
    }
    let digests = inputs.nodes.iter().filter_map(|node| node.digest);
    let reports: Vec<ActivePool> = digests.filter_map(|digest| digest.active_pool(inputs.name, program)).collect();
    if reports.is_empty() {
        if !inputs.nodes.iter().any(|node| node.digest.is_some() || NodeView::awaits_first_report(node)) {
            return Standby::Unused;
        }
        let exists = |name: &String| frontend.pools.iter().any(|pool| *pool.name == **name);
        new.active_pool = old.active_pool.clone().filter(exists);
        return Standby::Unknown;
    }
    let mut nodes_by_pool: BTreeMap<u32, usize> = BTreeMap::new();
    for report in &reports {
        if let ActivePool::Index(pool) = report {
            *nodes_by_pool.entry(*pool).or_default() += 1;
        }
    }
    let most = nodes_by_pool.iter().max_by_key(|(pool, nodes)| (**nodes, std::cmp::Reverse(**pool)));
    new.active_pool = most.map(|(pool, _)| pool_name(frontend, *pool).to_owned());
    standby(frontend, &nodes_by_pool, reports.len())
}

fn standby(frontend: &Frontend, nodes_by_pool: &BTreeMap<u32, usize>, reporting: usize) -> Standby {
    let in_use: Vec<_> = nodes_by_pool.iter().filter(|(pool, _)| **pool > 0).collect();
    if in_use.is_empty() {
        return Standby::Unused;
    }
    let nodes: usize = in_use.iter().map(|(_, nodes)| **nodes).sum();
    let names: Vec<&str> = in_use.iter().map(|(pool, _)| pool_name(frontend, **pool)).collect();
    Standby::Used(format!(
        "pool {:?} has no backend that takes traffic on {nodes} of {reporting} nodes: {} takes over",
        pool_name(frontend, 0),
        names.join(", ")
    ))
}

fn pool_name(frontend: &Frontend, index: u32) -> &str {
    usize::try_from(index).ok().and_then(|index| frontend.pools.get(index)).map_or("", |pool| &*pool.name)
}
