//! Networks in manifests: a prefix in its canonical spelling.

use std::{net::IpAddr, str::FromStr};

use ipnet::IpNet;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::error::ValueError;

/// The longest canonical text: an IPv6 address and `/128`.
const LONGEST: usize = 43;

/// An IPv4 or IPv6 network: canonical, and without bits after the prefix. `192.0.2.1/32` is one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

impl Network {
    /// The checked network.
    pub fn get(self) -> IpNet {
        self.0
    }
}

impl FromStr for Network {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ValueError::NotANetwork(text.into());
        let network: IpNet = text.parse().map_err(|_| wrong())?;
        let is_mapped = matches!(network.addr(), IpAddr::V6(address) if address.to_ipv4_mapped().is_some());
        if network.trunc() != network || network.to_string() != text || is_mapped {
            return Err(wrong());
        }
        Ok(Self(network))
    }
}

impl TryFrom<String> for Network {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.0.to_string()
    }
}

impl JsonSchema for Network {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": LONGEST,
            "x-kubernetes-validations": [{
                "rule": "isCIDR(self) && cidr(self) == cidr(self).masked() && ip.isCanonical(self.split('/')[0])",
                "message": "must be a network in its canonical spelling, such as 203.0.113.0/26 or 2001:db8:1::/64, without \
                            bits after the prefix; one address is written like 192.0.2.1/32",
            }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_networks_are_accepted() {
        for good in ["203.0.113.0/26", "192.0.2.1/32", "0.0.0.0/0", "2001:db8:1::/64", "::/0", "2001:db8::1/128"] {
            assert_eq!(String::from(good.parse::<Network>().unwrap()), good);
        }
        for bad in
            ["", "192.0.2.1", "192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/024", "2001:DB8::/32", "::ffff:10.0.0.0/104"]
        {
            assert_eq!(bad.parse::<Network>(), Err(ValueError::NotANetwork(bad.into())), "{bad}");
        }
    }
}
