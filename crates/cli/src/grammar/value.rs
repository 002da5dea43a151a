//! The kinds of values in a command, and their ranges.

use std::net::SocketAddr;

use super::ParsedLine;
use maglev_model::{event::Level, vip::Protocol};

/// Levels of events.
pub const LEVELS: [(&str, Level); 4] =
    [("debug", Level::Debug), ("info", Level::Info), ("warn", Level::Warn), ("error", Level::Error)];

/// Protocols of flows.
pub const PROTOCOLS: [(&str, Protocol); 2] = [("tcp", Protocol::Tcp), ("udp", Protocol::Udp)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// `namespace/name`, or a name in the current namespace.
    Backend,
    /// `namespace/name`, or a name in the current namespace.
    Frontend,
    /// A pool of the preceding Frontend.
    Pool,
    /// A member of the preceding pool.
    Member,
    Weight,
    Count,
    Level,
    /// ID of a hold on removals.
    Hold,
    /// Name of a Namespace.
    Namespace,
    /// Name of an AddressPolicy.
    Policy,
    /// `namespace/name` of a Service, or a name in the current namespace.
    Service,
    /// Name of a Node.
    Node,
    /// Protocol of a flow.
    Protocol,
    /// Address and port of a client.
    Source,
    /// Address and port that the client connects to, of the same family as the preceding source.
    Destination,
}

impl Value {
    /// The placeholder in usage lines.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Backend | Self::Member => "BACKEND",
            Self::Frontend => "FRONTEND",
            Self::Pool => "POOL",
            Self::Weight => "WEIGHT",
            Self::Count => "N",
            Self::Level => "LEVEL",
            Self::Hold => "HOLD-ID",
            Self::Namespace => "NAMESPACE",
            Self::Policy => "POLICY",
            Self::Service => "SERVICE",
            Self::Node => "NODE",
            Self::Protocol => "PROTO",
            Self::Source => "SOURCE",
            Self::Destination => "DESTINATION",
        }
    }

    /// True for names that have to be requested from the agents.
    pub fn is_name(self) -> bool {
        matches!(
            self,
            Self::Backend
                | Self::Frontend
                | Self::Pool
                | Self::Member
                | Self::Hold
                | Self::Namespace
                | Self::Node
                | Self::Destination
        )
    }

    /// Checks `text` after the values in `line`; the error is the allowed range.
    pub fn check(self, text: &str, line: &ParsedLine) -> Result<(), &'static str> {
        let fits = match self {
            Self::Backend | Self::Frontend | Self::Service => is_name(text),
            Self::Pool | Self::Member | Self::Namespace | Self::Policy | Self::Node => {
                !text.is_empty() && !text.contains('/')
            }
            Self::Weight => text.parse::<u8>().is_ok_and(|weight| weight <= 100),
            Self::Count => text.parse::<u64>().is_ok_and(|count| count > 0),
            Self::Level => LEVELS.iter().any(|(word, _)| *word == text),
            Self::Hold => !text.is_empty(),
            Self::Protocol => PROTOCOLS.iter().any(|(word, _)| *word == text),
            Self::Source => endpoint(text).is_some(),
            Self::Destination => return check_destination(text, line),
        };
        fits.then_some(()).ok_or(match self {
            Self::Backend | Self::Frontend | Self::Service => "a name, or namespace/name",
            Self::Pool | Self::Member | Self::Policy | Self::Node => "a name without a namespace",
            Self::Namespace => "the name of a namespace",
            Self::Weight => "a whole number from 0 to 100",
            Self::Count => "a whole number above 0",
            Self::Level => "debug, info, warn or error",
            Self::Hold => "an ID listed by show nodes",
            Self::Protocol => "tcp or udp",
            Self::Source | Self::Destination => ENDPOINT,
        })
    }
}

fn is_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('/').collect();
    parts.len() <= 2 && parts.iter().all(|part| !part.is_empty())
}

const ENDPOINT: &str = "an address and a port from 1 to 65535, such as 198.51.100.7:40312 or [2001:db8::7]:40312";

/// The address and port in `text`; `None` also for port 0, which no flow has.
pub fn endpoint(text: &str) -> Option<SocketAddr> {
    text.parse().ok().filter(|endpoint: &SocketAddr| endpoint.port() > 0)
}

fn check_destination(text: &str, line: &ParsedLine) -> Result<(), &'static str> {
    let destination = endpoint(text).ok_or(ENDPOINT)?;
    match line.value(Value::Source).and_then(endpoint) {
        Some(source) if source.is_ipv4() && destination.is_ipv6() => Err("an IPv4 address, like that of SOURCE"),
        Some(source) if source.is_ipv6() && destination.is_ipv4() => Err("an IPv6 address, like that of SOURCE"),
        _ => Ok(()),
    }
}
