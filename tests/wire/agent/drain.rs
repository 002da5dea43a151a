//! The drains of paused and disabled backends, from the weights, flows and counters of a simulated VPP.

use std::{sync::Arc, time::Duration};

use maglev_agent::{Agent, AgentOptions, VppConnector};
use maglev_model::{
    change::Change,
    config::{AdminState, Backend, Config},
    drain::{Drain, DrainConf, DrainLosses, DrainState, OnDeadline},
    health::HealthSnapshot,
};
use maglev_testkit::{
    EventCollector,
    objects::{backend, config, frontend, ip, name, node_config, pool, vip},
};
use maglev_vpp_simulator::{Mark, Release, Simulator, SimulatorOptions, Traffic, Write};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

const VIP: &str = "198.51.100.1";
const SERVER: &str = "192.0.2.11";
const TRAFFIC: Traffic = Traffic { existing: 700, first: 100, untracked: 0, packet_bytes: 100 };
/// Flow timeout in seconds.
const TIMEOUT: u32 = 3;
/// Longer than a test.
const LONG_TIMEOUT: u32 = 3600;

/// A running agent and its VPP.
struct Setup {
    simulator: Simulator,
    events: Arc<EventCollector>,
    config_tx: watch::Sender<Option<Config>>,
    generation: i64,
    flow_timeout: u32,
    sticky_buckets: Option<u32>,
    _stop: DropGuard,
    _health_tx: watch::Sender<HealthSnapshot>,
    _directory: tempfile::TempDir,
}

impl Setup {
    /// A VIP with two servers that are not probed.
    async fn start(release: Release, flow_timeout: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (api, stats) = (directory.path().join("api.sock"), directory.path().join("stats.sock"));
        let options = SimulatorOptions { stats_socket: Some(stats.clone()), release, ..SimulatorOptions::new(&api) };
        let simulator = Simulator::start(options).await.unwrap();
        let (config_tx, health_tx) = (watch::Sender::new(None), watch::Sender::default());
        let events: Arc<EventCollector> = Arc::default();
        let connector = VppConnector::new(&api, events.handle()).with_stats(&stats);
        let options = AgentOptions { deadline: Duration::from_secs(5), ..AgentOptions::new("node-a", &api) };
        let agent = Agent::new(options, connector, config_tx.subscribe(), health_tx.subscribe(), events.handle());
        let stop = CancellationToken::new();
        tokio::spawn(agent.run(stop.clone()));
        let mut setup = Self {
            simulator,
            events,
            config_tx,
            generation: 0,
            flow_timeout,
            sticky_buckets: None,
            _stop: stop.drop_guard(),
            _health_tx: health_tx,
            _directory: directory,
        };
        setup.set(AdminState::Enabled, DrainConf::default());
        let both = |setup: &Self| {
            setup.simulator.snapshot().weights(vip(VIP)).values().filter(|weight| **weight > 0).count() == 2
        };
        setup.until("both servers are in VPP", both).await;
        setup
    }

    fn set(&mut self, admin_state: AdminState, drain: DrainConf) {
        self.generation += 1;
        let check = maglev_model::config::Check::None;
        let mut a = Backend { admin_state, drain, check: check.clone(), ..backend("a", SERVER) };
        a.revision.generation = self.generation;
        let b = Backend { check, ..backend("b", "192.0.2.12") };
        let mut node = node_config();
        node.vpp.flow_timeout = Some(self.flow_timeout);
        node.vpp.sticky_buckets_per_core = self.sticky_buckets;
        let mut config = config([frontend("web", vip(VIP), vec![pool("main", &[&a, &b])])], node);
        config.backends.extend([a, b].map(|server| (server.name.clone(), Arc::new(server))));
        self.config_tx.send_replace(Some(config));
    }

    /// Makes traffic for some seconds of VPP's time, and stops it.
    fn run_traffic(&self, seconds: u64) {
        self.simulator.set_traffic(vip(VIP), TRAFFIC);
        self.simulator.advance(Duration::from_secs(seconds));
        self.simulator.set_traffic(vip(VIP), Traffic::default());
    }

    async fn until(&self, condition: &str, holds: impl Fn(&Self) -> bool) {
        let waited = tokio::time::timeout(Duration::from_secs(30), async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        if waited.await.is_err() {
            panic!("timeout waiting until {condition}: {:#?}\n{:#?}", self.simulator.snapshot(), self.events.lines());
        }
    }

    /// The drain published last.
    fn drain(&self) -> Option<Drain> {
        let last = self.events.changes().into_iter().rev().find_map(|change| match change {
            Change::Drain(backend, drain) if backend == name("a") => Some(drain),
            _ => None,
        });
        last.flatten()
    }

    async fn until_state(&self, state: DrainState) -> Drain {
        let is_in = |setup: &Self| {
            setup.drain().is_some_and(|drain| drain.state == state && drain.generation == setup.generation)
        };
        self.until(&format!("the drain is {state}"), is_in).await;
        self.drain().unwrap()
    }

    /// The states of the drain that were published, in order.
    fn states(&self) -> Vec<String> {
        let lines = self.events.lines().into_iter();
        lines.filter_map(|line| Some(line.strip_prefix("drain-transition name=default/a ")?.to_owned())).collect()
    }

    /// The flushes of the server since `mark`.
    fn flushes(&self, mark: Mark) -> usize {
        let writes = self.simulator.writes_since(mark).into_iter();
        let is_flush = |write: &Write| matches!(write, Write::SetWeight { address, weight: 0, flush: true, .. } if *address == ip(SERVER));
        writes.filter(|written| is_flush(&written.write)).count()
    }
}

#[tokio::test]
async fn backend_without_flows_is_drained_once_weight_0_is_read_back() {
    let mut setup = Setup::start(Release::V26_10, LONG_TIMEOUT).await;
    assert_eq!(setup.drain(), None, "the backend is enabled");
    setup.set(AdminState::Paused, DrainConf::default());
    let drain = setup.until_state(DrainState::NoFlows).await;
    assert_eq!((drain.flows, drain.is_shared), (Some(0), false));
    setup.set(AdminState::Enabled, DrainConf::default());
    setup.until("the drain has ended", |setup| setup.drain().is_none()).await;
}

#[tokio::test]
async fn expired_flows_that_vpp_counts_end_with_the_flow_timeout() {
    let mut setup = Setup::start(Release::V26_10, TIMEOUT).await;
    setup.run_traffic(5);
    setup.set(AdminState::Paused, DrainConf::default());
    let drain = setup.until_state(DrainState::FlowsLeft).await;
    assert!(drain.flows.is_some_and(|flows| flows > 100), "{drain:?}");
    let drain = setup.until_state(DrainState::Quiet).await;
    assert!(drain.flows.is_some_and(|flows| flows > 100), "VPP still counts them: {drain:?}");
    let states = setup.states();
    assert!(states.last().is_some_and(|state| state.starts_with("from=FlowsLeft to=Quiet flows=")), "{states:?}");
}

#[tokio::test]
async fn flows_are_flushed_once_at_the_deadline() {
    let mut setup = Setup::start(Release::V26_10, LONG_TIMEOUT).await;
    setup.run_traffic(5);
    let mark = setup.simulator.mark();
    let deadline = Some(Duration::from_secs(2));
    setup.set(AdminState::Paused, DrainConf { deadline, on_deadline: OnDeadline::Keep });
    setup.until("the deadline has passed", |setup| setup.drain().is_some_and(|drain| drain.is_overdue)).await;
    assert_eq!((setup.flushes(mark), setup.drain().unwrap().state), (0, DrainState::FlowsLeft), "kept");
    setup.set(AdminState::Paused, DrainConf { deadline, on_deadline: OnDeadline::Flush });
    let drain = setup.until_state(DrainState::Flushed).await;
    assert!(!drain.is_overdue);
    let deadlines: Vec<String> =
        setup.events.lines().into_iter().filter(|line| line.starts_with("drain-deadline ")).collect();
    let expected = ["Keep", "Flush"].map(|action| format!("drain-deadline name=default/a action={action} vips=1"));
    assert_eq!(deadlines, expected);
    // Another generation with the same deadline, which is planned and dumped again, flushes nothing.
    setup.set(AdminState::Paused, DrainConf { deadline, on_deadline: OnDeadline::Flush });
    setup.until_state(DrainState::Flushed).await;
    assert_eq!(setup.flushes(mark), 1);
}

#[tokio::test]
async fn disabled_backend_is_drained_by_its_flush() {
    let mut setup = Setup::start(Release::V26_10, LONG_TIMEOUT).await;
    setup.run_traffic(5);
    let mark = setup.simulator.mark();
    setup.set(AdminState::Disabled, DrainConf { deadline: Some(Duration::from_secs(1)), ..DrainConf::default() });
    setup.until_state(DrainState::Flushed).await;
    assert_eq!(setup.flushes(mark), 1);
}

#[tokio::test]
async fn nothing_is_known_without_vpp_and_restarted_vpp_has_no_flows() {
    let mut setup = Setup::start(Release::V26_10, LONG_TIMEOUT).await;
    setup.run_traffic(5);
    setup.set(AdminState::Paused, DrainConf::default());
    setup.until_state(DrainState::FlowsLeft).await;
    setup.simulator.stop().await.unwrap();
    setup.until_state(DrainState::NoCounters).await;
    setup.simulator.start_again().await.unwrap();
    setup.until("the drain has ended", |setup| setup.drain().is_some_and(|drain| drain.state.is_drained())).await;
    let drain = setup.drain().unwrap();
    assert_eq!(drain.losses, DrainLosses { vpp_restarted: true, ..DrainLosses::default() });
    assert!(drain.to_string().ends_with(", but flows moved before their end: VPP was restarted"), "{drain}");
    // Another drain starts without them.
    setup.set(AdminState::Enabled, DrainConf::default());
    setup.until("the drain has ended", |setup| setup.drain().is_none()).await;
    setup.set(AdminState::Paused, DrainConf::default());
    let drain = setup.until_state(DrainState::NoFlows).await;
    assert_eq!(drain.losses, DrainLosses::default());
}

#[tokio::test]
async fn untracked_packets_and_resized_sticky_tables_are_named_as_causes() {
    let mut setup = Setup::start(Release::V26_10, LONG_TIMEOUT).await;
    setup.run_traffic(5);
    setup.set(AdminState::Paused, DrainConf::default());
    let drain = setup.until_state(DrainState::FlowsLeft).await;
    assert_eq!(drain.losses, DrainLosses::default(), "traffic is no cause");
    let has = |losses: DrainLosses| move |setup: &Setup| setup.drain().is_some_and(|drain| drain.losses == losses);
    setup.simulator.set_traffic(vip(VIP), Traffic { untracked: 5, ..TRAFFIC });
    setup.simulator.advance(Duration::from_secs(1));
    setup.simulator.set_traffic(vip(VIP), Traffic::default());
    let mut losses = DrainLosses { untracked: true, ..DrainLosses::default() };
    setup.until("untracked packets are a cause", has(losses)).await;
    setup.sticky_buckets = Some(4096);
    setup.set(AdminState::Paused, DrainConf::default());
    losses.sticky_tables_resized = true;
    setup.until("resized sticky tables are a cause", has(losses)).await;
}

#[tokio::test]
async fn drain_is_unknown_without_weights() {
    let mut setup = Setup::start(Release::V26_06, TIMEOUT).await;
    setup.run_traffic(5);
    setup.set(AdminState::Paused, DrainConf::default());
    setup.until_state(DrainState::WeightsUnsupported).await;
    let states = setup.states();
    assert_eq!(states, ["to=WeightsUnsupported"]);
}
