//! Reads an AddressPolicy. If the object does not decode, its readable blocks are read; an unreadable block allows nothing.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::{FieldDecoder, Unreadable, decodes_as, field, unreadable};
use crate::policies::{BackendRule, FrontendRule, Limits, NamespaceMatch, PolicyRead, PortSpan, ProbeRule};
use maglev_crd::{self as crd, AddressPolicySpec, OnRevoke, PolicyMode};
use maglev_model::{Name, config::Kind};

/// Reads the AddressPolicy `name`.
pub fn address_policy(name: &Name, spec: Result<&AddressPolicySpec, &Unreadable>) -> PolicyRead {
    match spec {
        Ok(spec) => PolicyRead {
            namespaces: Some(namespaces(spec.namespaces.as_ref())),
            frontends: spec.frontends.as_ref().map(|grant| Arc::new(frontends(name, grant))),
            backends: spec.backends.as_ref().map(|grant| Arc::new(backends(name, grant, spec.probes.as_ref()))),
            limits: limits(&spec.limits),
            audits: spec.mode == PolicyMode::Audit,
            withdraws: spec.on_revoke == OnRevoke::Withdraw,
            problem: None,
        },
        Err(undecoded) => raw(name, undecoded),
    }
}

fn raw(name: &Name, undecoded: &Unreadable) -> PolicyRead {
    let fields: [(_, FieldDecoder); 7] = [
        ("namespaces", decodes_as::<crd::Namespaces>),
        ("frontends", decodes_as::<crd::FrontendGrant>),
        ("backends", decodes_as::<crd::BackendGrant>),
        ("probes", decodes_as::<crd::ProbeGrant>),
        ("limits", decodes_as::<crd::Limits>),
        ("mode", decodes_as::<PolicyMode>),
        ("onRevoke", decodes_as::<OnRevoke>),
    ];
    let outcome = "until it is corrected, its unreadable blocks allow nothing, and no VIP is withdrawn because of an \
                   AddressPolicy";
    let problem = unreadable(Kind::AddressPolicy, name, undecoded, &fields, outcome);
    let probes: Option<Option<crd::ProbeGrant>> = block(undecoded, "probes");
    // Probes whose restrictions are unreadable are not allowed.
    let backends_grant: Option<crd::BackendGrant> = probes.as_ref().and_then(|_| block(undecoded, "backends")?);
    let frontends_grant: Option<crd::FrontendGrant> = block(undecoded, "frontends").flatten();
    let selected: Option<Option<crd::Namespaces>> =
        block(undecoded, "namespaces").filter(|_| undecoded.spec.is_object());
    let limited: Option<crd::Limits> = block(undecoded, "limits").flatten();
    PolicyRead {
        namespaces: selected.map(|selected| namespaces(selected.as_ref())),
        frontends: frontends_grant.map(|grant| Arc::new(frontends(name, &grant))),
        backends: backends_grant.map(|grant| Arc::new(backends(name, &grant, probes.flatten().as_ref()))),
        limits: limits(&limited.unwrap_or_default()),
        audits: block(undecoded, "mode").flatten() == Some(PolicyMode::Audit),
        withdraws: false,
        problem: Some(problem),
    }
}

/// A block of a raw spec: `None` if unreadable, `Some(None)` if absent.
fn block<T: DeserializeOwned>(undecoded: &Unreadable, name: &str) -> Option<Option<T>> {
    match field(&undecoded.spec, name) {
        None => Some(None),
        Some(block) => T::deserialize(block).ok().map(Some),
    }
}

fn namespaces(spec: Option<&crd::Namespaces>) -> NamespaceMatch {
    let Some(crd::Namespaces { names, selector }) = spec else { return NamespaceMatch::All };
    match (names, selector) {
        (_, Some(selector)) => NamespaceMatch::Labels(selector.match_labels.clone()),
        (Some(names), None) => NamespaceMatch::Names(names.iter().map(|name| name.as_str().into()).collect()),
        // Only possible in objects that were stored before the schema had the rule.
        (None, None) => NamespaceMatch::Names(std::collections::BTreeSet::new()),
    }
}

fn frontends(policy: &Name, grant: &crd::FrontendGrant) -> FrontendRule {
    let ports = grant.ports.as_ref().map(|ports| {
        let span = |ports: &crd::FrontendPorts| PortSpan {
            protocol: ports.protocol.map(Into::into),
            from: port(ports.from),
            to: port(ports.to.unwrap_or(ports.from)),
        };
        ports.iter().map(span).collect()
    });
    FrontendRule {
        policy: policy.clone(),
        addresses: grant.addresses.iter().map(|network| network.get()).collect(),
        ports,
        encaps: grant.encaps.clone(),
        assigns: grant.assign == crd::Assign::Auto,
    }
}

fn backends(policy: &Name, grant: &crd::BackendGrant, probes: Option<&crd::ProbeGrant>) -> BackendRule {
    let networks = |networks: &[crd::Network]| networks.iter().map(|network| network.get()).collect();
    let probes = probes.map(|probes| ProbeRule {
        types: probes.types.clone(),
        ports: probes.ports.as_ref().map(|ports| {
            let span = |ports: &crd::PortRange| PortSpan {
                protocol: None,
                from: port(ports.from),
                to: port(ports.to.unwrap_or(ports.from)),
            };
            ports.iter().map(span).collect()
        }),
        min_interval: probes.min_interval.map(crd::Interval::get),
        body: probes.expected_body,
    });
    BackendRule {
        policy: policy.clone(),
        addresses: networks(&grant.addresses),
        except: networks(&grant.except),
        probes,
    }
}

fn port(port: crd::Port) -> u16 {
    std::num::NonZeroU16::from(port).get()
}

fn limits(spec: &crd::Limits) -> Limits {
    fn number<const MAX: i32>(limit: Option<crd::Int<0, MAX>>) -> Option<u64> {
        limit.and_then(|limit| u64::try_from(limit.get()).ok())
    }
    Limits {
        frontends: number(spec.frontends),
        backends: number(spec.backends),
        table_entries: number(spec.table_entries),
        probes_per_second: number(spec.probes_per_second),
    }
}
