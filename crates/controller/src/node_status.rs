//! The status of a MaglevNode.

use std::sync::Arc;

use jiff::Timestamp;

use super::{
    conditions::{Conditions, Truth, count, time, word},
    digest::{Answer, Digest},
};
use maglev_crd::{Capability, FailingFrontend, MaglevNodeStatus, NodeVpp};
use maglev_model::{Name, event::ProgramResult, vip::Family};

/// Failing Frontends that are named.
const NAMED: usize = 50;
/// Conditions in the order they are listed in.
const ORDER: [&str; 5] = ["AgentConnected", "VPPConnected", "Ready", "ProbePathSuspect", "RemovalHeld"];

/// What is known of a node beside what its agent says.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// Whether its agent answers; `Err` says why not.
    pub(crate) up: Option<Result<(), Arc<str>>>,
}

/// The status of the MaglevNode `name`.
pub fn maglev_node(
    name: &str,
    link: &Link,
    digest: Option<&Digest>,
    config: Option<&Name>,
    old: &MaglevNodeStatus,
    (generation, now): (i64, Timestamp),
) -> MaglevNodeStatus {
    let mut conditions = Conditions::new(&old.conditions, generation, now);
    let connected = matches!(link.up, Some(Ok(())));
    match &link.up {
        Some(Ok(())) => conditions.set("AgentConnected", Truth::True, "Connected", "maglevd answers"),
        Some(Err(why)) => {
            let message = format!("maglevd on {name} does not answer: {why}; VPP forwards on with what it has");
            conditions.set("AgentConnected", Truth::False, "NotConnected", &message);
        }
        None => {
            let message = format!("no maglevd on {name} is known to answer; VPP forwards on with what it has");
            conditions.set("AgentConnected", Truth::False, "NotConnected", &message);
        }
    }
    match digest.filter(|_| connected).map(Digest::vpp) {
        Some(Some(vpp)) => {
            conditions.set("VPPConnected", Truth::True, "Connected", &format!("VPP {} answers", vpp.info.version));
        }
        Some(None) => {
            let message = format!("maglevd on {name} has no connection to VPP");
            conditions.set("VPPConnected", Truth::False, "NotConnected", &message);
        }
        None => conditions.set("VPPConnected", Truth::Unknown, "AgentNotConnected", "maglevd cannot be asked"),
    }
    let Some(digest) = digest else {
        // Nothing was heard by this leader: what an earlier one heard stands.
        let conditions = conditions.ready(&["AgentConnected", "VPPConnected"], &ORDER);
        return MaglevNodeStatus {
            observed_generation: Some(generation),
            conditions,
            load_balancer_config: config.map(ToString::to_string),
            ..old.clone()
        };
    };
    suspect(&mut conditions, digest);
    held(&mut conditions, digest);
    let vpp = digest.vpp();
    let (vips, servers) = digest.in_vpp();
    let of = |wanted: ProgramResult| digest.answers().filter(move |(_, answer)| answer.result == wanted);
    let failing = of(ProgramResult::Held).count() + of(ProgramResult::Failed).count();
    MaglevNodeStatus {
        observed_generation: Some(generation),
        conditions: conditions.ready(&["AgentConnected", "VPPConnected"], &ORDER),
        vpp: vpp.map(|vpp| NodeVpp {
            version: Some(vpp.info.version.clone()),
            build_date: Some(vpp.info.build_date.clone()),
            connected_since: Some(time(vpp.since)),
        }),
        capabilities: vpp
            .filter(|vpp| vpp.weightless == Some(false))
            .map(|_| Capability::Weights)
            .into_iter()
            .collect(),
        load_balancer_config: config.map(ToString::to_string),
        vips: vpp.map(|_| count(vips)),
        application_servers: vpp.map(|_| count(servers)),
        frontends_programmed: Some(count(of(ProgramResult::Programmed).count())),
        frontends_held: Some(count(of(ProgramResult::Held).count())),
        frontends_failed: Some(count(of(ProgramResult::Failed).count())),
        failing_frontends: digest.answers().filter_map(failing_frontend).take(NAMED).collect(),
        truncated: (failing > NAMED).then_some(true),
        last_sync_time: digest.last_pass().map(time),
    }
}

fn suspect(conditions: &mut Conditions<'_>, digest: &Digest) {
    let families: Vec<&str> = [(Family::V4, "IPv4"), (Family::V6, "IPv6")]
        .into_iter()
        .filter_map(|(family, name)| digest.suspect(family).then_some(name))
        .collect();
    if !families.is_empty() {
        let message =
            format!("every {} probe fails at once: the path is suspected, weights are kept", families.join(" and "));
        conditions.set("ProbePathSuspect", Truth::True, "AllProbesFail", &message);
    }
}

fn held(conditions: &mut Conditions<'_>, digest: &Digest) {
    let holds = digest
        .holds()
        .map(|hold| format!("{} removals wait until {:.0} (hold {})", hold.removals, hold.until, hold.id));
    let holds: Vec<String> = holds.collect();
    if !holds.is_empty() {
        conditions.set("RemovalHeld", Truth::True, "RemovalHeld", &holds.join("; "));
    }
}

fn failing_frontend((name, answer): (&Name, &Answer)) -> Option<FailingFrontend> {
    let failing = matches!(answer.result, ProgramResult::Held | ProgramResult::Failed);
    failing.then(|| FailingFrontend {
        namespace: name.namespace().to_owned(),
        name: name.name().to_owned(),
        reason: word(&answer.reason).to_owned(),
    })
}
