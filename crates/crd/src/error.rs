//! Why a value that somebody stored is none of this version's.

use std::net::IpAddr;

/// A value that does not decode. It reaches people inside serde's error, which names the field.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ValueError {
    /// A text is no IP address, or not in its canonical spelling.
    #[error(
        "{0:?} is not a canonical IP address: write it like 192.0.2.1 or 2001:db8::1, without zone, prefix length or leading zeros"
    )]
    NotCanonical(String),
    /// An address names no single host.
    #[error("{0} cannot be used: it is unspecified, multicast, broadcast, link-local, IPv4-mapped or in ::/96")]
    NotAHost(IpAddr),
    /// An address is of the other family.
    #[error("{found} is not an {wanted} address")]
    Family {
        /// What was found.
        found: IpAddr,
        /// The family that is allowed.
        wanted: &'static str,
    },
    /// A text is no duration as GEP-2257 has it.
    #[error("{0:?} is not a duration: write it like 500ms, 2s or 1m30s")]
    NotADuration(String),
    /// A duration is not a multiple of the unit that is asked for.
    #[error("{0:?} is not allowed: whole seconds only")]
    NotWholeSeconds(String),
    /// A number or duration is out of range, or not one of those that are allowed.
    #[error("{found} is not allowed: {allowed}")]
    Range {
        /// What was found.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// A text is no HTTP status or range of them.
    #[error("{0:?} is not an HTTP status (200) or a range of them from low to high (200-399), within 100-599")]
    NotAStatusRange(String),
}

impl ValueError {
    /// The fixed word for it.
    pub fn reason(&self) -> &'static str {
        maglev_model::problem::Reason::Invalid.as_str()
    }

    /// Whether it may go away by itself: never, the object has to be changed.
    pub fn is_transient(&self) -> bool {
        false
    }
}
