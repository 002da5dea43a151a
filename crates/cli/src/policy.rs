//! `show policies` and `show policy X`.

pub mod explain;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    output::{Cell, Page, Printable, Table},
    session::Session,
    style::Style,
};
use maglev_crd::{
    AddressPolicySpec, Assign, BackendGrant, BodyCheck, FrontendGrant, FrontendPorts, Limits, Namespaces, OnRevoke,
    PolicyMode, PortRange, ProbeGrant,
};
use maglev_kube::{ReadPolicy, read_policies};

/// Every AddressPolicy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policies {
    policies: Vec<Row>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    selects: String,
    mode: &'static str,
    on_revoke: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespaces: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontends: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backends: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    violations: Option<i32>,
}

/// One AddressPolicy.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    #[serde(flatten)]
    row: Row,
    #[serde(flatten)]
    grants: Grants,
    /// Limits that are set, by field.
    limits: Vec<Limit>,
    /// The error of an object that does not decode.
    #[serde(skip_serializing_if = "Option::is_none")]
    unreadable: Option<String>,
}

/// The grants of one AddressPolicy, or of several.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants {
    allowed_frontends: Vec<AllowedFrontends>,
    allowed_backends: Vec<AllowedBackends>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllowedFrontends {
    policy: String,
    addresses: String,
    ports: String,
    encaps: String,
    /// `Auto` if Services that ask for no address get one, else `OnRequest`.
    assign: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AllowedBackends {
    policy: String,
    addresses: String,
    except: String,
    probes: String,
}

#[derive(Serialize)]
struct Limit {
    field: &'static str,
    limit: u64,
}

/// The AddressPolicies of the cluster.
pub async fn read(session: &Session) -> anyhow::Result<Vec<ReadPolicy>> {
    read_policies(session.kube().await?).await.context("cannot list the AddressPolicies")
}

impl Policies {
    pub fn new(policies: &[ReadPolicy]) -> Self {
        Self { policies: policies.iter().map(Row::new).collect() }
    }
}

impl Policy {
    pub fn new(policy: &ReadPolicy) -> Self {
        let (mut grants, mut limits, mut unreadable) = (Grants::default(), Vec::new(), None);
        match &policy.object.spec {
            Ok(spec) => {
                grants.add(policy.object.meta.name.as_str(), spec);
                limits = set_limits(&spec.limits);
            }
            Err(error) => unreadable = Some(error.error.clone()),
        }
        Self { row: Row::new(policy), grants, limits, unreadable }
    }
}

impl Row {
    fn new(ReadPolicy { object, status }: &ReadPolicy) -> Self {
        let spec = object.spec.as_ref().ok();
        let mode = spec.map_or("unreadable", |spec| match spec.mode {
            PolicyMode::Enforce => "Enforce",
            PolicyMode::Audit => "Audit",
        });
        Self {
            name: object.meta.name.to_string(),
            selects: spec.map_or_else(|| "unreadable".to_owned(), |spec| selection(spec.namespaces.as_ref())),
            mode,
            on_revoke: match spec.map(|spec| spec.on_revoke) {
                Some(OnRevoke::Withdraw) => "Withdraw",
                _ => "Hold",
            },
            namespaces: status.namespaces,
            frontends: status.frontends,
            backends: status.backends,
            violations: status.violations,
        }
    }
}

impl Grants {
    fn add(&mut self, policy: &str, spec: &AddressPolicySpec) {
        if let Some(FrontendGrant { addresses, ports, encaps, assign }) = &spec.frontends {
            let encap = |encap: &maglev_crd::EncapType| match encap {
                maglev_crd::EncapType::Gre => "GRE",
                maglev_crd::EncapType::L3dsr => "L3DSR",
            };
            self.allowed_frontends.push(AllowedFrontends {
                policy: policy.to_owned(),
                addresses: join(addresses.iter().map(|network| network.get())),
                ports: ports.as_ref().map_or_else(all, |ports| join(ports.iter().map(frontend_ports))),
                encaps: encaps.as_ref().map_or_else(all, |encaps| join(encaps.iter().map(encap))),
                assign: match assign {
                    Assign::Auto => "Auto",
                    Assign::OnRequest => "OnRequest",
                },
            });
        }
        if let Some(BackendGrant { addresses, except }) = &spec.backends {
            self.allowed_backends.push(AllowedBackends {
                policy: policy.to_owned(),
                addresses: join(addresses.iter().map(|network| network.get())),
                except: join(except.iter().map(|network| network.get())),
                probes: spec.probes.as_ref().map_or_else(all, probes),
            });
        }
    }

    fn print(&self, page: &mut Page) {
        page.heading("Frontends may use");
        let mut table = Table::new(["  ADDRESSES", "PORTS", "ENCAPS", "ASSIGN", "POLICY"]);
        for AllowedFrontends { policy, addresses, ports, encaps, assign } in &self.allowed_frontends {
            let row = [format!("  {addresses}"), ports.clone(), encaps.clone(), (*assign).to_owned(), policy.clone()];
            table.row(row.map(Cell::from));
        }
        page.table(&table, "  nothing");
        page.heading("Backends may have");
        let mut table = Table::new(["  ADDRESSES", "EXCEPT", "PROBES", "POLICY"]);
        for AllowedBackends { policy, addresses, except, probes } in &self.allowed_backends {
            let except = if except.is_empty() { Cell::none() } else { except.clone().into() };
            table.row([format!("  {addresses}").into(), except, probes.clone().into(), policy.clone().into()]);
        }
        page.table(&table, "  no address");
    }
}

fn all() -> String {
    "all".to_owned()
}

fn join<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

fn selection(namespaces: Option<&Namespaces>) -> String {
    match namespaces {
        None => "all namespaces".to_owned(),
        Some(Namespaces { names, selector: None }) => join(names.iter().flatten()),
        Some(Namespaces { selector: Some(selector), .. }) => {
            join(selector.match_labels.iter().map(|(label, value)| format!("{label}={value}")))
        }
    }
}

fn span(from: maglev_crd::Port, to: Option<maglev_crd::Port>) -> String {
    match to.filter(|to| *to != from) {
        Some(to) => format!("{}-{}", from.get(), to.get()),
        None => from.get().to_string(),
    }
}

fn frontend_ports(ports: &FrontendPorts) -> String {
    let protocol = match ports.protocol {
        Some(maglev_crd::Protocol::Tcp) => "TCP ",
        Some(maglev_crd::Protocol::Udp) => "UDP ",
        None => "",
    };
    format!("{protocol}{}", span(ports.from, ports.to))
}

fn probes(grant: &ProbeGrant) -> String {
    let ProbeGrant { types, ports, min_interval, expected_body } = grant;
    let mut parts = Vec::new();
    parts.extend(types.as_ref().map(|types| join(types.iter().map(|kind| kind.as_str()))));
    let port = |ports: &PortRange| span(ports.from, ports.to);
    parts.extend(ports.as_ref().map(|ports| format!("port {}", join(ports.iter().map(port)))));
    parts.extend(min_interval.map(|interval| format!("every {interval} or less often")));
    parts.extend(match expected_body {
        BodyCheck::None => Some("no expected body".to_owned()),
        BodyCheck::Text => Some("no expectedBody".to_owned()),
        BodyCheck::Regex => None,
    });
    if parts.is_empty() { all() } else { parts.join("; ") }
}

fn set_limits(limits: &Limits) -> Vec<Limit> {
    let Limits { frontends, backends, table_entries, probes_per_second } = limits;
    let number = |limit: i32| u64::try_from(limit).unwrap_or(0);
    [
        ("frontends", frontends.map(|limit| number(limit.get()))),
        ("backends", backends.map(|limit| number(limit.get()))),
        ("tableEntries", table_entries.map(|limit| number(limit.get()))),
        ("probesPerSecond", probes_per_second.map(|limit| number(limit.get()))),
    ]
    .into_iter()
    .filter_map(|(field, limit)| Some(Limit { field, limit: limit? }))
    .collect()
}

fn limits_text(limits: &[Limit]) -> Cell {
    if limits.is_empty() {
        return Cell::none();
    }
    join(limits.iter().map(|Limit { field, limit }| format!("{field} {limit}"))).into()
}

fn count(number: Option<i32>) -> Cell {
    number.map_or_else(Cell::none, |number| number.to_string().into())
}

fn violations(number: Option<i32>) -> Cell {
    match number {
        Some(number @ 1..) => Cell::styled(number.to_string(), Style::Warn),
        other => count(other),
    }
}

impl Printable for Policies {
    fn page(&self, wide: bool, _: Timestamp) -> Page {
        let mut head = vec!["NAME", "SELECTS", "MODE", "NAMESPACES", "FRONTENDS", "BACKENDS", "VIOLATIONS"];
        if wide {
            head.push("ON-REVOKE");
        }
        let mut table = Table::new(head);
        for row in &self.policies {
            let mut cells = vec![
                row.name.clone().into(),
                row.selects.clone().into(),
                row.mode.into(),
                count(row.namespaces),
                count(row.frontends),
                count(row.backends),
                violations(row.violations),
            ];
            if wide {
                cells.push(row.on_revoke.into());
            }
            table.row(cells);
        }
        let mut page = Page::default();
        page.table(&table, "no AddressPolicies: every namespace may use every address");
        page
    }
}

impl Printable for Policy {
    fn page(&self, _: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        page.fields([
            ("AddressPolicy", self.row.name.clone().into()),
            ("Selects", self.row.selects.clone().into()),
            ("Mode", self.row.mode.into()),
            ("On revoke", self.row.on_revoke.into()),
            ("Limits", limits_text(&self.limits)),
            ("Violations", violations(self.row.violations)),
        ]);
        if let Some(error) = &self.unreadable {
            page.styled(Style::Bad, format_args!("cannot be read: {error}"));
            return page;
        }
        self.grants.print(&mut page);
        page
    }
}
