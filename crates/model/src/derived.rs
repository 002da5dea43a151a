//! Names of derived Backends: those that a pool gets from a Service, without an object of their own.
//!
//! The names contain `:` or `@`, which the API server allows in no name of an object. So a derived Backend can never be
//! taken for a stored one, although both are in the same maps.

use std::{fmt, net::IpAddr};

use super::{name::Name, vip::Family};

const NODE: &str = "node:";
const UNKNOWN: &str = "unknown";

/// The name of a derived Backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DerivedName(Name);

/// The origin of a derived Backend.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A Node, shared by all Services that are reached through it.
    Node(String),
    /// An endpoint of a Service.
    Service(Name),
}

impl DerivedName {
    /// `node:NAME`: the Node with its first address.
    pub fn node(node: &str) -> Self {
        Self(Name::cluster(&format!("{NODE}{node}")))
    }

    /// `node:NAME:ipv4` or `node:NAME:ipv6`: the Node with an address of `family`, which is not that of its first address.
    pub fn node_address(node: &str, family: Family) -> Self {
        let family = match family {
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
        };
        Self(Name::cluster(&format!("{NODE}{node}:{family}")))
    }

    /// `NAMESPACE/SERVICE@ADDRESS`, followed by `+CHECK` if `check` names a HealthCheck: pools with different HealthChecks
    /// have different Backends at one address.
    pub fn endpoint(service: &Name, address: IpAddr, check: Option<&Name>) -> Self {
        let check = check.map(|check| format!("+{}", check.name())).unwrap_or_default();
        Self(service.sibling(&format!("{}@{address}{check}", service.name())))
    }

    /// `NAMESPACE/SERVICE@unknown`: the place of endpoints that are not known.
    pub fn unknown(service: &Name) -> Self {
        Self(service.sibling(&format!("{}@{UNKNOWN}", service.name())))
    }

    /// The name of a derived Backend; `None` for that of a stored Backend.
    pub fn parse(name: &Name) -> Option<Self> {
        let derived = Self::is_node(name) || name.name().contains('@');
        derived.then(|| Self(name.clone()))
    }

    /// True for the name of a Node as Backend.
    pub fn is_node(name: &Name) -> bool {
        name.as_str().starts_with(NODE)
    }

    /// The Node or Service that the Backend comes from.
    pub fn origin(&self) -> Origin {
        if let Some(node) = self.0.as_str().strip_prefix(NODE) {
            return Origin::Node(node.split(':').next().unwrap_or_default().to_owned());
        }
        let service = self.0.name().split('@').next().unwrap_or_default();
        Origin::Service(self.0.sibling(service))
    }

    /// True for the place of endpoints that are not known.
    pub fn is_unknown(&self) -> bool {
        self.0.name().split_once('@').is_some_and(|(_, address)| address == UNKNOWN)
    }

    /// The name as key of maps of Backends.
    pub fn name(&self) -> &Name {
        &self.0
    }

    /// An explanation for a person who wants to change the Backend, which has no object.
    pub fn how_to_change(&self) -> String {
        let name = &self.0;
        match self.origin() {
            Origin::Node(node) => format!(
                "{name} has no Backend object: it is Node {node}, which pools of Services use. To send it no new flows, run: \
                 maglevc drain node {node}; to move its pods away first, run: kubectl drain {node}; to take it out of all \
                 pools of Services, run: kubectl label node {node} \
                 node.kubernetes.io/exclude-from-external-load-balancers=true"
            ),
            Origin::Service(service) => format!(
                "{name} has no Backend object: it is an endpoint of Service {service}. Change the pods or EndpointSlices of \
                 the Service, or service.weight in the pool of the Frontend"
            ),
        }
    }
}

impl From<DerivedName> for Name {
    fn from(name: DerivedName) -> Self {
        name.0
    }
}

impl DerivedName {
    /// True if both Backends change together: they are the same, or addresses of one Node.
    pub fn change_together(this: &Name, that: &Name) -> bool {
        if this == that {
            return true;
        }
        let are_nodes = Self::is_node(this) && Self::is_node(that);
        are_nodes && Origin::parse(this) == Origin::parse(that)
    }
}

impl Origin {
    /// The origin of the Backend `name`; `None` for a stored Backend.
    pub fn parse(name: &Name) -> Option<Self> {
        DerivedName::parse(name).map(|name| name.origin())
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "Node {node}"),
            Self::Service(service) => write!(f, "Service {service}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_names_have_their_form_and_origin() {
        let service = Name::namespaced("shop", "web");
        let (v4, v6): (IpAddr, IpAddr) = ("10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let cases = [
            (DerivedName::node("a.example"), "node:a.example", "Node a.example"),
            (DerivedName::node_address("a", Family::V6), "node:a:ipv6", "Node a"),
            (DerivedName::endpoint(&service, v4, None), "shop/web@10.0.0.1", "Service shop/web"),
            (DerivedName::endpoint(&service, v6, None), "shop/web@2001:db8::1", "Service shop/web"),
            (
                DerivedName::endpoint(&service, v4, Some(&Name::namespaced("shop", "http"))),
                "shop/web@10.0.0.1+http",
                "Service shop/web",
            ),
            (DerivedName::unknown(&service), "shop/web@unknown", "Service shop/web"),
        ];
        for (name, text, origin) in cases {
            assert_eq!((name.name().as_str(), name.origin().to_string()), (text, origin.to_owned()));
            assert_eq!(DerivedName::parse(&Name::from(text)), Some(name.clone()));
            assert_eq!(name.is_unknown(), text.ends_with("unknown"));
            assert!(name.how_to_change().starts_with(text), "{}", name.how_to_change());
        }
    }

    #[test]
    fn addresses_of_a_node_change_together() {
        let together = |this, that| DerivedName::change_together(&Name::from(this), &Name::from(that));
        assert!(together("shop/a", "shop/a") && together("node:a", "node:a:ipv6") && together("node:a", "node:a"));
        assert!(!together("node:a", "node:ab") && !together("shop/a", "shop/b") && !together("s/w@1", "s/w@2"));
    }

    #[test]
    fn name_of_an_object_is_never_derived() {
        for stored in ["shop/web-1", "shop/node", "node/a", "shop/web.1", "node"] {
            assert_eq!(Origin::parse(&Name::from(stored)), None, "{stored}");
        }
    }
}
