//! An IP prefix without host bits, as VPP normalizes prefixes.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An IP prefix, ordered by address with IPv4 first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// Clears host bits. `None` if `length` exceeds the number of bits of the family.
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(address) => {
                let host = 32u32.checked_sub(u32::from(length))?;
                Ipv4Addr::from_bits(address.to_bits() & u32::MAX.checked_shl(host).unwrap_or(0)).into()
            }
            IpAddr::V6(address) => {
                let host = 128u32.checked_sub(u32::from(length))?;
                Ipv6Addr::from_bits(address.to_bits() & u128::MAX.checked_shl(host).unwrap_or(0)).into()
            }
        };
        Some(Self { address, length })
    }

    /// The prefix with only `address`.
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// The first address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Number of leading bits.
    pub fn length(self) -> u8 {
        self.length
    }

    /// True if `other` is within this prefix.
    pub fn covers(self, other: Self) -> bool {
        self.length <= other.length && Self::new(other.address, self.length) == Some(self)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cleared_and_long_lengths_rejected() {
        let prefix = |address: &str, length| Prefix::new(address.parse().unwrap(), length).map(|p| p.to_string());
        assert_eq!(prefix("192.0.2.77", 24).as_deref(), Some("192.0.2.0/24"));
        assert_eq!(prefix("192.0.2.77", 0).as_deref(), Some("0.0.0.0/0"));
        assert_eq!(prefix("2001:db8::1", 128).as_deref(), Some("2001:db8::1/128"));
        assert_eq!(prefix("::ffff", 0).as_deref(), Some("::/0"));
        assert_eq!((prefix("192.0.2.77", 33), prefix("::", 129)), (None, None));
    }
}
