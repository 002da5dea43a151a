//! The drain of a backend over all nodes: the condition Drained, and the end of `maglevc drain`.
//!
//! A backend is drained only if every node that runs maglevd reports the end of this drain: VPP goes on forwarding while
//! nothing is heard from its node.

use super::{Drain, DrainState};

/// Nodes listed in a text; further nodes are only counted.
const MAX_NODES: usize = 8;

/// The drain of a backend on one node.
#[derive(Clone, Copy, Debug)]
pub struct NodeDrain<'a> {
    /// The node.
    pub node: &'a str,
    /// True while the agent is connected.
    pub reports: bool,
    /// The last reported drain, whatever its generation; `None` if the agent has not reported one.
    pub drain: Option<&'a Drain>,
}

/// The state of a drain over all nodes, that of the worst node. Ordered from the worst to the best one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DrainOutcome {
    /// No node runs maglevd.
    NoNodes,
    /// Nothing is heard from the agent.
    NodeSilent,
    /// Flows may be left, or weight 0 is not in effect yet.
    FlowsLeft,
    /// VPP has no weights.
    WeightsUnsupported,
    /// VPP's counters cannot be read.
    NoCounters,
    /// The agent has not reported the drain of this generation of the Backend yet.
    Pending,
    /// The flows were flushed.
    Flushed,
    /// No packet was sent for the flow timeout.
    Quiet,
    /// VPP tracks no flow.
    NoFlows,
}

impl DrainOutcome {
    fn new(node: &NodeDrain<'_>, generation: i64) -> Self {
        match node.drain.filter(|drain| drain.generation == generation).map(|drain| drain.state) {
            _ if !node.reports => Self::NodeSilent,
            None => Self::Pending,
            Some(DrainState::WeightPending | DrainState::FlowsLeft) => Self::FlowsLeft,
            Some(DrainState::WeightsUnsupported) => Self::WeightsUnsupported,
            Some(DrainState::NoCounters) => Self::NoCounters,
            Some(DrainState::Flushed) => Self::Flushed,
            Some(DrainState::Quiet) => Self::Quiet,
            Some(DrainState::NoFlows) => Self::NoFlows,
        }
    }

    /// The reason of the condition Drained.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoNodes => "NoNodes",
            Self::NodeSilent => "NodeSilent",
            Self::FlowsLeft => "FlowsLeft",
            Self::WeightsUnsupported => "WeightsUnsupported",
            Self::NoCounters => "NoCounters",
            Self::Pending => "Pending",
            Self::Flushed => "Flushed",
            Self::Quiet => "Quiet",
            Self::NoFlows => "NoFlows",
        }
    }

    /// True if no flows are left, false if flows may be left, `None` if that is not known.
    pub fn is_drained(self) -> Option<bool> {
        match self {
            Self::Flushed | Self::Quiet | Self::NoFlows => Some(true),
            Self::FlowsLeft => Some(false),
            Self::NoNodes | Self::NodeSilent | Self::WeightsUnsupported | Self::NoCounters | Self::Pending => None,
        }
    }

    fn text(self, node: &NodeDrain<'_>) -> String {
        match (self, node.drain) {
            (Self::NodeSilent, _) => format!("{}: does not report", node.node),
            (Self::Pending, _) | (_, None) => format!("{}: has not reported the drain yet", node.node),
            (_, Some(drain)) => format!("{}: {drain}", node.node),
        }
    }
}

/// The drain of a backend over all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainSummary {
    /// The outcome of the worst node.
    pub outcome: DrainOutcome,
    /// The drain on each node in words, the worst node first.
    pub text: String,
}

impl DrainSummary {
    /// Sums the drains of all nodes up. `generation` is the `metadata.generation` of the Backend.
    pub fn new<'a>(nodes: impl IntoIterator<Item = NodeDrain<'a>>, generation: i64) -> Self {
        let nodes = nodes.into_iter().map(|node| (DrainOutcome::new(&node, generation), node));
        let mut nodes: Vec<_> = nodes.collect();
        nodes.sort_by_key(|(outcome, node)| (*outcome, node.node));
        let Some((outcome, _)) = nodes.first() else {
            let text = "no node runs maglevd, so nothing is known about flows".to_owned();
            return Self { outcome: DrainOutcome::NoNodes, text };
        };
        let mut texts: Vec<String> = nodes.iter().take(MAX_NODES).map(|(outcome, node)| outcome.text(node)).collect();
        let more = nodes.len().saturating_sub(MAX_NODES);
        if more > 0 {
            texts.push(format!("and {more} more nodes"));
        }
        Self { outcome: *outcome, text: texts.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::drain::DrainLosses;

    fn drain(state: DrainState, generation: i64) -> Drain {
        let since = Timestamp::UNIX_EPOCH;
        let (flows, bits_per_second) = (Some(3), Some(1000));
        Drain {
            generation,
            state,
            since,
            flows,
            bits_per_second,
            idle: None,
            is_shared: false,
            is_overdue: false,
            losses: DrainLosses::default(),
        }
    }

    #[test]
    fn worst_node_decides_and_is_listed_first() {
        let (left, quiet) = (drain(DrainState::FlowsLeft, 7), drain(DrainState::Quiet, 7));
        let node = |node, drain| NodeDrain { node, reports: true, drain: Some(drain) };
        let summary = DrainSummary::new([node("a", &quiet), node("b", &left)], 7);
        assert_eq!(summary.outcome, DrainOutcome::FlowsLeft);
        assert_eq!(summary.text, "b: 3 tracked flows at most, 1.0 kbit/s; a: quiet for the flow timeout");
        let names: Vec<String> = (0..11).map(|number| format!("node-{number:02}")).collect();
        let summary = DrainSummary::new(names.iter().map(|name| node(name, &quiet)), 7);
        assert_eq!(summary.outcome, DrainOutcome::Quiet);
        assert!(summary.text.ends_with("node-07: quiet for the flow timeout; and 3 more nodes"), "{}", summary.text);
        assert_eq!(DrainSummary::new([], 7).outcome.is_drained(), None);
    }

    fn any_node() -> impl Strategy<Value = (bool, Option<(DrainState, i64)>)> {
        let state = prop::sample::select(DrainState::ALL.to_vec());
        let drain = (state, prop::sample::select(vec![7_i64, 7, 7, 6]));
        (prop::bool::weighted(0.9), prop::option::weighted(0.9, drain))
    }

    proptest! {
        #[test]
        fn drained_only_if_every_node_reports_the_end_of_this_drain(nodes in prop::collection::vec(any_node(), 0..6)) {
            let drains: Vec<Option<Drain>> =
                nodes.iter().map(|(_, reported)| reported.map(|(state, at)| drain(state, at))).collect();
            let views = nodes.iter().zip(&drains);
            let views = views.map(|((reports, _), drain)| NodeDrain { node: "n", reports: *reports, drain: drain.as_ref() });
            let outcome = DrainSummary::new(views, 7).outcome;
            let has_ended = |(reports, drain): &(bool, Option<(DrainState, i64)>)| {
                *reports && drain.is_some_and(|(state, generation)| state.is_drained() && generation == 7)
            };
            let all_ended = !nodes.is_empty() && nodes.iter().all(has_ended);
            prop_assert_eq!(outcome.is_drained() == Some(true), all_ended, "{:?}", outcome);
            if nodes.iter().any(|(reports, _)| !reports) {
                prop_assert_eq!(outcome, DrainOutcome::NodeSilent);
            }
        }
    }
}
