//! `show healthchecks`.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::Serialize;

use super::{
    coverage::NodeCoverage,
    output::{Page, Printable, Table},
};
use maglev_fleet::NodeState;
use maglev_model::{
    Name,
    config::{Check, ConnectionMode, HealthCheck, Probe},
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HealthChecks {
    #[serde(flatten)]
    coverage: NodeCoverage,
    health_checks: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    interval_ms: u64,
    fast_interval_ms: u64,
    down_interval_ms: u64,
    timeout_ms: u64,
    rise: u8,
    fall: u8,
    /// `New` or `Reuse`; absent for a type that has no choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<&'static str>,
    /// Number of Backends that use the HealthCheck.
    backends: usize,
}

impl HealthChecks {
    pub fn new(nodes: Vec<NodeState>) -> Self {
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let mut checks: BTreeMap<Name, Arc<HealthCheck>> = BTreeMap::new();
        let mut users: BTreeMap<Name, usize> = BTreeMap::new();
        for node in &nodes {
            checks.extend(node.view.health_checks.iter().map(|(name, check)| (name.clone(), Arc::clone(check))));
            let mut here: BTreeMap<Name, usize> = BTreeMap::new();
            for backend in node.view.backends.values() {
                if let Check::Probe(check) = &backend.check {
                    *here.entry(check.name.clone()).or_default() += 1;
                }
            }
            for (name, count) in here {
                let most = users.entry(name).or_default();
                *most = count.max(*most);
            }
        }
        let row = |(name, check): (&Name, &Arc<HealthCheck>)| Row::new(check, users.get(name).copied().unwrap_or(0));
        Self { coverage, health_checks: checks.iter().map(row).collect() }
    }
}

impl Row {
    fn new(check: &HealthCheck, backends: usize) -> Self {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: check.name.to_string(),
            kind: check.probe.type_name(),
            port: port(&check.probe),
            interval_ms: ms(check.interval),
            fast_interval_ms: ms(check.fast_interval),
            down_interval_ms: ms(check.down_interval),
            timeout_ms: ms(check.timeout),
            rise: check.rise,
            fall: check.fall,
            connection: check.probe.connection().map(ConnectionMode::as_str),
            backends,
        }
    }
}

fn port(probe: &Probe) -> Option<u16> {
    match probe {
        Probe::Icmp => None,
        Probe::Tcp { port, .. } | Probe::Http { port, .. } | Probe::Grpc { port, .. } => Some(port.get()),
    }
}

/// Formats milliseconds as in manifests.
fn duration(ms: u64) -> String {
    match ms {
        _ if ms.is_multiple_of(60_000) && ms > 0 => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1000) => format!("{}s", ms / 1000),
        _ => format!("{ms}ms"),
    }
}

impl Printable for HealthChecks {
    fn page(&self, wide: bool, _: Timestamp) -> Page {
        let mut head = vec!["NAME", "TYPE", "PORT", "INTERVAL", "TIMEOUT", "RISE", "FALL", "BACKENDS"];
        if wide {
            head.extend(["FAST", "DOWN", "CONNECTION"]);
        }
        let mut table = Table::new(head);
        for check in &self.health_checks {
            let mut row = vec![
                check.name.clone().into(),
                check.kind.into(),
                check.port.map_or_else(super::output::Cell::none, |port| port.to_string().into()),
                duration(check.interval_ms).into(),
                duration(check.timeout_ms).into(),
                check.rise.to_string().into(),
                check.fall.to_string().into(),
                check.backends.to_string().into(),
            ];
            if wide {
                row.extend([
                    duration(check.fast_interval_ms).into(),
                    duration(check.down_interval_ms).into(),
                    check.connection.map_or_else(super::output::Cell::none, Into::into),
                ]);
            }
            table.row(row);
        }
        let mut page = Page::default();
        page.table(&table, "no HealthChecks");
        self.coverage.footnote(&mut page);
        page
    }
}
