//! The problems of objects that are not allowed. The messages name the field and what the namespace may use; they do
//! not disclose other namespaces.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    deny_list::Denied,
    grant::{FrontendFault, FrontendUse, Grant},
    rules::{FrontendRule, PortSpan, list},
};
use maglev_model::{
    Name,
    problem::{Problem, Reason},
    vip::Service,
};

/// Networks listed in a message; further networks are only counted.
const MAX_LISTED: usize = 6;

/// The consequence for a Frontend that is not allowed.
const FRONTEND_HELD: &str =
    "until then VPP is left as it is: the VIP is not added, and one that VPP has stays until the Frontend is deleted";
const FRONTEND_WITHDRAWN: &str = "until then the VIP is removed from VPP, as spec.onRevoke of an AddressPolicy says";
const BACKEND_HELD: &str =
    "until then the Backend is not probed and not added to VPP, and stays as it is where VPP has it";

/// The problem of a Frontend that no AddressPolicy allows.
pub fn frontend(name: &Name, usage: FrontendUse, fault: &FrontendFault<'_>, grant: &Grant) -> Problem {
    let (field, text) = frontend_fault(name.namespace(), usage, fault, grant);
    let consequence = if grant.withdraws { FRONTEND_WITHDRAWN } else { FRONTEND_HELD };
    let message = format!("Frontend {name}: {field}: {text}; {consequence}");
    Problem::new(Reason::AddressNotAllowed, field, message)
}

/// The field of a Frontend that no AddressPolicy allows, and the part of a message.
pub fn frontend_fault(
    namespace: &str,
    usage: FrontendUse,
    fault: &FrontendFault<'_>,
    grant: &Grant,
) -> (&'static str, String) {
    match fault {
        FrontendFault::Address => {
            let allowed = networks(&grant.frontend_networks, &[]);
            (
                "spec.address",
                format!("{} is not allowed: Frontends of namespace {namespace} may use {allowed}", usage.address),
            )
        }
        FrontendFault::Service(rules) => {
            let ports: Vec<PortSpan> = unique(rules.iter().flat_map(|rule| rule.ports.iter().flatten().copied()));
            let text = format!(
                "{} is not allowed on {}: there, Frontends of namespace {namespace} may use {}",
                service(usage.service),
                usage.address,
                list(&ports)
            );
            ("spec.port", text)
        }
        FrontendFault::Encap(rules) => ("spec.encap.type", encap_text(namespace, usage, rules)),
    }
}

fn encap_text(namespace: &str, usage: FrontendUse, rules: &[&FrontendRule]) -> String {
    let spelling = |encap: maglev_crd::EncapType| match encap {
        maglev_crd::EncapType::Gre => "GRE",
        maglev_crd::EncapType::L3dsr => "L3DSR",
    };
    let allowed: Vec<&str> = unique(rules.iter().flat_map(|rule| rule.encaps.iter().flatten().copied().map(spelling)));
    let found = usage.encap.map_or("this encapsulation", spelling);
    format!(
        "{found} is not allowed on {}: there, Frontends of namespace {namespace} may use {}",
        usage.address,
        list(&allowed)
    )
}

/// The problem of a Frontend with an address of the deny list.
pub fn denied_frontend(name: &Name, address: IpAddr, denied: Denied) -> Problem {
    let what = denied.what;
    let message = format!(
        "Frontend {name}: spec.address {address} {what}, and no AddressPolicy can allow it: choose another address; \
         {FRONTEND_HELD}"
    );
    Problem::new(Reason::AddressNotAllowed, "spec.address", message)
}

/// The problem of a Backend with an address that no AddressPolicy allows.
pub fn backend(name: &Name, address: IpAddr, grant: &Grant) -> Problem {
    let allowed = networks(&grant.backend_networks, &grant.backend_exceptions);
    let message = format!(
        "Backend {name}: spec.address {address} is not allowed: Backends of namespace {} may have {allowed}; {BACKEND_HELD}",
        name.namespace()
    );
    Problem::new(Reason::AddressNotAllowed, "spec.address", message)
}

/// The problem of a Backend with an address of the deny list.
pub fn denied_backend(name: &Name, address: IpAddr, denied: Denied) -> Problem {
    let exception = if denied.by_name {
        "only an AddressPolicy with exactly this address in spec.backends.addresses can allow it"
    } else {
        "no AddressPolicy can allow it"
    };
    let message = format!("Backend {name}: spec.address {address} {}, and {exception}; {BACKEND_HELD}", denied.what);
    Problem::new(Reason::AddressNotAllowed, "spec.address", message)
}

/// The problem of a Backend whose probes are not allowed.
pub fn probe(name: &Name, check: &Name, fault: &str) -> Problem {
    const FIELD: &str = "spec.healthCheckRef";
    let message = format!(
        "Backend {name}: {FIELD} refers to HealthCheck {:?}, whose probes are not allowed for Backends of namespace {}: \
         {fault}; until then the Backend is not probed and keeps its weight",
        check.name(),
        name.namespace()
    );
    Problem::new(Reason::ProbeNotAllowed, FIELD, message)
}

/// The problem of a Backend that the own Node must not probe.
pub fn own_address(name: &Name, address: IpAddr) -> Problem {
    let message = format!(
        "Backend {name}: spec.address {address} is an address of this node, which a probe must not reach: only an \
         AddressPolicy with exactly this address in spec.backends.addresses can allow it; until then this node does not \
         probe the Backend, which keeps its weight"
    );
    Problem::new(Reason::AddressUsedByNode, "spec.address", message)
}

/// The problem of a Frontend beyond a limit; `field` of the AddressPolicy and `unit` name the limit.
pub fn frontend_quota(name: &Name, field: &str, limit: u64, unit: &str) -> Problem {
    let path = if field == "tableEntries" { "spec.tableLength" } else { "spec" };
    let message = format!(
        "Frontend {name}: older Frontends of namespace {} leave no room within the limit of {limit} {unit} (limits.{field} \
         of its AddressPolicies): delete others, or ask for a larger limit; {FRONTEND_HELD}",
        name.namespace()
    );
    Problem::new(Reason::QuotaExceeded, path, message)
}

/// The problem of a Backend beyond the limit of Backends.
pub fn backend_quota(name: &Name, limit: u64) -> Problem {
    let message = format!(
        "Backend {name}: older Backends of namespace {} take up the limit of {limit} Backends (limits.backends of its \
         AddressPolicies): delete others, or ask for a larger limit; {BACKEND_HELD}",
        name.namespace()
    );
    Problem::new(Reason::QuotaExceeded, "spec", message)
}

/// The problem of a Backend beyond the limit of probes.
pub fn probe_quota(name: &Name, limit: u64) -> Problem {
    let message = format!(
        "Backend {name}: spec.healthCheckRef: older Backends of namespace {} take up the limit of {limit} probes per second \
         (limits.probesPerSecond of its AddressPolicies): use longer intervals, or ask for a larger limit; until then the \
         Backend is not probed and keeps its weight",
        name.namespace()
    );
    Problem::new(Reason::QuotaExceeded, "spec.healthCheckRef", message)
}

/// The report of a problem that an AddressPolicy in mode Audit does not enforce.
pub fn reported(problem: Problem) -> Problem {
    let Problem { field, message, .. } = problem;
    let message = format!("not enforced yet (AddressPolicy in mode Audit): {message}");
    Problem { reason: Reason::PolicyViolation, field, message }
}

fn service(service: Option<Service>) -> String {
    match service {
        Some(Service::Port { protocol, port }) => format!("{} port {port}", protocol.as_str().to_uppercase()),
        Some(Service::AllPorts) | None => "a Frontend for all ports".to_owned(),
    }
}

fn networks(allowed: &[IpNet], except: &[IpNet]) -> String {
    if allowed.is_empty() {
        return "none, because no AddressPolicy allows any; the administrators of the cluster write AddressPolicies"
            .to_owned();
    }
    let listed = |networks: &[IpNet]| {
        let more = networks.len().saturating_sub(MAX_LISTED);
        let first = list(&networks[..networks.len() - more]);
        if more == 0 { first } else { format!("{first} and {more} more networks") }
    };
    if except.is_empty() { listed(allowed) } else { format!("{} except {}", listed(allowed), listed(except)) }
}

fn unique<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut unique = Vec::new();
    items.for_each(|item| {
        if !unique.contains(&item) {
            unique.push(item);
        }
    });
    unique
}
