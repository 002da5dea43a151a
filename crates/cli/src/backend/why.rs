//! `why backend X`: what decides its state and its weights, on each node.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    admin_word, fold,
    one::{Probing, places_on},
    tone,
};
use crate::{
    across::Reach,
    output::{Answer, Cell, Page, Table, Time, age},
    paint::Tone,
};
use maglev_fleet::NodeState;
use maglev_kube::LastWriter;
use maglev_model::{
    Name,
    config::{Backend, Check},
    health::BackendState,
    view::View,
    vip::Family,
};
use maglev_rpc::client::BackendDetail;

/// Why a Backend is as it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Why {
    name: String,
    state: &'static str,
    admin_state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_writer: Option<Writer>,
    #[serde(flatten)]
    reach: Reach,
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
    fn from(of: LastWriter) -> Self {
        Self { manager: of.manager, at: of.at.map(Time), by: of.by, reason: of.reason }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PerNode {
    node: Arc<str>,
    state: &'static str,
    because: String,
    #[serde(flatten)]
    probing: Probing,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Time>,
    pools: Vec<Place>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    frontend: String,
    pool: Arc<str>,
    weight: u8,
    effective: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_vpp: Option<u8>,
    because: String,
}

impl Why {
    /// `None` where no node that reports knows it.
    pub fn of(
        name: &Name,
        nodes: Vec<NodeState>,
        details: &BTreeMap<Arc<str>, BackendDetail>,
        writer: Option<LastWriter>,
    ) -> Option<Self> {
        let (nodes, reach) = Reach::split(nodes);
        let known: Vec<_> = nodes.iter().filter_map(|node| Some((node, node.view.backends.get(name)?))).collect();
        let (_, newest) = known.iter().max_by_key(|(_, of)| of.revision.generation)?;
        let per_node = known.iter().map(|(node, of)| PerNode::of(node, of, details.get(&node.node)));
        Some(Self {
            name: name.to_string(),
            state: fold(known.iter().map(|(node, of)| node.view.backend_state(of))),
            admin_state: admin_word(newest.admin_state),
            last_writer: writer.map(Writer::from),
            per_node: per_node.collect(),
            reach,
        })
    }
}

impl PerNode {
    fn of(node: &NodeState, backend: &Backend, detail: Option<&BackendDetail>) -> Self {
        let probing = Probing::of(detail);
        let history = node.view.health_of(backend).map(|health| Arc::clone(&health.history)).unwrap_or_default();
        let places = places_on(node, &backend.name).into_iter().map(|of| Place {
            frontend: of.frontend.to_string(),
            pool: of.pool,
            weight: of.weight,
            effective: of.effective,
            in_vpp: of.in_vpp,
            because: of.why,
        });
        Self {
            node: Arc::clone(&node.node),
            state: node.view.backend_state(backend).as_str(),
            because: because(&node.view, backend, &probing),
            since: history.last().map(|last| Time(last.at)),
            pools: places.collect(),
            probing,
        }
    }
}

/// What decides the state, in a sentence.
fn because(view: &View, backend: &Backend, probing: &Probing) -> String {
    let state = view.backend_state(backend);
    if matches!(state, BackendState::Paused | BackendState::Disabled) {
        return format!("adminState is {}: it is not probed", admin_word(backend.admin_state));
    }
    let check = match &backend.check {
        Check::None => return "it has no HealthCheck, so it is always up".to_owned(),
        Check::Missing(problem) | Check::NotSupported(problem) => return problem.message.clone(),
        Check::Probe(check) => check,
    };
    let mut text = match probing.counter {
        None => "no probe has been answered since the agent started, or since its address changed".to_owned(),
        Some(counter) => {
            // As in `model::health::machine`.
            let (rise, fall) = (u16::from(check.rise), u16::from(check.fall));
            let top = rise + fall - 1;
            format!("its counter is {counter} of {top}, and it is up from {rise} on (rise {rise}, fall {fall})")
        }
    };
    if view.health.suspect(Family::of(backend.address)) {
        text.push_str("; the probe path of its family is suspect, so this may say nothing about it");
    }
    text
}

impl Answer for Why {
    fn page(&self, _: bool, now: Timestamp) -> Page {
        let mut page = Page::default();
        page.fields([
            ("Backend", self.name.clone().into()),
            ("State", Cell::toned(self.state, tone(self.state))),
            ("Admin state", self.admin_state.into()),
            ("Last written", self.last_writer.as_ref().map_or_else(Cell::none, |writer| writer.text(now).into())),
        ]);
        for node in &self.per_node {
            page.heading(&format!("On {}: {}", node.node, node.state));
            page.line(format_args!("  {}", node.because));
            if let Some(last) = node.probing.text(now) {
                page.line(format_args!("  last probe: {last}"));
            }
            if let Some(since) = node.since {
                page.line(format_args!("  in this state since {} ({:.0})", age(since.0, now), since.0));
            }
            page.table(&node.table(), "  in no pool");
        }
        self.reach.footnote(&mut page);
        page
    }
}

impl PerNode {
    fn table(&self) -> Table {
        let mut table = Table::new(["  FRONTEND", "POOL", "WEIGHT", "EFFECTIVE", "IN-VPP", "BECAUSE"]);
        for of in &self.pools {
            let effective = if of.effective > 0 { Tone::Good } else { Tone::Warn };
            table.row([
                format!("  {}", of.frontend).into(),
                of.pool.to_string().into(),
                of.weight.to_string().into(),
                Cell::toned(of.effective.to_string(), effective),
                of.in_vpp.map_or_else(Cell::none, |weight| weight.to_string().into()),
                of.because.clone().into(),
            ]);
        }
        table
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
    fn text(&self, now: Timestamp) -> String {
        let by = self.by.as_ref().map_or_else(String::new, |by| format!(" for {by}"));
        let at = self.at.map_or_else(String::new, |at| format!(", {} ago", age(at.0, now)));
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("by {}{by}{at}{reason}", self.manager)
    }
}
