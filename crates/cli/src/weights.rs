//! The configured and effective weights of a Frontend's members on one node, with the reasons.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use crate::output::Time;
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    actual::VppVip,
    config::{Frontend, Member, MemberTarget, Standing},
    derived::Origin,
    health::BackendState,
    ramp::Ramp,
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
    /// The ramp that limits the effective weight.
    pub(crate) ramp: Option<RampProgress>,
}

/// The progress of a ramp.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RampProgress {
    step: u8,
    steps: u8,
    full_at: Time,
    #[serde(skip)]
    ramp: Ramp,
}

impl RampProgress {
    /// `ramping, 4 of 10, full in 40 s`.
    pub fn text(&self, now: Timestamp) -> String {
        self.ramp.text(now)
    }
}

impl From<Ramp> for RampProgress {
    fn from(ramp: Ramp) -> Self {
        Self { step: ramp.step, steps: ramp.steps, full_at: Time(ramp.full_at), ramp }
    }
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
        ramp: ramp(node, frontend, effective, index, member),
    }
}

/// The ramp of a member that is up in the active pool.
fn ramp(
    node: &NodeState,
    frontend: &Frontend,
    effective: &EffectiveWeights,
    index: usize,
    member: &Member,
) -> Option<RampProgress> {
    let address = member.target.address().filter(|_| effective.active_pool == Some(index))?;
    let is_up = effective.ases.get(&address)?.condition == BackendCondition::Up;
    let ramp = node.view.ramps.get(&frontend.name)?.get(&address).filter(|_| is_up)?;
    Some((*ramp).into())
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
    let paused;
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
            paused = derived_pause(member);
            &paused
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

/// The reason for a derived Backend that is paused.
fn derived_pause(member: &Member) -> String {
    let cause = match &member.target {
        MemberTarget::Backend(backend) => backend.pause_cause.as_deref(),
        MemberTarget::Unreadable { .. } => None,
    };
    format!("{}: no new flows", cause.unwrap_or(PAUSED_ENDPOINT))
}

/// The reason that agents before the drain of Nodes do not report.
pub const PAUSED_ENDPOINT: &str = "the endpoint terminates or is not ready";

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::{
        backend::{detail::BackendOverview, why::Explanation},
        flags::Output,
        frontend::why::{FrontendExplanation, PolicyAnswer},
        output::{Printable, render},
        what_if::tests::node,
    };
    use maglev_model::{change::Change, view::Fold as _, vip::Weight};
    use maglev_testkit::objects::name;

    fn text(value: &impl Printable) -> String {
        let text = render(value, Output::Table, Timestamp::UNIX_EPOCH).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }

    #[test]
    fn ramp_is_explained_with_its_step_and_time() {
        let mut node = node("node-a", [10, 10, 4]);
        let full_at = Timestamp::from_second(40).unwrap();
        let ramp = Ramp { weight: Weight::clamped(4), step: 4, steps: 10, full_at };
        let ramps = Change::Ramps(name("shop/web"), Arc::new([([192, 0, 2, 3].into(), ramp)].into()));
        node.view.apply(&ramps, Timestamp::UNIX_EPOCH);
        let effective: Vec<u8> =
            member_weights(&node, &name("shop/web")).iter().map(|member| member.effective).collect();
        assert_eq!(effective, [10, 10, 4]);

        let why = |backend| Explanation::new(&name(backend), vec![node.clone()], &BTreeMap::new(), None).unwrap();
        let page = text(&why("shop/web-3"));
        assert!(page.contains("up, and pool primary is active; ramping, 4 of 10, full in 40 s"), "{page}");
        assert!(!text(&why("shop/web-2")).contains("ramping"));
        let policies = PolicyAnswer::Unknown { because: "not read".into() };
        let why = FrontendExplanation::new(&name("shop/web"), vec![node.clone()], policies).unwrap();
        assert!(text(&why).contains("  shop/web-3: ramping, 4 of 10, full in 40 s"), "{}", text(&why));
        let json = render(&why, Output::Json, Timestamp::UNIX_EPOCH).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let ramps = serde_json::json!([{
            "backend": "shop/web-3", "step": 4, "steps": 10, "fullAt": "1970-01-01T00:00:40.000Z",
        }]);
        assert_eq!(json["perNode"][0]["ramps"], ramps, "{json}");
    }

    #[test]
    fn drained_node_is_explained_with_its_cause() {
        let mut node = node("node-a", [10, 10, 10]);
        let name_of_node = Name::from("node:w1");
        let mut frontend = (**node.view.frontends.get(&name("shop/web")).unwrap()).clone();
        let member = &mut frontend.pools[0].members[0];
        let MemberTarget::Backend(backend) = &member.target else { panic!("it resolves") };
        let mut drained = maglev_model::config::Backend {
            name: name_of_node.clone(),
            admin_state: maglev_model::config::AdminState::Paused,
            pause_cause: Some("Node w1 has the annotation".into()),
            ..(**backend).clone()
        };
        let mut pages = |drained: &maglev_model::config::Backend| {
            let drained = Arc::new(drained.clone());
            frontend.pools[0].members[0] = Member {
                backend: name_of_node.clone(),
                weight: Weight::DEFAULT,
                target: MemberTarget::Backend(Arc::clone(&drained)),
            };
            node.view.frontends.insert(name("shop/web"), Arc::new(frontend.clone()));
            node.view.backends.insert(name_of_node.clone(), drained);
            let why = Explanation::new(&name_of_node, vec![node.clone()], &BTreeMap::new(), None).unwrap();
            let shown = BackendOverview::new(&name_of_node, vec![node.clone()], &BTreeMap::new()).unwrap();
            (text(&why), text(&shown))
        };
        let (why, shown) = pages(&drained);
        assert!(why.contains("Node w1 has the annotation: not probed"), "{why}");
        assert!(why.contains("Node w1 has the annotation: no new flows"), "{why}");
        assert!(shown.contains("Paused: Node w1 has the annotation"), "{shown}");
        // An agent that does not report the cause.
        drained.pause_cause = None;
        let (why, _) = pages(&drained);
        assert!(why.contains("the endpoint terminates or is not ready: not probed"), "{why}");
    }
}
