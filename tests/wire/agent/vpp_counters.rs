//! The counters of VPP that the agent publishes, from connecting to losing VPP.

use std::{path::PathBuf, sync::Arc, time::Duration};

use maglev_agent::{Agent, AgentOptions, Publication, VppConnector, VppMetrics};
use maglev_model::{
    config::Config,
    counters::{StatsSnapshot, VipCounters},
    event::Event,
    health::{BackendHealth, BackendState, HealthSnapshot},
    vip::VipKey,
};
use maglev_testkit::{
    EventCollector,
    objects::{backend, config, frontend, ip, name, node_config, pool, vip},
};
use maglev_vpp_simulator::{Prefix, Simulator, SimulatorOptions, Traffic, VipSettings};
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const VIP: &str = "198.51.100.1";
const TRAFFIC: Traffic = Traffic { existing: 900, first: 100, untracked: 0, packet_bytes: 100 };

/// A running agent and its VPP.
struct Setup {
    simulator: Simulator,
    stats_socket: PathBuf,
    config_tx: watch::Sender<Option<Config>>,
    publication_rx: watch::Receiver<Publication>,
    registry: Registry,
    events: Arc<EventCollector>,
    _stop: DropGuard,
    _health_tx: watch::Sender<HealthSnapshot>,
    _directory: tempfile::TempDir,
}

impl Setup {
    /// With `served`, VPP has a stats socket.
    async fn start(served: bool) -> Self {
        Self::start_with(served, TRAFFIC).await
    }

    async fn start_with(served: bool, traffic: Traffic) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (api, stats_socket) = (directory.path().join("api.sock"), directory.path().join("stats.sock"));
        let options = SimulatorOptions {
            stats_socket: served.then(|| stats_socket.clone()),
            traffic,
            ..SimulatorOptions::new(&api)
        };
        let simulator = Simulator::start(options).await.unwrap();
        let (config_tx, _health_tx) = (watch::Sender::new(Some(one_frontend())), watch::Sender::new(all_up()));
        let collector = Arc::new(EventCollector::default());
        let events = collector.handle();
        let connect = VppConnector::new(&api, events.clone()).with_stats(&stats_socket);
        let connect = connect.with_stats_interval(Duration::from_millis(50));
        let (publication_rx, registry) = (connect.stats(), Registry::new());
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
            publication_rx,
            registry,
            events: collector,
            _stop,
            _health_tx,
            _directory: directory,
        }
    }

    /// Waits, for 30 s at most, until the publication satisfies `holds`.
    async fn until(&self, condition: &str, mut holds: impl FnMut(Option<&StatsSnapshot>) -> bool) -> Publication {
        let mut publication_rx = self.publication_rx.clone();
        let waited = tokio::time::timeout(
            Duration::from_secs(30),
            publication_rx.wait_for(|published| holds(published.as_deref())),
        );
        let Ok(publication) = waited.await else {
            panic!("timeout waiting until {condition}: {:#?}", self.publication_rx.borrow())
        };
        publication.unwrap().clone()
    }

    async fn until_counted(&self, key: VipKey, condition: &str, holds: impl Fn(&VipCounters) -> bool) -> VipCounters {
        let published =
            self.until(condition, |published| counters(published, key).is_some_and(|counters| holds(&counters))).await;
        counters(published.as_deref(), key).unwrap()
    }

    /// Waits until VPP has a server for new flows.
    async fn until_served(&self) {
        let served = async {
            while !self.simulator.snapshot().weights(vip(VIP)).values().any(|weight| *weight > 0) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), served).await.expect("the server is added");
    }

    /// The stats socket in each connection event.
    fn stats_sockets(&self) -> Vec<String> {
        let stats_socket = |event| match event {
            Event::VppConnect { stats, .. } => Some(stats),
            _ => None,
        };
        self.events.events().into_iter().filter_map(stats_socket).collect()
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
    config([frontend("web", vip(VIP), vec![pool("main", &members)])], node_config())
}

fn all_up() -> HealthSnapshot {
    let up = BackendHealth {
        address: ip("192.0.2.10"),
        state: BackendState::Up,
        in_doubt: false,
        ever_known: true,
        history: Arc::default(),
    };
    let mut health = HealthSnapshot::default();
    health.backends.insert(name("a"), up);
    health
}

fn counters(published: Option<&StatsSnapshot>, key: VipKey) -> Option<VipCounters> {
    published?.counters.as_ref()?.vips.get(&key.into()).cloned()
}

fn have_increased(counters: &VipCounters) -> bool {
    counters.packets.is_some_and(|packets| packets.existing > 90 && packets.first > 0) && counters.route.is_some()
}

#[tokio::test]
async fn counters_of_vips_are_published_until_the_vip_is_removed() {
    let setup = Setup::start_with(true, Traffic::default()).await;
    // VPP drops packets between the addition of a VIP and that of its first server.
    setup.until_served().await;
    setup.simulator.set_traffic(vip(VIP), TRAFFIC);
    let vip_counters = setup.until_counted(vip(VIP), "packets are counted", have_increased).await;
    let (packets, route) = (vip_counters.packets.unwrap(), vip_counters.route.unwrap());
    assert_eq!(packets.no_server, 0);
    assert_eq!(route.bytes, route.packets * 100);
    assert_eq!(setup.stats_sockets(), [setup.stats_socket.display().to_string()]);
    let text = setup.metrics();
    let series = format!(r#"port="80",prefix="{VIP}/32",protocol="tcp"}}"#);
    let named = format!(r#"maglev_vpp_vip_packets_total{{frontend="default/web",kind="existing",{series} "#);
    assert!(text.contains(&named), "{text}");
    for part in ["maglev_vpp_connected 1\n", "maglev_vpp_uptime_seconds ", "maglev_vpp_info{", "_route_bytes_total{"] {
        assert!(text.contains(part), "no {part}: {text}");
    }

    setup.config_tx.send_replace(Some(config([], node_config())));
    setup.until("the vip is gone", |published| published.is_some() && counters(published, vip(VIP)).is_none()).await;
    assert!(!setup.metrics().contains(VIP), "{}", setup.metrics());
}

#[tokio::test]
async fn counters_of_a_readded_vip_are_read_at_its_new_index() {
    let setup = Setup::start(true).await;
    setup.until_counted(vip(VIP), "packets are counted", have_increased).await;
    let old = setup.pool_index();
    // Drift: the old slot is not free before garbage collection, so the index differs.
    let prefix = Prefix::host(ip(VIP));
    setup.simulator.edit(|lb| {
        lb.remove_vip(prefix, 6, 80).unwrap();
        lb.add_vip(prefix, 6, 80, VipSettings::default()).unwrap();
    });
    assert_ne!(setup.pool_index(), old);
    // A pass dumps VPP again; a change of the node's settings starts one.
    let mut node = node_config();
    node.sync.interval = Duration::from_secs(3600);
    let members = [&backend("a", "192.0.2.10")];
    let again = config([frontend("web", vip(VIP), vec![pool("main", &members)])], node);
    setup.config_tx.send_replace(Some(again));
    // The new VIP had no server at first, which only the new counters show.
    let dropped = |counters: &VipCounters| counters.packets.is_some_and(|packets| packets.no_server > 0);
    setup.until_counted(vip(VIP), "the new vip's counters are read", dropped).await;
}

#[tokio::test]
async fn publication_ends_with_the_session_and_restarts_with_the_next() {
    let setup = Setup::start(true).await;
    setup.until_counted(vip(VIP), "packets are counted", have_increased).await;
    let pid = setup.simulator.pid();
    setup.simulator.stop().await.unwrap();
    setup.until("the publication ends", |published| published.is_none()).await;
    assert!(setup.metrics().contains("maglev_vpp_connected 0\n") && !setup.metrics().contains(VIP));

    setup.simulator.start_again().await.unwrap();
    setup.until_counted(vip(VIP), "the new vpp's packets are counted", have_increased).await;
    let published = setup.publication_rx.borrow().clone().unwrap();
    assert_ne!(published.pid, pid);
    assert_eq!(setup.stats_sockets().len(), 2, "the segment was opened once for each session");
}

#[tokio::test]
async fn vpp_without_a_stats_socket_is_programmed() {
    let setup = Setup::start(false).await;
    setup
        .until("the session is published", |published| published.is_some_and(|snapshot| snapshot.counters.is_none()))
        .await;
    let has_vip = async {
        while setup.simulator.snapshot().vips.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), has_vip).await.expect("the vip is added");
    assert_eq!(setup.stats_sockets(), [""]);
    assert!(setup.metrics().contains("maglev_vpp_connected 1\n") && !setup.metrics().contains(VIP));
}
