//! The addresses that Frontends of each namespace may have, without an index. Called by `controller`, which gives addresses
//! to Services.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    AddressRange, Work,
    changes::Changes,
    node::NodeSettings,
    node_addresses::NodeAddresses,
    object::{Object, Stored},
    policies::{FrontendRule, FrontendUse, Policies},
    read,
};
use maglev_crd::EncapType;
use maglev_model::{Name, config::Kind, vip::Service};

/// AddressPolicies with the labels of Namespaces, and the addresses that no Frontend may have.
pub struct AddressGrants {
    allow_loopback: bool,
    policies: Policies,
    configs: NodeSettings,
    nodes: NodeAddresses,
    listed: BTreeSet<Kind>,
}

/// A network whose addresses are given to Services that ask for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedNetwork {
    pub policy: Name,
    pub range: AddressRange,
}

impl AddressGrants {
    /// The kinds that have to be watched at all times.
    pub const KINDS: [Kind; 3] = [Kind::AddressPolicy, Kind::LoadBalancerConfig, Kind::Node];

    /// Starts without objects. `allow_loopback` is that of the index.
    pub fn new(allow_loopback: bool) -> Self {
        let mut grants = Self {
            allow_loopback,
            policies: Policies::default(),
            configs: NodeSettings::default(),
            nodes: NodeAddresses::default(),
            listed: BTreeSet::new(),
        };
        grants.settle();
        grants
    }

    /// Applies an update of one kind: deletions, then new and changed objects. Returns true if it may allow or refuse an
    /// address.
    pub fn update(&mut self, kind: Kind, first: bool, deleted: &[Name], objects: Vec<Object>) -> bool {
        let mut changes = Changes::default();
        let mut differs = first && self.listed.insert(kind);
        for name in deleted {
            match kind {
                Kind::AddressPolicy => self.policies.delete(name, &mut changes),
                Kind::LoadBalancerConfig => self.configs.delete(name, &mut changes),
                Kind::Namespace => self.policies.delete_namespace(name.as_str()),
                Kind::Node => differs |= !self.nodes.delete(name.as_str()).is_empty(),
                Kind::HealthCheck | Kind::Backend | Kind::Frontend | Kind::EndpointSlice => {}
            }
        }
        differs |= kind != Kind::Node && !deleted.is_empty();
        for object in objects {
            differs |= self.apply(object);
        }
        if differs {
            self.settle();
        }
        differs
    }

    fn apply(&mut self, object: Object) -> bool {
        match object {
            Object::AddressPolicy(Stored { meta, spec }) => {
                let read = read::address_policy(&meta.name, spec.as_ref());
                self.policies.apply(meta, read, false);
            }
            Object::LoadBalancerConfig(Stored { meta, spec }) => {
                let read = read::load_balancer_config(&meta.name, spec.as_ref());
                self.configs.apply(meta, read, false);
            }
            Object::Namespace(namespace) => self.policies.apply_namespace(namespace),
            // Nodes change all the time, and their addresses almost never.
            Object::Node(node) => return !self.nodes.apply(&node).is_empty(),
            Object::HealthCheck(_) | Object::Backend(_) | Object::Frontend(_) | Object::EndpointSlice(_) => {
                return false;
            }
        }
        true
    }

    fn settle(&mut self) {
        self.policies.set_deny_list(self.configs.deny_list(self.allow_loopback));
        self.policies.settle(&mut Changes::default(), &mut Work::default());
    }

    /// True once every kind that is needed has been listed.
    pub fn is_listed(&self) -> bool {
        let namespaces = !self.needs_namespaces() || self.listed.contains(&Kind::Namespace);
        namespaces && Self::KINDS.iter().all(|kind| self.listed.contains(kind))
    }

    /// True while Namespaces have to be watched, because an AddressPolicy selects them by label.
    pub fn needs_namespaces(&self) -> bool {
        self.policies.selects_by_label()
    }

    /// Forgets the Namespaces, which are no longer watched.
    pub fn unlist_namespaces(&mut self) {
        self.listed.remove(&Kind::Namespace);
        let names: Vec<Name> = self.policies.namespace_names().map(Name::cluster).collect();
        names.iter().for_each(|name| self.policies.delete_namespace(name.as_str()));
        self.settle();
    }

    /// True if there is an AddressPolicy.
    pub fn has_policies(&self) -> bool {
        self.policies.names().next().is_some()
    }

    /// The networks whose addresses a Service of `namespace` with these ports gets if it asks for none, in order.
    pub fn assigned_networks(&self, namespace: &str, services: &[Service]) -> Vec<AssignedNetwork> {
        let allows = |rule: &&FrontendRule| {
            rule.assigns
                && rule.allows_encap(Some(EncapType::Gre))
                && services.iter().all(|service| rule.allows_service(Some(*service)))
        };
        let rules = self.policies.frontend_rules_of(namespace).filter(allows);
        rules
            .flat_map(|rule| {
                let mut networks = rule.addresses.clone();
                networks.sort();
                networks.into_iter().map(|network| AssignedNetwork {
                    policy: rule.policy.clone(),
                    range: AddressRange::assignable(network),
                })
            })
            .collect()
    }

    /// The part of a message on the reason why Frontends of `namespace` with encap GRE and these ports may not have
    /// `address`; `None` if they may.
    pub fn refusal(&mut self, namespace: &str, address: IpAddr, services: &[Service]) -> Option<String> {
        if let Some(why) = self.unusable(address) {
            return Some(format!("{address} {why}"));
        }
        let grant = self.policies.grant(namespace, &mut Work::default());
        services.iter().find_map(|service| {
            let usage = FrontendUse { address, service: Some(*service), encap: Some(EncapType::Gre) };
            self.policies.frontend_refusal(namespace, usage, &grant)
        })
    }

    /// The last address of the addresses around `address` that no Frontend may have; `None` if Frontends may have it, as
    /// far as AddressPolicies allow.
    pub fn unusable_until(&self, address: IpAddr) -> Option<IpAddr> {
        let reserved = self.unusable(address).map(|_| last_of_kind(address));
        reserved.max(self.policies.denied_until(address))
    }

    /// The predicate of a message on an address that no Frontend may have, whatever is configured.
    fn unusable(&self, address: IpAddr) -> Option<&'static str> {
        if address.is_loopback() {
            return (!self.allow_loopback).then_some("is a loopback address");
        }
        if address.to_string().parse::<maglev_crd::Address>().is_err() {
            return Some("is not the address of one host");
        }
        self.nodes.node(address).map(|_| "is the address of a Node")
    }
}

/// The last address of the loopback, multicast or reserved network around `address`; `address` itself outside of these.
fn last_of_kind(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_loopback() => [127, 255, 255, 255].into(),
        IpAddr::V4(v4) if v4.is_multicast() => [239, 255, 255, 255].into(),
        IpAddr::V6(v6) if v6.is_multicast() => [u16::MAX; 8].into(),
        // IPv4-mapped addresses, and the rest of ::/96.
        IpAddr::V6(v6) if matches!(v6.segments(), [0, 0, 0, 0, 0, 0 | u16::MAX, ..]) && !v6.is_loopback() => {
            let [.., kind, _, _] = v6.segments();
            [0, 0, 0, 0, 0, kind, u16::MAX, u16::MAX].into()
        }
        other => other,
    }
}
