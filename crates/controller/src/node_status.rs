//! The status of a MaglevNode.

use super::{
    conditions::{ConditionStatus, Conditions, StatusRevision, condition_reason, to_count, to_time},
    digest::{Digest, ProgramStatus},
    links::LinkFailure,
};
use maglev_crd::{Capability, FailingFrontend, MaglevNodeStatus, NodeVpp};
use maglev_model::{Name, event::ProgramResult, problem::Reason, vip::Family};

/// Longest list of failing Frontends.
const MAX_FAILING: usize = 50;
/// Reasons of `AgentConnected` that concern trust: the controller in the agent, or the agent in the controller.
const TRUST_REASONS: [&str; 2] = ["TLSNotTrusted", "TokenRefused"];
/// Conditions in the order of the status.
const ORDER: [&str; 6] =
    ["AgentConnected", "VPPConnected", "Ready", "ProbePathSuspect", "RemovalHeld", "StateNotWritable"];

/// The connection to the agent of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LinkState {
    /// There is no connection, and no attempt is known to have failed.
    #[default]
    Absent,
    Connected,
    /// The last attempt failed with this error.
    Failed(LinkFailure),
}

/// The inputs of a MaglevNode's status.
pub struct NodeInputs<'a> {
    pub(crate) name: &'a str,
    pub(crate) link: &'a LinkState,
    /// `None` until this leader has received the agent's state.
    pub(crate) digest: Option<&'a Digest>,
    /// The number of VIPs with a table that has differed from those of other nodes for too long.
    pub(crate) vips_differing: usize,
    /// The LoadBalancerConfig that the node uses.
    pub(crate) load_balancer_config: Option<&'a Name>,
}

pub fn maglev_node(inputs: &NodeInputs<'_>, old: &MaglevNodeStatus, revision: StatusRevision) -> MaglevNodeStatus {
    let mut conditions = Conditions::new(&old.conditions, revision);
    set_connections(&mut conditions, inputs);
    let load_balancer_config = inputs.load_balancer_config.map(ToString::to_string);
    let Some(digest) = inputs.digest else {
        // This leader has received no state from the agent, so that of the previous leader is kept.
        let conditions = conditions.finish(&["AgentConnected", "VPPConnected"], &ORDER);
        return MaglevNodeStatus {
            observed_generation: Some(revision.generation),
            conditions,
            load_balancer_config,
            ..old.clone()
        };
    };
    set_probe_path_suspect(&mut conditions, digest);
    set_removal_held(&mut conditions, digest);
    set_state_not_writable(&mut conditions, digest);
    let vpp = digest.vpp();
    let (vips, servers) = digest.counts_in_vpp();
    let count = |result: ProgramResult| digest.programs().filter(|(_, program)| program.result == result).count();
    let failing = count(ProgramResult::Held) + count(ProgramResult::Failed);
    let failing_frontends = digest.programs().filter_map(|(name, program)| failing_frontend(name, program));
    MaglevNodeStatus {
        observed_generation: Some(revision.generation),
        conditions: conditions.finish(&["AgentConnected", "VPPConnected"], &ORDER),
        vpp: vpp.map(|vpp| NodeVpp {
            version: Some(vpp.info.version.clone()),
            build_date: Some(vpp.info.build_date.clone()),
            connected_since: Some(to_time(vpp.since)),
        }),
        capabilities: vpp
            .filter(|vpp| vpp.weightless == Some(false))
            .map(|_| Capability::Weights)
            .into_iter()
            .collect(),
        load_balancer_config,
        vips: vpp.map(|_| to_count(vips)),
        application_servers: vpp.map(|_| to_count(servers)),
        vips_differing: vpp.filter(|_| *inputs.link == LinkState::Connected).map(|_| to_count(inputs.vips_differing)),
        frontends_programmed: Some(to_count(count(ProgramResult::Programmed))),
        frontends_held: Some(to_count(count(ProgramResult::Held))),
        frontends_failed: Some(to_count(count(ProgramResult::Failed))),
        failing_frontends: failing_frontends.take(MAX_FAILING).collect(),
        truncated: (failing > MAX_FAILING).then_some(true),
        last_sync_time: digest.last_pass().map(to_time),
    }
}

fn set_connections(conditions: &mut Conditions<'_>, NodeInputs { name, link, digest, .. }: &NodeInputs<'_>) {
    match link {
        LinkState::Connected => {
            conditions.set("AgentConnected", ConditionStatus::True, "Connected", "connected to maglevd");
        }
        LinkState::Failed(LinkFailure { reason, error }) => {
            let message =
                format!("cannot connect to maglevd on {name}: {error}; VPP keeps forwarding with its last settings");
            let reason = if TRUST_REASONS.contains(reason) { reason } else { "NotConnected" };
            conditions.set("AgentConnected", ConditionStatus::False, reason, &message);
        }
        LinkState::Absent => {
            let message = format!("no maglevd is running on {name}; VPP keeps forwarding with its last settings");
            conditions.set("AgentConnected", ConditionStatus::False, "NotConnected", &message);
        }
    }
    match digest.filter(|_| **link == LinkState::Connected).map(Digest::vpp) {
        Some(Some(vpp)) => {
            let message = format!("connected to VPP {}", vpp.info.version);
            conditions.set("VPPConnected", ConditionStatus::True, "Connected", &message);
        }
        Some(None) => {
            let message = format!("maglevd on {name} is not connected to VPP");
            conditions.set("VPPConnected", ConditionStatus::False, "NotConnected", &message);
        }
        None => {
            let message = "maglevd, which reports the state of VPP, is not connected";
            conditions.set("VPPConnected", ConditionStatus::Unknown, "AgentNotConnected", message);
        }
    }
}

fn set_probe_path_suspect(conditions: &mut Conditions<'_>, digest: &Digest) {
    let families: Vec<&str> = [(Family::V4, "IPv4"), (Family::V6, "IPv6")]
        .into_iter()
        .filter_map(|(family, name)| digest.suspect(family).then_some(name))
        .collect();
    if !families.is_empty() {
        let message = format!(
            "all {} probes started to fail at the same time, so the network path is suspected; weights are kept",
            families.join(" and ")
        );
        conditions.set("ProbePathSuspect", ConditionStatus::True, "AllProbesFail", &message);
    }
}

fn set_removal_held(conditions: &mut Conditions<'_>, digest: &Digest) {
    let removals = digest.holds().filter(|hold| hold.change.is_none());
    let holds =
        removals.map(|hold| format!("{} removals are held until {:.0} (hold {})", hold.removals, hold.until, hold.id));
    let holds: Vec<String> = holds.collect();
    if !holds.is_empty() {
        conditions.set("RemovalHeld", ConditionStatus::True, "RemovalHeld", &holds.join("; "));
    }
}

fn set_state_not_writable(conditions: &mut Conditions<'_>, digest: &Digest) {
    let reason = Reason::StateNotWritable.as_str();
    let count = digest.programs().filter(|(_, program)| &*program.reason == reason).count();
    if count > 0 {
        let message = format!(
            "{count} Frontends are not added to VPP, because maglevd cannot record their VIPs in maglevd.vips.json beside \
             VPP's API socket: make room in that directory, or make it writable"
        );
        conditions.set("StateNotWritable", ConditionStatus::True, reason, &message);
    }
}

fn failing_frontend(name: &Name, program: &ProgramStatus) -> Option<FailingFrontend> {
    let is_failing = matches!(program.result, ProgramResult::Held | ProgramResult::Failed);
    is_failing.then(|| FailingFrontend {
        namespace: name.namespace().to_owned(),
        name: name.name().to_owned(),
        reason: condition_reason(&program.reason).to_owned(),
    })
}
