use std::{net::IpAddr, num::NonZeroU16};

use super::*;
use maglev_model::vip::Dscp;

fn preparation(address: &str, uses: &[(&str, Encap)]) -> Preparation {
    let one = |(vip, kind): &(&str, Encap)| Use {
        frontend: "shop/web".to_owned(),
        vip: vip.parse().unwrap(),
        protocol: "tcp",
        port: NonZeroU16::MIN.get(),
        encap: Some(kind.as_str()),
        kind: Some(*kind),
    };
    let frontends: Vec<Use> = uses.iter().map(one).collect();
    let address: IpAddr = address.parse().unwrap();
    let steps = steps::all(address, &Packets::new(&frontends));
    let (_, coverage) = NodeCoverage::split(Vec::new());
    Preparation {
        name: "shop/shop-1".to_owned(),
        address,
        coverage,
        frontends,
        paths: Vec::new(),
        not_probed: BTreeMap::new(),
        steps,
    }
}

fn commands(address: &str, uses: &[(&str, Encap)]) -> Vec<String> {
    preparation(address, uses).steps.into_iter().flat_map(|step| step.commands).collect()
}

#[test]
fn gre_commands_have_the_addresses_and_the_segment_size_of_the_families() {
    for (address, vip, encap, device, mss) in [
        ("192.0.2.11", "203.0.113.30", Encap::Gre4, "type gre local 192.0.2.11", 1436),
        ("192.0.2.11", "2001:db8::30", Encap::Gre4, "type gre local 192.0.2.11", 1416),
        ("2001:db8::11", "203.0.113.30", Encap::Gre6, "type ip6gre local 2001:db8::11", 1416),
        ("2001:db8::11", "2001:db8::30", Encap::Gre6, "type ip6gre local 2001:db8::11", 1396),
    ] {
        let text = commands(address, &[(vip, encap)]).join("\n");
        let is_v4 = !vip.contains(':');
        let address_command = if is_v4 {
            format!("ip address add {vip}/32 dev lo")
        } else {
            format!("ip -6 address add {vip}/128 dev lo")
        };
        for expected in [device, &address_command, &format!("advmss {mss}")] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
        assert_eq!(text.contains("rp_filter"), is_v4, "{text}");
        assert_eq!(text.contains("arp_ignore"), is_v4, "{text}");
    }
}

#[test]
fn l3dsr_restores_each_vip_and_needs_no_tunnel() {
    let dscp = |number| Encap::L3dsr(Dscp::new(number).unwrap());
    let commands = commands("192.0.2.11", &[("203.0.113.30", dscp(7)), ("203.0.113.31", dscp(8))]);
    let rules: Vec<_> = commands.iter().filter(|command| command.starts_with("nft add rule")).collect();
    assert_eq!(
        rules,
        [
            "nft add rule ip maglev prerouting ip daddr 192.0.2.11 ip dscp 7 @nh,128,32 set 0xcb00711e    # 203.0.113.30",
            "nft add rule ip maglev prerouting ip daddr 192.0.2.11 ip dscp 8 @nh,128,32 set 0xcb00711f    # 203.0.113.31",
        ]
    );
    assert!(!commands.iter().any(|command| command.contains("gre") || command.contains("advmss")), "{commands:?}");
}

#[test]
fn vips_of_several_frontends_are_listed_once() {
    let commands = commands("192.0.2.11", &[("203.0.113.30", Encap::Gre4), ("203.0.113.30", Encap::Gre4)]);
    let unique: BTreeSet<_> = commands.iter().collect();
    assert_eq!(unique.len(), commands.len(), "{commands:?}");
}

#[test]
fn page_is_a_shell_script() {
    let preparation = preparation("192.0.2.11", &[("203.0.113.30", Encap::Gre4), ("2001:db8::30", Encap::Gre4)]);
    let page = preparation.page(false, Timestamp::UNIX_EPOCH).to_string();
    let page = anstream::adapter::strip_str(&page).to_string();
    let lines: Vec<_> = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let commands: Vec<_> = preparation.steps.iter().flat_map(|step| &step.commands).collect();
    assert_eq!(lines, commands);
    let unused = self::preparation("192.0.2.11", &[]).page(false, Timestamp::UNIX_EPOCH).to_string();
    assert!(unused.contains("nothing to prepare") && unused.lines().all(|line| line.starts_with('#')), "{unused}");
}

/// The guide's examples are for the Backend shop/shop-1 of its page "The first Frontend".
#[test]
fn guide_has_the_same_commands() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/network.md")).unwrap();
    let dscp = Encap::L3dsr(Dscp::new(7).unwrap());
    for (address, uses) in [
        ("192.0.2.11", [("203.0.113.30", Encap::Gre4)]),
        ("2001:db8::11", [("2001:db8::30", Encap::Gre6)]),
        ("192.0.2.11", [("203.0.113.30", dscp)]),
    ] {
        for command in commands(address, &uses) {
            assert!(page.lines().any(|line| line.trim() == command), "`{command}` is not in docs/guide/network.md");
        }
    }
}
