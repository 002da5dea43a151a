//! The answer of one node.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use super::vpp_table::VppTable;
use crate::{
    output::Cell,
    style::Style,
    weights::{MemberWeight, member_weights},
};
use maglev_fleet::NodeState;
use maglev_model::{
    actual::{ActualEncap, LbDump, VppVip},
    change::VipState,
    config::{Frontend, Standing},
    flow_hash::FlowHash,
    trace::{Choice, Flow, VipMatch},
    view::View,
    vip::Service,
};

/// The way of the packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// To the application server with this address.
    Server(IpAddr),
    /// Dropped: the VIP has no server with a weight.
    NoServer,
    /// Dropped: the VIPs on the destination are for other ports.
    NoPort,
    /// Routed like any packets.
    NoVip,
    /// Not known: without a session with VPP, or without the length of the table.
    Unknown,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeTrace {
    pub node: Arc<str>,
    #[serde(skip)]
    pub outcome: Outcome,
    result: &'static str,
    #[serde(flatten)]
    vip: Option<VipTrace>,
    #[serde(flatten)]
    server: Option<ServerTrace>,
    /// Reason for the effective weight, or for no server.
    because: String,
    /// Reasons to doubt the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Properties of the VIP and of VPP on which the answer depends.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The VIP and its new-flow table.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct VipTrace {
    vip: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encap: Option<&'static str>,
    /// Absent if the length of the table is not known.
    #[serde(flatten)]
    bucket: Option<Bucket>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Bucket {
    table_length: u32,
    /// In hexadecimal.
    hash: String,
    bucket: u32,
}

/// The application server in the bucket.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ServerTrace {
    /// Absent if no Frontend claims the VIP, or none of its pools has the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<String>,
    address: IpAddr,
    /// The weight in VPP, from which the table is computed.
    in_vpp: u8,
    /// The weight once VPP is in sync.
    #[serde(skip_serializing_if = "Option::is_none")]
    effective: Option<u8>,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Self::Server(_) => "Server",
            Self::NoServer => "NoServer",
            Self::NoPort => "NoPort",
            Self::NoVip => "NoVip",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(address) => address.fmt(f),
            Self::NoServer => f.write_str("no server with a weight"),
            Self::NoPort => f.write_str("no VIP for the port"),
            Self::NoVip => f.write_str("no VIP"),
            Self::Unknown => f.write_str("not known"),
        }
    }
}

impl NodeTrace {
    /// `dump` is the last reading of the node's VPP.
    pub fn new(node: &NodeState, dump: Result<&LbDump, &str>, flow: &Flow, function: FlowHash) -> Self {
        let Some(vpp) = &node.view.vpp else {
            return Self::without_vip(node, Outcome::Unknown, "the agent is not connected to VPP".to_owned());
        };
        let vip = match flow.vip(vpp.vips.keys()) {
            VipMatch::Vip(vip) => vip,
            VipMatch::OtherPorts(vips) => {
                return Self::without_vip(node, Outcome::NoPort, no_port(&node.view, flow, &vips));
            }
            VipMatch::NoVip => {
                let because = format!("VPP has no VIP on {}", flow.destination().ip());
                return Self::without_vip(node, Outcome::NoVip, because + &absent_frontend(&node.view, flow));
            }
        };
        let state = vpp.vips.get(&vip).expect("the VIP is one of these VIPs");
        Self::on_vip(node, &VppTable { vip, state, dump, weightless: vpp.weightless }, flow, function)
    }

    /// The outcome, unless it is not known.
    pub fn answer(&self) -> Option<Outcome> {
        Some(self.outcome).filter(|outcome| *outcome != Outcome::Unknown)
    }

    fn without_vip(node: &NodeState, outcome: Outcome, because: String) -> Self {
        Self {
            node: Arc::clone(&node.node),
            outcome,
            result: outcome.as_str(),
            vip: None,
            server: None,
            because,
            warnings: Vec::new(),
            notes: Vec::new(),
        }
    }

    fn on_vip(node: &NodeState, table: &VppTable<'_>, flow: &Flow, function: FlowHash) -> Self {
        let state = table.state;
        let frontend = claiming_frontend(&node.view, &table.vip);
        let key = flow.key(state.sticky == Some(true));
        let choice = table.length().and_then(|length| Some((length, key.choose(function, length, &table.servers())?)));
        let (outcome, server, because) = match choice {
            None => (Outcome::Unknown, None, "the length of VPP's table could not be read".to_owned()),
            Some((_, Choice { server: None, .. })) => (Outcome::NoServer, None, no_server(frontend)),
            Some((_, Choice { server: Some(address), .. })) => {
                let (server, because) = ServerTrace::new(node, frontend, state, address);
                (Outcome::Server(address), Some(server), because)
            }
        };
        let mut warnings = table.warnings();
        warnings.extend(server.as_ref().and_then(ServerTrace::warning));
        let bucket = choice.map(|(table_length, choice)| Bucket {
            table_length,
            hash: format!("{:#010x}", choice.hash),
            bucket: choice.bucket,
        });
        let vip = VipTrace {
            vip: vip_text(&table.vip),
            frontend: frontend.map(|frontend| frontend.name.to_string()),
            encap: state.encap.map(ActualEncap::as_str),
            bucket,
        };
        Self { vip: Some(vip), server, warnings, notes: table.notes(), ..Self::without_vip(node, outcome, because) }
    }

    /// The cells of the node's row.
    pub fn row(&self, wide: bool) -> Vec<Cell> {
        let (vip, server) = (self.vip.as_ref(), self.server.as_ref());
        let bucket = vip.and_then(|vip| vip.bucket.as_ref());
        let cell = |text: Option<String>| text.map_or_else(Cell::none, Cell::from);
        let backend = server.map(|server| server.backend.clone().unwrap_or_else(|| "-".to_owned()));
        let mut row = vec![
            self.node.to_string().into(),
            cell(vip.map(|vip| vip.vip.clone())),
            cell(vip.and_then(|vip| vip.frontend.clone())),
            cell(bucket.map(|bucket| format!("{} of {}", bucket.bucket, bucket.table_length))),
            backend.map_or_else(|| Cell::styled("none", Style::Bad), Cell::from),
            cell(server.map(|server| server.address.to_string())),
            cell(server.map(|server| server.in_vpp.to_string())),
            self.because.clone().into(),
        ];
        if wide {
            row.push(cell(vip.and_then(|vip| vip.encap).map(str::to_owned)));
            row.push(cell(bucket.map(|bucket| bucket.hash.clone())));
        }
        row
    }
}

impl ServerTrace {
    /// The server with this address, and the reason for its effective weight.
    fn new(node: &NodeState, frontend: Option<&Frontend>, state: &VipState, address: IpAddr) -> (Self, String) {
        let in_vpp = state.servers.get(&address).copied().unwrap_or(0);
        let Some(frontend) = frontend else {
            return (Self { backend: None, address, in_vpp, effective: None }, "no Frontend claims the VIP".to_owned());
        };
        let Some(member) = member(node, frontend, address) else {
            let because = format!("no pool of {} has this server: its removal is held or not done yet", frontend.name);
            return (Self { backend: None, address, in_vpp, effective: None }, because);
        };
        let backend = Some(member.backend.to_string());
        (Self { backend, address, in_vpp, effective: Some(member.effective) }, member.reason)
    }

    fn warning(&self) -> Option<String> {
        let (backend, effective) = (self.backend.as_ref()?, self.effective.filter(|weight| *weight != self.in_vpp)?);
        Some(format!("VPP has weight {} for {backend}, which the next sync changes to {effective}", self.in_vpp))
    }
}

/// The pool entry that determines the weight of a server: that of the active pool, or else the first.
fn member(node: &NodeState, frontend: &Frontend, address: IpAddr) -> Option<MemberWeight> {
    let active = node.view.effective_weights(frontend).active_pool;
    let members = frontend.pools.iter().flat_map(|pool| &pool.members);
    let with_address = members.zip(member_weights(node, &frontend.name));
    let mut entries = with_address.filter(|(member, _)| member.target.address() == Some(address));
    let first = entries.next().map(|(_, weight)| weight)?;
    let is_active = |weight: &MemberWeight| active == Some(weight.pool_index);
    if is_active(&first) {
        return Some(first);
    }
    Some(entries.map(|(_, weight)| weight).find(is_active).unwrap_or(first))
}

/// The Frontend of a VIP, unless it is withdrawn.
fn claiming_frontend<'v>(view: &'v View, vip: &VppVip) -> Option<&'v Frontend> {
    let is_claimed = |frontend: &&Frontend| {
        VppVip::from(frontend.vip) == *vip && !matches!(frontend.standing, Standing::Withdrawn(_))
    };
    view.frontends.values().map(|frontend| &**frontend).find(is_claimed)
}

fn no_server(frontend: Option<&Frontend>) -> String {
    let because = "no server of the VIP has a weight, so VPP drops the packets";
    match frontend {
        Some(frontend) => format!("{because}: see `maglevc show frontend {}`", frontend.name),
        None => because.to_owned(),
    }
}

fn no_port(view: &View, flow: &Flow, others: &[VppVip]) -> String {
    let others: Vec<_> = others.iter().map(|vip| format!("{} {}", vip.protocol_text(), vip.port)).collect();
    format!(
        "VPP has no VIP for {} {} and drops the packets: the address has {}{}",
        flow.protocol().as_str(),
        flow.destination().port(),
        others.join(", "),
        absent_frontend(view, flow)
    )
}

/// The Frontend whose VIP the flow has and VPP does not, as the end of a sentence.
fn absent_frontend(view: &View, flow: &Flow) -> String {
    let destination = flow.destination();
    let matches = |frontend: &&Arc<Frontend>| {
        frontend.vip.address == destination.ip()
            && match frontend.vip.service {
                Service::AllPorts => true,
                Service::Port { protocol, port } => protocol == flow.protocol() && port.get() == destination.port(),
            }
    };
    match view.frontends.values().find(matches) {
        Some(frontend) => format!("; Frontend {0} has it: see `maglevc why frontend {0}`", frontend.name),
        None => String::new(),
    }
}

/// Address, protocol and port; the prefix if it is not a host.
pub fn vip_text(vip: &VppVip) -> String {
    let length = if vip.is_host() { String::new() } else { format!("/{}", vip.length) };
    let port = if vip.port == 0 { "port".to_owned() } else { vip.port.to_string() };
    format!("{}{length} {} {port}", vip.address, vip.protocol_text())
}
