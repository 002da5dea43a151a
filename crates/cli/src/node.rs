//! `show nodes` and `show version`.

use std::sync::Arc;

use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::Ratio,
    output::{Cell, Page, Printable, Table, Time, age},
    style::Style,
};
use maglev_fleet::NodeState;
use maglev_model::{event::ProgramResult, vip::Family};

#[derive(Serialize)]
pub struct Nodes(Vec<Node>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    node: Arc<str>,
    reporting: bool,
    ready: bool,
    /// The reason if the node is not ready or does not report.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vpp: Option<Vpp>,
    frontends: Ratio,
    held: usize,
    failed: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sync: Option<Time>,
    failed_steps: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync_error: Option<Arc<str>>,
    suspect_probe_paths: Vec<&'static str>,
    holds: Vec<Hold>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_seen: Option<Time>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Vpp {
    version: String,
    connected_since: Time,
    vips: usize,
    application_servers: usize,
    foreign_vips: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Hold {
    id: Arc<str>,
    /// Number of held removals; 0 for a held change of a Frontend.
    removals: u32,
    /// The held changes in words.
    subject: String,
    until: Time,
}

impl Nodes {
    pub fn new(nodes: &[NodeState]) -> Self {
        Self(nodes.iter().map(Node::new).collect())
    }
}

impl Node {
    fn new(state: &NodeState) -> Self {
        let view = &state.view;
        let results = || view.reports.values().map(|report| report.result);
        let ready = state.version.as_ref().map(|version| version.ready.clone());
        let reporting = state.reporting();
        let reason = if reporting { ready.clone().and_then(Result::err) } else { Some(state.unreachable_reason()) };
        let suspect = [Family::V4, Family::V6].into_iter().filter(|family| view.health.suspect(*family));
        let hold = |hold: &maglev_model::change::SyncHold| Hold {
            id: Arc::clone(&hold.id),
            removals: hold.removals,
            subject: hold.subject(),
            until: Time(hold.until),
        };
        Self {
            node: Arc::clone(&state.node),
            reporting,
            ready: reporting && ready.is_some_and(|ready| ready.is_ok()),
            reason,
            pod: state.target.pod.as_ref().map(ToString::to_string),
            address: state.target.address.to_string(),
            version: state.version.as_ref().map(|version| version.version.clone()),
            vpp: view.vpp.as_ref().map(|vpp| Vpp {
                version: vpp.info.version.clone(),
                connected_since: Time(vpp.since),
                vips: vpp.vips.len(),
                application_servers: vpp.vips.values().map(|vip| vip.servers.len()).sum(),
                foreign_vips: vpp.foreign.len(),
            }),
            frontends: Ratio::count(results(), |result| result == ProgramResult::Programmed),
            held: results().filter(|result| *result == ProgramResult::Held).count(),
            failed: results().filter(|result| *result == ProgramResult::Failed).count(),
            last_sync: view.sync.last_pass.map(Time),
            failed_steps: view.sync.failed_steps,
            sync_error: view.sync.error.clone(),
            suspect_probe_paths: suspect.map(Family::as_str).collect(),
            holds: view.holds.values().map(hold).collect(),
            last_seen: state.last_seen.map(Time),
        }
    }

    fn agent(&self) -> Cell {
        match (self.reporting, self.ready) {
            (true, true) => Cell::styled("ready", Style::Good),
            (true, false) => Cell::styled("not ready", Style::Warn),
            (false, _) => Cell::styled("silent", Style::Bad),
        }
    }

    fn vpp(&self) -> Cell {
        match &self.vpp {
            Some(_) if !self.reporting => Cell::styled("unknown", Style::Faint),
            Some(_) => Cell::styled("connected", Style::Good),
            None if self.reporting => Cell::styled("lost", Style::Bad),
            None => Cell::none(),
        }
    }

    /// Remarks printed below the columns.
    fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> = self.reason.iter().cloned().collect();
        remarks.extend(self.suspect_probe_paths.iter().map(|family| format!("{family} probe path suspect")));
        remarks.extend(
            (self.failed_steps > 0).then(|| format!("{} steps of the last full sync failed", self.failed_steps)),
        );
        remarks.extend(self.sync_error.iter().map(ToString::to_string));
        remarks.extend(self.holds.iter().map(|hold| {
            format!("{} held until {:.0}; to perform now: maglevc accept {}", hold.subject, hold.until.0, hold.id)
        }));
        remarks
    }
}

impl Printable for Nodes {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["NODE", "AGENT", "VPP", "VIPS", "SERVERS", "PROGRAMMED", "HELD", "FAILED", "LAST-SYNC"];
        if wide {
            head.extend(["VERSION", "VPP-VERSION", "VPP-SINCE", "FOREIGN", "POD", "ADDRESS"]);
        }
        let mut table = Table::new(head);
        for node in &self.0 {
            let vpp = |field: fn(&Vpp) -> usize| {
                node.vpp.as_ref().map_or_else(Cell::none, |vpp| field(vpp).to_string().into())
            };
            let count =
                |count: usize| Cell::styled(count.to_string(), if count > 0 { Style::Warn } else { Style::Plain });
            let text = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
            let mut row = vec![
                node.node.to_string().into(),
                node.agent(),
                node.vpp(),
                vpp(|vpp| vpp.vips),
                vpp(|vpp| vpp.application_servers),
                node.frontends.cell(),
                count(node.held),
                count(node.failed),
                text(node.last_sync.map(|at| age(at.0, now))),
            ];
            if wide {
                row.extend([
                    text(node.version.clone()),
                    text(node.vpp.as_ref().map(|vpp| vpp.version.clone())),
                    text(node.vpp.as_ref().map(|vpp| age(vpp.connected_since.0, now))),
                    vpp(|vpp| vpp.foreign_vips),
                    text(node.pod.clone()),
                    node.address.clone().into(),
                ]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no nodes");
        let remarks: Vec<_> =
            self.0.iter().flat_map(|node| node.remarks().into_iter().map(move |remark| (node, remark))).collect();
        if !remarks.is_empty() {
            page.gap();
        }
        for (node, remark) in remarks {
            page.line(format_args!("{}: {remark}", node.node));
        }
        page
    }
}

/// Versions of maglevc and of the agents.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Versions {
    maglevc: Build,
    agents: Vec<AgentBuild>,
}

#[derive(Clone, Serialize)]
pub struct Build {
    pub version: String,
    pub commit: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AgentBuild {
    node: Arc<str>,
    #[serde(flatten)]
    build: Build,
    build_date: String,
    started: Time,
}

impl Versions {
    pub fn new(own: &Build, nodes: &[NodeState]) -> Self {
        let agent = |state: &NodeState| {
            let version = state.version.as_ref()?;
            Some(AgentBuild {
                node: Arc::clone(&state.node),
                build: Build { version: version.version.clone(), commit: version.commit.clone() },
                build_date: version.build_date.clone(),
                started: Time(version.started),
            })
        };
        Self { maglevc: own.clone(), agents: nodes.iter().filter_map(agent).collect() }
    }
}

impl Printable for Versions {
    fn page(&self, wide: bool, now: Timestamp) -> Page {
        let mut head = vec!["PROGRAM", "NODE", "VERSION", "COMMIT", "STARTED"];
        head.extend(wide.then_some("BUILT"));
        let mut table = Table::new(head);
        let Build { version, commit } = self.maglevc.clone();
        table.row(["maglevc".into(), Cell::none(), version.into(), commit.into(), Cell::none()]);
        for agent in &self.agents {
            let Build { version, commit } = agent.build.clone();
            let started = age(agent.started.0, now).into();
            let mut row = vec!["maglevd".into(), agent.node.to_string().into(), version.into(), commit.into(), started];
            row.extend(wide.then(|| agent.build_date.clone().into()));
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no programs");
        page
    }
}
