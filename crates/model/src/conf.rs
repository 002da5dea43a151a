//! VPP's global LB settings: the desired values, given the current ones.

use super::{actual::ActualConf, config::NodeConfig};

/// The desired settings. A setting that the LoadBalancerConfig does not specify keeps VPP's value, except that an unset
/// source address defaults to the node's internal address.
pub fn desired_conf(node: &NodeConfig, have: &ActualConf) -> ActualConf {
    ActualConf {
        ipv4_source: node.vpp.ipv4_source.or(have.ipv4()).or(node.internal_ipv4).unwrap_or(have.ipv4_source),
        ipv6_source: node.vpp.ipv6_source.or(have.ipv6()).or(node.internal_ipv6).unwrap_or(have.ipv6_source),
        sticky_buckets_per_core: node.vpp.sticky_buckets_per_core.unwrap_or(have.sticky_buckets_per_core),
        flow_timeout: node.vpp.flow_timeout.unwrap_or(have.flow_timeout),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::{config::VppConf, vip::Encap};

    fn unset() -> ActualConf {
        ActualConf {
            ipv4_source: Ipv4Addr::BROADCAST,
            ipv6_source: Ipv6Addr::from_bits(u128::MAX),
            sticky_buckets_per_core: 1024,
            flow_timeout: 40,
        }
    }

    #[test]
    fn unset_source_defaults_to_the_node_address_and_other_settings_are_kept() {
        let node = NodeConfig { internal_ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)), ..NodeConfig::default() };
        let conf = desired_conf(&node, &unset());
        assert_eq!(conf, ActualConf { ipv4_source: Ipv4Addr::new(192, 0, 2, 1), ..unset() });
        assert!(conf.has_source(Encap::Gre4) && !conf.has_source(Encap::Gre6));
        let set_by_hand = ActualConf { ipv4_source: Ipv4Addr::new(192, 0, 2, 9), ..unset() };
        assert_eq!(desired_conf(&node, &set_by_hand), set_by_hand);
    }

    #[test]
    fn load_balancer_config_has_precedence() {
        let vpp =
            VppConf { ipv4_source: Some(Ipv4Addr::new(192, 0, 2, 2)), flow_timeout: Some(60), ..VppConf::default() };
        let node = NodeConfig { internal_ipv4: Some(Ipv4Addr::new(192, 0, 2, 1)), vpp, ..NodeConfig::default() };
        let expected = ActualConf { ipv4_source: Ipv4Addr::new(192, 0, 2, 2), flow_timeout: 60, ..unset() };
        assert_eq!(desired_conf(&node, &unset()), expected);
    }
}
