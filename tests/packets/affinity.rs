//! Session affinity `ClientIP`: one backend for all flows of a client.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::lab::{GRE4, Lab, UDP, all_servers, datagram_from, first_word, on_each_vpp};
use crate::vpp::{Settings, Vpp};

const CLIENT_IP: Settings = Settings { client_ip: true, ..GRE4 };
/// Flows of each client.
const FLOWS: u16 = 6;

fn vip() -> SocketAddr {
    "203.0.113.10:53".parse().unwrap()
}

/// The backends that answer each of 40 clients, each with some flows.
async fn backends_by_client(lab: &Lab) -> BTreeMap<IpAddr, BTreeSet<String>> {
    let clients = (10..50).map(|last| IpAddr::from(Ipv4Addr::new(198, 51, 100, last)));
    let of_client = |client: IpAddr| {
        let answers = (0..FLOWS).map(|flow| datagram_from((client, 20_000 + flow).into(), vip()));
        Ok((client, answers.map(|answer| answer.map(|answer| first_word(&answer))).collect::<io::Result<_>>()?))
    };
    lab.in_client(move || clients.map(of_client).collect()).await.unwrap()
}

async fn client_with_affinity_has_one_backend_on_every_node(lab: Lab) {
    lab.client.configure("route add local 198.51.100.0/24 dev lo\n").unwrap();
    lab.add_vip(vip(), UDP, CLIENT_IP, &all_servers()).await;
    let before = backends_by_client(&lab).await;
    assert!(before.values().all(|backends| backends.len() == 1), "{before:?}");
    let used: BTreeSet<_> = before.values().flatten().collect();
    assert_eq!(used.len(), 4, "the clients have different backends: {before:?}");
    for vpp in &lab.vpps {
        let packets = vpp.packets(vip(), UDP).await;
        // VPP takes all packets of a client for one flow.
        assert!(packets.first > 30 && packets.first <= 40 && packets.existing > 30, "{packets:?}");
    }
    let add = async |vpp: &Vpp| vpp.add_vip(vip(), UDP, CLIENT_IP, &all_servers()).await;
    lab.on_each_node(vip(), add, async || assert_eq!(backends_by_client(&lab).await, before)).await;
}

async fn client_without_affinity_has_several_backends(lab: Lab) {
    lab.client.configure("route add local 198.51.100.0/24 dev lo\n").unwrap();
    lab.add_vip(vip(), UDP, GRE4, &all_servers()).await;
    let backends = backends_by_client(&lab).await;
    assert!(backends.values().all(|backends| backends.len() > 1), "{backends:?}");
}

on_each_vpp! {
    2 => client_with_affinity_has_one_backend_on_every_node,
    2 => client_without_affinity_has_several_backends,
}
