//! ICMP probes in network namespaces that allow raw sockets, unprivileged ICMP sockets, or neither.

use std::{
    io::Read,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use futures::future::join_all;
use maglev_health::{NetworkProber, ProbeOutcome, ProbeTarget, ProbeThread, Prober};
use maglev_model::{
    config::HealthCheck,
    health::ProbeCode::{self, *},
};
use socket2::{Domain, Protocol, Socket, Type};

use super::{checks::icmp, outcome, probe};
use crate::netns;

fn brief() -> HealthCheck {
    HealthCheck { timeout: Duration::from_millis(300), ..icmp() }
}

fn at(address: &str) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), 0)
}

fn in_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test);
}

/// Numbers of unprivileged and raw ICMP sockets in this network namespace.
fn sockets() -> (usize, usize) {
    let count = |file: &str| std::fs::read_to_string(format!("/proc/net/{file}")).unwrap().lines().count() - 1;
    (count("icmp") + count("icmp6"), count("raw") + count("raw6"))
}

/// Checks every code of an ICMP probe, and the numbers of sockets in use.
async fn assert_every_code(expected_sockets: (usize, usize)) {
    let network = NetworkProber::new("1.2.3");
    let table: [(&str, ProbeCode, &str); 6] = [
        ("127.0.0.1", L4Ok, "echo reply"),
        ("::1", L4Ok, "echo reply"),
        ("192.0.2.9", L4Timeout, "no echo reply within 300ms"),
        ("2001:db8::9", L4Timeout, "no echo reply within 300ms"),
        ("198.51.100.1", L4Connection, "unreachable"),
        ("192.0.2.77", L4Connection, "No route to host"),
    ];
    join_all(table.map(async |(address, code, detail)| {
        let (got, text) = probe(&network, at(address), brief()).await;
        assert_eq!(got, code, "{address}: {text}");
        assert!(text.contains(detail), "{address}: {text}");
    }))
    .await;
    assert_eq!(sockets(), expected_sockets, "one per family, for any number of probes");
    let many = join_all((0..500).map(async |n| probe(&network, at(&format!("127.0.1.{}", n % 250)), icmp()).await.0));
    assert_eq!(many.await, [L4Ok; 500]);
    assert_eq!(sockets(), expected_sockets);

    let from = |source: &str| ProbeTarget {
        address: "127.0.0.1".parse().unwrap(),
        source: Some(source.parse().unwrap()),
        check: Arc::new(icmp()),
    };
    assert_eq!(network.probe(from("127.0.0.9"), None).await.outcome, ProbeOutcome::completed(L4Ok, "echo reply"));
    let outcome = network.probe(from("192.0.2.55"), None).await.outcome;
    assert!(matches!(outcome, ProbeOutcome::NotProbed { .. }), "an address that this node lacks: {outcome:?}");
}

fn configure_links() {
    // No host is behind the other end of the link.
    netns::ip("link add dead type veth peer name end");
    netns::ip("link set end up");
    netns::ip("address add 192.0.2.1/24 dev dead");
    netns::ip("address add 2001:db8::1/64 dev dead nodad");
    netns::ip("link set dead arp off up");
    netns::ip("route add unreachable 192.0.2.77");
}

#[test]
fn icmp_uses_raw_sockets_if_others_are_not_allowed() {
    if netns::inside("probes::icmp_echo::icmp_uses_raw_sockets_if_others_are_not_allowed", &[]) {
        configure_links();
        assert_eq!(ProbeThread::start(None).unwrap().icmp_missing(), None);
        in_runtime(assert_every_code((0, 2)));
    }
}

#[test]
fn icmp_uses_unprivileged_sockets_if_the_sysctl_allows() {
    let test = "probes::icmp_echo::icmp_uses_unprivileged_sockets_if_the_sysctl_allows";
    if netns::inside(test, &[]) {
        configure_links();
        netns::sysctl("net.ipv4.ping_group_range", "0 0");
        assert_eq!(ProbeThread::start(None).unwrap().icmp_missing(), None);
        in_runtime(assert_every_code((2, 0)));
    }
}

#[test]
fn missing_icmp_rights_are_reported() {
    let test = "probes::icmp_echo::missing_icmp_rights_are_reported";
    if netns::inside(test, &["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"]) {
        let thread = ProbeThread::start(None).unwrap();
        let missing = thread.icmp_missing().expect("neither kind is allowed");
        assert!(missing.contains("NET_RAW") && missing.contains("net.ipv4.ping_group_range"), "{missing}");
        in_runtime(async {
            let network = NetworkProber::new("1.2.3");
            for address in ["127.0.0.1", "::1"] {
                let ProbeOutcome::NotProbed { detail } = outcome(&network, at(address), brief()).await else {
                    panic!("a probe was sent")
                };
                assert!(detail.contains("NET_RAW"), "{detail}");
            }
        });
    }
}

/// Answers one echo request to 127.0.0.1 with a reply modified by `change`, from 127.0.0.2 if `elsewhere`.
fn answer_once(elsewhere: bool, change: fn(&mut [u8])) -> JoinHandle<()> {
    let raw = || Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    let (mut receiver, sender) = (raw(), raw());
    let address = |last: u8| SocketAddr::new(IpAddr::from([127, 0, 0, last]), 0);
    sender.bind(&address(if elsewhere { 2 } else { 1 }).into()).unwrap();
    std::thread::spawn(move || {
        let mut packet = [0; 256];
        let length = loop {
            let length = receiver.read(&mut packet).unwrap();
            if packet[20] == 8 {
                break length;
            }
        };
        let reply = &mut packet[20..length];
        reply[0] = 0;
        change(reply);
        reply[2..4].fill(0);
        let sum: u32 = reply.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
        let checksum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
        reply[2..4].copy_from_slice(&checksum.to_be_bytes());
        sender.send_to(reply, &address(1).into()).unwrap();
    })
}

#[test]
fn only_the_matching_echo_reply_counts() {
    if !netns::inside("probes::icmp_echo::only_the_matching_echo_reply_counts", &[]) {
        return;
    }
    netns::sysctl("net.ipv4.icmp_echo_ignore_all", "1");
    type Change = fn(&mut [u8]);
    let table: [(&str, bool, Change, ProbeCode); 7] = [
        ("a matching reply", false, |_| {}, L4Ok),
        ("from another address", true, |_| {}, L4Timeout),
        ("with another id", false, |reply| reply[5] ^= 1, L4Timeout),
        ("with another sequence number", false, |reply| reply[7] ^= 1, L4Timeout),
        ("with another payload", false, |reply| reply[15] ^= 1, L4Timeout),
        ("with another type", false, |reply| reply[0] = 3, L4Timeout),
        ("with another code", false, |reply| reply[1] = 1, L4Timeout),
    ];
    for range in ["1 0", "0 0"] {
        netns::sysctl("net.ipv4.ping_group_range", range);
        for (about, elsewhere, change, code) in table {
            let answering = answer_once(elsewhere, change);
            in_runtime(async {
                let (got, text) = probe(&NetworkProber::new("1.2.3"), at("127.0.0.1"), brief()).await;
                assert_eq!(got, code, "{about}, group range {range}: {text}");
            });
            answering.join().unwrap();
        }
    }
}
