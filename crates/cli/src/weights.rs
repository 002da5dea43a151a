//! The weights of a Frontend's members on one node, and why they are what they are.

use std::sync::Arc;

use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Member, Standing, Target},
    health::BackendState,
    weights::{Condition, Effective, WantWeight},
};

/// A member of a pool on one node.
#[derive(Clone, Debug)]
pub struct Weighed {
    pub(crate) frontend: Name,
    pub(crate) pool: Arc<str>,
    pub(crate) pool_index: usize,
    pub(crate) backend: Name,
    pub(crate) state: BackendState,
    /// What the Frontend says.
    pub(crate) weight: u8,
    /// What is in effect now, or once VPP follows.
    pub(crate) effective: u8,
    /// What VPP has; `None` where it does not have the server.
    pub(crate) in_vpp: Option<u8>,
    /// Its buckets in VPP's table, when that was last read.
    pub(crate) buckets: Option<u32>,
    /// Why the weight in effect is what it is.
    pub(crate) why: String,
}

/// Every member of every pool of `name`, in order; nothing where the node does not know it.
pub fn weighed(node: &NodeState, name: &Name) -> Vec<Weighed> {
    let Some(frontend) = node.view.frontends.get(name) else { return Vec::new() };
    let effective = node.view.effective(frontend);
    let pools = frontend.pools.iter().enumerate();
    let members = pools.flat_map(|(index, pool)| pool.members.iter().map(move |member| (index, member)));
    members.map(|(pool, member)| one(node, frontend, &effective, pool, member)).collect()
}

fn one(node: &NodeState, frontend: &Frontend, effective: &Effective, index: usize, member: &Member) -> Weighed {
    let (view, vip) = (&node.view, VppVip::from(frontend.vip));
    let address = member.target.address();
    let in_vpp = address.and_then(|address| view.weight_in_vpp(&vip, address));
    let wanted = address.and_then(|address| effective.ases.get(&address));
    let dump = node.dump.as_ref().and_then(|dump| dump.actual.vips.get(&vip));
    Weighed {
        frontend: frontend.name.clone(),
        pool: Arc::clone(&frontend.pools[index].name),
        pool_index: index,
        backend: member.backend.clone(),
        state: match &member.target {
            Target::Backend(backend) => view.backend_state(backend),
            Target::Unreadable { .. } => BackendState::Unknown,
        },
        weight: member.weight.get(),
        effective: wanted.map_or(0, |wanted| wanted.weight.effective(in_vpp)),
        in_vpp,
        buckets: address.and_then(|address| dump?.ases.get(&address)).map(|of| of.buckets),
        why: why(node, frontend, effective, index, member, wanted.map(|wanted| wanted.weight)),
    }
}

/// In a sentence.
fn why(
    node: &NodeState,
    frontend: &Frontend,
    effective: &Effective,
    index: usize,
    member: &Member,
    wanted: Option<WantWeight>,
) -> String {
    if let Standing::Withdrawn(problem) = &frontend.standing {
        return format!("the Frontend is withdrawn: {}", problem.message);
    }
    let kept = matches!(wanted, Some(WantWeight::Keep { .. }));
    let condition = match Condition::of(&member.target, &node.view.health) {
        Condition::Up => return serving(frontend, effective, index, member),
        Condition::Down => "its probes fail",
        Condition::Suspect => {
            "its probes fail, and so does every other on that path: the path is suspect, not the backend"
        }
        Condition::NeverKnown => "it has not been probed yet, or cannot be",
        Condition::Unknown => "it is not known yet, since it was enabled or its address changed",
        Condition::CheckMissing => "its HealthCheck is missing or unreadable",
        Condition::Unreadable => "the Backend does not decode",
        Condition::Paused => "its operator paused it: no new flows",
        Condition::Disabled => "its operator disabled it: no flows",
    };
    if kept { format!("{condition}; its weight is kept as VPP has it") } else { condition.to_owned() }
}

/// Of one that is up.
fn serving(frontend: &Frontend, effective: &Effective, index: usize, member: &Member) -> String {
    let pool = |index: usize| frontend.pools.get(index).map_or("", |pool| &*pool.name);
    match effective.active_pool {
        Some(active) if active == index && member.weight.get() == 0 => {
            format!("it is up, but its weight in pool {} is 0", pool(index))
        }
        Some(active) if active == index => format!("it is up, and pool {} is active", pool(index)),
        Some(active) => format!("it is up, but stands by: pool {} is active", pool(active)),
        None => "it is up, but no pool has a backend with a weight".to_owned(),
    }
}
