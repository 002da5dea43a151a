//! `doctor backend X`: the commands that prepare a Linux server to receive the packets that VPP sends to this Backend.
//!
//! The text output is a shell script: everything but the commands is a comment. `docs/guide/network.md` explains them.

mod steps;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::NodeCoverage,
    fan_out::Responses,
    output::{Page, Printable},
    path::{Path, advice},
    style::Style,
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::{Backend, Frontend},
    path::{PathHealth, PathKey},
    vip::Encap,
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preparation {
    name: String,
    address: IpAddr,
    #[serde(flatten)]
    coverage: NodeCoverage,
    frontends: Vec<Use>,
    /// The paths to the Backend as each node just probed them, or else as it last reported them.
    paths: Vec<NodePath>,
    /// Nodes that could not probe the paths now, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    not_probed: BTreeMap<Arc<str>, String>,
    steps: Vec<Step>,
}

/// A path from a node.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct NodePath {
    node: Arc<str>,
    /// True for the result of a probe for this command, false for the state that the node last reported.
    probed_now: bool,
    #[serde(flatten)]
    path: Path,
    /// Advice on the state.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'static str>,
}

/// A Frontend that has the Backend in a pool.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Use {
    frontend: String,
    vip: IpAddr,
    protocol: &'static str,
    port: u16,
    /// Absent if no backend of the Frontend resolves.
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    #[serde(skip)]
    kind: Option<Encap>,
}

/// A part of the preparation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    title: &'static str,
    /// Lines of explanation.
    notes: Vec<String>,
    /// Commands to be run as root on the server.
    commands: Vec<String>,
    /// Commands that show if the step has worked.
    checks: Vec<String>,
}

impl Preparation {
    /// `probed` has the paths as each node just probed them. `None` if no reporting node has the Backend.
    pub fn new(name: &Name, nodes: Vec<NodeState>, probed: Responses<Vec<(PathKey, PathHealth)>>) -> Option<Self> {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let backends = nodes.iter().filter_map(|node| node.view.backends.get(name));
        let backend = backends.max_by_key(|backend| backend.revision.generation)?;
        let mut newest: BTreeMap<&Name, &Arc<Frontend>> = BTreeMap::new();
        for frontend in nodes.iter().flat_map(|node| node.view.frontends.values()) {
            let entry = newest.entry(&frontend.name).or_insert(frontend);
            if frontend.revision.generation > entry.revision.generation {
                *entry = frontend;
            }
        }
        let mut paths = Vec::new();
        for node in &nodes {
            let to_path = |(key, health): (&PathKey, &PathHealth)| Path::new(&key.frontend, health);
            let (probed_now, found): (_, Vec<Path>) = match probed.get(&node.node) {
                Some(Ok(found)) => (true, found.iter().map(|(key, health)| to_path((key, health))).collect()),
                _ => (false, node.view.backend_paths(name).map(to_path).collect()),
            };
            let of_node =
                |path: Path| NodePath { node: Arc::clone(&node.node), probed_now, advice: advice(path.kind), path };
            paths.extend(found.into_iter().map(of_node));
        }
        let is_probed = |node: &Arc<str>| paths.iter().any(|path| path.node == *node);
        let failed = probed.into_iter().filter_map(|(node, found)| Some((node, found.err()?)));
        let not_probed = failed.filter(|(node, _)| is_probed(node)).collect();
        let frontends = newest.into_values().map(|frontend| &**frontend);
        Some(Self { paths, not_probed, ..Self::from_objects(backend, frontends, coverage) })
    }

    fn from_objects<'f>(
        backend: &Backend,
        frontends: impl Iterator<Item = &'f Frontend>,
        coverage: NodeCoverage,
    ) -> Self {
        let has_backend = |frontend: &&Frontend| {
            frontend.pools.iter().flat_map(|pool| &pool.members).any(|member| member.backend == backend.name)
        };
        let frontends: Vec<Use> = frontends.filter(has_backend).map(Use::new).collect();
        Self {
            name: backend.name.to_string(),
            address: backend.address,
            coverage,
            paths: Vec::new(),
            not_probed: BTreeMap::new(),
            steps: steps::all(backend.address, &Packets::new(&frontends)),
            frontends,
        }
    }
}

impl Use {
    fn new(frontend: &Frontend) -> Self {
        let service = frontend.vip.service;
        Self {
            frontend: frontend.name.to_string(),
            vip: frontend.vip.address,
            protocol: service.protocol(),
            port: service.port(),
            encap: frontend.encap.map(Encap::as_str),
            kind: frontend.encap,
        }
    }
}

/// The addresses and encapsulations of the packets that reach the Backend.
#[derive(Clone, Debug, Default)]
struct Packets {
    vips: BTreeSet<IpAddr>,
    /// Each VIP with its encapsulation; all Frontends of a VIP have the same.
    encaps: BTreeMap<IpAddr, Encap>,
}

impl Packets {
    fn new(frontends: &[Use]) -> Self {
        let encaps = frontends.iter().filter_map(|frontend| Some((frontend.vip, frontend.kind?)));
        Self { vips: frontends.iter().map(|frontend| frontend.vip).collect(), encaps: encaps.collect() }
    }

    /// The VIPs that `encap` applies to.
    fn with(&self, matches: impl Fn(Encap) -> bool) -> Vec<IpAddr> {
        self.encaps.iter().filter(|(_, encap)| matches(**encap)).map(|(vip, _)| *vip).collect()
    }
}

impl Printable for Preparation {
    fn page(&self, _: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        page.line(format_args!("# Backend {} at {}: run as root on this server.", self.name, self.address));
        page.line("# The commands are for Linux and last until its next boot: add them to its network configuration.");
        page.line("# Explanations: docs/guide/network.md");
        page.line("#");
        for used in &self.frontends {
            let encap = used.encap.unwrap_or("unknown encapsulation: no backend of the Frontend resolves");
            page.line(format_args!(
                "# Frontend {}: {} {} {}, {encap}",
                used.frontend, used.vip, used.protocol, used.port
            ));
        }
        if self.frontends.is_empty() {
            page.line("# No Frontend has this Backend in a pool, so there is nothing to prepare.");
        }
        if !self.paths.is_empty() {
            page.heading("# Path probes: a SYN in a tunnel from each node, answered directly by the VIP");
        }
        for (node, reason) in &self.not_probed {
            page.styled(Style::Warn, format_args!("# {node} did not probe now: {reason}"));
        }
        for NodePath { node, probed_now, path, advice } in &self.paths {
            let text = if *probed_now { path.result() } else { format!("{}, reported", path.text(now)) };
            page.styled(path.style(), format_args!("# {} from {node}: {text}", path.name));
            if let Some(advice) = advice {
                page.line(format_args!("#   {advice}"));
            }
        }
        for step in &self.steps {
            page.heading(&format!("# {}", step.title));
            step.notes.iter().for_each(|note| page.line(format_args!("# {note}")));
            step.commands.iter().for_each(|command| page.line(command));
            step.checks.iter().for_each(|check| page.line(format_args!("# Check: {check}")));
        }
        page
    }
}

#[cfg(test)]
mod tests;
