//! The traffic to each backend that the agent publishes, compared with the packets that the simulator made: over moved
//! and cleared counters, a restart of VPP, and with the plugin up to 26.06.

use std::{net::IpAddr, sync::Arc, time::Duration};

use maglev_agent::{Agent, AgentOptions, Publication, VppConnector, VppMetrics};
use maglev_model::{
    config::{Backend, Config},
    counters::{BackendCounters, Counters},
    health::{BackendHealth, BackendState, HealthSnapshot},
};
use maglev_testkit::{
    EventCollector,
    objects::{backend, config, frontend, ip, node_config, pool, vip},
};
use maglev_vpp_simulator::{Release, Sent, Simulator, SimulatorOptions, Traffic};
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Two VIPs: the first has servers 1, 2 and 3, the second has server 3 as well.
const VIPS: [&str; 2] = ["198.51.100.1", "198.51.100.2"];
const SERVERS: [&str; 3] = ["192.0.2.11", "192.0.2.12", "192.0.2.13"];
const TRAFFIC: Traffic = Traffic { existing: 700, first: 100, untracked: 50, packet_bytes: 100 };

/// A running agent and its VPP.
struct Setup {
    simulator: Simulator,
    publication_rx: watch::Receiver<Publication>,
    config_tx: watch::Sender<Option<Config>>,
    registry: Registry,
    _stop: DropGuard,
    _health_tx: watch::Sender<HealthSnapshot>,
    _directory: tempfile::TempDir,
}

impl Setup {
    async fn start(release: Release) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (api, stats) = (directory.path().join("api.sock"), directory.path().join("stats.sock"));
        let options = SimulatorOptions { stats_socket: Some(stats.clone()), release, ..SimulatorOptions::new(&api) };
        let simulator = Simulator::start(options).await.unwrap();
        let (config_tx, health_tx) = (watch::Sender::new(Some(configuration(1))), watch::Sender::new(all_up()));
        let events = Arc::new(EventCollector::default()).handle();
        let connector = VppConnector::new(&api, events.clone()).with_stats(&stats);
        let connector = connector.with_stats_interval(Duration::from_millis(50));
        let (publication_rx, registry) = (connector.stats(), Registry::new());
        let metrics = VppMetrics::new(connector.stats(), config_tx.subscribe(), || 0);
        registry.register(Box::new(metrics)).unwrap();
        let options = AgentOptions { deadline: Duration::from_secs(5), ..AgentOptions::new("node-a", &api) };
        let agent = Agent::new(options, connector, config_tx.subscribe(), health_tx.subscribe(), events);
        let stop = CancellationToken::new();
        tokio::spawn(agent.run(stop.clone()));
        let setup = Self {
            simulator,
            publication_rx,
            config_tx,
            registry,
            _stop: stop.drop_guard(),
            _health_tx: health_tx,
            _directory: directory,
        };
        setup.until("all backends are published", |counters| counters.backends.len() == SERVERS.len()).await;
        setup
    }

    fn set_traffic(&self, traffic: Traffic) {
        for address in VIPS {
            self.simulator.set_traffic(vip(address), traffic);
        }
    }

    /// Makes traffic for some seconds of VPP's time, and stops it.
    fn run_traffic(&self, seconds: u64) {
        self.set_traffic(TRAFFIC);
        self.simulator.advance(Duration::from_secs(seconds));
        self.set_traffic(Traffic::default());
    }

    /// The packets that the simulator made for each server.
    fn sent(&self) -> [Sent; 3] {
        SERVERS.map(|server| self.simulator.sent(ip(server)))
    }

    /// Waits, for 30 s at most, until the counters satisfy `holds`.
    async fn until(&self, condition: &str, mut holds: impl FnMut(&Counters) -> bool) -> Counters {
        let mut publication_rx = self.publication_rx.clone();
        let counted = publication_rx.wait_for(|published| {
            published.as_ref().and_then(|snapshot| snapshot.counters.as_ref()).is_some_and(&mut holds)
        });
        match tokio::time::timeout(Duration::from_secs(30), counted).await {
            Ok(publication) => publication.unwrap().as_ref().unwrap().counters.clone().unwrap(),
            Err(_) => panic!("timeout waiting until {condition}: {:#?}", self.publication_rx.borrow()),
        }
    }

    /// Waits until the published totals are `expected`; never more, since a total does not decrease.
    async fn until_equal(&self, condition: &str, expected: [Sent; 3]) -> Counters {
        self.until(condition, |counters| {
            let published = published(counters);
            for (published, expected) in published.iter().zip(&expected) {
                assert!(published.packets <= expected.packets, "{condition}: {published:?} of {expected:?}");
            }
            published == expected
        })
        .await
    }

    /// Makes the agent dump VPP.
    fn request_dump(&self, version: u64) {
        self.config_tx.send_replace(Some(configuration(version)));
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }
}

fn published(counters: &Counters) -> [Sent; 3] {
    SERVERS.map(|server| {
        let BackendCounters { packets, bytes, .. } = counters.backends.get(&ip(server)).copied().unwrap_or_default();
        Sent { packets, bytes }
    })
}

fn plus(one: [Sent; 3], other: [Sent; 3]) -> [Sent; 3] {
    std::array::from_fn(|index| Sent {
        packets: one[index].packets + other[index].packets,
        bytes: one[index].bytes + other[index].bytes,
    })
}

/// A change of `version` starts a full sync, which dumps VPP.
fn configuration(version: u64) -> Config {
    let servers: Vec<Backend> =
        SERVERS.iter().zip(["a", "b", "c"]).map(|(address, name)| backend(name, address)).collect();
    let all: Vec<&Backend> = servers.iter().collect();
    let mut node = node_config();
    node.sync.interval = Duration::from_secs(3600 + version);
    let frontends = [
        frontend("web", vip(VIPS[0]), vec![pool("main", &all)]),
        frontend("mail", vip(VIPS[1]), vec![pool("main", &all[2..])]),
    ];
    let mut config = config(frontends, node);
    config.backends.extend(servers.into_iter().map(|server| (server.name.clone(), Arc::new(server))));
    config
}

fn all_up() -> HealthSnapshot {
    let mut health = HealthSnapshot::default();
    for server in configuration(1).backends.values() {
        let up = BackendHealth {
            address: server.address,
            state: BackendState::Up,
            in_doubt: false,
            ever_known: true,
            history: Arc::default(),
        };
        health.backends.insert(server.name.clone(), up);
    }
    health
}

fn server(number: usize) -> IpAddr {
    ip(SERVERS[number])
}

/// The published flows of each server of both VIPs.
fn flows(counters: &Counters) -> Vec<u64> {
    let flows =
        VIPS.iter().filter_map(|address| counters.vips.get(&vip(address).into())).flat_map(|vip| vip.flows.values());
    flows.map(|flows| u64::from(*flows)).collect()
}

/// The entries of the simulator's sticky tables that refer to each server of both VIPs.
fn references(simulator: &Simulator) -> Vec<u64> {
    let servers = VIPS.into_iter().flat_map(|address| SERVERS.map(|server| (vip(address).into(), ip(server))));
    simulator.edit(|lb| servers.filter_map(|(vip, server)| lb.sticky_flows(vip, server)).collect())
}

#[tokio::test]
async fn counters_equal_the_packets_of_each_backend() {
    for release in [Release::V26_10, Release::V26_06] {
        let setup = Setup::start(release).await;
        setup.run_traffic(20);
        let sent = setup.sent();
        assert!(sent.iter().all(|sent| sent.packets > 4000 && sent.bytes == sent.packets * 124), "{sent:?}");
        let counters = setup.until_equal("all packets are counted", sent).await;
        let vips = SERVERS.map(|server| counters.backends[&ip(server)].vips);
        assert_eq!(vips, [1, 1, 2], "the shared server has one entry");
        let all = sent.iter().map(|sent| sent.packets).sum::<u64>();
        setup.until("each packet to a VIP counts once", |counters| total(counters) == all).await;
        let text = setup.metrics();
        for (address, sent) in SERVERS.iter().zip(sent) {
            for (name, value) in [("packets", sent.packets), ("bytes", sent.bytes)] {
                let series = format!("maglev_vpp_backend_{name}_total{{address=\"{address}\"}} {value}\n");
                assert_eq!(text.matches(&series).count(), 1, "{series}{text}");
            }
        }
    }
}

/// The packets to all VIPs.
fn total(counters: &Counters) -> u64 {
    let packets = counters.vips.values().filter_map(|counters| counters.packets);
    packets.map(|packets| packets.existing + packets.first + packets.untracked).sum()
}

#[tokio::test]
async fn moved_and_cleared_counters_are_added() {
    let setup = Setup::start(Release::V26_10).await;
    setup.run_traffic(10);
    setup.until_equal("the first packets are counted", setup.sent()).await;

    // The new index has counted more than the old one when the agent reads it.
    setup.simulator.restack(server(0));
    setup.run_traffic(30);
    setup.request_dump(2);
    setup.until_equal("packets at the new index are counted", setup.sent()).await;

    setup.simulator.clear_route_counters();
    setup.run_traffic(2);
    setup.until_equal("packets after the decrease are counted", setup.sent()).await;
}

#[tokio::test]
async fn totals_survive_a_restart_of_vpp() {
    let setup = Setup::start(Release::V26_10).await;
    setup.run_traffic(10);
    let before = setup.sent();
    setup.until_equal("packets of the first VPP are counted", before).await;
    setup.simulator.stop().await.unwrap();
    setup.publication_rx.clone().wait_for(Option::is_none).await.unwrap();
    setup.simulator.start_again().await.unwrap();
    setup.until("the new VPP is programmed", |counters| counters.backends.len() == SERVERS.len()).await;
    assert_eq!(setup.sent(), [Sent::default(); 3]);
    // More packets than the first VPP counted: no decrease shows the restart.
    setup.run_traffic(60);
    setup.until_equal("packets of both VPPs are counted", plus(before, setup.sent())).await;
}

#[tokio::test]
async fn flows_and_sticky_tables_are_published() {
    for release in [Release::V26_10, Release::V26_06] {
        let setup = Setup::start(release).await;
        setup.run_traffic(5);
        let made = references(&setup.simulator);
        assert!(made.len() == 4 && made.iter().sum::<u64>() >= 1000, "{made:?}");
        setup.request_dump(2);
        let used = |counters: &Counters| counters.sticky_tables.iter().map(|table| table.entries).sum::<u64>();
        let counters = setup
            .until("flows and usage are read", |counters| {
                flows(counters) == made && used(counters) == made.iter().sum::<u64>()
            })
            .await;
        let tables: Vec<_> = counters.sticky_tables.iter().map(|table| (table.thread, table.capacity)).collect();
        assert_eq!(tables, [(0, 4096), (1, 4096)]);
        let text = setup.metrics();
        for series in ["maglev_vpp_sticky_table_capacity{thread=\"1\"} 4096\n", "maglev_vpp_sticky_table_entries{"] {
            assert!(text.contains(series), "no {series}: {text}");
        }
        // Expired flows leave the usage, but refer to their servers until their entries are reused.
        setup.simulator.advance(Duration::from_secs(100));
        setup.request_dump(3);
        let expired = |counters: &Counters| !counters.sticky_tables.is_empty() && used(counters) == 0;
        let counters = setup.until("all flows have expired", expired).await;
        assert_eq!(flows(&counters), made);
    }
}
