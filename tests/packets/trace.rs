//! `maglev_model::trace` against packets: each flow reaches the server that is computed for it, on each node.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use etherparse::PacketBuilder;
use fastrand::Rng;
use maglev_model::flow_hash::FlowHash;
use maglev_model::trace::Flow;
use maglev_model::vip::Protocol;
use maglev_vpp_simulator::{Prefix, Simulator, SimulatorOptions, Verdict, VipSettings};

use crate::lab::{BACKENDS, GRE4, Lab, datagram_from, first_word, get, on_each_vpp, server};
use crate::vpp::{Settings, TABLE_LENGTH, Vpp, conf, id};

const CLIENT_IP: Settings = Settings { client_ip: true, ..GRE4 };
const VIPS: [(&str, Protocol, Settings); 6] = [
    ("203.0.113.10:80", Protocol::Tcp, GRE4),
    ("203.0.113.10:53", Protocol::Udp, GRE4),
    ("203.0.113.11:53", Protocol::Udp, CLIENT_IP),
    ("[2001:db8::10]:80", Protocol::Tcp, GRE4),
    ("[2001:db8::10]:53", Protocol::Udp, GRE4),
    ("[2001:db8::11]:53", Protocol::Udp, CLIENT_IP),
];
/// The weights of the servers on each node.
const WEIGHTS: [[u8; BACKENDS as usize]; 2] = [[40, 20, 20, 0], [5, 10, 60, 25]];
/// The last group of the client's IPv6 addresses.
const HOSTS6: std::ops::RangeInclusive<u16> = 2..=20;
/// Real flows to each VIP on each node.
const REAL_FLOWS: usize = 100;

fn servers(weights: [u8; BACKENDS as usize]) -> Vec<(IpAddr, u8)> {
    (1..=BACKENDS).map(server).zip(weights).collect()
}

async fn add_vips(vpp: &Vpp, weights: [u8; BACKENDS as usize]) {
    for (vip, protocol, settings) in VIPS {
        vpp.add_vip(vip.parse().unwrap(), protocol.number(), settings, &servers(weights)).await;
    }
}

/// A VPP without sockets, with the VIPs.
fn in_memory(weights: [u8; BACKENDS as usize]) -> Simulator {
    let vpp = Simulator::in_memory(SimulatorOptions::new("unused"));
    vpp.edit(|lb| {
        lb.set_conf(conf()).unwrap();
        for (vip, protocol, settings) in VIPS {
            let (vip, protocol): (SocketAddr, _) = (vip.parse().unwrap(), protocol.number());
            let settings = VipSettings {
                encap: 0,
                dscp: 0,
                srv_type: 0,
                target_port: 0,
                table_length: TABLE_LENGTH,
                src_ip_sticky: settings.client_ip,
            };
            lb.add_vip(Prefix::host(vip.ip()), protocol, vip.port(), settings).unwrap();
            for (server, weight) in servers(weights) {
                lb.add_as(id(vip, protocol), server, weight).unwrap();
            }
        }
    });
    vpp
}

/// The server that is computed for a flow.
fn computed(flow: &Flow, weights: [u8; BACKENDS as usize]) -> IpAddr {
    let is_of = |(vip, protocol, _): &&(&str, Protocol, Settings)| {
        *protocol == flow.protocol() && vip.parse() == Ok(flow.destination())
    };
    let (.., settings) = VIPS.iter().find(is_of).unwrap();
    let key = flow.key(settings.client_ip);
    key.choose(FlowHash::Crc32c, TABLE_LENGTH, &servers(weights)).unwrap().server.unwrap()
}

fn random_flow(random: &mut Rng) -> Flow {
    let (vip, protocol, _) = VIPS[random.usize(..VIPS.len())];
    let vip: SocketAddr = vip.parse().unwrap();
    let source: IpAddr = match vip {
        SocketAddr::V4(_) => Ipv4Addr::from_bits(random.u32(..)).into(),
        SocketAddr::V6(_) => Ipv6Addr::from_bits(random.u128(..)).into(),
    };
    Flow::new(protocol, (source, random.u16(1..)).into(), vip).unwrap()
}

fn packet(flow: &Flow) -> Vec<u8> {
    let (source, destination) = (flow.source(), flow.destination());
    let builder = match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => PacketBuilder::ipv4(source.octets(), destination.octets(), 64),
        (IpAddr::V6(source), IpAddr::V6(destination)) => PacketBuilder::ipv6(source.octets(), destination.octets(), 64),
        _ => panic!("a flow has one family"),
    };
    let (mut packet, ports) = (Vec::new(), (source.port(), destination.port()));
    match flow.protocol() {
        Protocol::Tcp => builder.tcp(ports.0, ports.1, 1, 1024).write(&mut packet, b"hello").unwrap(),
        Protocol::Udp => builder.udp(ports.0, ports.1).write(&mut packet, b"hello").unwrap(),
    }
    packet
}

#[test]
fn random_flows_are_forwarded_to_the_computed_server() {
    let mut random = Rng::with_seed(7);
    let flows: Vec<Flow> = (0..1000).map(|_| random_flow(&mut random)).collect();
    let mut by_node = Vec::new();
    for weights in WEIGHTS {
        let vpp = in_memory(weights);
        let mut forwarder = vpp.forwarder();
        let computed: Vec<IpAddr> = flows.iter().map(|flow| computed(flow, weights)).collect();
        for (flow, server) in flows.iter().zip(&computed) {
            assert_eq!(forwarder.forward(&packet(flow), &mut |_| {}), Verdict::Forwarded(*server), "{flow:?}");
        }
        let used: BTreeSet<_> = computed.iter().collect();
        assert_eq!(used.len(), weights.iter().filter(|weight| **weight > 0).count());
        by_node.push(computed);
    }
    let differing = by_node[0].iter().zip(&by_node[1]).filter(|(first, second)| first != second).count();
    assert!(differing > 300, "the nodes have different weights: {differing} flows differ");
}

/// Flows to all VIPs, each with the name of the backend that answers.
fn exchange(mut random: Rng) -> io::Result<Vec<(Flow, String)>> {
    let mut answers = Vec::new();
    for (vip, protocol, _) in VIPS {
        let vip: SocketAddr = vip.parse().unwrap();
        for _ in 0..REAL_FLOWS {
            let (source, name) = match protocol {
                Protocol::Udp => {
                    let source = random_client(&mut random, vip);
                    (source, first_word(&datagram_from(source, vip)?))
                }
                Protocol::Tcp => {
                    // The client's address and a free port, as the backend sees them.
                    let body = get(vip)?;
                    let client = body.split_whitespace().find_map(|word| word.strip_prefix("client=")).unwrap();
                    (client.parse().unwrap(), first_word(&body))
                }
            };
            answers.push((Flow::new(protocol, source, vip).unwrap(), name));
        }
    }
    Ok(answers)
}

fn random_client(random: &mut Rng, vip: SocketAddr) -> SocketAddr {
    let address: IpAddr = match vip {
        SocketAddr::V4(_) => Ipv4Addr::new(198, 51, 100, random.u8(2..=254)).into(),
        SocketAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, random.u16(HOSTS6)).into(),
    };
    (address, random.u16(1024..)).into()
}

async fn answers_come_from_the_computed_server_on_each_node(lab: Lab) {
    let addresses = HOSTS6.map(|host| format!("address add 2001:db8:c::{host:x}/64 dev tun0 nodad\n"));
    lab.client
        .configure(&("route add local 198.51.100.0/24 dev lo\n".to_owned() + &addresses.collect::<String>()))
        .unwrap();
    for (vpp, weights) in lab.vpps.iter().zip(WEIGHTS) {
        add_vips(vpp, weights).await;
    }
    for (vip, protocol, _) in VIPS {
        lab.until_served(vip.parse().unwrap(), protocol.number()).await;
    }
    for (node, mut weights) in WEIGHTS.into_iter().enumerate() {
        lab.start_again(node, async |vpp| add_vips(vpp, weights).await).await;
        lab.vpps[1 - node].stop().await;
        if !lab.vpps[node].has_weights().await {
            weights = weights.map(|weight| u8::from(weight > 0));
        }
        for (vip, ..) in VIPS {
            lab.until_routed(vip.parse().unwrap(), [node]).await;
        }
        let answers = lab.in_client(move || exchange(Rng::with_seed(node as u64))).await.unwrap();
        assert_eq!(answers.len(), VIPS.len() * REAL_FLOWS);
        for (flow, name) in answers {
            let number = name.strip_prefix("web-").unwrap().parse().unwrap();
            assert_eq!(server(number), computed(&flow, weights), "node {node}, {flow:?}");
        }
    }
}

on_each_vpp! {
    2 => answers_come_from_the_computed_server_on_each_node,
}
