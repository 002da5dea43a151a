//! What the agent publishes of VPP's counters, from connecting to losing VPP.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use maglev_agent::{Agent, AgentOptions, Publication, VppConnector, VppMetrics};
use maglev_model::{
    config::Config,
    counters::{StatsSnapshot, VipCounters},
    event::{Event, EventSink, Events},
    health::{BackendHealth, BackendState, HealthSnapshot},
    vip::VipKey,
};
use maglev_vpp_simulator::{Prefix, Simulator, SimulatorOptions, Traffic, VipSettings};
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::fixture::{backend, config, frontend, ip, name, node, pool, vip};

const VIP: &str = "198.51.100.1";

/// Remembers the stats socket that each connection was told of.
#[derive(Default)]
struct Connections(Mutex<Vec<String>>);

impl EventSink for Connections {
    fn wants_probes(&self) -> bool {
        false
    }

    fn publish(&self, event: Event) {
        if let Event::VppConnect { stats, .. } = event {
            self.0.lock().unwrap().push(stats);
        }
    }
}

/// A running agent and its VPP.
struct World {
    simulator: Simulator,
    stats_socket: PathBuf,
    config_tx: watch::Sender<Option<Config>>,
    published_rx: watch::Receiver<Publication>,
    registry: Registry,
    connections: Arc<Connections>,
    _stop: DropGuard,
    _health_tx: watch::Sender<HealthSnapshot>,
    _directory: tempfile::TempDir,
}

impl World {
    /// `served` says whether VPP has a stats socket.
    async fn start(served: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (api, stats_socket) = (directory.path().join("api.sock"), directory.path().join("stats.sock"));
        let traffic = Traffic { existing: 900, first: 100, untracked: 0, packet_bytes: 100 };
        let options = SimulatorOptions {
            stats_socket: served.then(|| stats_socket.clone()),
            traffic,
            ..SimulatorOptions::new(&api)
        };
        let simulator = Simulator::start(options).await.unwrap();
        let (config_tx, _health_tx) = (watch::Sender::new(Some(one_frontend())), watch::Sender::new(all_up()));
        let connections = Arc::new(Connections::default());
        let events = Events::new(connections.clone());
        let connect = VppConnector::new(&api, events.clone()).with_stats(&stats_socket);
        let connect = connect.with_stats_interval(Duration::from_millis(50));
        let (published_rx, registry) = (connect.stats(), Registry::new());
        let metrics = VppMetrics::new(connect.stats(), config_tx.subscribe(), || u64::MAX / 4);
        registry.register(Box::new(metrics)).unwrap();
        let options = AgentOptions { deadline: Duration::from_secs(5), ..AgentOptions::new("node-a", &api) };
        let agent = Agent::new(options, connect, config_tx.subscribe(), _health_tx.subscribe(), events);
        let stop = CancellationToken::new();
        tokio::spawn(agent.run(stop.clone()));
        let _stop = stop.drop_guard();
        Self {
            simulator,
            stats_socket,
            config_tx,
            published_rx,
            registry,
            connections,
            _stop,
            _health_tx,
            _directory: directory,
        }
    }

    /// Waits, for 30 s at most, until the publication is so.
    async fn until(&self, what: &str, mut holds: impl FnMut(Option<&StatsSnapshot>) -> bool) -> Publication {
        let mut published_rx = self.published_rx.clone();
        let waited = tokio::time::timeout(
            Duration::from_secs(30),
            published_rx.wait_for(|published| holds(published.as_deref())),
        );
        let Ok(found) = waited.await else { panic!("waited in vain until {what}: {:#?}", self.published_rx.borrow()) };
        found.unwrap().clone()
    }

    async fn until_counted(&self, key: VipKey, what: &str, holds: impl Fn(&VipCounters) -> bool) -> VipCounters {
        let published = self.until(what, |published| counters(published, key).is_some_and(|of| holds(&of))).await;
        counters(published.as_deref(), key).unwrap()
    }

    fn metrics(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap()
    }

    fn pool_index(&self) -> u32 {
        self.simulator.snapshot().vips[&vip(VIP).into()].pool_index
    }
}

fn one_frontend() -> Config {
    let members = [&backend("a", "192.0.2.10")];
    config([frontend("web", vip(VIP), vec![pool("main", &members)])], node())
}

fn all_up() -> HealthSnapshot {
    let known = BackendHealth {
        address: ip("192.0.2.10"),
        state: BackendState::Up,
        in_doubt: false,
        ever_known: true,
        history: Arc::default(),
    };
    let mut health = HealthSnapshot::default();
    health.backends.insert(name("a"), known);
    health
}

fn counters(published: Option<&StatsSnapshot>, key: VipKey) -> Option<VipCounters> {
    published?.counters.as_ref()?.vips.get(&key.into()).copied()
}

fn moved(of: &VipCounters) -> bool {
    of.packets.is_some_and(|packets| packets.existing > 90 && packets.first > 0) && of.route.is_some()
}

#[tokio::test]
async fn counters_of_vips_move_and_go_when_the_vip_goes() {
    let world = World::start(true).await;
    let of = world.until_counted(vip(VIP), "packets are counted", moved).await;
    let (packets, route) = (of.packets.unwrap(), of.route.unwrap());
    assert_eq!(packets.no_server, 0);
    assert_eq!(route.bytes, route.packets * 100);
    assert_eq!(*world.connections.0.lock().unwrap(), [world.stats_socket.display().to_string()]);
    let text = world.metrics();
    let series = format!(r#"port="80",prefix="{VIP}/32",protocol="tcp"}}"#);
    let named = format!(r#"maglev_vpp_vip_packets_total{{frontend="default/web",kind="existing",{series} "#);
    assert!(text.contains(&named), "{text}");
    for part in ["maglev_vpp_connected 1\n", "maglev_vpp_uptime_seconds ", "maglev_vpp_info{", "_route_bytes_total{"] {
        assert!(text.contains(part), "no {part}: {text}");
    }

    world.config_tx.send_replace(Some(config([], node())));
    world.until("the vip is gone", |published| published.is_some() && counters(published, vip(VIP)).is_none()).await;
    assert!(!world.metrics().contains(VIP), "{}", world.metrics());
}

#[tokio::test]
async fn a_vip_that_was_added_again_is_read_at_its_new_place() {
    let world = World::start(true).await;
    world.until_counted(vip(VIP), "packets are counted", moved).await;
    let old = world.pool_index();
    // Behind the agent's back; the old slot is not free before the collections, so the index is another.
    let prefix = Prefix::host(ip(VIP));
    world.simulator.edit(|lb| {
        lb.remove_vip(prefix, 6, 80).unwrap();
        lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
    });
    assert_ne!(world.pool_index(), old);
    // A pass reads VPP again: a change of the node's settings asks for one.
    let mut node = node();
    node.sync.interval = Duration::from_secs(3600);
    let members = [&backend("a", "192.0.2.10")];
    let again = config([frontend("web", vip(VIP), vec![pool("main", &members)])], node);
    world.config_tx.send_replace(Some(again));
    // Nobody served it at first, which only the new counters know.
    let dropped = |of: &VipCounters| of.packets.is_some_and(|packets| packets.no_server > 0);
    world.until_counted(vip(VIP), "the new vip's counters are read", dropped).await;
}

#[tokio::test]
async fn what_was_published_goes_with_vpp_and_comes_back_from_the_new_one() {
    let world = World::start(true).await;
    world.until_counted(vip(VIP), "packets are counted", moved).await;
    let pid = world.simulator.pid();
    world.simulator.stop().await.unwrap();
    world.until("nothing is published", |published| published.is_none()).await;
    assert!(world.metrics().contains("maglev_vpp_connected 0\n") && !world.metrics().contains(VIP));

    world.simulator.start_again().await.unwrap();
    world.until_counted(vip(VIP), "the new vpp's packets are counted", moved).await;
    let published = world.published_rx.borrow().clone().unwrap();
    assert_ne!(published.pid, pid);
    assert_eq!(world.connections.0.lock().unwrap().len(), 2, "the segment was opened once for each session");
}

#[tokio::test]
async fn a_vpp_without_a_stats_socket_is_driven_all_the_same() {
    let world = World::start(false).await;
    world.until("the session is told", |published| published.is_some_and(|of| of.counters.is_none())).await;
    let has_vip = async {
        while world.simulator.snapshot().vips.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), has_vip).await.expect("the vip is added");
    assert_eq!(*world.connections.0.lock().unwrap(), [""]);
    assert!(world.metrics().contains("maglev_vpp_connected 1\n") && !world.metrics().contains(VIP));
}
