//! The rules of AddressPolicies, as read from the objects.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use maglev_crd::{BodyCheck, CheckType, EncapType};
use maglev_model::{
    Name,
    config::{HealthCheck, Probe},
    problem::Problem,
    vip::{Protocol, Service},
};

/// An AddressPolicy as read from its object.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRead {
    /// The selected namespaces; `None` if unreadable, so that no namespace is selected.
    pub namespaces: Option<NamespaceMatch>,
    pub frontends: Option<Arc<FrontendRule>>,
    pub backends: Option<Arc<BackendRule>>,
    pub limits: Limits,
    /// `spec.mode` is `Audit`.
    pub audits: bool,
    /// `spec.onRevoke` is `Withdraw`.
    pub withdraws: bool,
    /// The problem of an object that does not decode.
    pub problem: Option<Problem>,
}

impl PolicyRead {
    /// True if namespaces are selected by label.
    pub fn selects_by_label(&self) -> bool {
        matches!(self.namespaces, Some(NamespaceMatch::Labels(_)))
    }
}

/// Namespaces that an AddressPolicy selects.
#[derive(Clone, Debug, PartialEq)]
pub enum NamespaceMatch {
    All,
    Names(BTreeSet<Box<str>>),
    /// Labels that the Namespace must have.
    Labels(BTreeMap<String, String>),
}

impl NamespaceMatch {
    /// True if the namespace with these labels is selected.
    pub fn selects(&self, namespace: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.contains(namespace),
            Self::Labels(wanted) => {
                labels.is_some_and(|labels| wanted.iter().all(|(label, value)| labels.get(label) == Some(value)))
            }
        }
    }
}

/// Limits of a namespace; `None` for no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    pub frontends: Option<u64>,
    pub backends: Option<u64>,
    pub table_entries: Option<u64>,
    pub probes_per_second: Option<u64>,
}

impl Limits {
    /// The larger of each two limits.
    pub fn larger(self, other: Self) -> Self {
        Self {
            frontends: self.frontends.max(other.frontends),
            backends: self.backends.max(other.backends),
            table_entries: self.table_entries.max(other.table_entries),
            probes_per_second: self.probes_per_second.max(other.probes_per_second),
        }
    }
}

/// A range of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSpan {
    /// `None` for both protocols.
    pub protocol: Option<Protocol>,
    pub from: u16,
    pub to: u16,
}

impl PortSpan {
    fn contains(&self, protocol: Option<Protocol>, port: u16) -> bool {
        let same_protocol = self.protocol.is_none() || self.protocol == protocol;
        same_protocol && (self.from..=self.to).contains(&port)
    }
}

impl fmt::Display for PortSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            write!(f, "{} ", protocol.as_str().to_uppercase())?;
        }
        write!(f, "{}", self.from)?;
        if self.to != self.from { write!(f, "-{}", self.to) } else { Ok(()) }
    }
}

/// Frontends that an AddressPolicy allows.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontendRule {
    pub policy: Name,
    pub addresses: Vec<IpNet>,
    /// `None` for all.
    pub ports: Option<Vec<PortSpan>>,
    /// `None` for all.
    pub encaps: Option<Vec<EncapType>>,
    /// Services that ask for no address get one of `addresses`.
    pub assigns: bool,
}

impl FrontendRule {
    /// True if the ports allow `service`; an unreadable one counts as allowed, since the Frontend is held for that.
    pub fn allows_service(&self, service: Option<Service>) -> bool {
        match (&self.ports, service) {
            (None, _) | (_, None) => true,
            (Some(_), Some(Service::AllPorts)) => false,
            (Some(ports), Some(Service::Port { protocol, port })) => {
                ports.iter().any(|span| span.contains(Some(protocol), port.get()))
            }
        }
    }

    /// True if the encap is allowed; an unreadable one counts as allowed.
    pub fn allows_encap(&self, encap: Option<EncapType>) -> bool {
        match (&self.encaps, encap) {
            (Some(encaps), Some(encap)) => encaps.contains(&encap),
            _ => true,
        }
    }
}

/// Backends that an AddressPolicy allows.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendRule {
    pub policy: Name,
    pub addresses: Vec<IpNet>,
    pub except: Vec<IpNet>,
    /// `None` for every probe.
    pub probes: Option<ProbeRule>,
}

/// Probes that an AddressPolicy allows.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeRule {
    /// `None` for all.
    pub types: Option<Vec<CheckType>>,
    /// `None` for all.
    pub ports: Option<Vec<PortSpan>>,
    pub min_interval: Option<Duration>,
    pub body: BodyCheck,
}

impl ProbeRule {
    /// The first part of `check` that is not allowed: its position in the order of the checks, and the part of a
    /// message.
    pub fn fault(&self, check: &HealthCheck) -> Option<(u8, String)> {
        let (kind, port, body) = parts(&check.probe);
        if let Some(types) = self.types.as_ref().filter(|types| !types.contains(&kind)) {
            let allowed: Vec<&str> = types.iter().map(|kind| kind.as_str()).collect();
            return Some((0, format!("its spec.type is {}, and allowed is {}", kind.as_str(), allowed.join(", "))));
        }
        if let (Some(ports), Some(port)) = (&self.ports, port)
            && !ports.iter().any(|span| span.contains(None, port))
        {
            return Some((1, format!("its spec.port is {port}, and allowed is {}", list(ports))));
        }
        let shortest = shortest_interval(check);
        if let Some(allowed) = self.min_interval.filter(|allowed| shortest < *allowed) {
            let fault = format!("its shortest interval is {shortest:?}, and allowed is {allowed:?} or longer");
            return Some((2, fault));
        }
        if body > self.body {
            let field = if body == BodyCheck::Regex { "expectedBody" } else { "expectedText" };
            let allowed = if self.body == BodyCheck::Text { "http.expectedText" } else { "no expectation of the body" };
            return Some((3, format!("it has spec.http.{field}, and allowed is {allowed}")));
        }
        None
    }
}

/// `a, b, c`.
pub fn list<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The shortest time between two probes that a HealthCheck leads to.
pub fn shortest_interval(check: &HealthCheck) -> Duration {
    check.interval.min(check.fast_interval).min(check.down_interval)
}

fn parts(probe: &Probe) -> (CheckType, Option<u16>, BodyCheck) {
    match probe {
        Probe::Icmp => (CheckType::Icmp, None, BodyCheck::None),
        Probe::Tcp { port, .. } => (CheckType::Tcp, Some(port.get()), BodyCheck::None),
        Probe::Grpc { port, .. } => (CheckType::Grpc, Some(port.get()), BodyCheck::None),
        Probe::Http { port, http, tls } => {
            let kind = if tls.is_some() { CheckType::Https } else { CheckType::Http };
            let body = match (&http.expected_body, &http.expected_text) {
                (Some(_), _) => BodyCheck::Regex,
                (None, Some(_)) => BodyCheck::Text,
                (None, None) => BodyCheck::None,
            };
            (kind, Some(port.get()), body)
        }
    }
}
