//! The path probe of the agent, from the clients' namespace to the backends: real tunnels, servers and answers.

use std::{
    fs,
    io::{self, BufRead as _},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use maglev_health::{HealthOptions, NetworkNamespace, ProbeThread};
use maglev_model::{
    change::Change,
    config::{Backend, Check, Config, Frontend, NodeConfig},
    path::{PathHealth, PathProbe, PathState},
    vip::{Encap, Protocol, Service, VipKey},
};
use maglev_sandbox::{
    demo_backend::Mode,
    packets::{Namespace, backend_ipv4, backend_ipv6},
};
use maglev_testkit::{EventCollector, objects};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::lab::{BACKENDS, GRE4, Lab, TCP, all_servers, lab_or_return, until};

/// The probes of an agent in the clients' namespace.
struct Prober {
    events: Arc<EventCollector>,
    _config_tx: watch::Sender<Option<Config>>,
    _shutdown: DropGuard,
}

impl Prober {
    /// Probes the path of `vip` to the backends at `addresses`.
    fn start(lab: &Lab, vip: SocketAddr, addresses: &[IpAddr], node: NodeConfig) -> Self {
        let thread = ProbeThread::start(Some(NetworkNamespace::from(lab.client.name()))).unwrap();
        let backends: Vec<Backend> = (1..).zip(addresses).map(|(number, address)| backend(number, *address)).collect();
        let service = Service::Port { protocol: Protocol::Tcp, port: vip.port().try_into().unwrap() };
        let key = VipKey { address: vip.ip(), service };
        let encap = if addresses[0].is_ipv4() { Encap::Gre4 } else { Encap::Gre6 };
        let probe = PathProbe { interval: Duration::from_secs(2), ..PathProbe::default() };
        let pool = objects::pool("primary", &backends.iter().collect::<Vec<_>>());
        let frontend = objects::frontend("shop/web", key, vec![pool]);
        let frontend = Frontend { encap: Some(encap), path_probe: Some(probe), ..frontend };
        let (config_tx, config_rx) = watch::channel(Some(objects::config([frontend], node)));
        let (events, shutdown) = (Arc::new(EventCollector::default()), CancellationToken::new());
        let options = HealthOptions::new("test", 7);
        thread.run(options, config_rx, events.handle(), shutdown.clone()).unwrap();
        Self { events, _config_tx: config_tx, _shutdown: shutdown.drop_guard() }
    }

    /// The last state of the path to a backend.
    fn health(&self, number: u8) -> Option<PathHealth> {
        let published = self.events.published().into_iter().rev();
        published.filter_map(|published| published.change).find_map(|change| match change {
            Change::Path(key, health) if key.backend.name() == name(number) => health,
            _ => None,
        })
    }

    async fn until_state(&self, number: u8, state: PathState) {
        let what = format!("backend {number} is {state}");
        until(&what, async || self.health(number).is_some_and(|health| health.state == state)).await;
    }
}

fn name(number: u8) -> String {
    format!("web-{number}")
}

fn backend(number: u8, address: IpAddr) -> Backend {
    Backend { check: Check::None, ..objects::backend(&format!("shop/{}", name(number)), &address.to_string()) }
}

fn addresses4() -> Vec<IpAddr> {
    (0..BACKENDS).map(|index| backend_ipv4(index.into()).into()).collect()
}

fn addresses6() -> Vec<IpAddr> {
    (0..BACKENDS).map(|index| backend_ipv6(index.into()).into()).collect()
}

/// The number of half-open connections in the namespace of a backend.
async fn half_open(lab: &Lab, number: u8) -> usize {
    const SYN_RECEIVED: &str = "03";
    let count = || -> io::Result<usize> {
        let mut count = 0;
        for file in ["tcp", "tcp6"] {
            let table = fs::read(format!("/proc/thread-self/net/{file}"))?;
            let states = table
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| line.split_whitespace().nth(3).map(str::to_owned));
            count += states.filter(|state| state == SYN_RECEIVED).count();
        }
        Ok(count)
    };
    Namespace::backend(lab.dir(), &name(number)).run(count).await.unwrap()
}

async fn works(lab: &Lab, vip: &str, addresses: &[IpAddr]) {
    let vip: SocketAddr = vip.parse().unwrap();
    lab.add_vip(vip, TCP, GRE4, &all_servers()).await;
    let before = lab.packets.counts();
    let prober = Prober::start(lab, vip, addresses, NodeConfig::default());
    for number in 1..=BACKENDS {
        prober.until_state(number, PathState::Ok).await;
        until("every connection is closed", async || half_open(lab, number).await == 0).await;
    }
    let after = lab.packets.counts();
    assert!(after.to_backend > before.to_backend);
    assert_eq!(after.to_vpp, before.to_vpp, "the kernel answers with a reset to the VIP, through VPP");
}

#[tokio::test]
async fn path_of_an_ipv4_vip_works_over_gre4() {
    let lab = lab_or_return!("path_of_an_ipv4_vip_works_over_gre4", 1);
    works(&lab, "203.0.113.10:80", &addresses4()).await;
}

#[tokio::test]
async fn path_of_an_ipv6_vip_works_over_gre4() {
    let lab = lab_or_return!("path_of_an_ipv6_vip_works_over_gre4", 1);
    works(&lab, "[2001:db8::10]:80", &addresses4()).await;
}

#[tokio::test]
async fn path_of_an_ipv4_vip_works_over_gre6() {
    let lab = lab_or_return!("path_of_an_ipv4_vip_works_over_gre6", 1);
    works(&lab, "203.0.113.10:80", &addresses6()).await;
}

#[tokio::test]
async fn path_of_an_ipv6_vip_works_over_gre6() {
    let lab = lab_or_return!("path_of_an_ipv6_vip_works_over_gre6", 1);
    works(&lab, "[2001:db8::10]:80", &addresses6()).await;
}

#[tokio::test]
async fn each_fault_of_a_path_has_its_state() {
    let lab = lab_or_return!("each_fault_of_a_path_has_its_state", 1);
    let vip: SocketAddr = "203.0.113.10:80".parse().unwrap();
    lab.add_vip(vip, TCP, GRE4, &all_servers()).await;
    let second = Namespace::backend(lab.dir(), &name(2));

    lab.packets.limit_tunnel(0, 0);
    second.configure("address delete 203.0.113.10/32 dev lo\n").unwrap();
    lab.set_mode(3, Mode::Refuse);
    lab.packets.limit_tunnel(3, 1000);
    let prober = Prober::start(&lab, vip, &addresses4(), NodeConfig::default());
    prober.until_state(1, PathState::Timeout).await;
    prober.until_state(2, PathState::Timeout).await;
    prober.until_state(3, PathState::Refused).await;
    prober.until_state(4, PathState::MtuTooSmall).await;
    let detail = prober.health(4).unwrap().detail;
    // The backends' route has a segment size of 1416 bytes.
    assert_eq!(&*detail, "a packet of 1456 bytes was lost, and a small one passed");

    lab.packets.limit_tunnel(0, usize::MAX);
    second.configure("address add 203.0.113.10/32 dev lo\n").unwrap();
    lab.set_mode(3, Mode::Ok);
    lab.packets.limit_tunnel(3, usize::MAX);
    for number in 1..=BACKENDS {
        prober.until_state(number, PathState::Ok).await;
    }
}

#[tokio::test]
async fn packet_that_exceeds_the_route_is_too_large() {
    let lab = lab_or_return!("packet_that_exceeds_the_route_is_too_large", 1);
    let vip: SocketAddr = "203.0.113.10:80".parse().unwrap();
    lab.add_vip(vip, TCP, GRE4, &all_servers()).await;
    lab.client.configure("link set tun0 mtu 1400\n").unwrap();
    // GRE over IPv4 is fragmented, as VPP does; over IPv6 it is not.
    let prober = Prober::start(&lab, vip, &addresses4()[..1], NodeConfig::default());
    prober.until_state(1, PathState::Ok).await;
    let prober = Prober::start(&lab, vip, &addresses6()[..1], NodeConfig::default());
    prober.until_state(1, PathState::MtuTooSmall).await;
}

#[tokio::test]
async fn missing_source_address_makes_the_probe_unable() {
    let lab = lab_or_return!("missing_source_address_makes_the_probe_unable", 1);
    let vip: SocketAddr = "203.0.113.10:80".parse().unwrap();
    let mut node = NodeConfig::default();
    node.probe.ipv4_source = Some([192, 0, 2, 77].into());
    let prober = Prober::start(&lab, vip, &addresses4()[..1], node);
    prober.until_state(1, PathState::Unable).await;
}
