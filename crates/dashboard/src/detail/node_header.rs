//! Builds the header of a node, which the summary and the tabs show.

use crate::{
    document::{HoldDetail, NodeHeader, Time, round_rate},
    inputs::Inputs,
    traffic::Traffic,
};
use maglev_fleet::{LinkState, survey::node_flags};

pub fn node_header(inputs: &Inputs) -> NodeHeader {
    let (state, view) = (&inputs.state, inputs.view());
    let version = state.version.as_deref();
    let vpp = view.vpp.as_ref();
    let vpp_state = match (state.as_of, vpp) {
        (None, _) => "unknown",
        (Some(_), None) => "lost",
        (Some(_), Some(_)) => "connected",
    };
    let (reporting, sync) = (inputs.reporting(), &view.sync);
    let suspect = [(view.health.suspect_v4, "ipv4"), (view.health.suspect_v6, "ipv6")];
    let hold = |hold: &maglev_model::change::SyncHold| HoldDetail { subject: hold.subject(), until: Time(hold.until) };
    let ready = version.map(|version| version.ready.clone());
    NodeHeader {
        pod: state.target.pod.as_ref().map(ToString::to_string).unwrap_or_default(),
        address: state.target.address.to_string(),
        link: state.link.as_str(),
        reporting,
        error: match &state.link {
            LinkState::Unreachable { error, .. } => Some(error.to_string()),
            LinkState::Connecting | LinkState::Connected => None,
        },
        last_seen: state.last_seen.map(Time),
        version: version.map(|version| version.version.clone()),
        commit: version.map(|version| version.commit.clone()),
        build_date: version.map(|version| version.build_date.clone()),
        started: version.map(|version| Time(version.started)),
        ready: ready == Some(Ok(())),
        not_ready: ready.and_then(Result::err),
        vpp: vpp_state,
        vpp_version: vpp.map(|vpp| vpp.info.version.clone()),
        vpp_since: vpp.map(|vpp| Time(vpp.since)),
        suspect: suspect.into_iter().filter_map(|(suspect, family)| suspect.then_some(family)).collect(),
        holds: view.holds.iter().map(|(id, removal_hold)| (id.clone(), hold(removal_hold))).collect(),
        failed_steps: sync.failed_steps,
        sync_error: sync.error.clone(),
        last_pass: sync.last_pass.map(Time),
        foreign: vpp.map_or(0, |vpp| vpp.foreign.len()),
        rate: round_rate(inputs.traffic.as_deref().map_or(0.0, Traffic::rate)),
        frontends: view.frontends.len(),
        backends: view.backends.len(),
        flags: node_flags(state).into_iter().collect(),
    }
}
