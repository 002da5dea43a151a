//! Errors of values that do not decode.

use std::net::IpAddr;

/// A value that does not decode. Wrapped in a serde error, which adds the path of the field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    /// A text is not an IP address, or not in canonical spelling.
    #[error(
        "{0:?} is not a canonical IP address: write it like 192.0.2.1 or 2001:db8::1, without zone, prefix length or leading zeros"
    )]
    NotCanonical(String),
    /// An address is not the address of one host.
    #[error("{0} cannot be used: it is unspecified, multicast, broadcast, link-local, IPv4-mapped or in ::/96")]
    NotAHost(IpAddr),
    /// A text is not a network, or not in canonical spelling.
    #[error(
        "{0:?} is not a canonical network: write it like 203.0.113.0/26 or 2001:db8:1::/64, without bits after the prefix; one address is written like 192.0.2.1/32"
    )]
    NotANetwork(String),
    /// An address has the wrong IP family.
    #[error("{found} is not an {allowed} address")]
    Family {
        /// The stored address.
        found: IpAddr,
        /// The allowed family: `IPv4` or `IPv6`.
        allowed: &'static str,
    },
    /// A text is not a duration (GEP-2257).
    #[error("{0:?} is not a duration: write it like 500ms, 2s or 1m30s")]
    NotADuration(String),
    /// A duration has a fraction of a second where only whole seconds are allowed.
    #[error("{0:?} is not allowed: whole seconds only")]
    NotWholeSeconds(String),
    /// A number or duration is not one of the allowed values.
    #[error("{found} is not allowed: {allowed}")]
    Range {
        /// The stored value.
        found: String,
        /// The allowed values, such as `from 1 to 100`.
        allowed: String,
    },
    /// A text is not an HTTP status or a range of HTTP statuses.
    #[error("{0:?} is not an HTTP status (200) or a range from low to high (200-399), within 100-599")]
    NotAStatusRange(String),
}

impl ValueError {
    /// The reason for conditions and metrics: always `Invalid`.
    pub fn reason(&self) -> &'static str {
        maglev_model::problem::Reason::Invalid.as_str()
    }
}
