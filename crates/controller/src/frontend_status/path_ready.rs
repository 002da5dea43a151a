//! The condition PathReady, from the path probes that the agents report. It is absent while no node probes the paths, and not
//! part of Ready: the probes do not change weights.

use std::collections::BTreeMap;

use super::{FrontendInputs, Resolved};
use crate::{
    conditions::{ConditionStatus, Conditions, list_names},
    node_counts::NodeView,
    status::PENDING,
};
use maglev_model::path::PathState;

const PATH_READY: &str = "PathReady";

/// The paths of a Frontend, over all nodes that report.
#[derive(Debug, Default)]
struct PathCounts {
    /// The paths that fail, as `backend from node: state`.
    failing: Vec<String>,
    by_failure: BTreeMap<PathState, usize>,
    /// Nodes that cannot probe some path.
    unable: Vec<String>,
    unknown: usize,
    total: usize,
}

/// Sets PathReady if a node reports a path.
pub fn set_path_ready(inputs: &FrontendInputs<'_>, conditions: &mut Conditions<'_>) {
    let Some(Resolved { frontend, .. }) = inputs.resolved else { return };
    if frontend.path_probe.is_none() {
        return;
    }
    let counts = PathCounts::new(inputs);
    let PathCounts { failing, by_failure, unable, unknown, total } = &counts;
    if *total == 0 {
        if inputs.nodes.iter().any(NodeView::awaits_first_report) {
            conditions.keep(PATH_READY);
        }
        return;
    }
    let most = by_failure.iter().max_by_key(|(state, count)| (**count, std::cmp::Reverse(**state)));
    if let Some((state, _)) = most {
        let listed = list_names(failing.iter().map(String::as_str));
        let message = format!("packets to the VIP do not work on {} of {total} paths: {listed}", failing.len());
        conditions.set(PATH_READY, ConditionStatus::False, state.as_str(), &message);
    } else if !unable.is_empty() {
        let message = format!("the paths cannot be probed from {}", list_names(unable.iter().map(String::as_str)));
        conditions.set(PATH_READY, ConditionStatus::Unknown, PathState::Unable.as_str(), &message);
    } else if *unknown > 0 {
        let message = format!("{unknown} of {total} paths have not been probed yet");
        conditions.set(PATH_READY, ConditionStatus::Unknown, PENDING, &message);
    } else {
        let message = format!("packets to the VIP work on all {total} paths from a node to a backend");
        conditions.set(PATH_READY, ConditionStatus::True, PathState::Ok.as_str(), &message);
    }
}

impl PathCounts {
    fn new(inputs: &FrontendInputs<'_>) -> Self {
        let mut counts = Self::default();
        for node in inputs.nodes {
            let mut is_unable = false;
            for (backend, state) in node.digest.into_iter().flat_map(|digest| digest.paths(inputs.name)) {
                counts.total += 1;
                match state {
                    PathState::Ok => {}
                    PathState::Unknown => counts.unknown += 1,
                    PathState::Unable => is_unable = true,
                    PathState::Timeout | PathState::Refused | PathState::MtuTooSmall => {
                        counts.failing.push(format!("{} from {}: {state}", backend.name(), node.name));
                        *counts.by_failure.entry(state).or_default() += 1;
                    }
                }
            }
            if is_unable {
                counts.unable.push(node.name.to_owned());
            }
        }
        counts
    }
}
