//! Refusals of a Service: each names the field and the reason, and what to do.

use std::{fmt, net::IpAddr};

use maglev_kube::service_objects::PREFIX;
use maglev_model::{Name, vip::Family};

/// Largest number of ports of a Service.
pub const MAX_PORTS: usize = 64;

/// The part of a Service because of which it gets no Frontends, or keeps those that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A port with a protocol that VPP's load balancer does not have.
    Protocol {
        port: String,
        protocol: String,
    },
    TooManyPorts {
        count: usize,
    },
    /// An annotation whose value is not allowed.
    Annotation {
        key: &'static str,
        value: String,
        allowed: &'static str,
    },
    /// An encapsulation that Nodes cannot take off.
    Encap {
        value: String,
    },
    /// The address that the Service asks for has a fault of its own.
    Address {
        field: &'static str,
        why: String,
    },
    /// AddressPolicies do not allow the address.
    AddressNotAllowed {
        field: &'static str,
        why: String,
    },
    AddressTaken {
        field: &'static str,
        address: IpAddr,
        holder: String,
    },
    /// No AddressPolicy gives addresses to the namespace.
    NoAddressPolicy {
        namespace: String,
        family: Family,
        has_policies: bool,
    },
    /// Every address that AddressPolicies give to the namespace is in use.
    NoAddressLeft {
        namespace: String,
        family: Family,
    },
    /// An object that was not made for the Service has the name of a Frontend.
    NameTaken {
        frontend: Name,
    },
}

// Fields in messages.
pub const ADDRESS_FIELD: &str = "metadata.annotations[maglev.vpp.io/address]";
pub const PORTS_FIELD: &str = "spec.ports";
pub const LOAD_BALANCER_IP: &str = "spec.loadBalancerIP";

impl Refusal {
    /// A fixed PascalCase word for the condition and the Event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Protocol { .. } => "UnsupportedProtocol",
            Self::TooManyPorts { .. } => "TooManyPorts",
            Self::Annotation { .. } | Self::Address { .. } => "Invalid",
            Self::Encap { .. } => "UnsupportedEncap",
            Self::AddressNotAllowed { .. } => "AddressNotAllowed",
            Self::AddressTaken { .. } => "AddressTaken",
            Self::NoAddressPolicy { .. } => "NoAddressPolicy",
            Self::NoAddressLeft { .. } => "NoAddressLeft",
            Self::NameTaken { .. } => "NameTaken",
        }
    }

    /// True if the Service may be accepted once another object changes.
    pub fn depends_on_others(&self) -> bool {
        match self {
            Self::Protocol { .. }
            | Self::TooManyPorts { .. }
            | Self::Annotation { .. }
            | Self::Encap { .. }
            | Self::Address { .. } => false,
            Self::AddressNotAllowed { .. }
            | Self::AddressTaken { .. }
            | Self::NoAddressPolicy { .. }
            | Self::NoAddressLeft { .. }
            | Self::NameTaken { .. } => true,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol { port, protocol } => {
                write!(f, "spec.ports[{port}].protocol: found {protocol}, allowed are TCP and UDP")
            }
            Self::TooManyPorts { count } => {
                write!(
                    f,
                    "spec.ports: found {count} ports, allowed are {MAX_PORTS}; use several Services on one address"
                )
            }
            Self::Annotation { key, value, allowed } => {
                write!(f, "metadata.annotations[{PREFIX}{key}]: found {value:?}, allowed is {allowed}")
            }
            Self::Encap { value } => write!(
                f,
                "metadata.annotations[{PREFIX}encap]: found {value:?}, allowed is GRE, the only encapsulation that Nodes \
                 take off"
            ),
            Self::Address { field, why } | Self::AddressNotAllowed { field, why } => write!(f, "{field}: {why}"),
            Self::AddressTaken { field, address, holder } => write!(
                f,
                "{field}: {address} is in use by {holder}; Services of one namespace share an address if all of them ask \
                 for it and their ports differ"
            ),
            Self::NoAddressPolicy { namespace, family, has_policies } => {
                let why = if *has_policies {
                    format!(
                        "no AddressPolicy for namespace {namespace} that allows encap GRE and all ports of the Service"
                    )
                } else {
                    "no AddressPolicy".to_owned()
                };
                write!(
                    f,
                    "spec.ipFamilies: {why} gives {} addresses (spec.frontends.assign: Auto); ask for an address with the \
                     annotation {PREFIX}address, or let an administrator change an AddressPolicy",
                    family_name(*family)
                )
            }
            Self::NoAddressLeft { namespace, family } => write!(
                f,
                "spec.ipFamilies: every {} address that AddressPolicies give to namespace {namespace} is in use; delete a \
                 Service, or let an administrator add addresses to an AddressPolicy",
                family_name(*family)
            ),
            Self::NameTaken { frontend } => write!(
                f,
                "metadata.name: Frontend {frontend} exists and was not made for this Service; delete it, or rename the Service"
            ),
        }
    }
}

/// `IPv4` or `IPv6`, as in the spec of a Service.
pub fn family_name(family: Family) -> &'static str {
    match family {
        Family::V4 => "IPv4",
        Family::V6 => "IPv6",
    }
}
