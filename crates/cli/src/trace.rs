//! `trace PROTO SOURCE DESTINATION`: the backend that the VPP of each node chooses for a new flow.
//!
//! No packet is sent. The new-flow table is computed from the servers and weights that VPP has (`model::trace`), and
//! compared with the bucket counts that VPP reports.

mod node;
#[cfg(test)]
mod tests;
mod vpp_table;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

pub use self::node::vip_text;
use self::node::{NodeTrace, Outcome};
use super::{
    coverage::NodeCoverage,
    fan_out::Responses,
    flags::HashFunction,
    output::{Cell, Page, Printable, Table},
    style::Style,
};
use maglev_fleet::NodeState;
use maglev_model::{actual::LbDump, trace::Flow};

/// Limits of the answer on every node: a packet can take another way.
const LIMITS: [&str; 2] = [
    "A flow that a node tracks already keeps its server until it has been idle for the flow timeout, also after a change \
     of weights.",
    "The routers choose the node.",
];
const AUTO_LIMIT: &str =
    "The hash is that of VPP on amd64 and arm64; for a VPP built without CRC instructions, use --hash xxhash.";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trace {
    protocol: &'static str,
    source: SocketAddr,
    destination: SocketAddr,
    /// `crc32c` or `xxhash`.
    hash_function: &'static str,
    #[serde(flatten)]
    coverage: NodeCoverage,
    /// True if all answers are equal. A node whose answer is not known has none.
    agree: bool,
    per_node: Vec<NodeTrace>,
    /// Limits of the answer: a packet can take another way.
    limits: Vec<&'static str>,
}

impl Trace {
    /// `dumps` are the last readings of the nodes' VPPs.
    pub fn new(flow: &Flow, function: HashFunction, nodes: Vec<NodeState>, dumps: &Responses<LbDump>) -> Self {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let hash = function.hash();
        let dump = |node: &NodeState| match dumps.get(&node.node) {
            Some(Ok(dump)) => Ok(dump),
            Some(Err(error)) => Err(error.as_str()),
            None => Err("the node has not answered"),
        };
        let per_node: Vec<_> = nodes.iter().map(|node| NodeTrace::new(node, dump(node), flow, hash)).collect();
        let answers: BTreeSet<_> = per_node.iter().filter_map(NodeTrace::answer).collect();
        let auto = (function == HashFunction::Auto).then_some(AUTO_LIMIT);
        Self {
            protocol: flow.protocol().as_str(),
            source: flow.source(),
            destination: flow.destination(),
            hash_function: hash.as_str(),
            coverage,
            agree: answers.len() <= 1,
            per_node,
            limits: LIMITS.into_iter().chain(auto).collect(),
        }
    }

    /// True if every node reports, and all have the same server for the flow.
    pub fn is_answered(&self) -> bool {
        self.coverage.all_report()
            && self.agree
            && self.per_node.iter().all(|node| matches!(node.outcome, Outcome::Server(_)))
    }

    fn disagreement(&self) -> String {
        let mut nodes: BTreeMap<_, Vec<&str>> = BTreeMap::new();
        for (answer, node) in self.per_node.iter().filter_map(|node| Some((node.answer()?, &node.node))) {
            nodes.entry(answer).or_default().push(node);
        }
        let answer = |(outcome, nodes): (Outcome, Vec<&str>)| format!("{outcome} on {}", nodes.join(", "));
        format!("the nodes disagree: {}", nodes.into_iter().map(answer).collect::<Vec<_>>().join("; "))
    }

    fn table(&self, wide: bool) -> Table {
        let mut head = vec!["NODE", "VIP", "FRONTEND", "BUCKET", "BACKEND", "ADDRESS", "WEIGHT", "BECAUSE"];
        if wide {
            head.extend(["ENCAP", "HASH"]);
        }
        let mut table = Table::new(head);
        self.per_node.iter().for_each(|node| table.row(node.row(wide)));
        table
    }
}

/// Adds `texts` to the page, each once with its nodes.
fn by_text<'t>(page: &mut Page, style: Style, texts: impl Iterator<Item = (&'t Arc<str>, &'t String)>) {
    let mut nodes: Vec<(&String, Vec<&str>)> = Vec::new();
    for (node, text) in texts {
        match nodes.iter_mut().find(|(other, _)| *other == text) {
            Some((_, nodes)) => nodes.push(node),
            None => nodes.push((text, vec![node])),
        }
    }
    for (text, nodes) in nodes {
        page.line_with(format_args!("{}: ", nodes.join(", ")), style, text);
    }
}

impl Printable for Trace {
    fn page(&self, wide: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let flow = format!("{} from {} to {}", self.protocol, self.source, self.destination);
        page.fields([("Flow", Cell::from(flow)), ("Hash", self.hash_function.into())]);
        page.gap();
        page.table(&self.table(wide), "no nodes");
        page.gap();
        if !self.agree {
            page.styled(Style::Bad, self.disagreement());
        }
        let all = |texts: fn(&NodeTrace) -> &Vec<String>| {
            self.per_node.iter().flat_map(move |node| texts(node).iter().map(|text| (&node.node, text)))
        };
        by_text(&mut page, Style::Warn, all(|node| &node.warnings));
        by_text(&mut page, Style::Plain, all(|node| &node.notes));
        self.limits.iter().for_each(|limit| page.styled(Style::Faint, limit));
        self.coverage.footnote(&mut page);
        page
    }
}
