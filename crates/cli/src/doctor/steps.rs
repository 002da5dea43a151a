//! The steps of the preparation, each only if the Backend needs it.

use std::net::IpAddr;

use super::{Packets, Step};
use maglev_model::vip::{Encap, Family};

/// The usual MTU between the load balancer and its backends.
const MTU: u16 = 1500;
const TCP_HEADER: u16 = 20;

pub fn all(address: IpAddr, packets: &Packets) -> Vec<Step> {
    if packets.vips.is_empty() {
        return Vec::new();
    }
    let tunnels = [gre(address, packets, Encap::Gre4), gre(address, packets, Encap::Gre6)];
    let steps =
        [l3dsr(address, packets), unsupported(packets), Some(vips(packets)), arp(packets), segment_size(packets)];
    tunnels.into_iter().chain(steps).flatten().collect()
}

/// Name of the tunnel device and length of the headers that VPP adds; `None` without a tunnel.
fn tunnel(encap: Encap) -> Option<(&'static str, u16)> {
    let tunnels = [(Encap::Gre4, "maglev-gre4", 24), (Encap::Gre6, "maglev-gre6", 44)];
    tunnels.into_iter().find(|(kind, ..)| *kind == encap).map(|(_, device, header)| (device, header))
}

fn gre(address: IpAddr, packets: &Packets, encap: Encap) -> Option<Step> {
    let vips = packets.with(|other| other == encap);
    let (device, _) = tunnel(encap)?;
    let first = *vips.first()?;
    let (kind, options) = if encap == Encap::Gre4 { ("gre", "ttl 64") } else { ("ip6gre", "encaplimit none") };
    let mut commands =
        vec![format!("ip link add {device} type {kind} local {address} {options}"), format!("ip link set {device} up")];
    let mut notes =
        vec!["The device accepts GRE from every load-balancer node, because it has no remote address.".to_owned()];
    if vips.iter().any(IpAddr::is_ipv4) {
        notes.push(
            "Clients are not reachable through the tunnel, so its reverse-path filter must be off; the larger value"
                .to_owned(),
        );
        notes.push("of `all` and the device applies.".to_owned());
        commands.extend(["all", device].map(|name| format!("sysctl -w net.ipv4.conf.{name}.rp_filter=0")));
    }
    if vips.iter().any(IpAddr::is_ipv6) {
        commands.push(format!("sysctl -w net.ipv6.conf.{device}.disable_ipv6=0"));
    }
    let checks = vec![
        format!("ip -s link show {device}    # RX packets increase while a client connects to {first}"),
        "tcpdump -ni any proto gre    # no packets: check the routes and firewalls between VPP and this server"
            .to_owned(),
    ];
    Some(Step { title: "Decapsulate GRE", notes, commands, checks })
}

fn l3dsr(address: IpAddr, packets: &Packets) -> Option<Step> {
    let mut rules = Vec::new();
    for (vip, encap) in &packets.encaps {
        if let (Encap::L3dsr(dscp), IpAddr::V4(vip)) = (*encap, vip) {
            let (dscp, value) = (dscp.get(), u32::from(*vip));
            rules.push(format!(
                "nft add rule ip maglev prerouting ip daddr {address} ip dscp {dscp} @nh,128,32 set {value:#010x}    # {vip}"
            ));
        }
    }
    if rules.is_empty() {
        return None;
    }
    let notes = [
        "VPP writes this server's address into the destination and the VIP's number into the DSCP field. The rules restore",
        "the VIP. They write the raw field, because the checksum of TCP and UDP is still that of the VIP.",
        "Every packet to this address with such a DSCP is translated: routers must not set it on other traffic.",
    ];
    let mut commands = vec![
        "nft add table ip maglev".to_owned(),
        "nft add chain ip maglev prerouting '{ type filter hook prerouting priority raw; }'".to_owned(),
    ];
    commands.extend(rules);
    Some(Step {
        title: "Translate DSCP to the VIP (L3DSR)",
        notes: notes.map(str::to_owned).into(),
        commands,
        checks: vec!["nft list table ip maglev".to_owned()],
    })
}

/// A Frontend with an encapsulation for which nothing can be prepared.
fn unsupported(packets: &Packets) -> Option<Step> {
    let vips = packets.with(|encap| tunnel(encap).is_none() && !matches!(encap, Encap::L3dsr(_)));
    let notes: Vec<_> = vips.iter().map(|vip| format!("{vip}: NAT is not supported; use GRE or L3DSR.")).collect();
    (!notes.is_empty()).then(|| Step { title: "Not supported", notes, commands: Vec::new(), checks: Vec::new() })
}

fn vips(packets: &Packets) -> Step {
    let add = |vip: &IpAddr| match Family::from_address(*vip) {
        Family::V4 => format!("ip address add {vip}/32 dev lo"),
        Family::V6 => format!("ip -6 address add {vip}/128 dev lo"),
    };
    let check = |vip: &IpAddr| format!("ip route get {vip}    # local, dev lo");
    Step {
        title: "Own the VIPs",
        notes: vec![
            "The service must listen on the VIP or on all addresses. Its answers leave from the VIP by the normal route: no".to_owned(),
            "firewall and no anti-spoofing rule on their way may drop that source address.".to_owned(),
        ],
        commands: packets.vips.iter().map(add).collect(),
        checks: packets.vips.iter().map(check).collect(),
    }
}

fn arp(packets: &Packets) -> Option<Step> {
    packets.vips.iter().any(IpAddr::is_ipv4).then(|| Step {
        title: "Do not answer ARP for the VIPs",
        notes: vec!["Otherwise routers of the same network bypass the load balancer. IPv6 needs nothing: Linux answers neighbour".to_owned(),
            "solicitations only for addresses of the interface that receives them.".to_owned()],
        commands: vec![
            "sysctl -w net.ipv4.conf.all.arp_ignore=1".to_owned(),
            "sysctl -w net.ipv4.conf.all.arp_announce=2".to_owned(),
        ],
        checks: vec!["from another host of the network: arping VIP    # no answer from this server".to_owned()],
    })
}

/// The largest TCP segment that fits into the tunnel.
fn segment(vip: IpAddr, encap: Encap) -> Option<u16> {
    let ip_header = if vip.is_ipv4() { 20 } else { 40 };
    Some(MTU - tunnel(encap)?.1 - ip_header - TCP_HEADER)
}

fn segment_size(packets: &Packets) -> Option<Step> {
    let smallest = |v4: bool| {
        let of_family = packets.encaps.iter().filter(|(vip, _)| vip.is_ipv4() == v4);
        of_family.filter_map(|(vip, encap)| segment(*vip, *encap)).min()
    };
    let mut commands = Vec::new();
    if let Some(mss) = smallest(true) {
        commands.push(format!("ip route change $(ip route show default | head -n 1) advmss {mss}"));
    }
    if let Some(mss) = smallest(false) {
        let route = "$(ip -6 route show default | head -n 1 | sed 's/ expires [^ ]*//')";
        commands.push(format!("ip -6 route change {route} advmss {mss}"));
    }
    let header = packets.encaps.values().filter_map(|encap| tunnel(*encap)).map(|(_, header)| header).max()?;
    let larger = MTU + header;
    let notes = vec![
        format!(
            "GRE adds up to {header} bytes. Without this step large requests and uploads hang while small requests work."
        ),
        format!("It is not needed if VPP, this server and the network between them carry packets of {larger} bytes."),
        "If this server has further routes to clients, change each of them. UDP (QUIC) is not covered: see the guide."
            .to_owned(),
    ];
    let checks = vec!["ip route show default    # advmss".to_owned()];
    Some(Step { title: "Limit the size of TCP segments from clients", notes, commands, checks })
}
