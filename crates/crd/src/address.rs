//! IP addresses in manifests: the address of one host in its canonical spelling.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::ValueError;

/// The longest canonical IPv6 text: eight groups of four digits.
const LONGEST: usize = 39;

/// The address of one host: canonical, and not unspecified, multicast, broadcast, link-local,
/// IPv4-mapped or otherwise in `::/96`, which VPP's lb plugin takes for IPv4 (`ip46_address_is_ip4`).
/// Loopback addresses are accepted here; `index` decides if they may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(IpAddr);

impl Address {
    /// The checked address.
    pub fn get(self) -> IpAddr {
        self.0
    }
}

impl FromStr for Address {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: IpAddr = text.parse().map_err(|_| ValueError::NotCanonical(text.into()))?;
        let refused = match address {
            IpAddr::V4(v4) => v4.is_unspecified() || v4.is_multicast() || v4.is_broadcast() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_multicast() || v6.is_unicast_link_local() || v6.to_ipv4_mapped().is_some() || is_compatible(v6)
            }
        };
        if refused {
            return Err(ValueError::NotAHost(address));
        }
        if address.to_string() != text {
            return Err(ValueError::NotCanonical(text.into()));
        }
        Ok(Self(address))
    }
}

/// True for an IPv6 address in `::/96` (an embedded IPv4 address), except for the loopback address.
fn is_compatible(address: Ipv6Addr) -> bool {
    address.to_bits() >> 32 == 0 && !address.is_loopback()
}

impl TryFrom<String> for Address {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0.to_string()
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl JsonSchema for Address {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Address".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": LONGEST,
            "x-kubernetes-validations": [canonical_rule(), host_rule(), not_compatible_rule()],
        })
    }
}

/// Requires the canonical spelling, so that equal addresses have equal texts.
fn canonical_rule() -> serde_json::Value {
    serde_json::json!({
        "rule": "isIP(self) && ip.isCanonical(self)",
        "message": "must be one IP address in its canonical spelling, such as 192.0.2.1 or 2001:db8::1: \
                    no prefix length, zone, leading zeros or IPv4-mapped IPv6",
    })
}

/// Requires the address of one host. Go's `IsGlobalUnicast` excludes unspecified, loopback, multicast,
/// broadcast and link-local addresses.
fn host_rule() -> serde_json::Value {
    serde_json::json!({
        "rule": "!isIP(self) || ip(self).isGlobalUnicast() || ip(self).isLoopback()",
        "message": "must be the address of one host: not unspecified, multicast, broadcast or link-local",
    })
}

/// Excludes the rest of `::/96`: VPP's lb plugin recognizes IPv4 by 96 leading zero bits.
fn not_compatible_rule() -> serde_json::Value {
    serde_json::json!({
        "rule": "!isIP(self) || ip(self).isLoopback() || !cidr('::/96').containsIP(ip(self))",
        "message": "must not be in ::/96: VPP takes such an address for IPv4",
    })
}

/// Declares an [`Address`] of one family.
macro_rules! source_address {
    ($(#[$doc:meta])* $name:ident, $address:ident, $variant:ident, $family:literal, $text:literal, $example:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Address", into = "Address")]
        pub struct $name($address);

        impl $name {
            /// The checked address.
            pub fn get(self) -> $address {
                self.0
            }
        }

        impl TryFrom<Address> for $name {
            type Error = ValueError;

            fn try_from(address: Address) -> Result<Self, Self::Error> {
                match address.0 {
                    IpAddr::$variant(address) => Ok(Self(address)),
                    other => Err(ValueError::Family { found: other, allowed: $text }),
                }
            }
        }

        impl From<$name> for Address {
            fn from(address: $name) -> Self {
                Self(address.0.into())
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let family = serde_json::json!({
                    "rule": concat!("!isIP(self) || ip(self).family() == ", $family),
                    "message": concat!("must be an ", $text, " address, such as ", $example),
                });
                json_schema!({
                    "type": "string",
                    "maxLength": LONGEST,
                    "x-kubernetes-validations": [canonical_rule(), host_rule(), not_compatible_rule(), family],
                })
            }
        }
    };
}

source_address!(
    /// An IPv4 source address.
    Ipv4Source, Ipv4Addr, V4, "4", "IPv4", "192.0.2.1"
);
source_address!(
    /// An IPv6 source address.
    Ipv6Source, Ipv6Addr, V6, "6", "IPv6", "2001:db8::1"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_host_addresses_are_accepted() {
        for good in ["192.0.2.1", "127.0.2.1", "2001:db8::1", "::1", "10.0.0.255"] {
            assert_eq!(String::from(good.parse::<Address>().unwrap()), good);
        }
        for spelling in ["", "192.0.2.01", "192.0.2.0/24", "2001:DB8::1", "2001:db8:0::1", "fe80::1%eth0", "web"] {
            assert!(matches!(spelling.parse::<Address>(), Err(ValueError::NotCanonical(_))), "{spelling}");
        }
        for no_host in ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "169.254.1.1", "fe80::1", "ff02::1"] {
            assert!(matches!(no_host.parse::<Address>(), Err(ValueError::NotAHost(_))), "{no_host}");
        }
        for ipv4 in ["::ffff:192.0.2.1", "::c000:201", "::2"] {
            assert!(matches!(ipv4.parse::<Address>(), Err(ValueError::NotAHost(_))), "{ipv4}");
        }
    }

    #[test]
    fn source_address_of_other_family_is_rejected() {
        let read = |text: &str| serde_json::from_value::<Ipv4Source>(text.into());
        assert_eq!(read("192.0.2.1").unwrap().get(), Ipv4Addr::new(192, 0, 2, 1));
        assert!(read("2001:db8::1").unwrap_err().to_string().contains("not an IPv4 address"));
    }
}
