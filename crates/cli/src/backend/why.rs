//! `why backend X`: the reasons for state and weights, on each node.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    common_state,
    detail::{Probing, memberships_on},
    style,
};
use crate::{
    coverage::NodeCoverage,
    output::{Cell, Page, Printable, Table, Time, age},
    path::Path,
    style::Style,
    weights::{PAUSED_ENDPOINT, RampProgress},
};
use maglev_fleet::NodeState;
use maglev_kube::LastWriter;
use maglev_model::{
    Name,
    config::{Backend, Check},
    derived::Origin,
    health::BackendState,
    view::View,
    vip::Family,
};
use maglev_rpc::client::BackendDetail;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    name: String,
    /// The Node or Service of a Backend without an object.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    state: &'static str,
    admin_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_writer: Option<Writer>,
    #[serde(flatten)]
    coverage: NodeCoverage,
    per_node: Vec<PerNode>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Writer {
    manager: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<LastWriter> for Writer {
    fn from(writer: LastWriter) -> Self {
        Self { manager: writer.manager, at: writer.at.map(Time), by: writer.by, reason: writer.reason }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PerNode {
    node: Arc<str>,
    state: &'static str,
    because: String,
    /// The drain of a paused or disabled Backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<String>,
    #[serde(flatten)]
    probing: Probing,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    pools: Vec<PoolWeight>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths: Vec<Path>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolWeight {
    frontend: String,
    pool: Arc<str>,
    weight: u8,
    effective: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_vpp: Option<u8>,
    because: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ramp: Option<RampProgress>,
}

impl Explanation {
    /// `None` if no reporting node has the Backend.
    pub fn new(
        name: &Name,
        nodes: Vec<NodeState>,
        details: &BTreeMap<Arc<str>, BackendDetail>,
        writer: Option<LastWriter>,
    ) -> Option<Self> {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let instances: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = instances.iter().max_by_key(|(_, backend)| backend.revision.generation)?;
        let per_node = instances.iter().map(|(node, backend)| PerNode::new(node, backend, details.get(&node.node)));
        Some(Self {
            name: name.to_string(),
            origin: Origin::parse(name).map(|origin| origin.to_string()),
            state: common_state(instances.iter().map(|(node, backend)| node.view.backend_state(backend))),
            admin_state: newest.admin_state.as_str(),
            last_writer: writer.map(Writer::from),
            per_node: per_node.collect(),
            coverage,
        })
    }
}

impl PerNode {
    fn new(node: &NodeState, backend: &Backend, detail: Option<&BackendDetail>) -> Self {
        let probing = Probing::new(detail);
        let history = node.view.backend_health(backend).map(|health| Arc::clone(&health.history)).unwrap_or_default();
        let pools = memberships_on(node, &backend.name).into_iter().map(|member| PoolWeight {
            frontend: member.frontend.to_string(),
            pool: member.pool,
            weight: member.weight,
            effective: member.effective,
            in_vpp: member.in_vpp,
            because: member.reason,
            ramp: member.ramp,
        });
        Self {
            node: Arc::clone(&node.node),
            state: node.view.backend_state(backend).as_str(),
            because: state_reason(&node.view, backend, &probing),
            drain: node.view.drains.get(&backend.name).map(ToString::to_string),
            since: history.last().map(|last| Time(last.at)),
            pools: pools.collect(),
            paths: node
                .view
                .backend_paths(&backend.name)
                .map(|(key, health)| Path::new(&key.frontend, health))
                .collect(),
            probing,
        }
    }
}

/// The reason for the state.
fn state_reason(view: &View, backend: &Backend, probing: &Probing) -> String {
    let state = view.backend_state(backend);
    if state == BackendState::Paused && Origin::parse(&backend.name).is_some() {
        return format!("{}: not probed", backend.pause_cause.as_deref().unwrap_or(PAUSED_ENDPOINT));
    }
    if matches!(state, BackendState::Paused | BackendState::Disabled) {
        return format!("adminState is {}: not probed", backend.admin_state.as_str());
    }
    let check = match &backend.check {
        Check::None => return "no HealthCheck: always up".to_owned(),
        Check::Missing(problem) | Check::NotSupported(problem) => return problem.message.clone(),
        Check::Probe(check) => check,
    };
    let mut text = match probing.counter {
        None => "no probe has finished since the agent started or the address changed".to_owned(),
        Some(counter) => {
            // As in `model::health::machine`.
            let (rise, fall) = (u16::from(check.rise), u16::from(check.fall));
            let top = rise + fall - 1;
            format!("the counter is {counter} of {top}; the Backend is up from {rise} (rise {rise}, fall {fall})")
        }
    };
    if view.health.suspect(Family::from_address(backend.address)) {
        text.push_str("; the probe path of this address family is suspect, so probe failures may not be the Backend's");
    }
    text
}

impl Printable for Explanation {
    fn page(&self, _: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        let writer = || self.last_writer.as_ref().map_or_else(Cell::none, |writer| writer.text(now).into());
        let source = match &self.origin {
            Some(origin) => ("Origin", origin.clone().into()),
            None => ("Last written", writer()),
        };
        page.fields([
            ("Backend", self.name.clone().into()),
            ("State", Cell::styled(self.state, style(self.state))),
            ("Admin state", self.admin_state.into()),
            source,
        ]);
        for node in &self.per_node {
            page.heading(&format!("On {}: {}", node.node, node.state));
            page.line(format_args!("  {}", node.because));
            if let Some(drain) = &node.drain {
                page.line(format_args!("  drain: {drain}"));
            }
            if let Some(last) = node.probing.text(now) {
                page.line(format_args!("  last probe: {last}"));
            }
            if let Some(since) = node.since {
                page.line(format_args!("  in this state since {} ({:.0})", age(since.0, now), since.0));
            }
            page.table(&node.table(now), "  in no pool");
            for path in &node.paths {
                page.styled(path.style(), format_args!("  path of {}: {}", path.name, path.text(now)));
            }
        }
        self.coverage.footnote(&mut page);
        page
    }
}

impl PerNode {
    fn table(&self, now: Timestamp) -> Table {
        let mut table = Table::new(["  FRONTEND", "POOL", "WEIGHT", "EFFECTIVE", "IN-VPP", "BECAUSE"]);
        for pool in &self.pools {
            let effective = if pool.effective > 0 { Style::Good } else { Style::Warn };
            table.row([
                format!("  {}", pool.frontend).into(),
                pool.pool.to_string().into(),
                pool.weight.to_string().into(),
                Cell::styled(pool.effective.to_string(), effective),
                pool.in_vpp.map_or_else(Cell::none, |weight| weight.to_string().into()),
                pool.because(now).into(),
            ]);
        }
        table
    }
}

impl PoolWeight {
    fn because(&self, now: Timestamp) -> String {
        let ramp = self.ramp.map(|ramp| format!("; {}", ramp.text(now)));
        format!("{}{}", self.because, ramp.unwrap_or_default())
    }
}

impl Probing {
    fn text(&self, now: Timestamp) -> Option<String> {
        let (code, at, ms) = (self.last_code?, self.last_at?, self.last_ms?);
        let detail = if self.last_detail.is_empty() { String::new() } else { format!(": {}", self.last_detail) };
        Some(format!("{code} in {ms:.1} ms, {} ago{detail}", age(at.0, now)))
    }
}

impl Writer {
    /// Manager and time come from the API server. Everybody who may write the object can write the annotations, so their
    /// text is quoted as a statement.
    fn text(&self, now: Timestamp) -> String {
        let at = self.at.map_or_else(String::new, |at| format!(", {} ago", age(at.0, now)));
        let by = self.by.as_ref().map(|by| format!("for {by}"));
        let statement: Vec<&str> = by.iter().chain(&self.reason).map(String::as_str).collect();
        let says = if statement.is_empty() { String::new() } else { format!(", says: {}", statement.join(": ")) };
        format!("by {}{at}{says}", self.manager)
    }
}
